#!/usr/bin/env python3
"""Phi-1.5's two layouts of before it came to transformers, made of tests/golden/finetune/tiny_llama/phi: "phi-msft" and
"mixformer-sequential", with the names and keys that microsoft/phi-1_5 had then and the rows that transformers'
convert_phi_weights_to_hf.py took apart: Wqkv.view(3, heads, head size, hidden).

Writes tests/golden/lora/early_phi/{msft,mixformer}/. What they compute is the golden file of tiny_llama/phi.
    build/venv/bin/python scripts/oracle/early_phi.py
"""
import json
import os

import torch
from safetensors.torch import load_file, save_file

GOLDEN = os.path.join(os.path.dirname(__file__), "../../tests/golden")
NAMES = {"input_layernorm": "ln", "self_attn.dense": "mixer.out_proj", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}


def main():
    source = os.path.join(GOLDEN, "finetune/tiny_llama/phi")
    tensors = load_file(os.path.join(source, "model.safetensors"))
    with open(os.path.join(source, "config.json")) as file:
        config = json.load(file)
    layers, heads, hidden = (config[key] for key in ("num_hidden_layers", "num_attention_heads", "hidden_size"))
    assert config["intermediate_size"] == 48
    head = hidden // heads
    keys = {"activation_function": "gelu_new", "attn_pdrop": 0.0, "embd_pdrop": 0.0, "initializer_range": 0.02,
            "layer_norm_epsilon": config["layer_norm_eps"], "n_embd": hidden, "n_head": heads, "n_inner": 48,
            "n_layer": layers, "n_positions": config["max_position_embeddings"], "resid_pdrop": 0.0,
            "rotary_dim": head // 2, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
            "transformers_version": "4.34.1", "vocab_size": config["vocab_size"]}
    msft = {"model_type": "phi-msft", "architectures": ["PhiForCausalLM"], "flash_attn": False, "flash_rotary": False,
            "fused_dense": False, "n_head_kv": None,
            "auto_map": {"AutoConfig": "configuration_phi.PhiConfig", "AutoModelForCausalLM": "modeling_phi.PhiForCausalLM"}}
    mixformer = {"model_type": "mixformer-sequential", "architectures": ["MixFormerSequentialForCausalLM"],
                 "architecture": {"block_cls": "parallel", "mixer": {}, "mlp": {"mlp_cls": "mlp"}},
                 "embd_layer": "default", "phyagi_version": "0.0.4.dev",
                 "auto_map": {"AutoModelForCausalLM": "modeling_mixformer_sequential.MixFormerSequentialForCausalLM"}}

    def relaid(block, embedding, last):
        result = {embedding + "wte.weight": tensors["model.embed_tokens.weight"]}
        for kind in ("weight", "bias"):
            result[last + "ln." + kind] = tensors["model.final_layernorm." + kind]
            result[last + "linear." + kind] = tensors["lm_head." + kind]
            for i in range(layers):
                old = f"model.layers.{i}."
                parts = [tensors[f"{old}self_attn.{part}_proj.{kind}"] for part in "qkv"]
                result[block(i) + "mixer.Wqkv." + kind] = torch.stack([part.view(heads, head, -1) for part in parts]
                                                                       ).reshape([3 * hidden, *parts[0].shape[1:]])
                for today, early in NAMES.items():
                    result[f"{block(i)}{early}.{kind}"] = tensors[f"{old}{today}.{kind}"]
        return {name: tensor.contiguous() for name, tensor in result.items()}

    for name, own, laid in (
            ("msft", msft, relaid(lambda i: f"transformer.h.{i}.", "transformer.embd.", "lm_head.")),
            ("mixformer", mixformer, relaid(lambda i: f"layers.{i + 1}.", "layers.0.", f"layers.{layers + 1}."))):
        folder = os.path.join(GOLDEN, "lora/early_phi", name)
        os.makedirs(folder, exist_ok=True)
        save_file(laid, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
        with open(os.path.join(folder, "config.json"), "w") as file:
            json.dump(keys | own, file, indent=2, sort_keys=True)
            file.write("\n")
        print(name, len(laid), "tensors")


if __name__ == "__main__":
    main()
