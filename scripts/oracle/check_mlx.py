#!/usr/bin/env python3
"""Live check of what `lora` writes and reads of mlx-lm's, with mlx-lm itself, on its CPU backend.

    build/venv/bin/python scripts/oracle/check_mlx.py --programs build/release/bin [--break scale|turn] [--only NAME]

Tiny random models of the families that mlx-lm has, as transformers 5 writes them, with a random PEFT adapter each:
  - `lora merge`: mlx-lm loads the folder, and its logits are PEFT's;
  - `lora convert`, then `lora export --format mlx` of plain LoRA, rsLoRA with patterns, DoRA and LoRA on some layers: mlx-lm
    loads the folder with the adapter; the same;
  - an adapter out of mlx-lm's own layers, LoRA and DoRA, saved as its trainer does: `lora export --format peft`, and PEFT's
    logits are mlx-lm's;
  - `lora export --for mlx`: it merges where mlx-lm would not read the base's own RoPE; what mlx-lm was seen to compute
    otherwise (lora/model/mlx_limits.cc) it still does, and is refused or said.
--break spoils one detail, and the check must fail: a scale that is 5 % larger, a matrix that is not turned.
Prints the measured maxima. Exit code: 0 all within the bounds, 1 beyond a bound, 2 could not be run.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import mlx.core as mx
import numpy as np
import torch
from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import linear_to_lora_layers, load_adapters
from mlx_lm.utils import load_model, save_config
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from check_lora_exports import ADAPTERS, ALL, DEFAULT, FAMILIES, OF_EXPERTS, PLAIN, Results, load, logits_of, relative, run
from tiny_llama import WRAPPED
from tiny_model import fill_adapter, llama, tokenizer

BOUND = 1e-5  # relative norm of the logits, float32 on both sides
OF_ERROR_FUNCTION = 1e-3  # mlx-lm's first Gemma computes GELU by the error function, transformers by tanh
MODELS = {
    "Llama, untied, biases, llama3 rope": dict(tied=False, biases=True, rope="llama3"),
    "Llama, tied": dict(tied=True, biases=False, rope="default"),
    "dynamic rope": PLAIN | dict(rope_parameters=DEFAULT | dict(rope_type="dynamic", factor=2.0)),
    "linear rope": PLAIN | dict(rope_parameters=DEFAULT | dict(rope_type="linear", factor=2.0)),
    "Qwen2": dict(family="qwen2", tied=True, rope="default"),
    # mlx-lm finds the layers with a window by the period alone.
    "Gemma 3": FAMILIES["Gemma 3"] | dict(layer_types=["sliding_attention", "sliding_attention", "full_attention"]),
    "Gemma 2": FAMILIES["Gemma 2"] | dict(sliding_window=256),
    "Phi-3": PLAIN | dict(family="phi3", biases="none"),
    "LLaVA": PLAIN | dict(wrapped=WRAPPED["llava"][::2]),
} | {name: FAMILIES[name] for name in ["Qwen3", "Mistral with a window that is not reached", "Gemma", "Phi", "Mixtral", "Qwen2-MoE",
                                       "Qwen3-MoE", "SmolLM3", "YaRN"]}
SHAPES = {
    "plain": dict(r=4, lora_alpha=8, target_modules="all-linear"),
    "rslora and patterns": ADAPTERS["rslora and patterns"],
    "DoRA": dict(r=4, lora_alpha=8, target_modules=ALL, use_dora=True),
    "some layers": dict(r=4, lora_alpha=8, target_modules=ALL, layers_to_transform=[1]),
}
# What mlx-lm computes otherwise: refused, or said where only some texts are concerned.
REFUSED = {
    "Falcon 7B": FAMILIES["Falcon 7B"],
    "longrope": FAMILIES["longrope"],
    "longrope of Phi-3": FAMILIES["Phi-3"],
    "another activation": PLAIN | dict(hidden_act="gelu"),
    "RoPE scaled for Gemma 2": FAMILIES["Gemma 2"] | dict(sliding_window=256, rope_parameters=DEFAULT | dict(
        rope_type="linear", factor=4.0)),
    "a cap of Gemma 3's head": FAMILIES["Gemma 3"] | dict(final_logit_softcapping=1.0),
}
SAID = {"Mistral's window": FAMILIES["Mistral with a window that is not reached"] | dict(sliding_window=4),
        "Gemma 2's window": FAMILIES["Gemma 2"]}
PROMPTS = ["Read it again, slowly.", "12 pages, 345 words", "The sun is a star because"]


def mlx_logits(folder, sequences, adapter=None):
    model, _ = load_model(Path(folder))
    if adapter:
        load_adapters(model, str(adapter))
    model.eval()
    return logits_in_mlx(model, sequences)


def logits_in_mlx(model, sequences):
    return [torch.from_numpy(np.array(model(mx.array([ids])).astype(mx.float32))[0]).double() for ids in sequences]


def made(folder, kind):
    """The model's folder, and ids of the prompts."""
    kind = dict(kind)
    kind.pop("new_tokens", None)
    words = tokenizer(320, whole_alphabet=True)
    model = llama(len(words), **kind)
    model.save_pretrained(folder / "base")
    words.save_pretrained(folder / "base")
    return model, [words(prompt)["input_ids"] for prompt in PROMPTS]


def adapted(model, folder, **options):
    made = fill_adapter(get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options))).eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "magnitude" in name:
                parameter.mul_(torch.empty_like(parameter).uniform_(0.7, 1.4))
    made.save_pretrained(folder)
    return made


def spoil(folder, broken):
    if broken == "scale":
        config = json.loads((folder / "adapter_config.json").read_text())
        config["lora_parameters"]["scale"] *= 1.05
        (folder / "adapter_config.json").write_text(json.dumps(config))
    if broken == "turn":  # its numbers as if the matrix had not been turned
        tensors = load_file(folder / "adapters.safetensors")
        name = next(name for name in tensors if name.endswith("q_proj.lora_b"))
        tensors[name] = tensors[name].T.contiguous().reshape(tensors[name].shape)
        save_file(tensors, folder / "adapters.safetensors")


def check_out(lora, name, kind, folder, broken, results):
    model, sequences = made(folder, kind)
    bound = OF_ERROR_FUNCTION if name == "Gemma" else BOUND
    is_of_experts, is_wrapped = "experts_implementation" in kind, "wrapped" in kind
    options = OF_EXPERTS | dict(r=4, lora_alpha=8) if is_of_experts else SHAPES["plain"]
    if is_wrapped:
        options = options | dict(target_modules=r"model\.language_model\..*_proj")
    expected = logits_of(adapted(model, folder / "adapter", **options), sequences)
    run(lora, "merge", folder / "adapter", "--base", folder / "base", "--output", folder / "merged", "--dtype", "float32",
        "--quiet")
    results.add("merged folder: logits" + (", Gemma" if name == "Gemma" else ""), relative(
        mlx_logits(folder / "merged", sequences), expected), bound)
    if is_of_experts or is_wrapped:
        return
    run(lora, "convert", folder / "base", "--output", folder / "read", "--dtype", "float32", "--quiet")
    for shape, options in SHAPES.items():
        if shape != "plain" and not name.startswith("Llama"):
            continue
        adapter, place = folder / f"adapter {shape}", folder / f"mlx {shape}"
        expected = logits_of(adapted(load(folder / "base"), adapter, **options), sequences)
        run(lora, "export", adapter, "--base", folder / "read", "--format", "mlx", "--output", place, "--quiet")
        spoil(place, broken)
        results.add(f"adapter, {shape}: logits" + (", Gemma" if name == "Gemma" else ""), relative(
            mlx_logits(folder / "read", sequences, place), expected), bound)


def check_in(lora, folder, results):
    """mlx-lm's own adapters, as mlx_lm.lora saves them."""
    _, sequences = made(folder, MODELS["Llama, tied"])
    run(lora, "convert", folder / "base", "--output", folder / "read", "--dtype", "float32", "--quiet")
    for kind, layers in ("lora", -1), ("dora", -1), ("lora", 1):
        model, _ = load_model(folder / "read")
        config = dict(fine_tune_type=kind, num_layers=layers, model=str(folder / "read"),
                      lora_parameters=dict(rank=3, scale=5.0, dropout=0.0))
        model.freeze()
        # As mlx_lm/lora.py counts "all": 0, since it takes the last ones.
        linear_to_lora_layers(model, max(layers, 0), config["lora_parameters"], use_dora=kind == "dora")
        mx.random.seed(4)
        trained = [(name, mx.random.normal(value.shape) * 0.1 + (value if name.endswith(".m") else 0))
                   for name, value in tree_flatten(model.trainable_parameters())]
        model.load_weights(trained, strict=False)
        model.eval()
        place = folder / f"trained {kind} {layers}"
        place.mkdir()
        mx.save_safetensors(str(place / "adapters.safetensors"), dict(tree_flatten(model.trainable_parameters())))
        save_config(config, str(place / "adapter_config.json"))
        run(lora, "export", place, "--format", "peft", "--output", folder / f"peft {kind} {layers}", "--quiet")
        read = PeftModel.from_pretrained(load(folder / "base"), folder / f"peft {kind} {layers}").eval()
        own = logits_in_mlx(model, sequences)
        changed = relative(mlx_logits(folder / "read", sequences), own)
        print(f"mlx-lm's own {kind}, layers {layers}: changes the logits by {changed:.2e}")
        results.add(f"PEFT on mlx-lm's own {kind}: logits", relative(logits_of(read, sequences), own), BOUND)


def exported(lora, folder, base):
    done = subprocess.run([lora, "export", folder / "adapter", "--base", base, "--for", "mlx", "--output", folder / "served",
                           "--overwrite"], capture_output=True, text=True)
    return done.returncode, done.stderr


def check_for(lora, folder, results):
    """What --for mlx chooses."""
    model, sequences = made(folder, MODELS["Llama, tied"])
    expected = logits_of(adapted(model, folder / "adapter", **SHAPES["plain"]), sequences)
    code, said = exported(lora, folder, folder / "base")
    is_merged = (folder / "served/model.safetensors").exists()
    results.add("--for mlx on a base of transformers 5: not merged", code != 0 or not is_merged or "rope_parameters" not in said, 0)
    results.add("--for mlx on a base of transformers 5: logits", relative(mlx_logits(folder / "served", sequences), expected), BOUND)
    run(lora, "convert", folder / "base", "--output", folder / "read", "--dtype", "float32", "--quiet")
    code, said = exported(lora, folder, folder / "read")
    is_adapter = (folder / "served/adapters.safetensors").exists()
    results.add("--for mlx on a base that it reads: no adapter", code != 0 or not is_adapter, 0)
    results.add("--for mlx on a base that it reads: logits", relative(
        mlx_logits(folder / "read", sequences, folder / "served"), expected), BOUND)


def check_limits(lora, folder, results):
    """Refused and said for a reason: mlx-lm does not load these, or differs."""
    for name, kind in (REFUSED | SAID).items():
        place = Path(tempfile.mkdtemp(dir=folder))
        model, sequences = made(place, kind)
        expected = logits_of(model, sequences)
        adapted(model, place / "adapter", r=4, lora_alpha=8, target_modules="all-linear")
        run(lora, "convert", place / "base", "--output", place / "read", "--dtype", "float32", "--quiet")
        try:
            difference = relative(mlx_logits(place / "read", sequences), expected)
        except ValueError:
            difference = float("inf")
        code, said = exported(lora, place, place / "read")
        print(f"{name}: mlx-lm differs by {difference:.1e}; {said.splitlines()[0]}")
        is_told = "mlx-lm would not compute" in said and code != 0 if name in REFUSED else "no sliding window" in said and code == 0
        results.add(f"not {'refused' if name in REFUSED else 'said'}", not is_told, 0)
        results.add("refused or said, and the same in mlx-lm", difference < 1e-3, 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", default="build/release/bin", help="the folder that holds the program lora")
    parser.add_argument("--break", dest="broken", choices=["scale", "turn"], help="spoil one detail")
    parser.add_argument("--only", help="only the models whose names hold this")
    options = parser.parse_args()
    lora, results = Path(options.programs) / "lora", Results()
    if not lora.exists():
        sys.exit(f"{lora} is not there: build it first")
    with tempfile.TemporaryDirectory(prefix="lora-mlx-") as folder:
        for name, kind in MODELS.items():
            if options.only and options.only not in name:
                continue
            found = Results()
            check_out(lora, name, kind, Path(tempfile.mkdtemp(dir=folder)), options.broken, found)
            print(f"{name}: " + "; ".join(f"{what} {value:.1e}" for what, (value, _) in found.largest.items()))
            for what, (value, bound) in found.largest.items():
                results.add(what, value, bound)
        if not options.only and not options.broken:
            for check in check_in, check_for, check_limits:
                check(lora, Path(tempfile.mkdtemp(dir=folder)), results)
    print("measured maxima:")
    sys.exit(1 if results.report() else 0)


if __name__ == "__main__":
    main()
