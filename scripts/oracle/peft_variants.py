#!/usr/bin/env python3
"""What peft trains beside a plain LoRA, on the tiny Llamas of tiny_llama.py: DoRA, patterns, whole modules, embeddings, heads,
single tokens, tied or not.

Writes tests/golden/finetune/variants/CASE/: adapter_config.json and adapter_model.safetensors as peft saves them, and
golden.safetensors: logits of row 0 of the base's golden file, the loss and the gradient of every trained tensor under the
names of adapter_model.safetensors, and those tensors after three AdamW steps.
    build/venv/bin/python scripts/oracle/peft_variants.py [CASE ...]
"""
import os
import shutil
import sys

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(__file__)
TINY = os.path.join(HERE, "../../tests/golden/finetune/tiny_llama")
OUT = os.path.join(HERE, "../../tests/golden/finetune/variants")
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CASES = {
    "dora": ("untied", dict(r=4, lora_alpha=8, target_modules="all-linear", use_dora=True)),
    "dora_bias": ("bias", dict(r=3, lora_alpha=8, target_modules=["q_proj", "o_proj", "down_proj"], use_dora=True,
                               use_rslora=True)),
    "patterns": ("untied", dict(r=4, lora_alpha=6, target_modules=ALL, exclude_modules=["o_proj"],
                                layers_to_transform=[1], layers_pattern="layers",
                                rank_pattern={"q_proj": 2, r".*\.mlp\.(up|gate)_proj": 6, "down_proj": 3},
                                alpha_pattern={r"self_attn\..*": 5, "down_proj": 11})),
    "saved": ("untied", dict(r=2, lora_alpha=4, target_modules=["q_proj"],
                             modules_to_save=["embed_tokens", "lm_head", "norm", "layers.1.mlp"])),
    "saved_linear": ("bias", dict(r=2, lora_alpha=4, target_modules=["q_proj"], modules_to_save=["k_proj", "down_proj"])),
    "saved_tied": ("tied", dict(r=2, lora_alpha=4, target_modules=["q_proj"], modules_to_save=["embed_tokens"])),
    "saved_tied_both": ("tied", dict(r=2, lora_alpha=4, target_modules=["q_proj"],
                                     modules_to_save=["embed_tokens", "lm_head"])),
    "saved_tied_ensured": ("tied", dict(r=2, lora_alpha=4, target_modules=["q_proj"], modules_to_save=["embed_tokens"],
                                        ensure_weight_tying=True)),
    "embedding": ("untied", dict(r=3, lora_alpha=6, target_modules=["q_proj", "embed_tokens", "lm_head"])),
    "embedding_tied": ("tied", dict(r=3, lora_alpha=6, target_modules=["q_proj", "embed_tokens"])),
    "embedding_tied_ensured": ("tied", dict(r=3, lora_alpha=6, target_modules=["q_proj", "embed_tokens"],
                                            ensure_weight_tying=True)),
    "tokens": ("untied", dict(r=2, lora_alpha=4, target_modules=["q_proj"], trainable_token_indices=[5, 40, 200])),
    "tokens_both": ("untied", dict(r=2, lora_alpha=4, target_modules=["q_proj"],
                                   trainable_token_indices={"embed_tokens": [5, 40, 200], "lm_head": [7, 40]})),
    "tokens_tied": ("tied", dict(r=2, lora_alpha=4, target_modules=["q_proj"], trainable_token_indices=[5, 40, 200])),
    "dora_embedding": ("untied", dict(r=3, lora_alpha=6, target_modules=["q_proj", "embed_tokens", "lm_head"],
                                      use_dora=True)),
    "dora_embedding_tied": ("tied", dict(r=3, lora_alpha=6, target_modules=["q_proj", "embed_tokens"], use_dora=True,
                                         use_rslora=True)),
    "tokens_tied_head": ("tied", dict(r=2, lora_alpha=4, target_modules=["q_proj", "lm_head"],
                                      trainable_token_indices=[5, 40, 200])),
    "tokens_tied_head_only": ("tied", dict(r=2, lora_alpha=4, target_modules=["q_proj"],
                                           trainable_token_indices={"lm_head": [5, 40]})),
    "tokens_tied_apart": ("tied", dict(r=2, lora_alpha=4, target_modules=["q_proj"],
                                       trainable_token_indices={"embed_tokens": [5, 40], "lm_head": [7, 40, 200]})),
}
RATE, CLIP, DECAY = 1e-3, 1.0, 0.01


def rows_of(folder):
    golden = load_file(os.path.join(folder, "golden.safetensors"))
    rows = []
    for i in range(4):
        lengths = golden[f"row{i}/lengths"].tolist()
        rows.append(list(zip(golden[f"row{i}/ids"].split(lengths), golden[f"row{i}/targets"].split(lengths))))
    return rows


def loss_of(model, row):
    """Mean over the trained tokens of the row, each document alone."""
    total, count = 0.0, 0
    for ids, targets in row:
        logits = model(ids[None], use_cache=False).logits[0]
        total = total + torch.nn.functional.cross_entropy(logits, targets, ignore_index=-100, reduction="sum")
        count += int((targets >= 0).sum())
    return total / count


def as_saved(model, values):
    """`values` by the name of the parameter -> under the names of adapter_model.safetensors."""
    state = {name: values.get(name, torch.zeros(0)) for name in model.state_dict()}
    named = peft.get_peft_model_state_dict(model, state_dict=state, save_embedding_layers=False)
    return {name: value.detach().clone().contiguous() for name, value in named.items() if value.numel()}


def share_gradients(trained):
    """peft gives a tied head the embedding's storage and gradients of its own, so that its optimizer moves the same numbers
    twice. Here they are one set of numbers: both get the sum."""
    pairs = [(name, name.replace("model.embed_tokens.lora_embedding_A", "lm_head.lora_B").replace(
        "model.embed_tokens.lora_embedding_B", "lm_head.lora_A").replace(".default", ".default.weight"))
        for name in trained if "lora_embedding_" in name]
    for ours, theirs in pairs:
        if theirs in trained:
            total = trained[ours].grad + trained[theirs].grad.t()
            trained[ours].grad, trained[theirs].grad = total, total.t().clone()
    return {theirs for _, theirs in pairs}


def main():
    for number, (case, (base, options)) in enumerate(CASES.items()):
        if sys.argv[1:] and case not in sys.argv[1:]:
            continue
        torch.manual_seed(7000 + number)
        folder = os.path.join(OUT, case)
        shutil.rmtree(folder, ignore_errors=True)
        model = transformers.AutoModelForCausalLM.from_pretrained(os.path.join(TINY, base), dtype=torch.float32,
                                                                  attn_implementation="eager")
        rows = rows_of(os.path.join(TINY, base))
        model = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **options))
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        with torch.no_grad():
            for p in trained.values():
                p.add_(0.05 * torch.randn_like(p))
        model.peft_config["default"].base_model_name_or_path = ""
        model.save_pretrained(folder)
        model.eval()
        golden = {}
        with torch.no_grad():
            golden["logits"] = torch.cat([model(ids[None], use_cache=False).logits[0] for ids, _ in rows[0]])
        shared = share_gradients({name: p for name, p in trained.items() if "lora_embedding" in name})
        own = [p for name, p in trained.items() if name not in shared or not case.endswith("tied_ensured")]
        optimizer = torch.optim.AdamW(own, lr=RATE, weight_decay=DECAY)
        for step in range(3):
            model.zero_grad()
            loss = loss_of(model, rows[step])
            loss.backward()
            if case.endswith("tied_ensured"):
                share_gradients(trained)
            if step == 0:
                golden["loss"] = loss.detach()
                gradients = {name: p.grad for name, p in trained.items()}
                golden |= {f"gradient/{name}": value for name, value in as_saved(model, gradients).items()}
            torch.nn.utils.clip_grad_norm_(own, CLIP)
            optimizer.step()
        golden |= {f"after/{name}": value for name, value in as_saved(model, trained).items()}
        facts = dict(transformers=transformers.__version__, peft=peft.__version__, torch=torch.__version__, base=base,
                     rate=RATE, clip=CLIP, weight_decay=DECAY)
        save_file(golden, os.path.join(folder, "golden.safetensors"), metadata={k: str(v) for k, v in facts.items()})
        os.remove(os.path.join(folder, "README.md"))
        saved = load_file(os.path.join(folder, "adapter_model.safetensors"))
        print(case, float(golden["loss"]), {n: tuple(v.shape) for n, v in saved.items() if "layers.0" not in n},
              sorted(set(saved) ^ {n[6:] for n in golden if n.startswith("after/")}))
    for place, folders, files in os.walk(OUT):
        for name in files:
            os.chmod(os.path.join(place, name), 0o644)


if __name__ == "__main__":
    main()
