#!/usr/bin/env python3
"""Live check of the adapters that `lora fuse`, `subtract`, `scale`, `resize` and `extract` make, with PEFT as their reader.

    build/venv/bin/python scripts/oracle/check_lora_fuse.py --programs build/release/bin
    ... --break weight|missing        another weight, or an adapter left out: the check must fail

Tiny random Llamas and a Qwen2 with two adapters each: a plain one and one with rsLoRA and patterns, that adapt different modules. PEFT loads
what we wrote; logits must be those of a base to whose weights the sum of PEFT's own get_delta_weight was added (relative
norm 1e-5), or, where PEFT works on whole changes too (ties_svd, magnitude_prune_svd), those of its add_weighted_adapter.
Prints the measured maxima. Exit code: 0 all within the bounds, 1 beyond a bound, 2 could not be run.
"""
import argparse
import copy
import sys
import tempfile
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from check_lora_exports import ADAPTERS, Results, load, logits_of, relative, run
from tiny_model import fill_adapter, llama, tokenizer

BOUND = 1e-5
MODELS = [("untied, biases, llama3 rope", dict(tied=False, biases=True, rope="llama3")),
          ("tied, plain rope", dict(tied=True, biases=False, rope="default")),
          ("Qwen2, tied", dict(family="qwen2", tied=True, rope="default"))]


def with_changes(base, parts):
    """A copy of the base with weight * PEFT's change of every adapter in its weights."""
    changed = copy.deepcopy(base)
    weights = dict(changed.named_modules())
    with torch.no_grad():
        for model, weight in parts:
            for name, module in model.base_model.model.named_modules():
                if hasattr(module, "lora_A") and "default" in module.lora_A:
                    weights[name].weight += weight * module.get_delta_weight("default")
    return changed


def check(lora, place, base, broken, results):
    names = {}
    for i, (name, config) in enumerate(ADAPTERS.items()):
        names[name] = place / f"adapter{i}"
        model = get_peft_model(copy.deepcopy(base), LoraConfig(task_type="CAUSAL_LM", **config))
        fill_adapter(model, seed=5 + i).save_pretrained(names[name])
    a, b = names.values()
    read = {path: PeftModel.from_pretrained(copy.deepcopy(base), path).eval() for path in (a, b)}
    sequences = [torch.randint(3, 256, (n,)).tolist() for n in (7, 30, 64)]
    seen = 0.3 if broken == "weight" else 0.4

    def peft_reads(what, parts, *words):
        output = place / what.replace(" ", "-")
        run(lora, *words, "--output", output, "--quiet")
        ours = logits_of(PeftModel.from_pretrained(copy.deepcopy(base), output).eval(), sequences)
        expected = parts if isinstance(parts, list) and torch.is_tensor(parts[0]) else logits_of(with_changes(base, parts), sequences)
        results.add(what, relative(ours, expected), BOUND)

    both = [(read[a], 0.7), (read[b], -seen)] if broken != "missing" else [(read[a], 0.7)]
    weights = ("--weights", 0.7, "--weights", -0.4)
    peft_reads("fuse linear", both, "fuse", a, b, *weights)
    peft_reads("fuse concatenate", both, "fuse", a, b, *weights, "--method", "concatenate")
    peft_reads("fuse svd", both, "fuse", a, b, *weights, "--method", "svd", "--rank", 12)
    peft_reads("fuse dare, nothing dropped", both, "fuse", a, b, *weights, "--method", "dare", "--density", 1, "--rank", 12)
    peft_reads("subtract", [(read[a], 1), (read[b], -1)], "subtract", a, b)
    peft_reads("scale", [(read[b], -2.5)], "scale", b, "--by", -2.5)
    peft_reads("resize", [(read[b], 1)], "resize", b, "--keep-energy", 1)
    model = PeftModel.from_pretrained(copy.deepcopy(base), a, adapter_name="a")
    model.load_adapter(b, adapter_name="b")
    for ours, theirs in (("ties", "ties_svd"), ("magnitude-prune", "magnitude_prune_svd")):
        model.base_model.add_weighted_adapter(["a", "b"], [0.7, -seen], theirs, combination_type=theirs, svd_rank=6, density=0.4)
        model.set_adapter(theirs)
        peft_reads(f"fuse {ours} as PEFT's {theirs}", logits_of(model.eval(), sequences), "fuse", a, b, *weights, "--method", ours,
                   "--rank", 6, "--density", 0.4)
    with_changes(base, both).save_pretrained(place / "tuned")
    peft_reads("extract", both, "extract", place / "base", place / "tuned", "--rank", 12)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", default="build/release/bin", help="the folder that holds the program lora")
    parser.add_argument("--break", dest="broken", choices=["weight", "missing"], help="spoil one detail")
    options = parser.parse_args()
    lora = Path(options.programs) / "lora"
    if not lora.exists():
        sys.exit(f"{lora} is not there: build it first")
    torch.manual_seed(1)
    results = Results()
    with tempfile.TemporaryDirectory(prefix="lora-fuse-") as folder:
        for number, (kind, shape) in enumerate(MODELS):
            print(f"tiny model, {kind}")
            place = Path(folder) / str(number)
            words = tokenizer(320, whole_alphabet=True)
            model = llama(len(words), **shape)
            model.save_pretrained(place / "base")
            words.save_pretrained(place / "base")
            check(lora, place, load(place / "base"), options.broken, results)
    print("measured maxima:")
    sys.exit(1 if results.report() else 0)


if __name__ == "__main__":
    main()
