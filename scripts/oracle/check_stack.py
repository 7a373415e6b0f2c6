#!/usr/bin/env python3
"""Models that `lora` makes out of others, beside transformers and llama.cpp.

    build/venv/bin/python scripts/oracle/check_stack.py [--lora build/release/bin/lora] [--break layer]

`lora stack`, of every tiny golden model, all layers and the first two again on top: transformers reads the written folder,
and builds the same model itself by copying its own layers: the logits must be the same numbers. `lora upcycle` of the
Llamas: the Mixtral computes what the Llama does, in transformers and, through a GGUF, in llama.cpp. `lora merge-models`:
the mean of a model and one with other numbers is transformers' own, parameter by parameter. --break spoils the
comparison. Exit 1 when something differs. Needs transformers, torch and xllamacpp."""
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


def relative(left, right):
    return float((left - right).norm() / right.norm())


def check_upcycled(lora, folder, ids, work):
    subprocess.run([lora, "upcycle", folder, "--experts", "4", "--chosen", "2", "--output", work + "/wide", "--dtype",
                    "float32", "--quiet"], check=True)
    return relative(load(work + "/wide")(ids, use_cache=False).logits, load(folder)(ids, use_cache=False).logits)


def check_merged(lora, folder, ids, work):
    one, two = load(folder), load(folder)
    torch.manual_seed(1)
    for parameter in two.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.05)
    two.save_pretrained(work + "/two")
    subprocess.run([lora, "merge-models", folder, work + "/two", "--weights", "0.3,0.7", "--output", work + "/both",
                    "--dtype", "float32", "--quiet"], check=True)
    for mine, other in zip(one.parameters(), two.parameters()):
        mine.mul_(0.3).add_(other, alpha=0.7)
    return relative(load(work + "/both")(ids, use_cache=False).logits, one(ids, use_cache=False).logits)


def check_in_llama_cpp(lora, work):
    """A tiny Llama with a tokenizer, upcycled and stacked: the GGUFs in llama.cpp against the folders in transformers."""
    import check_lora_exports as exports
    words, model = exports.tokenizer(320, whole_alphabet=True), exports.llama(320, biases=False, rope="default")
    model.save_pretrained(work + "/base")
    words.save_pretrained(work + "/base")
    results = exports.Results()
    for name, options in (("upcycle", ["--experts", "4", "--chosen", "2"]), ("stack", ["--layers", "0-1", "--layers", "0-1"])):
        for command in ([name, work + "/base", *options, "--output", f"{work}/{name}", "--dtype", "float32"],
                        ["convert", f"{work}/{name}", "--output", f"{work}/{name}.gguf", "--dtype", "float32"]):
            subprocess.run([lora, *command, "--quiet"], check=True)
        made = load(f"{work}/{name}")
        sequences = [exports.greedy(made, words(prompt)["input_ids"], 8) for prompt in exports.PROMPTS[:4]]
        exports.compare_llama_cpp(exports.llama_cpp(f"{work}/{name}.gguf"), words, sequences,
                                  exports.logits_of(made, sequences), results, f"llama.cpp, {name}", 320)
    return results.report()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lora", default="build/release/bin/lora")
    parser.add_argument("--break", dest="broken", choices=["layer"], help="spoil one detail")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    wrong = 0
    ids = torch.arange(3, 60).unsqueeze(0)
    for folder in sorted(path.parent for path in MODELS.glob("*/config.json")):
        layers = json.loads((folder / "config.json").read_text()).get("num_hidden_layers")
        if layers is None:  # a text model inside another one is not stacked
            continue
        with tempfile.TemporaryDirectory() as work, torch.no_grad():
            subprocess.run([options.lora, "stack", folder, "--layers", f"0-{layers - 1}", "--layers", "1" if options.broken else "0-1", "--output",
                            work + "/deep", "--dtype", "float32", "--quiet"], check=True)
            expected, got = (model(ids, use_cache=False).logits for model in (stacked(load(folder)), load(work + "/deep")))
        difference = float((expected - got).norm() / expected.norm())
        wrong += difference != 0
        print(f"stack        {folder.name:16}{difference}")
    for folder in (MODELS / name for name in ("tied", "untied", "mistral")):
        with tempfile.TemporaryDirectory() as work, torch.no_grad():
            for what, difference in (("upcycle", check_upcycled(options.lora, folder, ids, work)),
                                     ("merge-models", check_merged(options.lora, folder, ids, work))):
                wrong += not difference <= 1e-5
                print(f"{what:13}{folder.name:16}{difference:.1e}")
    if not options.broken:
        with tempfile.TemporaryDirectory() as work:
            wrong += check_in_llama_cpp(options.lora, work)
    print(f"transformers {transformers.__version__}: {wrong} models DIFFER" if wrong else
          f"transformers {transformers.__version__}: no model differs")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
