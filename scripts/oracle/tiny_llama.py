#!/usr/bin/env python3
"""Tiny random Llamas, and a model of each family that differs, with LoRA, computed by transformers and peft on the CPU
in float32 with eager attention.

Writes tests/golden/finetune/tiny_llama/CASE/: a Hugging Face folder (config.json, model.safetensors in bfloat16, so that
it is small and still exact in float32) and golden.safetensors: rows of ids, logits, losses, gradients of A and B, and
A and B after 1 and 20 AdamW steps.
    build/venv/bin/python scripts/oracle/tiny_llama.py [CASE ...]
"""
import json
import os
import sys

import peft
import torch
import transformers
from safetensors.torch import save_file

OUT = os.path.join(os.path.dirname(__file__), "../../tests/golden/finetune/tiny_llama")
LLAMA3 = dict(rope_type="llama3", rope_theta=10000.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=32)
LINEAR = dict(rope_type="linear", rope_theta=10000.0, factor=2.0)
CASES = {
    "tied": dict(tie_word_embeddings=True),
    "untied": dict(tie_word_embeddings=False),
    "bias": dict(tie_word_embeddings=True, attention_bias=True, mlp_bias=True),
    "llama3_rope": dict(tie_word_embeddings=True, rope_parameters=LLAMA3),
    "linear_rope": dict(tie_word_embeddings=False, rope_parameters=LINEAR),
    "qwen2": dict(family="qwen2", tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=1e6)),
}
RANK, ALPHA = 4, 8
LENGTHS = [[13, 7, 20], [33], [5, 18], [2, 11, 9, 6]]  # documents of each row
STEPS, RATE, CLIP, DECAY = 20, 1e-3, 1.0, 0.01


def make_model(family="llama", **options):
    config = transformers.AutoConfig.for_model(family, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
                                               num_key_value_heads=2, intermediate_size=176, vocab_size=257,
                                               max_position_embeddings=128, rms_norm_eps=1e-5, bos_token_id=1,
                                               eos_token_id=2, attn_implementation="eager", **options)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            # Large enough that attention is far from uniform and every detail shows in the logits.
            p.copy_((1 + 0.2 * torch.randn_like(p)) if "norm" in name else 0.15 * torch.randn_like(p))
            p.copy_(p.to(torch.bfloat16).float())
    return model.eval()


def rows():
    result = []
    for lengths in LENGTHS:
        row = []
        for length in lengths:
            ids = torch.randint(0, 257, (length,))
            targets = torch.cat([ids[1:], torch.tensor([-100])])
            targets[: length // 3] = -100  # the prompt is not trained
            row.append((ids, targets))
        result.append(row)
    return result


def loss_of(model, row):
    """Mean over the trained tokens of the row, each document alone."""
    total, count = 0.0, 0
    for ids, targets in row:
        logits = model(ids[None]).logits[0]
        total = total + torch.nn.functional.cross_entropy(logits, targets, ignore_index=-100, reduction="sum")
        count += int((targets >= 0).sum())
    return total / count


def lora_tensors(model, group, pick):
    result = {}
    for name, p in model.named_parameters():
        if "lora_" not in name:
            continue
        short = name.removeprefix("base_model.model.").replace(".lora_A.default.weight", "/a").replace(
            ".lora_B.default.weight", "/b")
        result[f"{group}/{short}"] = pick(p).detach().clone().contiguous()
    return result


def main():
    for number, (case, options) in enumerate(CASES.items()):
        if sys.argv[1:] and case not in sys.argv[1:]:
            continue
        torch.manual_seed(1000 + number)
        folder = os.path.join(OUT, case)
        os.makedirs(folder, exist_ok=True)
        base = make_model(**options)
        base.to(torch.bfloat16).save_pretrained(folder)
        for extra in ("generation_config.json",):
            if os.path.exists(os.path.join(folder, extra)):
                os.remove(os.path.join(folder, extra))
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                                                  attn_implementation="eager")
        data = rows()
        golden = {}
        for i, row in enumerate(data):
            golden[f"row{i}/ids"] = torch.cat([ids for ids, _ in row])
            golden[f"row{i}/targets"] = torch.cat([targets for _, targets in row])
            golden[f"row{i}/lengths"] = torch.tensor([len(ids) for ids, _ in row])
        with torch.no_grad():
            golden["base/logits"] = torch.cat([model(ids[None]).logits[0] for ids, _ in data[0]])
            golden["base/loss"] = loss_of(model, data[0])
        rslora = case == "untied"
        model = peft.get_peft_model(model, peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear",
                                                           use_rslora=rslora, task_type="CAUSAL_LM"))
        start = lora_tensors(model, "zero_b", lambda p: p)
        golden |= start

        # Gradients with a B that is not zero, so that dA is not zero either.
        with torch.no_grad():
            for name, p in model.named_parameters():
                if "lora_B" in name:
                    p.copy_(0.05 * torch.randn_like(p))
        golden |= lora_tensors(model, "start", lambda p: p)
        with torch.no_grad():
            golden["adapter/logits"] = torch.cat([model(ids[None]).logits[0] for ids, _ in data[0]])
        loss = loss_of(model, data[0])
        loss.backward()
        golden["adapter/loss"] = loss.detach()
        golden |= lora_tensors(model, "gradient", lambda p: p.grad)

        # Training from B = 0.
        model.load_state_dict({name: start["zero_b/" + name.removeprefix("base_model.model.").replace(
            ".lora_A.default.weight", "/a").replace(".lora_B.default.weight", "/b")]
            for name, _ in model.named_parameters() if "lora_" in name}, strict=False)
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=DECAY)
        schedule = transformers.get_cosine_schedule_with_warmup(optimizer, 0, STEPS)
        losses = []
        for step in range(STEPS):
            optimizer.zero_grad()
            loss = loss_of(model, data[step % len(data)])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, CLIP)
            optimizer.step()
            schedule.step()
            losses.append(loss.detach())
            if step + 1 in (1, STEPS):
                golden |= lora_tensors(model, f"after{step + 1}", lambda p: p)
        golden["train/losses"] = torch.stack(losses)
        facts = dict(transformers=transformers.__version__, peft=peft.__version__, torch=torch.__version__, rank=RANK,
                     alpha=ALPHA, rslora=rslora, steps=STEPS, rate=RATE, clip=CLIP, weight_decay=DECAY,
                     schedule="cosine")
        save_file(golden, os.path.join(folder, "golden.safetensors"), metadata={k: str(v) for k, v in facts.items()})
        print(case, json.dumps(facts), [round(float(x), 3) for x in losses])


if __name__ == "__main__":
    main()
