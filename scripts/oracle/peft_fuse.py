#!/usr/bin/env python3
"""What PEFT's add_weighted_adapter makes of the three adapters of peft_adapters.py where it works on whole changes.

Writes tests/golden/lora/peft_fuse.safetensors: METHOD/MODULE.lora_A and .lora_B of the fused adapter, whose scale is 1, and in its
metadata the weights, the rank, the density and PEFT's version.
    build/venv/bin/python scripts/oracle/peft_fuse.py
"""
import json
from importlib.metadata import version
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

GOLDEN = Path(__file__).resolve().parents[2] / "tests/golden/lora"
ADAPTERS, WEIGHTS, RANK, DENSITY = ["plain", "rslora", "pattern"], [0.7, -0.4, 1.3], 5, 0.3
METHODS = {"cat": {}, "svd": {}, "ties_svd": {}, "ties_svd_frequency": dict(majority_sign_method="frequency"),
           "magnitude_prune_svd": {}}


def main():
    torch.set_num_threads(1)
    base = AutoModelForCausalLM.from_pretrained(GOLDEN / "base", dtype=torch.float32)
    model = PeftModel.from_pretrained(base, GOLDEN / ADAPTERS[0], adapter_name=ADAPTERS[0])
    for name in ADAPTERS[1:]:
        model.load_adapter(GOLDEN / name, adapter_name=name)
    golden = {}
    for method, options in METHODS.items():
        model.base_model.add_weighted_adapter(ADAPTERS, WEIGHTS, method, svd_rank=RANK, density=DENSITY,
                                              combination_type=method.removesuffix("_frequency"), **options)
        for name, module in model.base_model.model.named_modules():
            if method in getattr(module, "lora_A", {}):
                assert module.scaling[method] == 1.0
                golden[f"{method}/{name}.lora_A"] = module.lora_A[method].weight.data.clone().contiguous()
                golden[f"{method}/{name}.lora_B"] = module.lora_B[method].weight.data.clone().contiguous()
    facts = dict(peft=version("peft"), torch=version("torch"), adapters=ADAPTERS, weights=WEIGHTS, rank=RANK, density=DENSITY)
    save_file(golden, GOLDEN / "peft_fuse.safetensors", metadata={key: json.dumps(value) for key, value in facts.items()})
    (GOLDEN / "peft_fuse.safetensors").chmod(0o644)
    print(len(golden), "tensors", (GOLDEN / "peft_fuse.safetensors").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
