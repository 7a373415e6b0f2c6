#!/usr/bin/env python3
"""`lora stack` beside transformers: of every tiny golden model, all layers and the first two again on top.

    build/venv/bin/python scripts/oracle/check_stack.py [--lora build/release/bin/lora]

transformers reads the written folder, and builds the same model itself by copying its own layers: the logits must be
the same numbers. Exit 1 when they are not. Needs transformers and torch."""
import argparse
import copy
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers

MODELS = pathlib.Path(__file__).parents[2] / "tests/golden/finetune/tiny_llama"


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def stacked(model):
    """The model with its first two layers again on top."""
    inner = model.model if hasattr(model, "model") else model.transformer
    name = "layers" if hasattr(inner, "layers") else "h"
    layers = getattr(inner, name)
    setattr(inner, name, torch.nn.ModuleList(list(layers) + [copy.deepcopy(layer) for layer in layers[:2]]))
    inner.config.num_hidden_layers = len(layers) + 2
    if getattr(inner.config, "layer_types", None):
        inner.config.layer_types = list(inner.config.layer_types) + list(inner.config.layer_types[:2])
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lora", default="build/release/bin/lora")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    wrong = 0
    ids = torch.arange(3, 60).unsqueeze(0)
    for folder in sorted(path.parent for path in MODELS.glob("*/config.json")):
        layers = json.loads((folder / "config.json").read_text())["num_hidden_layers"]
        with tempfile.TemporaryDirectory() as work, torch.no_grad():
            subprocess.run([options.lora, "stack", folder, "--layers", f"0-{layers - 1}", "--layers", "0-1", "--output",
                            work + "/deep", "--dtype", "float32", "--quiet"], check=True)
            expected, got = (model(ids, use_cache=False).logits for model in (stacked(load(folder)), load(work + "/deep")))
        difference = float((expected - got).norm() / expected.norm())
        wrong += difference != 0
        print(f"{folder.name:16}{difference}")
    print(f"transformers {transformers.__version__}: {wrong} models differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
