#!/usr/bin/env python3
"""Models of mixed K-quants as llama.cpp's own quantiser makes them, and what llama.cpp computes of their weights.

Writes tests/golden/finetune/k_quants/{q4_k_m,q5_k_m,q6_k}.gguf (a tiny Llama of two layers whose rows are whole blocks of
256) and expected.safetensors: ids of ten prompts and the log-probabilities behind each, by llama.cpp (xllamacpp) on a GGUF
of float32 numbers, into which the PyPI package gguf expanded the blocks. The quantiser is not among the installed peers:
    build/venv/bin/pip install --no-deps --target /tmp/llama_cffi llama-cpp-cffi==0.4.42
    build/venv/bin/python scripts/oracle/k_quants.py --quantiser /tmp/llama_cffi/llama/_llama_cpp_cpu.*.so
Where libstdc++ is older than the library wants (GCC 12): LD_PRELOAD a library with a function __cxa_call_terminate.
"""
import argparse
import ctypes
import subprocess
import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
from gguf.quants import dequantize
from safetensors.numpy import save_file

from check_lora_exports import PROMPTS, llama_cpp
from tiny_model import llama, tokenizer

OUT = Path(__file__).resolve().parents[2] / "tests/golden/finetune/k_quants"
FILE_TYPES = {"q4_k_m": 15, "q5_k_m": 17, "q6_k": 18}  # enum llama_ftype


class Parameters(ctypes.Structure):
    """llama_model_quantize_params of llama.h, with room for what later versions add."""
    _fields_ = [("threads", ctypes.c_int32), ("file_type", ctypes.c_int), ("output_type", ctypes.c_int),
                ("embedding_type", ctypes.c_int), *[(f"flag{i}", ctypes.c_bool) for i in range(6)],
                *[(f"pointer{i}", ctypes.c_void_p) for i in range(8)]]


def quantiser(path):
    library = ctypes.CDLL(str(path))
    library.llama_backend_init()
    library.llama_model_quantize_default_params.restype = Parameters

    def quantise(source, target, file_type):
        parameters = library.llama_model_quantize_default_params()
        parameters.threads, parameters.file_type = 1, file_type
        failed = library.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(parameters))
        assert failed == 0, f"llama_model_quantize gave {failed}"
    return quantise


def expanded(source, target):
    """The same file with all its tensors in float32."""
    reader = GGUFReader(source)
    writer = GGUFWriter(target, "llama")
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key in ("general.architecture", "general.file_type"):
            continue
        kind = field.types[0]
        if kind == GGUFValueType.ARRAY:
            writer.add_key_value(key, field.contents(), kind, field.types[-1])
        else:
            writer.add_key_value(key, field.contents(), kind)
    writer.add_file_type(0)
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        writer.add_tensor(tensor.name, values.reshape([int(size) for size in tensor.shape[::-1]]),
                          raw_dtype=GGMLQuantizationType.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Counter(tensor.tensor_type.name for tensor in reader.tensors)


def arguments(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quantiser", type=Path, required=True, help="a library with llama_model_quantize")
    parser.add_argument("--programs", type=Path, default="build/release/bin")
    return parser.parse_args()


def main():
    options = arguments(__doc__)
    quantise = quantiser(options.quantiser)
    OUT.mkdir(parents=True, exist_ok=True)
    golden = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        words = tokenizer(320, whole_alphabet=True)
        llama(len(words), biases=False, rope="default", size=0.05, hidden_size=256, intermediate_size=256, seed=5,
              num_attention_heads=4, num_key_value_heads=2).save_pretrained(folder / "base")
        words.save_pretrained(folder / "base")
        subprocess.run([options.programs / "lora", "convert", folder / "base", "--output", folder / "base.gguf",
                        "--dtype", "float32", "--quiet"], check=True)
        prompts = [words(prompt)["input_ids"] for prompt in PROMPTS]
        for i, ids in enumerate(prompts):
            golden[f"ids/{i}"] = np.array(ids, dtype=np.int64)
        for name, file_type in FILE_TYPES.items():
            quantise(folder / "base.gguf", OUT / f"{name}.gguf", file_type)
            types = expanded(OUT / f"{name}.gguf", folder / f"{name}.gguf")
            server = llama_cpp(folder / f"{name}.gguf")
            for i, ids in enumerate(prompts):
                answer = server.handle_completions({"prompt": ids, "n_predict": 1, "temperature": 0, "n_probs": len(words),
                                                    "logit_bias": [[40, 1000.0]], "post_sampling_probs": False})
                taken = answer["choices"][0]["logprobs"]["content"][0]
                values = np.full(len(words), np.nan, dtype=np.float32)
                for entry in [*taken["top_logprobs"], taken]:
                    values[entry["id"]] = entry["logprob"]
                assert not np.isnan(values).any()
                golden[f"{name}/{i}"] = values
            del server
            print(name, dict(types), (OUT / f"{name}.gguf").stat().st_size, "bytes")
    save_file(golden, OUT / "expected.safetensors", metadata={
        "llama-cpp-cffi": "0.4.42", "gguf": version("gguf"), "xllamacpp": version("xllamacpp")})


if __name__ == "__main__":
    main()
