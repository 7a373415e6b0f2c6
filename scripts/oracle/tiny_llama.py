#!/usr/bin/env python3
"""Tiny random Llamas, and a model of each family and each kind of rope that differs, with LoRA, computed by transformers
and peft on the CPU in float32 with eager attention.

Writes tests/golden/finetune/tiny_llama/CASE/: a Hugging Face folder (config.json, model.safetensors in bfloat16, so that
it is small and still exact in float32) and golden.safetensors: rows of ids, hidden states, logits, losses, gradients of A and
B, and A and B after 1 and 20 AdamW steps.
    build/venv/bin/python scripts/oracle/tiny_llama.py [CASE ...]
Cases with experts need transformers 4, where experts are linear modules that PEFT adapts one by one. They are made by
that version alone, in an environment of its own that takes torch from the other:
    python3 -m venv ENV; echo build/venv/lib/python3.11/site-packages > ENV/lib/python3.11/site-packages/zz.pth
    ENV/bin/pip install --no-deps transformers==4.57.6 peft==0.18.1 huggingface_hub==0.36.2 tokenizers==0.22.2
    ENV/bin/python scripts/oracle/tiny_llama.py
Their weights are drawn again until the last chosen expert of every token is more probable than the next one by 1e-3 (while
training by 1e-4), every expert gets a token in every step, and no number of the first gradient is near AdamW's epsilon.
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
DEFAULT = dict(rope_type="default", rope_theta=10000.0)
SMALL = dict(hidden_size=32, intermediate_size=48)
CASES = {
    "tied": dict(tie_word_embeddings=True),
    "untied": dict(tie_word_embeddings=False),
    "bias": dict(tie_word_embeddings=True, attention_bias=True, mlp_bias=True),
    "llama3_rope": dict(tie_word_embeddings=True, rope_parameters=LLAMA3),
    "linear_rope": dict(tie_word_embeddings=False, rope_parameters=LINEAR),
    "qwen2": dict(family="qwen2", tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=1e6)),
    "qwen3": dict(family="qwen3", tie_word_embeddings=False, head_dim=16, **SMALL),
    # Windows of 8: rows hold documents of up to 33 tokens.
    "mistral": dict(family="mistral", tie_word_embeddings=False, head_dim=16, sliding_window=8, **SMALL),
    "qwen2_window": dict(family="qwen2", tie_word_embeddings=False, use_sliding_window=True, sliding_window=8,
                         max_window_layers=1, **SMALL),
    "gemma": dict(family="gemma", head_dim=16, num_key_value_heads=1, **SMALL),
    "gemma2": dict(family="gemma2", head_dim=16, sliding_window=8, query_pre_attn_scalar=24,
                   attn_logit_softcapping=2.0, final_logit_softcapping=3.0, **SMALL),
    "gemma3": dict(family="gemma3_text", head_dim=16, num_hidden_layers=3, sliding_window=8, query_pre_attn_scalar=24,
                   layer_types=["sliding_attention", "sliding_attention", "full_attention"],
                   rope_parameters=dict(full_attention=LINEAR, sliding_attention=DEFAULT | dict(rope_theta=100.0)),
                   **SMALL),
    # Documents of more than 16 tokens take the long factors.
    "phi3": dict(family="phi3", tie_word_embeddings=False, num_attention_heads=2, num_key_value_heads=1,
                 max_position_embeddings=64, original_max_position_embeddings=16, sliding_window=12,
                 rope_parameters=dict(rope_type="longrope", rope_theta=10000.0, partial_rotary_factor=0.5,
                                      short_factor=[1.0, 1.1, 1.3, 1.5], long_factor=[1.0, 1.6, 2.5, 4.0]), **SMALL),
    "phi": dict(family="phi", rope_parameters=DEFAULT | dict(partial_rotary_factor=0.5), layer_norm_eps=1e-4,
                num_key_value_heads=4, num_attention_heads=4, **SMALL),
    "smollm3": dict(family="smollm3", num_hidden_layers=3, no_rope_layers=[1, 0, 1], **SMALL),
    "falcon_7b": dict(family="falcon", bias=False, **SMALL),
    "falcon_40b": dict(family="falcon", new_decoder_architecture=True, num_kv_heads=2, **SMALL),
    "falcon_11b": dict(family="falcon", new_decoder_architecture=True, num_kv_heads=2, num_ln_in_parallel_attn=1,
                       tie_word_embeddings=False, ffn_hidden_size=48, **SMALL),
    # Six heads: ALiBi's slopes of a number that is no power of two.
    "falcon_rw": dict(family="falcon", attention="sdpa", alibi=True, bias=True, multi_query=False, parallel_attn=False,
                      **(SMALL | dict(num_attention_heads=6, hidden_size=48))),
    # Beyond 16 tokens the base grows with the document.
    "dynamic_rope": dict(max_position_embeddings=16, rope_parameters=DEFAULT | dict(rope_type="dynamic", factor=2.0),
                         **SMALL),
    "yarn_rope": dict(rope_parameters=DEFAULT | dict(rope_type="yarn", factor=4.0,
                                                     original_max_position_embeddings=32), **SMALL),
    "longrope": dict(rope_parameters=DEFAULT | dict(rope_type="longrope", original_max_position_embeddings=16,
                                                    short_factor=[1.0, 1.1, 1.3, 1.5],
                                                    long_factor=[1.0, 1.6, 2.5, 4.0], factor=4.0), **SMALL),
}
# Around a text model: the text model is trained, and pictures are never seen.
TOWER = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=8, patch_size=4)
WRAPPED = {
    "gemma3_vision": ("gemma3", "gemma3", dict(vision_config=TOWER | dict(model_type="siglip_vision_model"),
                                               mm_tokens_per_image=4, image_token_index=250, boi_token_index=251,
                                               eoi_token_index=252)),
    "llava": ("llava", "untied", dict(vision_config=TOWER | dict(model_type="clip_vision_model", projection_dim=16),
                                      image_token_index=250)),
    "mistral3": ("mistral3", "mistral", dict(vision_config=TOWER | dict(model_type="pixtral", head_dim=8),
                                             image_token_index=250, spatial_merge_size=2, tie_word_embeddings=False)),
    "smolvlm": ("smolvlm", "tied", dict(vision_config=TOWER | dict(model_type="smolvlm_vision"), image_token_id=250,
                                        scale_factor=2, tie_word_embeddings=True)),
}
EXPERTS = {
    "mixtral": dict(family="mixtral", num_local_experts=4, num_experts_per_tok=2, sliding_window=8, **SMALL),
    "mixtral_router_loss": dict(family="mixtral", num_local_experts=3, num_experts_per_tok=2,
                                output_router_logits=True, router_aux_loss_coef=0.3, **SMALL),
    "qwen2_moe": dict(family="qwen2_moe", num_hidden_layers=3, num_experts=4, num_experts_per_tok=3,
                      moe_intermediate_size=20, shared_expert_intermediate_size=28, mlp_only_layers=[1], **SMALL),
    "qwen3_moe": dict(family="qwen3_moe", num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24,
                      norm_topk_prob=True, head_dim=16, **SMALL),
    # Only the second layer has experts.
    "qwen3_moe_step": dict(family="qwen3_moe", num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24,
                           norm_topk_prob=False, decoder_sparse_step=2, **SMALL),
}
IS_OLD = transformers.__version__.startswith("4.")
GAP, GAP_OF_TRAINING = 1e-3, 1e-4
RANK, ALPHA = 4, 8
LENGTHS = [[13, 7, 20], [33], [5, 18], [2, 11, 9, 6]]  # documents of each row
STEPS, RATE, CLIP, DECAY = 20, 1e-3, 1.0, 0.01


SIZES = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=176,
             vocab_size=257, max_position_embeddings=128, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2)


def make_model(family="llama", attention="eager", wrapped=None, **options):
    if family.startswith("gemma"):
        options["pad_token_id"] = 0
    elif "hidden_size" in options:
        options["pad_token_id"] = None
    foreign = {"phi": ["rms_norm_eps"], "falcon": ["rms_norm_eps", "num_key_value_heads", "intermediate_size"]}
    sizes = {key: value for key, value in (SIZES | options).items() if key not in foreign.get(family, [])}
    config = transformers.AutoConfig.for_model(family, attn_implementation=attention, **sizes)
    if wrapped:
        kind, parts = wrapped
        config = transformers.AutoConfig.for_model(kind, text_config=config.to_dict(), attn_implementation=attention, **parts)
        model = transformers.AutoModelForImageTextToText.from_config(config)
    else:
        model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            # Large enough that attention is far from uniform and every detail shows in the logits.
            centre = 0.0 if family.startswith("gemma") or name.endswith("bias") else 1.0
            p.copy_((centre + 0.2 * torch.randn_like(p)) if "norm" in name or "ln_" in name else 0.15 * torch.randn_like(p))
            if family != "llama" and p.dim() == 2 and "embed" not in name:
                p.mul_(1.5)  # half the width: as large in the logits
            if name.endswith((".block_sparse_moe.gate.weight", ".mlp.gate.weight")):
                p.mul_(0.8)  # scores with a deviation of about 1: few are close to each other
            p.copy_(p.to(torch.bfloat16).float())
    return model.eval()


def logits_of(model, ids):
    """Of one document alone: dynamic rope remembers the longest text it has seen."""
    for module in model.modules():
        if hasattr(module, "max_seq_len_cached") and hasattr(module, "original_inv_freq"):
            module.inv_freq = module.original_inv_freq.clone()
            module.max_seq_len_cached = module.original_max_seq_len
    return model(ids[None], output_hidden_states=True, use_cache=False)


class TooClose(Exception):
    """Another draw is needed."""


def watch_routers(model, gap):
    chosen = model.config.num_experts_per_tok
    watched = [module for name, module in model.named_modules()
               if name.endswith((".block_sparse_moe.gate", ".mlp.gate"))]

    def look(module, inputs, scores):
        best = torch.softmax(scores.float(), -1).topk(chosen + 1, -1).values
        if (best[..., -2] - best[..., -1]).min() <= gap:
            raise TooClose

    return [module.register_forward_hook(look) for module in watched]


def router_loss(model, row):
    """Of the documents as one padded batch."""
    width = max(len(ids) for ids, _ in row)
    batch = torch.stack([torch.nn.functional.pad(ids, (0, width - len(ids))) for ids, _ in row])
    mask = torch.stack([(torch.arange(width) < len(ids)).long() for ids, _ in row])
    return model.config.router_aux_loss_coef * model(batch, attention_mask=mask, use_cache=False).aux_loss


def rows(vocabulary):
    result = []
    for lengths in LENGTHS:
        row = []
        for length in lengths:
            ids = torch.randint(0, vocabulary, (length,))
            targets = torch.cat([ids[1:], torch.tensor([-100])])
            targets[: length // 3] = -100  # the prompt is not trained
            row.append((ids, targets))
        result.append(row)
    return result


def states_of(outputs):
    """What every layer reads, and what the head does."""
    states = {f"base/hidden/{i}": torch.cat([output.hidden_states[i][0] for output in outputs])
              for i in range(len(outputs[0].hidden_states) - 1)}
    return states | {"base/hidden": torch.cat([output.hidden_states[-1][0] for output in outputs])}


def loss_of(model, row, trains=True):
    """Mean over the trained tokens of the row, each document alone."""
    total, count = 0.0, 0
    for ids, targets in row:
        logits = logits_of(model, ids).logits[0]
        total = total + torch.nn.functional.cross_entropy(logits, targets, ignore_index=-100, reduction="sum")
        count += int((targets >= 0).sum())
    loss = total / count
    return loss + router_loss(model, row) if trains and getattr(model.config, "output_router_logits", False) else loss


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
    wrapped = {name: CASES[text] | dict(wrapped=(kind, parts)) for name, (kind, text, parts) in WRAPPED.items()}
    for number, (case, options) in enumerate((EXPERTS if IS_OLD else CASES | wrapped).items()):
        if sys.argv[1:] and case not in sys.argv[1:]:
            continue
        for draw in range(1000):
            try:
                write(case, options, 1000 + number if not IS_OLD else 100_000 + 1000 * number + draw)
                break
            except TooClose:
                print(case, draw, end="\r")


def write(case, options, seed):
    torch.manual_seed(seed)
    folder = os.path.join(OUT, case)
    os.makedirs(folder, exist_ok=True)
    base = make_model(**options)
    base.to(torch.bfloat16).save_pretrained(folder)
    for extra in ("generation_config.json",):
        if os.path.exists(os.path.join(folder, extra)):
            os.remove(os.path.join(folder, extra))
    loader = transformers.AutoModelForImageTextToText if case in WRAPPED else transformers.AutoModelForCausalLM
    model = loader.from_pretrained(folder, dtype=torch.float32, attn_implementation=options.get("attention", "eager"))
    data = rows(model.config.get_text_config().vocab_size - (8 if case in WRAPPED else 0))  # no pictures' tokens
    hooks = watch_routers(model, GAP) if case in EXPERTS else []
    golden = {}
    for i, row in enumerate(data):
        golden[f"row{i}/ids"] = torch.cat([ids for ids, _ in row])
        golden[f"row{i}/targets"] = torch.cat([targets for _, targets in row])
        golden[f"row{i}/lengths"] = torch.tensor([len(ids) for ids, _ in row])
    with torch.no_grad():
        outputs = [logits_of(model, ids) for ids, _ in data[0]]
        golden["base/logits"] = torch.cat([output.logits[0] for output in outputs])
        golden |= states_of(outputs)
        golden["base/loss"] = loss_of(model, data[0], trains=False)
    rslora = case == "untied"
    targets = r"model\.(language_model|text_model)\..*_proj" if case in WRAPPED else "all-linear"
    model = peft.get_peft_model(model, peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets,
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
        golden["adapter/logits"] = torch.cat([logits_of(model, ids).logits[0] for ids, _ in data[0]])
    loss = loss_of(model, data[0])
    loss.backward()
    golden["adapter/loss"] = loss.detach()
    golden |= lora_tensors(model, "gradient", lambda p: p.grad)

    # Training from B = 0.
    model.load_state_dict({name: start["zero_b/" + name.removeprefix("base_model.model.").replace(
        ".lora_A.default.weight", "/a").replace(".lora_B.default.weight", "/b")]
        for name, _ in model.named_parameters() if "lora_" in name}, strict=False)
    for hook in hooks:
        hook.remove()
    if hooks:
        watch_routers(model, GAP_OF_TRAINING)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=DECAY)
    schedule = transformers.get_cosine_schedule_with_warmup(optimizer, 0, STEPS)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(model, data[step % len(data)])
        loss.backward()
        if any(p.grad is None for p in parameters):
            raise TooClose
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        schedule.step()
        # AdamW's first step divides a gradient by itself and epsilon.
        if case in EXPERTS and step == 0 and any(
                ((p != 0) & (p.abs() < 0.97 * RATE)).any() for name, p in model.named_parameters() if "lora_B" in name):
            raise TooClose
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
