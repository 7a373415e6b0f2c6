#!/usr/bin/env python3
"""Golden files for lora/: a tiny random Llama, adapters as PEFT saves them, and the weights PEFT merges.

    build/venv/bin/python scripts/oracle/peft_adapters.py [CASE ...]      without a case: all, and the base

tests/golden/lora/base/                 config.json, model.safetensors and a small tokenizer as transformers saves them
tests/golden/lora/{plain,rslora,pattern}/  adapter_config.json, adapter_model.safetensors as PEFT saves them, and
                                        merged.safetensors: every weight of merge_and_unload() that changed
tests/golden/lora/{pissa,olora}*/       the same of adapters whose initialisation changed the base: saved after a change of A
                                        and B, then loaded with PeftModel.from_pretrained on the unchanged base; _tables
                                        with embedding and head, _tied with a head that is the embedding
"""
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file

from tiny_model import fill_adapter, llama, tokenizer

GOLDEN = Path(__file__).resolve().parents[2] / "tests/golden/lora"
VERSIONS = {name: version(name) for name in ("torch", "transformers", "peft", "safetensors")}
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CASES = {
    "plain": dict(r=4, lora_alpha=8, target_modules=ALL),
    "rslora": dict(r=3, lora_alpha=7, target_modules=["q_proj", "v_proj", "down_proj"], use_rslora=True),
    "pattern": dict(r=4, lora_alpha=6, target_modules=ALL,
                    rank_pattern={"layers.0.self_attn.q_proj": 2, r".*\.1\.mlp\.(up|gate)_proj": 6, "down_proj": 3},
                    alpha_pattern={r"self_attn\..*": 5, "layers.1.mlp.down_proj": 11}),
    "pissa": dict(r=4, lora_alpha=6, target_modules=["q_proj", "k_proj", "down_proj"], init_lora_weights="pissa",
                  rank_pattern={"down_proj": 3}),
    "olora": dict(r=3, lora_alpha=5, target_modules=["v_proj", "up_proj"], init_lora_weights="olora", use_rslora=True),
    "pissa_tables": dict(r=2, lora_alpha=3, target_modules=["q_proj", "embed_tokens", "lm_head"], init_lora_weights="pissa"),
    "olora_tied": dict(r=2, lora_alpha=3, target_modules=["lm_head"], init_lora_weights="olora"),
    "pissa_unsaved": dict(r=2, lora_alpha=3, target_modules=["lm_head"], init_lora_weights="pissa"),
}
CHANGE_THE_BASE = ("pissa", "olora", "pissa_tables", "olora_tied", "pissa_unsaved")
TIED = ("olora_tied", "pissa_unsaved")  # the second without PEFT's copy of the head


def trained(adapted):
    """Moves A and B away from their start, as training would."""
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    return adapted


def merged_head(adapted):
    """Embedding and head of a tied model. merge_and_unload adds the head's change to the embedding too."""
    head = adapted.base_model.model.lm_head
    rest = head.base_layer.weight.detach()
    return {"model.embed_tokens.weight": rest.clone(), "lm_head.weight": rest + head.get_delta_weight("default").detach()}


def main():
    cases = sys.argv[1:]
    if not cases:
        shutil.rmtree(GOLDEN, ignore_errors=True)
        llama(257).save_pretrained(GOLDEN / "base")
        tokenizer(257, whole_alphabet=False).save_pretrained(GOLDEN / "base")
    for name, options in CASES.items():
        if cases and name not in cases:
            continue
        change = trained if name in CHANGE_THE_BASE else fill_adapter
        tied = name in TIED
        adapted = change(get_peft_model(llama(257, tied), LoraConfig(task_type="CAUSAL_LM", **options)))
        adapted.peft_config["default"].base_model_name_or_path = "base"
        adapted.save_pretrained(GOLDEN / name, save_embedding_layers=False if name == "pissa_unsaved" else "auto")
        if name in CHANGE_THE_BASE:
            adapted = PeftModel.from_pretrained(llama(257, tied), GOLDEN / name)
        before = llama(257, tied).state_dict()
        merged = merged_head(adapted) if tied else {
            key: value.contiguous() for key, value in adapted.merge_and_unload().state_dict().items()
            if not torch.equal(value, before[key])}
        save_file(merged, GOLDEN / name / "merged.safetensors", metadata=VERSIONS)
        (GOLDEN / name / "README.md").unlink(missing_ok=True)
    for path in GOLDEN.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


if __name__ == "__main__":
    main()
