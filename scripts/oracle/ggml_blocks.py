#!/usr/bin/env python3
"""Blocks of quantised weights as ggml makes them, for base/quantize.

    build/venv/bin/python scripts/oracle/ggml_blocks.py [--values 2000000]

Writes tests/golden/base/ggml_blocks.safetensors: "values" (F32), numbers of many kinds, and of each type "<TYPE>" (U8), the
bytes that ggml_quantize_chunk gives of them without an importance matrix. ggml is the one inside xllamacpp, which exports
its functions.
"""
import argparse
import ctypes
from importlib.metadata import version
from pathlib import Path

import numpy as np
import xllamacpp
from safetensors.numpy import save_file

GOLDEN = Path(__file__).resolve().parents[2] / "tests/golden/base/ggml_blocks.safetensors"
TYPES = {"Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20), "Q5_0": (6, 32, 22), "Q5_1": (7, 32, 24), "Q8_0": (8, 32, 34),
         "Q4_K": (12, 256, 144), "Q5_K": (13, 256, 176), "Q6_K": (14, 256, 210)}  # enum ggml_type, elements, bytes


def kinds(random, count):
    """`count` numbers of each kind: as weights are, and what an encoder meets at its edges."""
    def blocks_of(size):
        return np.repeat(random.normal(0, 1, count // size), size)
    normal = random.normal(0, 1, count)
    return [normal * 0.02, normal * np.exp(random.normal(0, 1.5, count)), np.where(random.random(count) < 0.9, 0, normal),
            blocks_of(32), blocks_of(16), random.random(count) + 5, -random.random(count) - 5, normal * 1e-8,
            normal * 1e-20, random.integers(-8, 8, count), random.integers(-8, 8, count) / 2, np.zeros(count),
            normal * np.exp(np.repeat(random.normal(0, 2, count // 32), 32)), random.standard_t(2, count),
            normal * 5000, np.where(np.arange(count) % 256 < 240, 0, normal)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=GOLDEN)
    parser.add_argument("--values", type=int, default=16 * 1024)
    options = parser.parse_args()
    folder = Path(xllamacpp.__file__).parent
    ggml = ctypes.CDLL(str(next(folder.glob("*.so"))))
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    values = np.concatenate(kinds(np.random.default_rng(3), options.values // 16 // 256 * 256)).astype(np.float32)
    golden = {"values": values}
    for name, (number, elements, size) in TYPES.items():
        ggml.ggml_quantize_init(number)
        golden[name] = np.zeros(len(values) // elements * size, np.uint8)
        ggml.ggml_quantize_chunk(number, values.ctypes.data, golden[name].ctypes.data, 0, 1, len(values), None)
    save_file(golden, options.output, metadata={"xllamacpp": version("xllamacpp")})
    print(f"{options.output}: {options.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
