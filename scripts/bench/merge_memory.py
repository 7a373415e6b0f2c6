#!/usr/bin/env python3
"""Peak memory of `lora merge` on a model that is far larger than any of its tensors: shards with the shapes of Falcon-180B
(hidden 14848, 232 heads, 8 key heads, MLP of four times that, vocabulary 65024), of which two layers of 80, in sparse
files (zeros that take no disk space), and an adapter of rank 16 on every matrix.

    build/venv/bin/python scripts/bench/merge_memory.py build/release/bin/lora --folder /somewhere/with/12GB [--layers 2]
    ... --eighth --layers 20      an eighth of the sizes: 1.4 GB, which would show as well
    ... --shape llama-7b --layers 32 --dtype q4_k_m      a Llama of 7B (hidden 4096, MLP 11008, vocabulary 32000), 13.5 GB
                                                         in shards, merged into a GGUF of blocks
    ... --models ties             instead of a merge `lora merge-models` of two such models on a base, by this method

Prints the peak resident set (VmHWM as the kernel counts it: pages of mapped files too), and exits with 1 beyond the bound:
twice the largest tensor and 200 MB, of which mapped files 100 MB and a hundredth of the model. Looks at 1,000 merged numbers of every matrix in float64 (of blocks at whole matrices of
the first and last layer).
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
IS_LLAMA = "llama-7b" in sys.argv
RANK, ALPHA = 16, 32
TOKENIZER = Path(__file__).parents[2] / "tests/golden/lora/base"  # of a GGUF; rows without a token are padding
if IS_LLAMA:
    HIDDEN, HEADS, VOCABULARY, INNER, LAYERS = 4096 // PART, 32 // PART, 32000 // PART, 11008 // PART // 256 * 256, "model.layers"
    LINEARS = {f"self_attn.{name}_proj": (HIDDEN, HIDDEN) for name in "qkvo"} | {
        "mlp.gate_proj": (INNER, HIDDEN), "mlp.up_proj": (INNER, HIDDEN), "mlp.down_proj": (HIDDEN, INNER)}
    NORMS = [f"{name}.weight" for name in ("input_layernorm", "post_attention_layernorm")]
    OUTER = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN)}
    LAST = {"model.norm.weight": (HIDDEN,), "lm_head.weight": (VOCABULARY, HIDDEN)}
    CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": INNER,
              "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "vocab_size": VOCABULARY, "rms_norm_eps": 1e-5,
              "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2}
else:
    HIDDEN, HEADS, KEY_HEADS, SIZE, VOCABULARY = 14848 // PART, 232 // PART, 8 // PART, 64, 65024 // PART
    INNER, LAYERS = 4 * HIDDEN, "transformer.h"
    LINEARS = {"self_attention.query_key_value": ((HEADS + 2 * KEY_HEADS) * SIZE, HIDDEN),
               "self_attention.dense": (HIDDEN, HEADS * SIZE),
               "mlp.dense_h_to_4h": (INNER, HIDDEN), "mlp.dense_4h_to_h": (HIDDEN, INNER)}
    NORMS = [f"{name}.{kind}" for name in ("ln_attn", "ln_mlp") for kind in ("weight", "bias")]
    OUTER = {"transformer.word_embeddings.weight": (VOCABULARY, HIDDEN)}
    LAST = {f"transformer.ln_f.{kind}": (HIDDEN,) for kind in ("weight", "bias")}
    CONFIG = {"architectures": ["FalconForCausalLM"], "model_type": "falcon", "new_decoder_architecture": True, "alibi": False,
              "bias": False, "parallel_attn": True, "multi_query": True, "hidden_size": HIDDEN, "num_attention_heads": HEADS,
              "num_kv_heads": KEY_HEADS, "vocab_size": VOCABULARY, "bos_token_id": 11, "eos_token_id": 11,
              "layer_norm_epsilon": 1e-5}
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
    shards = [dict(OUTER)]
    for i in range(layers):
        block = {f"{LAYERS}.{i}.{name}.weight": shape for name, shape in LINEARS.items()}
        shards.append(block | {f"{LAYERS}.{i}.{name}": (HIDDEN,) for name in NORMS})
    shards[-1] |= LAST
    size, weight_map = 0, {}
    for number, shapes in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        size += write_sparse(folder / name, shapes)
        weight_map |= dict.fromkeys(shapes, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps(
        {"metadata": {"total_size": size}, "weight_map": weight_map}))
    (folder / "config.json").write_text(json.dumps(CONFIG | {"num_hidden_layers": layers, "torch_dtype": "bfloat16"}))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TOKENIZER / name, folder / name)
    return size


def make_adapter(folder, base, layers):
    folder.mkdir()
    random, tensors = np.random.default_rng(1), {}
    for i in range(layers):
        for name, (out, into) in LINEARS.items():
            module = f"base_model.model.{LAYERS}.{i}.{name}."
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


def worst_of_blocks(merged, adapter, layers):
    """The largest |written - expected| of a whole matrix, by its norm: of those that a GGUF does not reorder."""
    from gguf import GGUFReader, dequantize
    written, worst = {tensor.name: tensor for tensor in GGUFReader(merged).tensors}, 0.0
    for layer in (0, layers - 1):
        for name, known in (("mlp.gate_proj", "ffn_gate"), ("mlp.down_proj", "ffn_down"), ("self_attn.o_proj", "attn_output")):
            tensor, module = written[f"blk.{layer}.{known}.weight"], f"base_model.model.{LAYERS}.{layer}.{name}."
            expected = ALPHA / RANK * (adapter[module + "lora_B.weight"] @ adapter[module + "lora_A.weight"])
            found = dequantize(tensor.data, tensor.tensor_type).reshape(expected.shape)
            worst = max(worst, float(np.linalg.norm(found - expected) / np.linalg.norm(expected)))
    return worst


def command_of(options, folder):
    """What runs: a merge, or a merge of models of which the second and third are the base's own files."""
    if not options.models:
        output = str(folder / ("merged.gguf" if options.dtype else "merged"))
        return output, [options.lora, "merge", str(folder / "adapter"), "--output", output, "--quiet",
                        *(["--dtype", options.dtype] if options.dtype else [])]
    for name in ("one", "two"):
        make_base(folder / name, options.layers)
    more = {"slerp": [], "linear": []}.get(options.models, ["--base", str(folder / "base"), "--density", "0.5"])
    return str(folder / "merged"), [options.lora, "merge-models", str(folder / "one"), str(folder / "two"), "--method",
                                    options.models, *more, "--output", str(folder / "merged"), "--quiet"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lora")
    parser.add_argument("--folder", required=True, help="a new folder, removed again; the merged model is written there")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--eighth", action="store_true", help="an eighth of the sizes")
    parser.add_argument("--shape", choices=["falcon-180b", "llama-7b"], default="falcon-180b")
    parser.add_argument("--dtype", help="of blocks: merge into a GGUF; llama-7b only")
    parser.add_argument("--models", choices=["linear", "slerp", "ties", "dare", "dare-ties"], help="lora merge-models")
    options = parser.parse_args()
    folder = Path(options.folder)
    folder.mkdir(parents=True)
    try:
        size = make_base(folder / "base", options.layers)
        adapter = make_adapter(folder / "adapter", folder / "base", options.layers)
        output, words = command_of(options, folder)
        start = time.time()
        status, peak, anonymous = peak_of(words)
        seconds = time.time() - start
        if status != 0:
            sys.exit(f"{' '.join(words[1:])} ended with {status}")
        if options.models:  # all are zeros
            error, said, most = 0.0, "nothing to compare", 1
        elif options.dtype:
            error, most = worst_of_blocks(output, adapter, options.layers), 0.15
            said = f"largest error {error:.3f} of a matrix"
        else:
            error, most = worst_error(Path(output), adapter), 1
            said = f"largest error {error:.2f} roundings of bfloat16"
        print(f"{size / 1e9:.2f} GB of weights, largest tensor {VOCABULARY * HIDDEN * 2 / 1e9:.2f} GB, merged in "
              f"{seconds:.0f} s: peak {peak / 1e6:.0f} MB, of which anonymous {anonymous / 1e6:.0f} MB; bound "
              f"{BOUND / 1e6:.0f} MB; {size / seconds / 1e6:.0f} MB/s; {said}")
        # Pages of the base that were not given back would grow with it.
        sys.exit(0 if peak <= BOUND and peak - anonymous <= 100e6 + size / 100 and error <= most else 1)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
