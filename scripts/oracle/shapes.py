#!/usr/bin/env python3
"""Tensors of published models, by name and shape, as transformers makes them of a config without any memory ("meta").

Reads tests/golden/lora/configs.json, {name: {source, config}}, and writes tests/golden/lora/shapes.json: of each name the
number of parameters (of the tensors on disk: a tied head is none) and {"model.layers.N.self_attn.q_proj.weight":
[[shape, number of layers that have it], ...]}.
    build/venv/bin/python scripts/oracle/shapes.py
"""
import json
import os
import re
from collections import Counter

import torch
import transformers
from transformers.core_model_loading import revert_weight_conversion

GOLDEN = os.path.join(os.path.dirname(__file__), "../../tests/golden/lora")
RENAMED = {"n_head": "num_attention_heads", "n_layer": "num_hidden_layers", "n_head_kv": "num_kv_heads"}


def shapes_of(config):
    config = dict(config)
    if config["model_type"].startswith("RefinedWeb"):  # as transformers' convert_custom_code_checkpoint.py renames it
        config |= {new: config.pop(old) for old, new in RENAMED.items() if old in config}
        config["new_decoder_architecture"] = config.pop("new_decoder_architecture", False) or "num_kv_heads" in config
        config["model_type"] = "falcon"
    loader = transformers.AutoModelForImageTextToText if "text_config" in config else transformers.AutoModelForCausalLM
    made = transformers.AutoConfig.for_model(config.pop("model_type"), **config)
    with torch.device("meta"):
        model = loader.from_config(made)
    count, tensors = 0, {}
    stored = dict(model.named_parameters())  # a tied head is not named again
    if "experts" in "".join(stored):  # stacks are saved as the experts that they hold
        stored = revert_weight_conversion(model, stored)
    for name, parameter in stored.items():
        if name.startswith(("model.vision", "model.multi_modal")):  # beside a text model, which alone is counted
            continue
        count += parameter.numel()
        tensors.setdefault(re.sub(r"\.\d+\.", ".N.", name), Counter())[tuple(parameter.shape)] += 1
    return {"parameters": count, "tensors": {name: [[list(shape), times] for shape, times in sorted(shapes.items())]
                                             for name, shapes in sorted(tensors.items())}}


def main():
    with open(os.path.join(GOLDEN, "configs.json")) as file:
        configs = json.load(file)
    result = {"transformers": transformers.__version__,
              "models": {name: shapes_of(entry["config"]) for name, entry in configs.items()}}
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(shapes)}" for name, shapes in result["models"].items())
    with open(os.path.join(GOLDEN, "shapes.json"), "w") as file:
        file.write(f'{{"transformers": "{result["transformers"]}", "models": {{\n{lines}\n}}}}\n')
    for name, shapes in result["models"].items():
        print(f"{name:28} {shapes['parameters']:>16,}")


if __name__ == "__main__":
    main()
