#!/usr/bin/env python3
"""Supervised fine-tuning as people do it: `finetune train` beside TRL's SFTTrainer, on question/answer records.

    python3 -m venv trlenv && trlenv/bin/pip install torch==2.11.0 trl==1.16.0 peft==0.21.2
    scripts/bench/sft.py --python trlenv/bin/python --data build/quickstart/instructions/train.jsonl [--dtype bfloat16] [--peer-packing]

SmolLM2, LoRA of rank 16 on all linear modules, the first 96 records of at most 512 tokens, the loss on all tokens, checkpointing off
on both sides, one epoch. SFTTrainer takes batches of four records, padded, or with --peer-packing two rows of 512 (its own
packing, without flash attention: documents see each other there). Ours packs rows of 512, as by default, and takes two of them
a step (--rows-per-batch), which are as many tokens as four of these records. Both train turn by turn: SFTTrainer a few steps,
then waits; ours a whole epoch of a process of its own. Trained tokens per second of whole steps, the first of each process left out; the mean loss of the epoch of both
(ours trains no line end behind the last end token, one token a record less).
"""
import argparse, json, os, pathlib, statistics, subprocess, sys, tempfile, time

import measuring

LENGTH, RECORDS, RATE = 512, 96, 2e-4


def peer(options):
    """Trains a number of steps for each line read, answers {"trained", "seconds", "losses"} a line."""
    import datasets, peft, torch, transformers, trl
    torch.set_num_threads(options.threads)
    datasets.disable_progress_bars()
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.hf)
    dtype = getattr(torch, options.dtype)
    model = transformers.AutoModelForCausalLM.from_pretrained(options.hf, dtype=dtype, attn_implementation="sdpa")
    data = datasets.Dataset.from_list([json.loads(line) for line in open(options.data, encoding="utf-8")])
    out, told = sys.stdout, {"losses": [], "trained": 0}

    class Turns(transformers.TrainerCallback):
        left = 1

        def on_step_begin(self, *unused, **more):
            if told.get("begun") is None:
                told["begun"] = time.perf_counter()

        def on_log(self, arguments, state, control, logs=None, **more):
            if "loss" in (logs or {}):
                told["losses"].append(logs["loss"])

        def on_step_end(self, *unused, **more):
            self.left -= 1
            if self.left == 0:
                self.answer()

        def answer(self):
            seconds = time.perf_counter() - told["begun"] if told.get("begun") else 0
            print(json.dumps({"trained": told["trained"], "seconds": seconds, "losses": told["losses"]}), file=out, flush=True)
            told.update(trained=0, begun=None)
            line = sys.stdin.readline()
            if not line:
                os._exit(0)
            self.left = int(line)

    arguments = trl.SFTConfig(
        output_dir=os.path.dirname(options.data), per_device_train_batch_size=options.rows_per_batch if options.peer_packing else 4,
        max_length=LENGTH, packing=options.peer_packing, num_train_epochs=100, learning_rate=RATE, lr_scheduler_type="constant",
        use_cpu=True, bf16=options.dtype == "bfloat16", gradient_checkpointing=False, logging_steps=1, save_strategy="no", report_to="none",
        disable_tqdm=True, seed=1)
    turns = Turns()

    class Counting(trl.SFTTrainer):
        def training_step(self, model, inputs, *more):
            told["trained"] += int((inputs["labels"][:, 1:] != -100).sum())
            return super().training_step(model, inputs, *more)

    sys.stdout = sys.stderr  # the Trainer prints its logs
    trainer = Counting(model=model, args=arguments, train_dataset=data, processing_class=tokenizer, callbacks=[turns],
                       peft_config=peft.LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    steps = -(-len(trainer.train_dataset) // arguments.per_device_train_batch_size)
    print(json.dumps({"ready": f"trl {trl.__version__}, transformers {transformers.__version__}, torch {torch.__version__}",
                      "steps": steps}), file=out, flush=True)
    trainer.train()


def select(options):
    """Prints the first RECORDS records of at most LENGTH tokens, a line each."""
    import transformers
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.hf)
    left = RECORDS
    for line in open(options.data, encoding="utf-8"):
        record = {"messages": json.loads(line)["messages"]}
        if left and len(tokenizer.apply_chat_template(record["messages"], return_dict=False)) <= LENGTH:
            print(json.dumps(record))
            left -= 1


def ours(options, data, folder):
    output = pathlib.Path(folder) / "run"
    subprocess.run([options.finetune, "train", "--model", options.hf, "--data", data, "--output", str(output), "--overwrite",
                    "--epochs", "1", "--max-length", str(LENGTH), "--rows-per-batch", str(options.rows_per_batch), "--train-on", "all",
                    "--learning-rate", str(RATE), "--schedule", "constant", "--warmup-steps", "0", "--lora.rank", "16", "--lora.alpha", "32",
                    "--dtype", options.dtype, "--device", "cpu", "--gradient-checkpointing", "none", "--threads", str(options.threads),
                    "--quiet"], check=True)
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "tokens_per_second" in line]
    mean = sum(l["loss"] * l["trained_tokens"] for l in lines) / sum(l["trained_tokens"] for l in lines)
    rest = lines[1:]
    return sum(l["trained_tokens"] for l in rest), sum(l["tokens"] / l["tokens_per_second"] for l in rest), mean


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="records {\"messages\"}: a file")
    parser.add_argument("--python", default=sys.executable, help="of an environment with TRL")
    parser.add_argument("--finetune", default="build/release/bin/finetune")
    parser.add_argument("--lora", default="build/release/bin/lora")
    parser.add_argument("--model", default="build/data/smollm2.gguf")
    parser.add_argument("--hf", default="", help="the model as a Hugging Face folder; default: made with lora convert")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-steps", type=int, default=4, help="of the peer, a round; a first step before them is left out")
    parser.add_argument("--rows-per-batch", type=int, default=2)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--peer-packing", action="store_true")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--select", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.select:
        return select(options)
    if options.peer:
        return peer(options)
    with tempfile.TemporaryDirectory(prefix="hornbook_bench_") as folder:
        if not options.hf:
            options.hf = measuring.model_folder(options.lora, options.model, folder, "bfloat16")  # as it is published
        data = os.path.join(folder, "records.jsonl")
        with open(data, "w", encoding="utf-8") as records:
            subprocess.run([options.python, __file__, "--select", "--hf", options.hf, "--data", options.data], stdout=records, check=True)
        worker = subprocess.Popen([options.python, __file__, "--peer", "--hf", options.hf, "--data", data, "--threads", str(options.threads),
                                   "--dtype", options.dtype, "--rows-per-batch", str(options.rows_per_batch), *(["--peer-packing"] if options.peer_packing else [])],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ready = json.loads(worker.stdout.readline())
        json.loads(worker.stdout.readline())  # the first step, which finds cold memory
        pairs = []
        for turn in range(options.rounds):
            trained, seconds, loss = ours(options, data, folder)
            print(f"round {turn + 1} ours: {trained} trained tokens, {seconds:.1f} s, {trained / seconds:.0f} tokens/s, mean loss {loss:.3f}", flush=True)
            worker.stdin.write(f"{options.peer_steps}\n")
            worker.stdin.flush()
            answer = json.loads(worker.stdout.readline())
            rate = answer["trained"] / answer["seconds"]
            losses = answer["losses"]
            print(f"round {turn + 1} SFTTrainer: {answer['trained']} trained tokens, {answer['seconds']:.1f} s, {rate:.0f} tokens/s, mean loss of "
                  f"its first {len(losses)} steps {sum(losses) / max(1, len(losses)):.3f}", flush=True)
            pairs.append((trained / seconds, rate))
        worker.stdin.close()
        worker.wait()
        ratios = sorted(a / b for a, b in pairs)
        print(f"{RECORDS} records, {options.dtype}: finetune {statistics.median(a for a, _ in pairs):.0f} trained tokens/s, {ready['ready']}"
              f"{' with packing' if options.peer_packing else ''} ({ready['steps']} steps an epoch): {statistics.median(b for _, b in pairs):.0f}; ratio "
              f"{statistics.median(ratios):.2f} (rounds {', '.join(f'{r:.2f}' for r in ratios)}), {options.threads} threads")


if __name__ == "__main__":
    main()
