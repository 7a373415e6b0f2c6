#!/usr/bin/env python3
"""Golden file of the optimizers beside AdamW: six steps of torch.optim.SGD and Muon, bitsandbytes' Lion and AdamW8bit,
and Lion as its paper writes it. Run with a Python that has torch 2.11 and bitsandbytes 0.50.2.

bitsandbytes' kernel for CPUs looks numbers up in steps of 1/32768, which takes most second moments for 0; here it is
given its own kernel for every other device, which finds the nearest number."""
import json
import pathlib

import bitsandbytes as bnb
import torch
from bitsandbytes.backends.cpu import ops as cpu_ops
from safetensors.torch import save_file

STEPS, RATE, WEIGHT_DECAY = 6, 0.01, 0.1
SHAPES = [(64, 80), (70,), (3, 5), (100, 48)]  # 4,800 elements are no whole number of blocks


def nearest(values, code, block):
    """bitsandbytes::quantize_blockwise of its backends/default/ops.py."""
    flat = values.reshape(-1).float()
    pad = -flat.numel() % block
    blocks = torch.nn.functional.pad(flat, (0, pad)).reshape(-1, block)
    largest = blocks.abs().max(dim=-1)[0]
    scaled = torch.clamp(blocks * (1.0 / largest.clamp(min=1e-38)).view(-1, 1), -1, 1).reshape(-1)[: flat.numel()]
    return torch.bucketize(scaled, (code[:-1] + code[1:]) / 2, out_int32=True).to(torch.uint8).reshape(values.shape), largest


def lion(parameters, gradients):
    momenta = [torch.zeros_like(p) for p in parameters]
    for step in gradients:
        for p, m, g in zip(parameters, momenta, step):
            p.mul_(1 - RATE * WEIGHT_DECAY)
            p.add_(m.mul(0.9).add(g, alpha=0.1).sign(), alpha=-RATE)
            m.mul_(0.99).add_(g, alpha=0.01)


def main():
    torch.manual_seed(11)
    torch.set_num_threads(1)
    start = [torch.randn(shape) for shape in SHAPES]
    scales = [10 ** (-5 * torch.rand(shape)) for shape in SHAPES]
    gradients = [[torch.randn(s.shape) * scale * (torch.rand(s.shape) > 0.05) for s, scale in zip(start, scales)]
                 for _ in range(STEPS)]

    def train(make, keep=lambda p: True):
        parameters = [torch.nn.Parameter(s.clone()) for s in start if keep(s)]
        optimizer = make(parameters)
        for step in gradients:
            for p, g in zip(parameters, [g for g in step if keep(g)]):
                p.grad = g.clone()
            optimizer.step()
        return parameters, optimizer

    result = {f"start.{i}": s for i, s in enumerate(start)}
    for step, each in enumerate(gradients):
        result |= {f"gradient.{step}.{i}": g for i, g in enumerate(each)}

    def keep(name, parameters):
        result.update({f"{name}.{i}": p.detach().clone() for i, p in enumerate(parameters)})

    sgd = lambda **more: lambda p: torch.optim.SGD(p, lr=RATE, weight_decay=WEIGHT_DECAY, foreach=False, **more)
    keep("sgd", train(sgd())[0])
    keep("sgd-momentum", train(sgd(momentum=0.9))[0])
    keep("sgd-nesterov", train(sgd(momentum=0.9, nesterov=True))[0])
    muon = lambda **more: lambda p: torch.optim.Muon(p, lr=RATE, weight_decay=WEIGHT_DECAY, **more)
    is_matrix = lambda s: s.dim() == 2
    vectors = train(lambda p: torch.optim.AdamW(p, lr=RATE, weight_decay=WEIGHT_DECAY, foreach=False))[0]
    for name, more in [("muon", {"adjust_lr_fn": "match_rms_adamw"}), ("muon-original", {"nesterov": False})]:
        matrices = iter(train(muon(**more), is_matrix)[0])
        keep(name, [next(matrices) if is_matrix(s) else v for s, v in zip(start, vectors)])
    parameters = [s.clone() for s in start]
    lion(parameters, gradients)
    keep("lion", parameters)
    theirs = train(lambda p: bnb.optim.Lion(p, lr=RATE, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.99)))[0]
    for ours, its in zip(parameters, theirs):
        assert (ours - its).abs().max() < 1e-6, "bitsandbytes' Lion differs from the paper's"

    def write(values, code, numbers, largest, block):
        new, scales = nearest(values, code, block)
        numbers.copy_(new)
        largest.copy_(scales)

    cpu_ops._quant_blockwise_fp32_direct = lambda values, code, largest, numbers, block: write(values, code, numbers,
                                                                                               largest, block)
    parameters, optimizer = train(lambda p: bnb.optim.AdamW8bit(p, lr=RATE, weight_decay=WEIGHT_DECAY))
    keep("adamw-8bit", parameters)
    for i, p in enumerate(parameters):
        state = optimizer.state[p]
        for key in ("state1", "state2", "absmax1", "absmax2"):
            if key in state:
                result[f"adamw-8bit.{key}.{i}"] = state[key].reshape(-1).clone()
    keep("adamw", vectors)
    result["table.signed"] = bnb.functional.create_dynamic_map(True)
    result["table.unsigned"] = bnb.functional.create_dynamic_map(False)

    path = pathlib.Path(__file__).parents[2] / "tests/golden/finetune/optimizers.safetensors"
    about = {"peer": f"torch {torch.__version__}, bitsandbytes {bnb.__version__}", "steps": STEPS, "rate": RATE,
             "weight_decay": WEIGHT_DECAY, "shapes": SHAPES}
    save_file({name: tensor.contiguous() for name, tensor in result.items()}, path, {"about": json.dumps(about)})
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
