#!/usr/bin/env python3
"""Golden file of finetune/optimizer and finetune/schedule: 50 steps of torch.optim.AdamW with clip_grad_norm_ under
transformers' cosine schedule, and the factors of every schedule that get_scheduler makes. Run with build/venv/bin/python."""
import json
import pathlib

import torch
import transformers
from transformers import get_cosine_schedule_with_warmup, get_scheduler

STEPS, WARMUP, RATE, CLIP, WEIGHT_DECAY = 50, 5, 0.01, 1.0, 0.1
SHAPES = [(3, 5), (7,), (2, 9)]


def floats(tensor):
    return [float(x) for x in tensor.detach().flatten()]


def run(clip):
    torch.manual_seed(7)
    parameters = [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=WEIGHT_DECAY, foreach=False)
    schedule = get_cosine_schedule_with_warmup(optimizer, WARMUP, STEPS)
    # Some elements always have a tiny gradient: there epsilon is not small beside sqrt(v).
    scales = [10 ** (-6 * torch.rand(shape)) for shape in SHAPES]
    result = {"clip": clip, "start": [floats(p) for p in parameters], "gradients": [], "norms": [], "values": []}
    for step in range(STEPS):
        for parameter, scale in zip(parameters, scales):
            # From far below the clip to far above it, with some zeros.
            gradient = torch.randn(parameter.shape) * scale * 10 ** (4 * torch.rand(()) - 3)
            parameter.grad = gradient * (torch.rand(parameter.shape) > 0.1)
        result["gradients"].append([floats(p.grad) for p in parameters])
        if clip:
            result["norms"].append(float(torch.nn.utils.clip_grad_norm_(parameters, clip)))
        optimizer.step()
        schedule.step()
        result["values"].append([floats(p) for p in parameters])
    return result


def factors(name, warmup, total, **more):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = get_scheduler(name, optimizer, warmup, total, more or None)
    values = []
    for _ in range(total):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return values


def schedules():
    for warmup, total in [(0, 20), (7, 40), (1, 3), (0, 1), (5, 5)]:
        for kind in ["constant", "linear", "cosine"]:
            name = "constant_with_warmup" if kind == "constant" else kind
            yield {"kind": kind, "warmup": warmup, "total": total, "factors": factors(name, warmup, total)}
    for warmup, total in [(0, 20), (7, 40), (1, 3)]:
        yield {"kind": "linear", "warmup": warmup, "total": total, "least": 0.1,
               "factors": factors("polynomial", warmup, total, lr_end=0.1, power=1.0)}
        yield {"kind": "cosine", "warmup": warmup, "total": total, "least": 0.1,
               "factors": factors("cosine_with_min_lr", warmup, total, min_lr_rate=0.1)}
    for warmup, decay, total in [(0, 5, 20), (7, 10, 40), (1, 2, 3), (5, 0, 9), (0, 12, 12)]:
        for shape in ["cosine", "linear", "1-sqrt"]:
            for least in [0.0, 0.25]:
                yield {"kind": "wsd", "warmup": warmup, "decay": decay, "total": total, "shape": shape, "least": least,
                       "factors": factors("warmup_stable_decay", warmup, total, num_decay_steps=decay,
                                          decay_type=shape, min_lr_ratio=least)}


def main():
    torch.set_num_threads(1)
    golden = {
        "peer": f"torch {torch.__version__}, transformers {transformers.__version__}",
        "shapes": SHAPES, "steps": STEPS, "warmup": WARMUP, "rate": RATE, "weight_decay": WEIGHT_DECAY,
        "runs": [run(0.0), run(CLIP)],
        "schedules": list(schedules()),
    }
    path = pathlib.Path(__file__).parents[2] / "tests/golden/finetune/optimizer.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(golden) + "\n")
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
