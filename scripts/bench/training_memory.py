#!/usr/bin/env python3
"""Peak memory of `finetune train` beside what `lora info` foretells.

    build/venv/bin/python scripts/bench/training_memory.py [--programs build/release/bin] [--model build/data/smollm2.gguf]

Trains two steps of rows that are full, in float32 and bfloat16, with several lengths and with quantised weights, of SmolLM2
and of random models of other shapes (Qwen3, Gemma 3, Phi) with its tokenizer. Peak: the largest resident set. Needs transformers for the random models."""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile


def random_models(folder, tokenizer):
    import torch
    import transformers
    common = dict(vocab_size=49152, max_position_embeddings=8192, hidden_size=768, num_attention_heads=12,
                  num_hidden_layers=12, tie_word_embeddings=True)
    shapes = {
        "qwen3": transformers.Qwen3Config(num_key_value_heads=4, head_dim=128, intermediate_size=3072, **common),
        "gemma3": transformers.Gemma3TextConfig(num_key_value_heads=4, head_dim=64, intermediate_size=3072,
                                                sliding_window=512, **common),
        "phi": transformers.PhiConfig(num_key_value_heads=12, intermediate_size=3072, **common)}
    for name, config in shapes.items():
        torch.manual_seed(1)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        model.save_pretrained(folder / name)
        for file in tokenizer.glob("tokenizer*"):
            shutil.copy(file, folder / name)


def peak(words):
    process = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    message = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"finetune failed: {message}")
    return usage.ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", default="build/release/bin", type=pathlib.Path)
    parser.add_argument("--model", default="build/data/smollm2.gguf", type=pathlib.Path)
    parser.add_argument("--make-models", type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make_models:
        return random_models(options.make_models, options.make_models / "hf")
    with tempfile.TemporaryDirectory(prefix="hornbook_bench_") as work:
        work = pathlib.Path(work)
        words = " ".join(str(number) for number in range(20000))
        (work / "long.jsonl").write_text((json.dumps({"text": words}) + "\n") * 12)
        subprocess.run([options.programs / "lora", "convert", options.model, "--output", work / "hf", "--quiet"], check=True)
        # Apart: a child's peak counts what its parent had when it was forked.
        subprocess.run([sys.executable, __file__, "--make-models", work], check=True, stderr=subprocess.DEVNULL)
        models = [options.model, work / "qwen3", work / "gemma3", work / "phi"]
        worst = 0
        for model in models:
            facts = json.loads(subprocess.run([options.programs / "lora", "info", model, "--json"], check=True,
                                              capture_output=True, text=True).stdout)
            for line in facts["training_memory"] + facts["quantized_memory"]:
                if line["tokens"] > 2048:
                    continue
                got = peak([options.programs / "finetune", "train", "--model", model, "--data", work / "long.jsonl",
                            "--output", work / "run", "--overwrite", "--steps", 2, "--max-length", line["tokens"],
                            "--rows-per-batch", 1, "--dtype", line["dtype"], "--device", "cpu", "--lora.rank",
                            facts["lora_rank"], "--learning-rate", 1e-4, "--allow-no-end", "--quiet", "--quantization",
                            line.get("quantization", "none")])
                ratio = line["bytes"] / got
                worst = max(worst, abs(ratio - 1))
                form = line.get("quantization", "") + " " + line["dtype"]
                print(f"{facts['architecture']:12} {form:14} {line['tokens']:5} tokens: foretold "
                      f"{line['bytes'] / 1e6:6.0f} MB, peak {got / 1e6:6.0f} MB, ratio {ratio:.2f}", flush=True)
        print(f"worst: {100 * worst:.0f} %")


if __name__ == "__main__":
    main()
