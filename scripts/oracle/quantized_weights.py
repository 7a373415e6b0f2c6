#!/usr/bin/env python3
"""What bitsandbytes' CPU quantiser makes of weights: NF4 with double quantisation, INT8.

Writes tests/golden/finetune/quantized.safetensors. Of each case CASE/weight (float32 or bfloat16), CASE/bytes, CASE/absmax,
CASE/nested_absmax, CASE/offset, CASE/nf4 (dequantize_4bit in the weight's type), CASE/int8, CASE/scb, CASE/int8_values; and
table, the dynamic 8-bit type. Shapes: rows of whole blocks, blocks that go on from row to row, a last block that is not
whole, an odd number of weights, more than one block of scales, zeros, one huge weight. bitsandbytes is not among the
installed peers:
    build/venv/bin/pip install --no-deps --target /tmp/bitsandbytes bitsandbytes==0.50.2
    PYTHONPATH=/tmp/bitsandbytes build/venv/bin/python scripts/oracle/quantized_weights.py
"""
import os

import bitsandbytes
import torch
from bitsandbytes import functional
from bitsandbytes.nn import Int8Params
from safetensors.torch import save_file

OUT = os.path.join(os.path.dirname(__file__), "../../tests/golden/finetune/quantized.safetensors")


def cases():
    normal = lambda *shape: torch.randn(*shape) * 0.02
    yield "whole", normal(48, 128)
    yield "whole_bfloat16", normal(48, 128).bfloat16()
    yield "across_rows", normal(30, 72)
    yield "last_block", normal(7, 50).bfloat16()
    yield "odd", normal(5, 27)
    yield "many_scales", normal(300, 192).bfloat16()  # 900 blocks
    yield "heavy_tails", torch.distributions.StudentT(1.5).sample((64, 128)) * 0.01
    yield "zeros", torch.zeros(4, 64)
    yield "some_zeros", torch.cat([torch.zeros(3, 64), normal(3, 64)])
    yield "outlier", torch.cat([normal(8, 64), torch.full((1, 64), 3e4)])
    # Every bound between two codes, and its neighbours, in blocks whose scale is 1.
    code = functional.get_4bit_type("nf4", device="cpu")
    bounds = (code[:-1] + code[1:]) / 2
    inf = torch.full_like(bounds, float("inf"))
    ties = torch.cat([bounds, torch.nextafter(bounds, inf), torch.nextafter(bounds, -inf), code, torch.ones(3)])
    yield "ties", ties.view(1, 64)


def main():
    torch.manual_seed(5)
    torch.set_num_threads(1)
    tensors = {"table": functional.create_dynamic_map()}
    for name, weight in cases():
        numbers, state = functional.quantize_4bit(weight, compress_statistics=True, quant_type="nf4")
        tensors |= {f"{name}/weight": weight, f"{name}/bytes": numbers.flatten(), f"{name}/absmax": state.absmax,
                    f"{name}/nested_absmax": state.state2.absmax, f"{name}/offset": state.offset.reshape(1),
                    f"{name}/nf4": functional.dequantize_4bit(numbers, state)}
        eight = Int8Params(weight.clone(), requires_grad=False)._quantize("cpu")
        tensors |= {f"{name}/int8": eight.CB, f"{name}/scb": eight.SCB,
                    f"{name}/int8_values": functional.int8_vectorwise_dequant(eight.CB, eight.SCB)}
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, OUT,
              metadata=dict(bitsandbytes=bitsandbytes.__version__, torch=torch.__version__))
    print(len(tensors), os.path.getsize(OUT), "bytes")


if __name__ == "__main__":
    main()
