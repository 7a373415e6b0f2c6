#!/usr/bin/env python3
"""LoRA training of SmolLM2 on the CPU: tokens per second of `finetune train` beside transformers + peft.

    build/venv/bin/python scripts/bench/train_cpu.py --data records.jsonl [--threads 2] [--rounds 3] [--steps 4] [--dtype bfloat16] [--peer-dtype float32]
        [--only text --rows 4 --peer-micro-batch 1 --memory 1800MB]

Both sides train the same model, a folder in bfloat16 as SmolLM2 is published, with the same adapter (rank 16 on all linear modules, AdamW, clip 1), turn by turn in
one run, so that whatever else the machine does hits both. Tokens are those of the data, padding not counted.
  text: rows of 512 tokens, all trained. The same tokens on both sides: --rows of them a step, of which the peer computes
        --peer-micro-batch at once (take the better); ours as many as --memory lets it.
  chat: conversations, answers trained. transformers pads batches of four, as its Trainer does; finetune packs rows.
The peer is a bare loop, without Trainer, logging or checkpoints; our figure is what metrics.jsonl says of whole steps.
The first step of each process, which finds cold memory, is left out on both sides. The peak of resident memory is printed of both.
"""
import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import measuring

LENGTH, RANK, ALPHA, RATE = 512, 16, 32, 2e-4


def records_of(path):
    return [json.loads(line) for line in open(path) if line.strip()]


def long_texts(records):
    """Texts of more than LENGTH tokens, made of the records' messages."""
    texts, text = [], ""
    for record in records:
        text += "\n\n".join(message["content"] for message in record["messages"]) + "\n\n"
        if len(text) > 8 * LENGTH:
            texts.append({"text": text})
            text = ""
    return texts


def peer(options):
    """Reads a number of steps a line, trains them, answers {"tokens", "seconds", "loss"} a line."""
    import torch
    import peft
    import transformers
    torch.set_num_threads(options.threads)
    folder = pathlib.Path(options.hf)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, options.peer_dtype), attn_implementation="sdpa")
    model = peft.get_peft_model(model, peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear",
                                                       task_type="CAUSAL_LM"))
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0)

    def chat_ids(messages):
        """The ids alone: transformers 5 answers with a dictionary."""
        prompt = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, return_dict=True)["input_ids"]
        ids = tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"]
        return ids[:LENGTH], ([-100] * len(prompt) + ids[len(prompt):])[:LENGTH]

    examples = []
    for record in records_of(options.data):
        if "text" in record:
            ids = tokenizer(record["text"], add_special_tokens=False)["input_ids"][:LENGTH]
            examples.append((ids, ids))
        else:
            examples.append(chat_ids(record["messages"]))
    is_text = "text" in records_of(options.data)[0]
    batch_size, parts = (options.peer_micro_batch, options.rows // options.peer_micro_batch) if is_text else (4, 1)
    print(json.dumps({"ready": f"transformers {transformers.__version__}, peft {peft.__version__}, "
                               f"torch {torch.__version__}"}), flush=True)
    position = done = 0
    for line in sys.stdin:
        tokens, begun = 0, time.perf_counter()
        for _ in range(int(line) * parts):
            batch = [examples[(position + i) % len(examples)] for i in range(batch_size)]
            position += batch_size
            longest = max(len(ids) for ids, _ in batch)
            pad = lambda row, value: row + [value] * (longest - len(row))
            ids = torch.tensor([pad(ids, 0) for ids, _ in batch])
            labels = torch.tensor([pad(labels, -100) for _, labels in batch])
            mask = torch.tensor([pad([1] * len(ids), 0) for ids, _ in batch])
            loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
            (loss / parts).backward()
            tokens += int(mask.sum())
            done += 1
            if done % parts == 0:
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.step()
                optimizer.zero_grad()
        print(json.dumps({"tokens": tokens, "seconds": time.perf_counter() - begun, "loss": loss.item(),
                          "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}), flush=True)


def ours(options, data, rows, steps, folder):
    output = pathlib.Path(folder) / "run"
    child = subprocess.Popen([options.finetune, "train", "--model", options.hf, "--data", data, "--output", str(output),
                    "--overwrite", "--steps", str(steps + 1), "--max-length", str(LENGTH), "--rows-per-batch", str(rows),
                    "--learning-rate", str(RATE), "--lora.rank", str(RANK), "--lora.alpha", str(ALPHA), "--dtype",
                    options.dtype, "--device", "cpu", "--threads", str(options.threads), "--allow-no-end", "--quiet",
                    *(["--memory", options.memory] if options.memory else ["--gradient-checkpointing", "none"])])
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit("finetune train failed")
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()][1:]  # 1: a cold start
    return sum(l["tokens"] for l in lines), sum(l["tokens"] / l["tokens_per_second"] for l in lines), lines[-1]["loss"], usage.ru_maxrss


def compare(options, name, data, rows, folder):
    worker = subprocess.Popen([sys.executable, __file__, "--peer", "--hf", options.hf, "--data", data, "--threads",
                               str(options.threads), "--peer-dtype", options.peer_dtype, "--rows", str(options.rows),
                               "--peer-micro-batch", str(options.peer_micro_batch)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    versions = json.loads(worker.stdout.readline())["ready"]

    def peer_turn(steps):
        worker.stdin.write(f"{steps}\n")
        worker.stdin.flush()
        answer = json.loads(worker.stdout.readline())
        return answer["tokens"], answer["seconds"], answer["loss"], answer["peak"]

    peer_turn(1)  # warm, as our first step, which is left out
    rates, peaks = {"ours": [], "peer": []}, {"ours": 0, "peer": 0}
    for turn in range(options.rounds):
        for side, run in (("ours", lambda: ours(options, data, rows, options.steps, folder)),
                          ("peer", lambda: peer_turn(options.steps))):
            tokens, seconds, loss, peak = run()
            peaks[side] = max(peaks[side], peak)
            rates[side].append(tokens / seconds)
            print(f"{name} round {turn + 1} {side}: {tokens} tokens, {seconds:.2f} s, {tokens / seconds:.0f} tokens/s, "
                  f"loss {loss:.3f}", flush=True)
    worker.stdin.close()
    worker.wait()
    us, them = statistics.median(rates["ours"]), statistics.median(rates["peer"])
    ratios = sorted(a / b for a, b in zip(rates["ours"], rates["peer"]))
    print(f"{name}: finetune {us:.0f} tokens/s, {versions}: {them:.0f} tokens/s; ratio {statistics.median(ratios):.2f} "
          f"(rounds {', '.join(f'{r:.2f}' for r in ratios)}), {options.threads} threads; peaks {peaks['ours'] * 1024 / 1e6:,.0f} and "
          f"{peaks['peer'] * 1024 / 1e6:,.0f} MB", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="records {\"messages\"}")
    parser.add_argument("--finetune", default="build/release/bin/finetune")
    parser.add_argument("--lora", default="build/release/bin/lora")
    parser.add_argument("--model", default="build/data/smollm2.gguf")
    parser.add_argument("--hf", default="", help="the model as a Hugging Face folder; default: made of --model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--peer-dtype", default="", choices=["", "float32", "bfloat16"], help="default: as --dtype")
    parser.add_argument("--only", choices=["text", "chat"])
    parser.add_argument("--rows", type=int, default=1, help="rows a step of `text`")
    parser.add_argument("--peer-micro-batch", type=int, default=1, help="of these rows, those that the peer computes at once")
    parser.add_argument("--memory", default="", help="what ours may use, as finetune train --memory; else nothing is computed twice")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.peer_dtype = options.peer_dtype or options.dtype
    if options.peer:
        return peer(options)
    with tempfile.TemporaryDirectory(prefix="hornbook_bench_") as folder:
        if not options.hf:
            options.hf = measuring.model_folder(options.lora, options.model, folder, "bfloat16")  # as it is published
        records = [r for r in records_of(options.data) if r["messages"][-1]["role"] == "assistant"][:200]
        for name, rows, chosen in (("text", options.rows, long_texts(records)), ("chat", 2, records)):
            if options.only in (None, name):
                data = os.path.join(folder, f"{name}.jsonl")
                pathlib.Path(data).write_text("".join(json.dumps(r) + "\n" for r in chosen))
                compare(options, name, data, rows, folder)


if __name__ == "__main__":
    main()
