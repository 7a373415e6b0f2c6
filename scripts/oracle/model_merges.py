#!/usr/bin/env python3
"""Writes tests/golden/lora/model_merges: three tiny Llamas in float32, and what mergekit makes of them by every method
that `lora merge-models` has.

    python3 -m venv build/venv-mergekit && build/venv-mergekit/bin/pip install mergekit==0.1.5
    build/venv-mergekit/bin/python scripts/oracle/model_merges.py

mergekit's own `run_merge` runs on the folders. Only its coin for DARE is exchanged: torch.bernoulli gives way to the
function of seed, model, name and place that `lora` has, so that the rest of DARE can be compared number by number. No
two changes are of one size, since which of those TIES keeps is left open by torch.argsort."""
import importlib.metadata
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from mergekit import sparsify
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

GOLDEN = Path(__file__).parents[2] / "tests/golden/lora/model_merges"
SEED, BITS = 7, (1 << 64) - 1
# By the words of `lora merge-models`; what mergekit calls them stands in mergekit().
CASES = {
    "linear": dict(method="linear", weights="0.3,0.9"),
    "linear_sum": dict(method="linear", weights="0.3,0.9", normalize="no"),
    "linear_layers": dict(method="linear", weights="0:1,1:0.5"),
    "slerp": dict(method="slerp", t=["0.3"]),
    "slerp_parts": dict(method="slerp", t=["self_attn=0:0.5:0.3:1", "mlp=1:0.2", "0.6"]),
    "task_arithmetic": dict(method="task-arithmetic", weights="0.5,0.7", **{"lambda": 0.8}),
    "ties": dict(method="ties", weights="0.6,1.1", density="0.35"),
    "ties_sum": dict(method="ties", density="0.2,0.7", normalize="no"),
    "dare": dict(method="dare", weights="0.5,0.8", density="0.4", seed=SEED),
    "dare_ties": dict(method="dare-ties", weights="1,-0.5", density="0.6,0.3", seed=SEED),
}


def mix64(x):
    x = (x + 0x9E3779B97F4A7C15) & BITS
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & BITS
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & BITS
    return x ^ (x >> 31)


def coins(model, name, count):
    """Numbers in [0, 1), one a place."""
    key = mix64(SEED + model)
    for letter in name.encode():
        key = mix64(key ^ letter)
    return np.array([(mix64((key + place) & BITS) >> 11) * 2.0 ** -53 for place in range(count)])


def make_models(folder):
    config = LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2,
                         num_key_value_heads=1, max_position_embeddings=64, tie_word_embeddings=False, bos_token_id=1,
                         eos_token_id=2, dtype="float32")
    torch.manual_seed(1)
    base = LlamaForCausalLM(config).float()
    for name, size in (("base", 0), ("one", 0.02), ("two", 0.03)):
        model = LlamaForCausalLM(config).float()
        model.load_state_dict(base.state_dict())
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += torch.randn_like(parameter) * size
        model.save_pretrained(folder / name)
        (folder / name / "generation_config.json").unlink(missing_ok=True)


def curve(text):
    numbers = [float(part) for part in str(text).split(":")]
    return numbers[0] if len(numbers) == 1 else numbers


def of_each(text):
    parts = [curve(part) for part in str(text).split(",")]
    return parts if len(parts) == 2 else parts * 2


def mergekit(case):
    method = {"dare": "dare_linear"}.get(case["method"], case["method"].replace("-", "_"))
    inputs = [{"model": str(GOLDEN / name), "parameters": {}} for name in ("one", "two")]
    config = {"merge_method": method, "dtype": "float32", "models": inputs, "parameters": {}}
    if method == "slerp":
        config["base_model"] = inputs[0]["model"]
        config["parameters"]["t"] = [
            {"filter": text.split("=")[0], "value": curve(text.split("=")[1])} if "=" in text else {"value": curve(text)}
            for text in case["t"]]
    else:
        for place, weight in zip(inputs, of_each(case.get("weights", 1))):
            place["parameters"]["weight"] = weight
    if method not in ("linear", "slerp"):
        config["base_model"] = str(GOLDEN / "base")
        config["parameters"]["lambda"] = case.get("lambda", 1.0)
    for place, density in zip(inputs, of_each(case.get("density", 1))):
        if "density" in case:
            place["parameters"]["density"] = density
    if "normalize" in case:
        config["parameters"]["normalize"] = case["normalize"] == "yes"
    return config


def main():
    shutil.rmtree(GOLDEN, ignore_errors=True)
    GOLDEN.mkdir(parents=True)
    make_models(GOLDEN)
    models = {name: load_file(GOLDEN / name / "model.safetensors") for name in ("base", "one", "two")}
    changes = {}
    for number, name in enumerate(("one", "two")):
        for tensor, values in models[name].items():
            sizes = (values - models["base"][tensor]).abs()
            assert len(sizes.unique()) == sizes.numel(), (name, tensor)
            changes[(values - models["base"][tensor]).numpy().tobytes()] = (number, tensor)

    def bernoulli(tensor, density, rescale_norm=None):
        number, name = changes[tensor.numpy().tobytes()]
        mask = torch.from_numpy(coins(number, name, tensor.numel()) < density).reshape(tensor.shape).to(tensor.dtype)
        return sparsify.rescaled_masked_tensor(tensor, mask, rescale_norm)

    sparsify.bernoulli = bernoulli
    expected = {}
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            run_merge(MergeConfiguration.model_validate(mergekit(case)), folder,
                      MergeOptions(copy_tokenizer=False, write_model_card=False, quiet=True))
            for tensor, values in load_file(Path(folder) / "model.safetensors").items():
                expected[f"{name}/{tensor}"] = values.contiguous()
    save_file(expected, GOLDEN / "expected.safetensors")
    (GOLDEN / "cases.json").write_text(json.dumps({"mergekit": importlib.metadata.version("mergekit"), "cases": CASES},
                                                  indent=1) + "\n")
    print(f"{len(expected)} tensors, {sum(file.stat().st_size for file in GOLDEN.rglob('*.*'))} bytes")


if __name__ == "__main__":
    main()
