#!/usr/bin/env python3
"""Golden files for base/tensor, base/safetensors and base/gguf, made with the PyPI packages gguf and safetensors.

    build/venv/bin/python scripts/oracle/gguf_dequantize.py

tests/golden/base/dequantize.safetensors   per type: "<TYPE>.bytes" (U8) and "<TYPE>.values" (F32, gguf's dequantize);
                                           "<TYPE>.source" (F32) and "<TYPE>.quantized" (U8, gguf's quantize)
tests/golden/base/small.gguf               every metadata type and seven tensors, written by gguf.GGUFWriter
tests/golden/base/split-*.gguf             four tensors in three files, as llama-gguf-split makes them
"""
from importlib.metadata import version
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter
from gguf.constants import GGUFValueType
from gguf.quants import dequantize, quantize
from safetensors.numpy import save_file

GOLDEN = Path(__file__).resolve().parents[2] / "tests/golden/base"
random = np.random.default_rng(7)


def halves(count):
    """Finite halves of every magnitude: normal, subnormal, zero, both signs."""
    bits = random.integers(0, 0x7C00, count, dtype=np.uint16)
    bits[:4] = [0, 1, 0x3FF, 0x7BFF]
    return bits | (random.integers(0, 2, count, dtype=np.uint16) << 15)


def blocks_of(kind, count=200):
    """Random blocks: random finite scales, random quants."""
    scales = {Type.Q4_0: 1, Type.Q4_1: 2, Type.Q8_0: 1}[kind]
    payload = {Type.Q4_0: 16, Type.Q4_1: 16, Type.Q8_0: 32}[kind]
    head = halves(count * scales).reshape(count, scales).view(np.uint8)
    return np.concatenate([head, random.integers(0, 256, (count, payload), dtype=np.uint8)], axis=1)


# Of each larger type: bytes of a block, where its half scales begin, elements.
LARGER = {Type.Q5_0: (22, [0], 32), Type.Q5_1: (24, [0, 2], 32), Type.Q2_K: (84, [80, 82], 256), Type.Q3_K: (110, [108], 256), Type.Q4_K: (144, [0, 2], 256),
          Type.Q5_K: (176, [0, 2], 256), Type.Q6_K: (210, [208], 256), Type.IQ4_NL: (18, [0], 32), Type.IQ4_XS: (136, [0], 256), Type.MXFP4: (17, [], 32)}


def larger_blocks(kind):
    """Random bytes, but finite scales."""
    size, scales, elements = LARGER[kind]
    data = random.integers(0, 256, (6400 // elements, size), dtype=np.uint8)
    for place in scales:
        data[:, place:place + 2] = halves(len(data)).reshape(-1, 1).view(np.uint8)
    return data


def sources():
    """Rows of 32: a ramp, zeros, one value, ties, tiny, large, and random numbers of every size."""
    rows = [np.arange(-16, 16), np.zeros(32), np.eye(32)[3] * -5, np.full(32, 127) - np.arange(32) * 0.5,
            np.linspace(-1e-7, 1e-7, 32), np.linspace(-3e-41, 3e-41, 32), np.linspace(-6e4, 6e4, 32)]
    rows += [random.standard_normal(32) * 10.0 ** random.uniform(-6, 4) for _ in range(120)]
    return np.stack(rows).astype(np.float32)


def main():
    GOLDEN.mkdir(parents=True, exist_ok=True)
    tensors = {}
    with np.errstate(over="ignore", invalid="ignore"):
        for kind in (Type.Q4_0, Type.Q4_1, Type.Q8_0):
            data = np.concatenate([blocks_of(kind), quantize(sources(), kind)])
            tensors[f"{kind.name}.bytes"] = data
            tensors[f"{kind.name}.values"] = dequantize(data, kind)
        every_half = np.arange(65536, dtype=np.uint16)
        tensors["F16.bytes"] = every_half.view(np.uint8)
        tensors["F16.values"] = every_half.view(np.float16).astype(np.float32)
        some = random.integers(0, 65536, 8192, dtype=np.uint16)
        tensors["BF16.bytes"] = some.view(np.uint8)
        tensors["BF16.values"] = dequantize(some.view(np.uint8), Type.BF16)
        floats = random.integers(0, 2**32, 20000, dtype=np.uint32).view(np.float32)
        # Around the borders of half: ties, the largest half, the smallest normal and subnormal ones.
        near = np.concatenate([np.array([65504, 65519.99, 65520, 65536, 2**-14, 2**-24, 2**-25, 3 * 2**-26, 0, -0.0],
                                        dtype=np.float32),
                               (random.standard_normal(20000) * 10.0 ** random.uniform(-9, 5, 20000)).astype(np.float32),
                               np.float32(1) + np.arange(64, dtype=np.float32) * np.float32(2**-12),
                               np.float32(1) + np.arange(64, dtype=np.float32) * np.float32(2**-9)])
        floats = np.concatenate([near, floats])
        floats = floats[: len(floats) // 32 * 32]
        for kind in (Type.F16, Type.BF16):
            tensors[f"{kind.name}.source"] = floats
            tensors[f"{kind.name}.quantized"] = quantize(floats.copy(), kind).view(np.uint8)
        tensors["Q8_0.source"] = sources()
        tensors["Q8_0.quantized"] = quantize(tensors["Q8_0.source"], Type.Q8_0)
        for kind in LARGER:
            tensors[f"{kind.name}.bytes"] = larger_blocks(kind)
            tensors[f"{kind.name}.values"] = dequantize(tensors[f"{kind.name}.bytes"], kind)
    save_file(tensors, GOLDEN / "dequantize.safetensors",
              metadata={"gguf": version("gguf"), "numpy": np.__version__, "safetensors": version("safetensors")})
    (GOLDEN / "dequantize.safetensors").chmod(0o644)

    writer = GGUFWriter(GOLDEN / "small.gguf", "llama")
    writer.add_string("oracle.gguf_version", version("gguf"))
    for name, value in {"UINT8": 200, "INT8": -100, "UINT16": 60000, "INT16": -30000, "UINT32": 4000000000,
                        "INT32": -2000000000, "FLOAT32": 0.1, "BOOL": True, "STRING": "naïve \n text", "UINT64": 1 << 62,
                        "INT64": -(1 << 62), "FLOAT64": 0.1}.items():
        writer.add_key_value(f"values.{name.lower()}", value, GGUFValueType[name])
    writer.add_array("lists.text", ["a", "", "ü"])
    writer.add_array("lists.integers", [1, -2, 3])
    writer.add_array("lists.numbers", [0.5, -1.25])
    writer.add_array("lists.truth", [True, False])
    writer.add_tensor("vector", np.arange(5, dtype=np.float32))
    writer.add_tensor("matrix", np.arange(6, dtype=np.float32).reshape(2, 3))
    writer.add_tensor("half", np.arange(6, dtype=np.float16).reshape(3, 2))
    for kind in (Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q8_0):
        writer.add_tensor(kind.name.lower(), quantize(sources()[:4], kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    # The same in three parts, the first of which has no tensors.
    for old in GOLDEN.glob("split-*.gguf"):
        old.unlink()
    writer = GGUFWriter(None, "llama", split_max_tensors=2, small_first_shard=True)
    writer.add_string("oracle.gguf_version", version("gguf"))
    for i in range(4):
        writer.add_tensor(f"vector{i}", np.arange(5, dtype=np.float32) + i)
    writer.write_header_to_file(GOLDEN / "split.gguf")
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
