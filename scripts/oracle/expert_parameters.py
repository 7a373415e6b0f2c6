#!/usr/bin/env python3
"""LoRA on all experts of a layer at once ("target_parameters"), as PEFT has it on transformers 5.

Reads the tiny models with experts of tests/golden/finetune/tiny_llama and writes tests/golden/lora/expert_parameters/CASE/:
the adapter as PEFT saves it, and logits.safetensors: ids and the logits of the adapted model.
    build/venv/bin/python scripts/oracle/expert_parameters.py
"""
import os
import shutil

import peft
import torch
import transformers
from safetensors.torch import save_file

GOLDEN = os.path.join(os.path.dirname(__file__), "../../tests/golden")
EXPERTS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
CASES = {
    "mixtral": dict(model="mixtral", target_modules=["q_proj", "v_proj"], target_parameters=EXPERTS),
    "mixtral_router": dict(model="mixtral", target_modules=[], target_parameters=EXPERTS[1:] + ["mlp.gate.weight"]),
    # What PEFT makes of a target of transformers 4: ranks and alphas of gate and up double.
    "mixtral_of_4": dict(model="mixtral", target_modules=["q_proj", "w1", "w2", "w3"]),
    "qwen2_moe": dict(model="qwen2_moe", target_modules=["k_proj"], target_parameters=EXPERTS[:1], use_rslora=True),
    "qwen3_moe": dict(model="qwen3_moe", target_modules=["o_proj"], target_parameters=EXPERTS,
                      rank_pattern={"layers.1.mlp.experts.down_proj": 3}),
}


def main():
    for number, (case, options) in enumerate(CASES.items()):
        torch.manual_seed(number)
        options = dict(options)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            os.path.join(GOLDEN, "finetune/tiny_llama", options.pop("model")), dtype=torch.float32,
            attn_implementation="eager", experts_implementation="eager")
        model = peft.get_peft_model(model, peft.LoraConfig(r=2, lora_alpha=5, task_type="CAUSAL_LM", **options)).eval()
        with torch.no_grad():
            for name, p in model.named_parameters():
                if "lora_" in name:
                    p.copy_(0.2 * torch.randn_like(p))
            ids = torch.randint(0, model.config.vocab_size, (24,))
            logits = model(ids[None]).logits[0]
        model.peft_config["default"].base_model_name_or_path = "tiny/" + case
        folder = os.path.join(GOLDEN, "lora/expert_parameters", case)
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder)
        os.remove(os.path.join(folder, "README.md"))
        save_file({"ids": ids, "logits": logits}, os.path.join(folder, "logits.safetensors"),
                  metadata=dict(transformers=transformers.__version__, peft=peft.__version__))
        print(case, {name: list(p.shape) for name, p in model.named_parameters() if "layers.0" in name and "lora" in name})


if __name__ == "__main__":
    main()
