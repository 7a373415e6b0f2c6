#!/usr/bin/env python3
"""Live check of adapters with new tokens (`finetune train --new-tokens`), with transformers, PEFT and llama.cpp as readers.

    build/venv/bin/python scripts/oracle/check_new_tokens.py --programs build/release/bin
    ... --break row        another number in a new row: the check must fail

Tiny random models of every kind that matters: a head of its own, tied, a padded embedding that has rows already, a head
with a bias, a GGUF base. PEFT resizes the base to len(tokenizer), as its documentation has it, and loads the adapter; the
logits must be those of the merged folder in transformers (relative norm 1e-5), and of the merged GGUF in llama.cpp.
Prints the measured maxima. Exit code: 0 all within the bounds, 1 beyond a bound, 2 could not be run.
"""
import argparse
import json
import sys
import tempfile
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from check_lora_exports import Results, compare_llama_cpp, greedy, llama_cpp, load, logits_of, relative, run
from tiny_model import llama, tokenizer

BOUND = 1e-5
NEW = ["<tool>", "<|call|>"]
PROMPTS = ["Read it again.<|call|>", "<tool>12 pages", "x<tool>y<|call|>z, slowly", "no new token here"]
# What the model is made with, rows of padding, the base's form, options of training.
KINDS = [("a head of its own", dict(tied=False, biases=True, rope="llama3"), 0, "folder", []),
         ("tied", dict(tied=True, biases=False, rope="default"), 0, "folder", []),
         ("tied, padded", dict(family="qwen2", tied=True, rope="default"), 16, "folder", []),
         ("padded by one row", dict(tied=False, biases=False, rope="default"), 1, "folder", []),
         ("a head with a bias", dict(family="phi", rope="default", size=0.04), 0, "folder", []),
         ("GGUF", dict(tied=False, biases=False, rope="default"), 0, "gguf", []),
         ("GGUF, tied", dict(tied=True, biases=False, rope="default"), 0, "gguf", []),
         ("both matrices whole", dict(tied=False, biases=False, rope="default"), 0, "folder",
          ["--lora.modules-to-save", "embed_tokens", "--lora.modules-to-save", "lm_head"])]


def spoil_row(adapter):
    file = adapter / "adapter_model.safetensors"
    tensors = load_file(file)
    name = next(name for name in sorted(tensors) if "token_adapter" in name or "embed_tokens" in name)
    tensors[name][-1] += 0.05
    save_file(tensors, file)


def check(programs, place, kind, broken, results):
    name, shape, padding, form, options = kind
    words = tokenizer(300, whole_alphabet=True)
    llama(len(words) + padding, **shape).save_pretrained(place / "base")
    words.save_pretrained(place / "base")
    base = place / "base"
    if form == "gguf":
        base = place / "base.gguf"
        run(programs / "lora", "convert", place / "base", "--output", base, "--dtype", "float32", "--quiet")
    records = [{"prompt": f"say {i}: ", "completion": f"<tool>{i} pages<|call|> of {i + 1}"} for i in range(40)]
    (place / "data.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    run(programs / "finetune", "train", "--model", base, "--data", place / "data.jsonl", "--output", place / "run", "--new-tokens", NEW[0],
        "--new-special-tokens", NEW[1], "--steps", 8, "--learning-rate", 0.02, "--lora.rank", 4, "--device", "cpu", "--threads", 1,
        "--max-length", 128, "--data-cache", "none", "--quiet", *options)
    adapter = place / "run/adapter"
    for what, words_of in (("folder", ["--output", place / "merged", "--dtype", "float32"]),
                           ("gguf", ["--output", place / "merged.gguf", "--dtype", "float32", "--format", "gguf"])):
        run(programs / "lora", "merge", place / "run", *words_of, "--quiet")

    if broken == "row":
        spoil_row(adapter)
    read = AutoTokenizer.from_pretrained(adapter)
    merged_words = AutoTokenizer.from_pretrained(place / "merged")
    model = load(place / "base")
    if len(read) > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(len(read))
    sequences = [greedy(load(place / "merged"), read(prompt)["input_ids"], 6) for prompt in PROMPTS]
    for prompt in PROMPTS:
        if read(prompt)["input_ids"] != merged_words(prompt)["input_ids"] or (len(words) in read(prompt)["input_ids"]) != (NEW[0] in prompt):
            sys.exit(f"{name}: other ids of {prompt!r}: {read(prompt)['input_ids']}, {merged_words(prompt)['input_ids']}")
    if not set(NEW[1:]) <= set(read.all_special_tokens + [str(t) for t in read.added_tokens_decoder.values() if t.special]):
        sys.exit(f"{name}: {NEW[1]} is not special")
    merged = logits_of(load(place / "merged"), sequences)
    has_bias = model.get_output_embeddings().bias is not None
    peft = PeftModel.from_pretrained(model, adapter).eval()
    if has_bias:
        peft = peft.merge_and_unload()  # before that, PEFT 0.21 computes such a head without its bias
    expected = logits_of(peft, sequences)
    results.add("PEFT after a resize, " + name, relative(merged, expected), BOUND)
    compare_llama_cpp(llama_cpp(place / "merged.gguf"), read, sequences, expected, results, f"llama.cpp, {name}", len(words))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", default="build/release/bin", help="the folder that holds the programs lora and finetune")
    parser.add_argument("--break", dest="broken", choices=["row"], help="spoil one detail")
    options = parser.parse_args()
    programs = Path(options.programs)
    if not (programs / "finetune").exists():
        print(f"{programs}/finetune is not there: build it first")
        sys.exit(2)
    results = Results()
    for kind in KINDS[:1] if options.broken else KINDS:
        with tempfile.TemporaryDirectory(prefix="new-tokens-") as folder:
            print(kind[0], flush=True)
            check(programs, Path(folder), kind, options.broken, results)
    print("measured maxima:")
    sys.exit(1 if results.report() else 0)


if __name__ == "__main__":
    main()
