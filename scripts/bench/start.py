#!/usr/bin/env python3
"""From the start of the process to the end of the first optimizer step: `finetune train` beside transformers + peft.

    build/venv/bin/python scripts/bench/start.py [--rounds 5] [--threads 2] [--dtype float32]

SmolLM2, LoRA of rank 16 on all linear modules, one row of 64 tokens; files are in the memory of the operating system ("warm"), turn by
turn. Ours: until metrics.jsonl holds its first step, preflight and data cold. The peer: until optimizer.step() has returned.
"""
import argparse, json, os, pathlib, statistics, subprocess, sys, tempfile, time

import measuring

LENGTH, TEXT = 64, "A branch is a name for a commit that moves along when you commit. " * 16


def peer(options):
    import peft, torch, transformers
    torch.set_num_threads(options.threads)
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.hf)
    model = transformers.AutoModelForCausalLM.from_pretrained(options.hf, dtype=getattr(torch, options.dtype))
    model = peft.get_peft_model(model, peft.LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=2e-4, weight_decay=0)
    ids = torch.tensor([tokenizer(TEXT)["input_ids"][:LENGTH]])
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    print(f"transformers {transformers.__version__}, peft {peft.__version__}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--finetune", default="build/release/bin/finetune")
    parser.add_argument("--lora", default="build/release/bin/lora")
    parser.add_argument("--model", default="", help="a folder or .gguf; default: the folder that the peer reads")
    parser.add_argument("--hf", default="", help="the model as a Hugging Face folder; default: build/data/smollm2.gguf by lora convert")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return peer(options)
    with tempfile.TemporaryDirectory(prefix="hornbook_bench_") as folder:
        folder = pathlib.Path(folder)
        if not options.hf:
            options.hf = measuring.model_folder(options.lora, "build/data/smollm2.gguf", folder, options.dtype)
        (folder / "data.jsonl").write_text(json.dumps({"text": TEXT}) + "\n")

        def ours(turn):
            run = folder / f"run{turn}"
            begun = time.perf_counter()
            process = subprocess.Popen([options.finetune, "train", "--model", options.model or options.hf, "--data", str(folder / "data.jsonl"),
                                        "--output", str(run), "--steps", "1", "--max-length", str(LENGTH), "--lora.rank", "16", "--lora.alpha", "32",
                                        "--dtype", options.dtype, "--device", "cpu", "--threads", str(options.threads), "--allow-no-end", "--quiet"],
                                       env=os.environ | {"XDG_CACHE_HOME": str(run) + "-cache"})
            metrics = run / "metrics.jsonl"
            while process.poll() is None and not (metrics.exists() and b"\n" in metrics.read_bytes()):
                time.sleep(0.002)
            seconds = time.perf_counter() - begun
            if process.wait() != 0:
                sys.exit("finetune train failed")
            return seconds

        def theirs():
            begun = time.perf_counter()
            process = subprocess.Popen([sys.executable, __file__, "--peer", "--hf", options.hf, "--dtype", options.dtype, "--threads",
                                        str(options.threads)], stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL)
            version = process.stdout.readline().strip()
            seconds = time.perf_counter() - begun
            process.wait()
            return seconds, version

        ours("warm"), theirs()
        pairs = []
        for turn in range(options.rounds):
            seconds, (peer_seconds, version) = ours(turn), theirs()
            pairs.append((seconds, peer_seconds))
            print(f"round {turn + 1}: ours {seconds:.2f} s, peer {peer_seconds:.2f} s", flush=True)
        print(f"start to the first step, {options.dtype}, {options.threads} threads: finetune {statistics.median(a for a, _ in pairs):.2f} s, {version} "
              f"{statistics.median(b for _, b in pairs):.2f} s; ratio {statistics.median(b / a for a, b in pairs):.1f}")


if __name__ == "__main__":
    main()
