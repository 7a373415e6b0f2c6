#!/usr/bin/env python3
"""Folders that transformers saves with bitsandbytes' quantisation, and what bitsandbytes makes of them again on the CPU.

Writes tests/golden/lora/bitsandbytes/CASE/: config.json, model.safetensors as transformers saves it, and
expected.safetensors: every quantised weight as bitsandbytes' dequantize_4bit or int8_vectorwise_dequant gives it, logits
of the model made of these weights, ids. bitsandbytes is not among the installed peers:
    build/venv/bin/pip install --no-deps --target /tmp/bitsandbytes bitsandbytes==0.50.2
    PYTHONPATH=/tmp/bitsandbytes build/venv/bin/python scripts/oracle/bitsandbytes_weights.py
"""
import json
import os
import shutil
import tempfile

import bitsandbytes
import torch
import transformers
from bitsandbytes import functional
from bitsandbytes.nn import Linear4bit, Linear8bitLt
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

OUT = os.path.join(os.path.dirname(__file__), "../../tests/golden/lora/bitsandbytes")
# 72 is no multiple of the block of 64: blocks go on from row to row.
SIZES = dict(vocab_size=258, hidden_size=64, intermediate_size=72, num_hidden_layers=1, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=128, bos_token_id=1, eos_token_id=2,
             tie_word_embeddings=False)
FOUR = dict(load_in_4bit=True)
CASES = {
    "nf4": (dict(model_type="llama"), dict(FOUR, bnb_4bit_quant_type="nf4"), torch.float32),
    "nf4_nested": (dict(model_type="llama", attention_bias=True),
                   dict(FOUR, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True), torch.bfloat16),
    "nf4_nested_half": (dict(model_type="qwen2", tie_word_embeddings=True),
                        dict(FOUR, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True), torch.float16),
    "fp4": (dict(model_type="llama"), dict(FOUR, bnb_4bit_quant_type="fp4"), torch.bfloat16),
    "fp4_nested": (dict(model_type="llama"), dict(FOUR, bnb_4bit_quant_type="fp4", bnb_4bit_use_double_quant=True),
                   torch.float32),
    # One layer is left as it is.
    "int8": (dict(model_type="llama"), dict(load_in_8bit=True, llm_int8_skip_modules=["lm_head", "down_proj"]),
             torch.float16),
    "int8_phi": (dict(model_type="phi", num_key_value_heads=4), dict(load_in_8bit=True), torch.bfloat16),
}


def dequantised(module):
    if isinstance(module, Linear4bit):
        return functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
    return functional.int8_vectorwise_dequant(module.weight.data, module.weight.SCB)


def main():
    for number, (case, (sizes, quantisation, dtype)) in enumerate(CASES.items()):
        torch.manual_seed(100 + number)
        folder = os.path.join(OUT, case)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        config = AutoConfig.for_model(**(SIZES | sizes))
        made = AutoModelForCausalLM.from_config(config).to(dtype)
        with torch.no_grad():
            for name, parameter in made.named_parameters():
                if "norm" not in name:
                    parameter.normal_(0, 0.1)
        with tempfile.TemporaryDirectory() as plain:
            made.save_pretrained(plain)
            model = AutoModelForCausalLM.from_pretrained(plain, dtype=dtype, device_map="cpu",
                                                         quantization_config=BitsAndBytesConfig(**quantisation))
            model.save_pretrained(folder)
            # With the weights as bitsandbytes gives them, computed in float32.
            expected, again = {}, AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32)
        parameters = dict(again.named_parameters())
        for name, module in model.named_modules():
            if isinstance(module, (Linear4bit, Linear8bitLt)):
                expected[name + ".weight"] = dequantised(module).contiguous()
                with torch.no_grad():
                    parameters[name + ".weight"].copy_(expected[name + ".weight"].float())
        ids = torch.arange(3, 40)[None] * 5 % 250
        with torch.no_grad():
            expected["logits"] = again.eval()(ids).logits[0].contiguous()
        expected["ids"] = ids[0]
        facts = dict(bitsandbytes=bitsandbytes.__version__, transformers=transformers.__version__)
        save_file(expected, os.path.join(folder, "expected.safetensors"), metadata=facts)
        os.remove(os.path.join(folder, "generation_config.json"))
        stored = load_file(os.path.join(folder, "model.safetensors"))
        print(case, json.dumps(facts), len(stored), {str(t.dtype) for t in stored.values()})


if __name__ == "__main__":
    main()
