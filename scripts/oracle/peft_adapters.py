#!/usr/bin/env python3
"""Golden files for lora/: a tiny random Llama, adapters as PEFT saves them, and the weights PEFT merges.

    build/venv/bin/python scripts/oracle/peft_adapters.py

tests/golden/lora/base/                 config.json and model.safetensors as transformers saves them
tests/golden/lora/{plain,rslora,pattern}/  adapter_config.json, adapter_model.safetensors as PEFT saves them, and
                                        merged.safetensors: every weight of merge_and_unload() that changed
"""
import shutil
from importlib.metadata import version
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

GOLDEN = Path(__file__).resolve().parents[2] / "tests/golden/lora"
VERSIONS = {name: version(name) for name in ("torch", "transformers", "peft", "safetensors")}
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CASES = {
    "plain": dict(r=4, lora_alpha=8, target_modules=ALL),
    "rslora": dict(r=3, lora_alpha=7, target_modules=["q_proj", "v_proj", "down_proj"], use_rslora=True),
    "pattern": dict(r=4, lora_alpha=6, target_modules=ALL,
                    rank_pattern={"layers.0.self_attn.q_proj": 2, r".*\.1\.mlp\.(up|gate)_proj": 6, "down_proj": 3},
                    alpha_pattern={r"self_attn\..*": 5, "layers.1.mlp.down_proj": 11}),
}


def model():
    torch.manual_seed(1)
    rope = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    config = LlamaConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                         intermediate_size=96, vocab_size=257, max_position_embeddings=512, attention_bias=True,
                         rope_parameters=rope)
    made = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.1)
    return made


def main():
    shutil.rmtree(GOLDEN, ignore_errors=True)
    model().save_pretrained(GOLDEN / "base")
    for name, options in CASES.items():
        adapted = get_peft_model(model(), LoraConfig(task_type="CAUSAL_LM", **options))
        adapted.peft_config["default"].base_model_name_or_path = "base"
        torch.manual_seed(2)
        with torch.no_grad():
            for key, parameter in adapted.named_parameters():
                if "lora_B" in key:
                    parameter.normal_(0, 0.05)
        adapted.save_pretrained(GOLDEN / name)
        before = model().state_dict()
        merged = {key: value.contiguous() for key, value in adapted.merge_and_unload().state_dict().items()
                  if not torch.equal(value, before[key])}
        save_file(merged, GOLDEN / name / "merged.safetensors", metadata=VERSIONS)
        (GOLDEN / name / "README.md").unlink(missing_ok=True)
    for path in GOLDEN.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


if __name__ == "__main__":
    main()
