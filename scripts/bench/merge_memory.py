#!/usr/bin/env python3
"""Peak memory of `lora merge` on a model that is far larger than any of its tensors: shards with the shapes of Falcon-180B
(hidden 14848, 232 heads, 8 key heads, MLP of four times that, vocabulary 65024), of which two layers of 80, in sparse
files (zeros that take no disk space), and an adapter of rank 16 on every matrix.

    build/venv/bin/python scripts/bench/merge_memory.py build/release/bin/lora --folder /somewhere/with/12GB [--layers 2]
    ... --eighth --layers 20      an eighth of the sizes: 1.4 GB, which would show as well

Prints the peak resident set (VmHWM as the kernel counts it: pages of mapped files too), and exits with 1 beyond the bound:
twice the largest tensor and 200 MB. Looks at 1,000 merged numbers of every matrix in float64.
"""
import argparse
import json
import os
import shutil
import struct
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

PART = 8 if "--eighth" in sys.argv else 1
HIDDEN, HEADS, KEY_HEADS, SIZE, VOCABULARY, RANK, ALPHA = 14848 // PART, 232 // PART, 8 // PART, 64, 65024 // PART, 16, 32
INNER = 4 * HIDDEN
LINEARS = {"self_attention.query_key_value": ((HEADS + 2 * KEY_HEADS) * SIZE, HIDDEN),
           "self_attention.dense": (HIDDEN, HEADS * SIZE),
           "mlp.dense_h_to_4h": (INNER, HIDDEN), "mlp.dense_4h_to_h": (HIDDEN, INNER)}
BOUND = 2 * VOCABULARY * HIDDEN * 2 + 200e6


def write_sparse(path, shapes):
    """A safetensors file of bfloat16 zeros; gives its size."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)
    return offset


def make_base(folder, layers):
    folder.mkdir()
    shards = [{"transformer.word_embeddings.weight": (VOCABULARY, HIDDEN)}]
    for i in range(layers):
        block = {f"transformer.h.{i}.{name}.weight": shape for name, shape in LINEARS.items()}
        for norm in ("ln_attn", "ln_mlp"):
            block |= {f"transformer.h.{i}.{norm}.{kind}": (HIDDEN,) for kind in ("weight", "bias")}
        shards.append(block)
    shards[-1] |= {f"transformer.ln_f.{kind}": (HIDDEN,) for kind in ("weight", "bias")}
    size, weight_map = 0, {}
    for number, shapes in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        size += write_sparse(folder / name, shapes)
        weight_map |= dict.fromkeys(shapes, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps(
        {"metadata": {"total_size": size}, "weight_map": weight_map}))
    (folder / "config.json").write_text(json.dumps(
        {"architectures": ["FalconForCausalLM"], "model_type": "falcon", "new_decoder_architecture": True, "alibi": False,
         "bias": False, "parallel_attn": True, "multi_query": True, "hidden_size": HIDDEN, "num_hidden_layers": layers,
         "num_attention_heads": HEADS, "num_kv_heads": KEY_HEADS, "vocab_size": VOCABULARY, "bos_token_id": 11,
         "eos_token_id": 11, "layer_norm_epsilon": 1e-5, "torch_dtype": "bfloat16"}))
    return size


def make_adapter(folder, base, layers):
    folder.mkdir()
    random, tensors = np.random.default_rng(1), {}
    for i in range(layers):
        for name, (out, into) in LINEARS.items():
            module = f"base_model.model.transformer.h.{i}.{name}."
            tensors[module + "lora_A.weight"] = random.standard_normal((RANK, into), dtype=np.float32)
            tensors[module + "lora_B.weight"] = random.standard_normal((out, RANK), dtype=np.float32)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(
        {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": ALPHA, "bias": "none",
         "base_model_name_or_path": str(base), "target_modules": sorted({name.split(".")[1] for name in LINEARS})}))
    return tensors


def peak_of(words):
    """Runs the words; gives the exit status and the largest VmHWM and anonymous memory that were seen."""
    child = os.posix_spawn(words[0], words, os.environ)
    peak = anonymous = 0
    while True:
        try:
            status = Path(f"/proc/{child}/status").read_text()
            for line in status.splitlines():
                if line.startswith("VmHWM"):
                    peak = max(peak, int(line.split()[1]) * 1024)
                if line.startswith("RssAnon"):
                    anonymous = max(anonymous, int(line.split()[1]) * 1024)
        except OSError:
            pass
        done, result = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(result), peak, anonymous
        time.sleep(0.02)


def worst_error(merged, adapter):
    """The largest |written - expected| / |expected| of 1,000 places of every matrix, in steps of bfloat16's rounding."""
    random, worst = np.random.default_rng(2), 0.0
    with safe_open(merged / "model.safetensors", "pt") as file:
        for name in [name for name in adapter if name.endswith("lora_A.weight")]:
            a, b = adapter[name].astype(np.float64), adapter[name.replace("lora_A", "lora_B")].astype(np.float64)
            weight = file.get_slice(name.removeprefix("base_model.model.").replace("lora_A.weight", "weight"))
            for row in random.integers(0, b.shape[0], 10):
                written = weight[int(row)].to(torch.float64).numpy()
                columns = random.integers(0, a.shape[1], 100)
                expected = ALPHA / RANK * (b[row] @ a[:, columns])
                worst = max(worst, float((np.abs(written[columns] - expected) / (np.abs(expected) + 1e-3)).max()))
    return worst * 256


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lora")
    parser.add_argument("--folder", required=True, help="a new folder, removed again; the merged model is written there")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--eighth", action="store_true", help="an eighth of the sizes")
    options = parser.parse_args()
    folder = Path(options.folder)
    folder.mkdir(parents=True)
    try:
        size = make_base(folder / "base", options.layers)
        adapter = make_adapter(folder / "adapter", folder / "base", options.layers)
        start = time.time()
        status, peak, anonymous = peak_of([options.lora, "merge", str(folder / "adapter"), "--output",
                                           str(folder / "merged"), "--quiet"])
        seconds = time.time() - start
        if status != 0:
            sys.exit(f"lora merge ended with {status}")
        error = worst_error(folder / "merged", adapter)
        print(f"{size / 1e9:.2f} GB of weights, largest tensor {VOCABULARY * HIDDEN * 2 / 1e9:.2f} GB, merged in "
              f"{seconds:.0f} s: peak {peak / 1e6:.0f} MB, of which anonymous {anonymous / 1e6:.0f} MB; bound "
              f"{BOUND / 1e6:.0f} MB; largest error {error:.2f} roundings of bfloat16")
        sys.exit(0 if peak <= BOUND and error <= 1 else 1)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
