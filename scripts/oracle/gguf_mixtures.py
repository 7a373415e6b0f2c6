#!/usr/bin/env python3
"""Which type llama.cpp's own quantiser gives each tensor of a model, and that `lora convert` gives the same bytes.

Writes tests/golden/lora/gguf_mixtures.json.gz: of small models of many families the config.json and, for each name of a type,
the type of every tensor of two dimensions and more, without an importance matrix. Every file of `lora convert --dtype` is compared
with llama.cpp's, tensor by tensor, byte by byte; a difference is an error. The quantiser is that of the llama.cpp inside
llama-cpp-python's source package (releases before 2026 took other types for the joined matrices of Falcon and Phi-3):
    build/venv/bin/pip download --no-deps --no-binary :all: -d /tmp/llama llama-cpp-python==0.3.36 && tar -xf ... -C /tmp/llama
    cmake -S /tmp/llama/.../vendor/llama.cpp -B /tmp/llama/build -DGGML_CPU=OFF -DLLAMA_BUILD_COMMON=OFF
    cmake --build /tmp/llama/build --target llama
    build/venv/bin/python scripts/oracle/gguf_mixtures.py --quantiser /tmp/llama/build/bin/libllama.so
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from gguf import GGUFReader

from check_lora_exports import FAMILIES, PLAIN
from golden import write_packed
from k_quants import arguments, quantiser
from tiny_model import llama, tokenizer

OUT = Path(__file__).resolve().parents[2] / "tests/golden/lora"
TYPES = {"q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9, "q4_k_s": 14, "q4_k_m": 15, "q5_k_s": 16, "q5_k_m": 17,
         "q6_k": 18}  # enum llama_ftype
WIDE = dict(hidden_size=256, intermediate_size=256, size=0.02)
MODELS = {
    "whole blocks": PLAIN | WIDE | dict(num_hidden_layers=9),
    "whole blocks, tied": PLAIN | WIDE | dict(tied=True),
    "rows of 64": PLAIN | dict(num_hidden_layers=12),
    "rows of 40": PLAIN | dict(hidden_size=40, num_attention_heads=5, num_key_value_heads=1, head_dim=8, intermediate_size=72),
    "80 layers, shared keys": PLAIN | dict(num_hidden_layers=80),
    "80 layers": PLAIN | dict(num_hidden_layers=80, num_key_value_heads=4),
    "Qwen2 of 80 layers": PLAIN | dict(family="qwen2", num_hidden_layers=80),
    "Falcon of 20 layers": FAMILIES["Falcon 40B"] | dict(num_hidden_layers=20),
    "Mixtral of 8 experts": FAMILIES["Mixtral"] | dict(num_local_experts=8, num_hidden_layers=9),
    "Mixtral of 4 experts": FAMILIES["Mixtral"] | dict(num_hidden_layers=9),
    "Qwen2-MoE": FAMILIES["Qwen2-MoE"] | dict(num_hidden_layers=9),
    "Qwen3-MoE of 8 experts": FAMILIES["Qwen3-MoE"] | dict(num_experts=8, num_hidden_layers=9),
    "Gemma 2": FAMILIES["Gemma 2"] | dict(num_hidden_layers=9),
    "Gemma 3": FAMILIES["Gemma 3"],
    "Phi-3": FAMILIES["Phi-3"] | dict(num_hidden_layers=9),
    "Phi": FAMILIES["Phi"] | dict(num_hidden_layers=9),
    "SmolLM3": FAMILIES["SmolLM3"] | dict(num_hidden_layers=9),
}


def compare(ours, theirs, name):
    """The types of the matrices; exits where a tensor differs."""
    ours = {tensor.name: tensor for tensor in GGUFReader(ours).tensors}
    theirs = {tensor.name: tensor for tensor in GGUFReader(theirs).tensors}
    assert ours.keys() == theirs.keys(), ours.keys() ^ theirs.keys()
    for key, tensor in theirs.items():
        if ours[key].tensor_type != tensor.tensor_type:
            sys.exit(f"{name}: {key} is {ours[key].tensor_type.name}, and llama.cpp's {tensor.tensor_type.name}")
        if not np.array_equal(ours[key].data, tensor.data):
            sys.exit(f"{name}: bytes of {key}, {tensor.tensor_type.name}, differ")
    return {key: tensor.tensor_type.name for key, tensor in sorted(theirs.items()) if len(tensor.shape) > 1}


def main():
    options = arguments(__doc__)
    quantise = quantiser(options.quantiser)
    golden = {"llama-cpp-python": "0.3.36", "models": []}
    for model, given in MODELS.items():
        given = dict(given)
        layers = given.get("num_hidden_layers", 2)
        if "layer_types" in given and len(given["layer_types"]) != layers:
            given["layer_types"] = (given["layer_types"] * layers)[:layers]
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            words = tokenizer(320, whole_alphabet=True)
            llama(len(words), **given).save_pretrained(folder / "base")
            words.save_pretrained(folder / "base")

            def convert(name, kind):
                subprocess.run([options.programs / "lora", "convert", folder / "base", "--output", folder / name, "--dtype",
                                kind, "--quiet"], check=True)
            convert("base.gguf", "float32")
            types = {}
            for name, file_type in TYPES.items():
                quantise(folder / "base.gguf", folder / "theirs.gguf", file_type)
                convert(f"{name}.gguf", name)
                types[name] = compare(folder / f"{name}.gguf", folder / "theirs.gguf", f"{model}, {name}")
            golden["models"].append({"name": model, "config": json.loads((folder / "base/config.json").read_text()),
                                     "types": types})
            print(f"{model}: the bytes of {len(TYPES)} files are the same", flush=True)
    write_packed("gguf_mixtures.json.gz", golden, OUT)


if __name__ == "__main__":
    main()
