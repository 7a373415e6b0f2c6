#!/usr/bin/env python3
"""Peak memory of `finetune train` beside what its start foretells.

    build/venv/bin/python scripts/bench/training_memory.py [--programs build/release/bin] [--model build/data/smollm2.gguf]
        [--dtype float32]     only that one: bfloat16 takes an hour on a processor without instructions for it

Trains two steps of rows that are full, in float32 and bfloat16, with several lengths and with quantised weights, of SmolLM2
and of random models of other shapes (Qwen3, Gemma 3, Phi) with its tokenizer, where `lora info` has a line; then SmolLM2 in other
ways. Peak: the largest resident set. Foretold: as the start of the run says, which counts what a processor without
products of bfloat16 takes beside that. Needs transformers for the random models."""
import argparse
import json
import os
import pathlib
import re
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


WAYS = {"dropout": ["--lora.dropout", 0.1], "DoRA": ["--lora.dora"], "DoRA, dropout": ["--lora.dora", "--lora.dropout", 0.1],
        "saved head": ["--lora.modules_to_save", "lm_head"], "all": ["--method", "full"]}


def peak(words):
    """The largest resident set in bytes, and what the program said."""
    process = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    message = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"finetune failed: {message}")
    return usage.ru_maxrss * 1024, message


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", default="build/release/bin", type=pathlib.Path)
    parser.add_argument("--model", default="build/data/smollm2.gguf", type=pathlib.Path)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"])
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

        def compare(foretold, got, *what):
            nonlocal worst
            ratio = foretold / got
            worst = max(worst, abs(ratio - 1))
            print(f"{what[0]:12} {what[1]:14} {what[2]:5} tokens: foretold {foretold / 1e6:6.0f} MB, peak {got / 1e6:6.0f} MB, "
                  f"ratio {ratio:.2f}", flush=True)

        def train(model, tokens, dtype, *words):
            """What the start of a run foretells, and its peak, in bytes."""
            got, said = peak([options.programs / "finetune", "train", "--model", model, "--data", work / "long.jsonl", "--output",
                              work / "run", "--overwrite", "--steps", 2, "--max-length", tokens, "--rows-per-batch", 1, "--dtype",
                              dtype, "--device", "cpu", "--learning-rate", 1e-4, "--allow-no-end", *words])
            number, unit = re.search(r"memory: about ([\d.]+) ([MG]B) at the peak", said).groups()
            return float(number) * {"MB": 1e6, "GB": 1e9}[unit], got

        for model in models:
            facts = json.loads(subprocess.run([options.programs / "lora", "info", model, "--json"], check=True,
                                              capture_output=True, text=True).stdout)
            for line in facts["training_memory"] + facts["quantized_memory"]:
                if line["tokens"] > 2048 or options.dtype not in (None, line["dtype"]):
                    continue
                quantization = line.get("quantization", "none")
                compare(*train(model, line["tokens"], line["dtype"], "--lora.rank", facts["lora_rank"], "--quantization",
                               quantization), facts["architecture"], f"{line.get('quantization', '')} {line['dtype']}",
                        line["tokens"])
        for way, words in WAYS.items():
            for tokens in (256, 1024):
                compare(*train(options.model, tokens, "float32", "--gradient-checkpointing", "none", *words), way, "float32", tokens)
        print(f"worst: {100 * worst:.0f} %")


if __name__ == "__main__":
    main()
