#!/usr/bin/env python3
"""Live check of what `lora` writes, with the programs that will read it: transformers, PEFT and llama.cpp (xllamacpp).

    build/venv/bin/python scripts/oracle/check_lora_exports.py --programs build/release/bin
    ... --model build/data/smollm2.gguf [--adapter RUN]     the same for a real model, on ten prompts
    ... --break permutation|scale                           spoils one detail: the check must fail

Without --model: tiny random Llamas (untied with biases and llama3 RoPE, tied and plain) and a Qwen2 with random adapters (plain,
rsLoRA with patterns), and a model of each other family with a plain one. For each: `lora merge` to a Hugging Face folder and a GGUF, also with a GGUF as the base, `lora
export` to GGUF and to PEFT, plain and with --bake-scale, `lora convert` of the base; a model with a DoRA adapter, merged; one
merged to GGUFs of every type of 16 bits and of blocks. Then
  - transformers loads the merged folder, in one file and in several, AutoTokenizer its tokenizer; logits equal PEFT's to
    1e-5 (relative norm);
  - PEFT loads the adapters that we wrote: the same bound;
  - llama.cpp (K and V cache in float32, flash attention off) loads the merged GGUF, and the base's GGUF with the GGUF
    adapter: log-probabilities of the same forced tokens within 1e-3 of transformers', and the same best token wherever
    the two best differ by more than 0.01;
  - llama.cpp on the GGUFs of 16 bits and blocks: divergence from PEFT within what such weights explain, and from what
    transformers computes with the file's numbers, its matrices' inputs rounded as ggml rounds them.
Prints the measured maxima. Exit code: 0 all within the bounds, 1 beyond a bound, 2 could not be run.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import gguf
import numpy as np
import torch
import xllamacpp
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer
from transformers.utils import logging

from tiny_llama import WRAPPED
from tiny_model import fill_adapter, llama, tokenizer

logging.set_verbosity_error()
logging.disable_progress_bar()
torch.set_num_threads(1)  # see llama_cpp below

BOUND_LOGITS, BOUND_LOG_PROBABILITY, CLEAR_GAP = 1e-5, 1e-3, 0.01
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PROMPTS = ["The sun is a star because", "In 1969, two people walked on", "def factorial(n):\n    return",
           "Water boils at 100 degrees", "\"Why do leaves turn red?\" asked the", "The three laws of motion say that",
           "To sort a list of numbers, first", "Das Wetter ist heute", "A triangle has three sides, and",
           "<|im_start|>user\nWhat is a hornbook?<|im_end|>\n<|im_start|>assistant\n"]
ADAPTERS = {
    "plain": dict(r=4, lora_alpha=8, target_modules=ALL),
    "rslora and patterns": dict(r=3, lora_alpha=5, target_modules=["q_proj", "k_proj", "up_proj", "down_proj"],
                                use_rslora=True, rank_pattern={"layers.1.self_attn.q_proj": 6},
                                alpha_pattern={"down_proj": 7}),
}


class Results:
    """The largest value of each measurement, and its bound."""

    def __init__(self):
        self.largest = {}

    def add(self, name, value, bound):
        previous = self.largest.get(name, (0.0, bound))[0]
        self.largest[name] = (max(previous, float(value)) if value == value else float("inf"), bound)

    def report(self):
        beyond = False
        for name, (value, bound) in self.largest.items():
            over = value > bound
            beyond |= over
            print(f"  {name:<58} {value:10.2e}  bound {bound:7.0e}{'  BEYOND THE BOUND' if over else ''}")
        return beyond


def run(program, *words):
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.stderr.write(f"{' '.join(map(str, words))}\n{done.stderr}")
        sys.exit(2)
    return json.loads(done.stdout) if "--json" in words else done.stderr


def load(folder):
    sees = "vision_config" in json.loads((Path(folder) / "config.json").read_text())
    loader = AutoModelForImageTextToText if sees else AutoModelForCausalLM
    return loader.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def greedy(model, ids, count):
    """`ids` and `count` greedy tokens after it, whatever they are: an end token is a token."""
    for _ in range(count):
        with torch.no_grad():
            ids = ids + [int(model(torch.tensor([ids])).logits[0, -1].argmax())]
    return ids


def logits_of(model, sequences):
    with torch.no_grad():
        return [model(torch.tensor([ids])).logits[0].double() for ids in sequences]


def relative(left, right):
    return max(((a - b).norm() / b.norm()).item() for a, b in zip(left, right))


def llama_cpp(model, adapter=None):
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.n_ctx = 512
    parameters.warmup = False
    parameters.fit_params = False
    parameters.swa_full = True  # else prefixes kept from one completion to the next lack keys that fell out of the window
    parameters.verbosity = -1
    # One thread: ggml's threads wait for each other by spinning, which takes seconds per token on a busy machine.
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    if adapter:
        parameters.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
    return xllamacpp.Server(parameters)


def compare_llama_cpp(server, words, sequences, logits, results, name, candidates):
    """One completion of one token after every prefix; the server keeps the prefix in its cache. A bias decides which
    token is taken: an end token or half a UTF-8 character would come without probabilities. These are from before the
    bias."""
    unequal = positions = 0
    taken_well = {token for token in range(len(words)) if words.decode([token]).isascii()} - set(words.all_special_ids)
    plain = min(taken_well)
    for ids, reference in zip(sequences, logits):
        expected = torch.log_softmax(reference, -1).numpy()
        for end in range(1, len(ids) + 1):
            forced = ids[end] if end < len(ids) and ids[end] in taken_well else plain
            answer = server.handle_completions({"prompt": ids[:end], "n_predict": 1, "temperature": 0,
                                                "logit_bias": [[forced, 1000.0]], "n_probs": candidates,
                                                "post_sampling_probs": False, "cache_prompt": True})
            taken = answer["choices"][0]["logprobs"]["content"][0]
            if taken["id"] != forced:
                sys.exit(f"llama.cpp took token {taken['id']} instead of {forced}")
            tokens = np.array([entry["id"] for entry in taken["top_logprobs"]] + [forced])
            measured = np.array([entry["logprob"] for entry in taken["top_logprobs"]] + [taken["logprob"]])
            results.add(f"{name}: log-probability", np.abs(measured - expected[end - 1][tokens]).max(),
                        BOUND_LOG_PROBABILITY)
            first, second = np.sort(expected[end - 1])[:-3:-1]
            positions += 1
            unequal += bool(first - second > CLEAR_GAP and tokens[measured.argmax()] != expected[end - 1].argmax())
    results.add(f"{name}: other best tokens in {positions}", unequal, 0)


def spoil_permutation(adapter, folder, file):
    """Writes the GGUF adapter again as a converter would that forgets to permute the rows of q and k."""
    from gguf import GGUFReader, GGUFWriter
    reader = GGUFReader(file)
    alpha = float(reader.fields["adapter.lora.alpha"].parts[-1][0])
    rows = {name.split("layers.")[1].split(".lora_B")[0]: value.numpy()
            for name, value in load_file(Path(adapter) / "adapter_model.safetensors").items() if "lora_B" in name}
    writer = GGUFWriter(folder / "spoiled.gguf", "llama")
    for key, value in {"general.type": "adapter", "adapter.type": "lora"}.items():
        writer.add_string(key, value)
    writer.add_float32("adapter.lora.alpha", alpha)
    for tensor in reader.tensors:
        data = np.array(tensor.data).reshape([int(size) for size in tensor.shape[::-1]])
        for kind in ("q", "k"):
            if f".attn_{kind}.weight.lora_b" in tensor.name:
                data = rows[f"{tensor.name.split('.')[1]}.self_attn.{kind}_proj"].astype(np.float32)
        writer.add_tensor(tensor.name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder / "spoiled.gguf"


def spoil_scale(adapter, folder):
    shutil.copytree(adapter, folder / "spoiled", dirs_exist_ok=True)
    config = json.loads((folder / "spoiled/adapter_config.json").read_text())
    config["lora_alpha"] *= 1.05
    (folder / "spoiled/adapter_config.json").write_text(json.dumps(config))
    return folder / "spoiled"


def check(lora, base, reference_base, adapter, prompts, folder, broken, results, candidates, new_tokens,
          is_read_by_peft=True):
    """`base` is what lora is given; `reference_base` is a Hugging Face folder of the same weights."""
    given = spoil_scale(adapter, folder) if broken == "scale" else adapter
    run(lora, "merge", given, "--base", base, "--output", folder / "merged", "--format", "hf", "--format", "gguf",
        "--dtype", "float32", "--quiet")
    run(lora, "export", given, "--base", base, "--format", "gguf", "--output", folder / "adapter.gguf", "--quiet")
    run(lora, "export", given, "--base", base, "--format", "peft", "--output", folder / "peft", "--quiet")
    run(lora, "export", given, "--base", base, "--format", "peft", "--bake-scale", "--output", folder / "baked", "--quiet")
    run(lora, "convert", base, "--output", folder / "base.gguf", "--dtype", "float32", "--quiet")
    gguf_adapter = folder / "adapter.gguf"
    if broken == "permutation":
        gguf_adapter = spoil_permutation(given, folder, gguf_adapter)

    words = AutoTokenizer.from_pretrained(reference_base)
    reference = PeftModel.from_pretrained(load(reference_base), adapter).eval()
    sequences = [greedy(reference, words(prompt)["input_ids"], new_tokens) for prompt in prompts]
    expected = logits_of(reference, sequences)
    plain = logits_of(load(reference_base), sequences)
    print(f"  the adapter changes the logits by {relative(plain, expected):.2e} (relative norm)")
    del reference, plain

    merged_words = AutoTokenizer.from_pretrained(folder / "merged")
    chat = [{"role": "user", "content": "Read it again."}]
    results.add("tokenizer of the merged folder: other ids", sum(
        words(prompt)["input_ids"] != merged_words(prompt)["input_ids"] for prompt in prompts), 0)
    results.add("chat template of the merged folder: other texts", words.apply_chat_template(
        chat, tokenize=False, add_generation_prompt=True) != merged_words.apply_chat_template(
        chat, tokenize=False, add_generation_prompt=True), 0)
    results.add("transformers on the merged folder: logits", relative(
        logits_of(load(folder / "merged"), sequences), expected), BOUND_LOGITS)
    run(lora, "merge", given, "--base", base, "--output", folder / "sharded", "--dtype", "float32", "--max-shard-size",
        max((folder / "merged/model.safetensors").stat().st_size // 3, 1), "--quiet")
    results.add("files of a merged folder in parts: missing", max(0, 2 - len(list((folder / "sharded").glob(
        "model-*.safetensors")))), 0)
    results.add("transformers on a merged folder in parts: logits", relative(
        logits_of(load(folder / "sharded"), sequences), expected), BOUND_LOGITS)
    for name, form in (("peft", "as it is"), ("baked", "baked")) if is_read_by_peft else ():
        written = PeftModel.from_pretrained(load(reference_base), folder / name).eval()
        results.add(f"PEFT on our adapter, {form}: logits", relative(logits_of(written, sequences), expected),
                    BOUND_LOGITS)
        del written
    if not str(base).endswith(".gguf"):  # the way round: the base as a GGUF, the result a folder
        run(lora, "merge", given, "--base", folder / "base.gguf", "--output", folder / "from-gguf", "--dtype",
            "float32", "--quiet")
        results.add("transformers on a merged folder from a GGUF: logits", relative(
            logits_of(load(folder / "from-gguf"), sequences), expected), BOUND_LOGITS)
        other = AutoTokenizer.from_pretrained(folder / "from-gguf")
        results.add("tokenizer of that folder: other ids", sum(
            words(prompt)["input_ids"] != other(prompt)["input_ids"] for prompt in prompts), 0)

    server = llama_cpp(folder / "merged/model-f32.gguf")
    compare_llama_cpp(server, words, sequences, expected, results, "llama.cpp, merged GGUF", candidates)
    del server
    server = llama_cpp(folder / "base.gguf", gguf_adapter)
    compare_llama_cpp(server, words, sequences, expected, results, "llama.cpp, GGUF adapter on base GGUF", candidates)
    del server
    return words, sequences, expected


def check_dora(lora, folder, prompts, results):
    """DoRA is no matter of a GGUF adapter: merged, all read it."""
    words, model = tokenizer(320, whole_alphabet=True), llama(320, tied=False, biases=False, rope="default")
    model.save_pretrained(folder / "base")
    words.save_pretrained(folder / "base")
    adapted = fill_adapter(get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=ALL,
                                                            use_dora=True))).eval()
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "magnitude" in name:
                parameter.mul_(torch.empty_like(parameter).uniform_(0.7, 1.4))
    adapted.save_pretrained(folder / "adapter")
    run(lora, "merge", folder / "adapter", "--base", folder / "base", "--output", folder / "merged", "--format", "hf",
        "--format", "gguf", "--dtype", "float32", "--quiet")
    sequences = [greedy(adapted, words(prompt)["input_ids"], 8) for prompt in prompts]
    expected = logits_of(adapted, sequences)
    print(f"tiny model with DoRA; the adapter changes the logits by "
          f"{relative(logits_of(load(folder / 'base'), sequences), expected):.2e} (relative norm)")
    results.add("DoRA, transformers on the merged folder: logits", relative(
        logits_of(load(folder / "merged"), sequences), expected), BOUND_LOGITS)
    compare_llama_cpp(llama_cpp(folder / "merged/model-f32.gguf"), words, sequences, expected, results,
                      "DoRA, llama.cpp, merged GGUF", 320)


def answers_of(server, words, sequences, candidates):
    """Of every prefix the probabilities of the best tokens, by id."""
    found = []
    taken_well = {token for token in range(len(words)) if words.decode([token]).isascii()} - set(words.all_special_ids)
    plain = min(taken_well)
    for ids in sequences:
        for end in range(1, len(ids) + 1):
            answer = server.handle_completions({"prompt": ids[:end], "n_predict": 1, "temperature": 0,
                                                "logit_bias": [[plain, 1000.0]], "n_probs": candidates,
                                                "post_sampling_probs": False, "cache_prompt": True})
            taken = answer["choices"][0]["logprobs"]["content"][0]
            found.append({entry["id"]: entry["logprob"] for entry in taken["top_logprobs"]})
    return found


# Mean KL from PEFT's probabilities, in nats, as finetune/comparison.cc has it: SmolLM2 loses much by few bits.
TYPES = {"float16": 3e-5, "bfloat16": 1e-3, "q8_0": 1e-2, "q6_k": 5e-2, "q5_k_m": 3, "q4_k_m": 3, "q4_0": 3}
# From what transformers computes with the file's numbers and with ggml's rounding of what they are multiplied with: in shares
# of what that rounding changes. A last bit turns a rounding, a turned rounding turns others: two layers follow it to a tenth,
# after thirty the errors of two programs, or of one on two processors, are of one size and not the same.
BOUND_OF_THE_NUMBERS = {"few layers": 0.5, "many layers": 3}
FLOAT32_NOISE = 1e-5
LINEAR = {"q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output", "gate_proj": "ffn_gate",
          "up_proj": "ffn_up", "down_proj": "ffn_down"}


def rounded_as(dtype, inputs):
    """What ggml multiplies a matrix of `dtype` with (`vec_dot_type` in ggml-cpu.c): inputs of 16 bits, or of eight bits in
    blocks, of 32 with a float16 scale (quantize_row_q8_0), of 256 for the K types (quantize_row_q8_K)."""
    if dtype in ("F16", "BF16"):
        return inputs.to(torch.float16 if dtype == "F16" else torch.bfloat16).float()
    if dtype == "F32":
        return inputs
    is_k = dtype.endswith("_K")
    blocks = inputs.unflatten(-1, (-1, 256 if is_k else 32))
    scale = blocks.abs().amax(-1, keepdim=True) / 127
    whole = torch.where(scale > 0, blocks / scale, 0).round()
    return (whole * (scale if is_k else scale.half().float())).flatten(-2)


def round_as_ggml(model, file):
    """transformers' Llama with the numbers of the GGUF `file`: from now on its products round their inputs as ggml's do."""
    types = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(file).tensors}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            parts = name.split(".")
            dtype = (types.get("output.weight", types["token_embd.weight"]) if name == "lm_head" else
                     types[f"blk.{parts[2]}.{LINEAR[parts[-1]]}.weight"])
            module.register_forward_pre_hook(lambda _, given, dtype=dtype: (rounded_as(dtype, given[0]),))
    return model


def divergence(expected, answers):
    """Mean KL, of the best tokens and all others as one; share of other best tokens."""
    kl, others = [], 0
    for row, found in zip(np.concatenate([torch.log_softmax(logits, -1).numpy() for logits in expected]), answers):
        ids, right = np.array(list(found)), np.array(list(found.values()), dtype=np.float64)
        left = row[ids]
        rest = [max(1 - np.exp(part).sum(), 1e-12) for part in (left, right)]
        kl.append((np.exp(left) * (left - right)).sum() + rest[0] * np.log(rest[0] / rest[1]))
        others += ids[right.argmax()] != row.argmax()
    return np.mean(kl), others / len(kl)


def check_types(lora, base, adapter, words, sequences, expected, folder, results, candidates):
    """GGUFs of fewer bits."""
    for dtype, most in TYPES.items():
        file = folder / f"{dtype}.gguf"
        run(lora, "merge", adapter, "--base", base, "--output", file, "--dtype", dtype, "--quiet")
        answers = answers_of(llama_cpp(file), words, sequences, candidates)
        kl, others = divergence(expected, answers)
        results.add(f"llama.cpp, merged GGUF, {dtype}: mean KL", kl, most)
        run(lora, "convert", file, "--output", folder / dtype, "--dtype", "float32", "--quiet")
        model = load(folder / dtype)
        exact = torch.cat(logits_of(model, sequences)).log_softmax(-1)
        rounded = torch.cat(logits_of(round_as_ggml(model, file), sequences)).log_softmax(-1)
        rounding = (exact.exp() * (exact - rounded)).sum(-1).mean().item()
        own, own_others = divergence([rounded], answers)
        print(f"  {dtype}: mean KL from its numbers {own:.2e}, of which rounding explains {rounding:.2e}")
        results.add(f"llama.cpp, merged GGUF, {dtype}: KL from its numbers / rounding", own / (rounding + FLOAT32_NOISE),
                    BOUND_OF_THE_NUMBERS["few layers" if model.config.num_hidden_layers < 4 else "many layers"])
        print(f"  {dtype}: other best tokens {others:.1%}, than its own numbers have {own_others:.1%}")
        file.unlink()
        shutil.rmtree(folder / dtype)


DEFAULT = dict(rope_type="default", rope_theta=10000.0)
PLAIN = dict(tied=False, biases=False, rope="default")
LONG = dict(rope_type="longrope", rope_theta=10000.0, short_factor=[1 + i / 10 for i in range(8)],
            long_factor=[1.0 + i for i in range(8)], original_max_position_embeddings=512)
BEYOND = LONG | dict(original_max_position_embeddings=24)
EXPERTS = dict(moe_intermediate_size=64, experts_implementation="eager")
# Experts are parameters in transformers 5, not modules: PEFT adapts all of a layer at once, and what `lora` makes of such an
# adapter has a module for each.
OF_EXPERTS = dict(target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
                  target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"])
# PEFT 0.21 makes stacks of an adapter's experts for Mixtral and Qwen3-MoE alone; that of Qwen2-MoE it reads on transformers 4.
NOT_READ_BY_PEFT = ["Qwen2-MoE"]
# ggml looks GELU up in a table of float16: where it is used, numbers are kept small (size), or its error alone is 1e-3.
# Texts of the check have up to 40 tokens, so a window of 8 shows; llama.cpp computes those of Gemma alone.
FAMILIES = {
    "Qwen3": PLAIN | dict(family="qwen3", head_dim=32),
    "Mistral with a window that is not reached": PLAIN | dict(family="mistral", head_dim=32, sliding_window=256),
    "Gemma": PLAIN | dict(family="gemma", size=0.05, tied=True, head_dim=32, num_key_value_heads=1),
    "Gemma 2": PLAIN | dict(family="gemma2", size=0.045, tied=True, head_dim=32, sliding_window=8, query_pre_attn_scalar=32,
                            attn_logit_softcapping=2.0, final_logit_softcapping=3.0),
    "Gemma 3": PLAIN | dict(family="gemma3_text", size=0.045, tied=True, head_dim=32, num_hidden_layers=3, sliding_window=8,
                            query_pre_attn_scalar=32,
                            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                            rope_parameters=dict(full_attention=DEFAULT | dict(rope_type="linear", factor=2.0),
                                                 sliding_attention=DEFAULT | dict(rope_theta=100.0))),
    "Phi-3": PLAIN | dict(family="phi3", biases="none", max_position_embeddings=2048, rope_parameters=LONG,
                          original_max_position_embeddings=512),
    "Phi": PLAIN | dict(family="phi", size=0.045, biases="none", num_key_value_heads=4,
                        rope_parameters=DEFAULT | dict(partial_rotary_factor=0.5)),
    "Falcon 7B": PLAIN | dict(family="falcon", size=0.036, tied=True, biases="none", rope="default", num_kv_heads=1),
    "Falcon 40B": PLAIN | dict(family="falcon", size=0.036, tied=True, biases="none", new_decoder_architecture=True,
                               num_kv_heads=2),
    "Falcon 11B": PLAIN | dict(family="falcon", size=0.036, tied=False, biases="none", new_decoder_architecture=True,
                               num_kv_heads=2, num_ln_in_parallel_attn=1, ffn_hidden_size=96),
    "Mixtral": PLAIN | EXPERTS | dict(family="mixtral", num_local_experts=4, num_experts_per_tok=2),
    "Qwen2-MoE": PLAIN | EXPERTS | dict(family="qwen2_moe", biases="none", num_experts=4, num_experts_per_tok=3,
                                        shared_expert_intermediate_size=80),
    "Qwen3-MoE": PLAIN | EXPERTS | dict(family="qwen3_moe", head_dim=32, num_experts=5, num_experts_per_tok=2,
                                        norm_topk_prob=True),
    "SmolLM3": PLAIN | dict(family="smollm3", tied=True, num_hidden_layers=4),
    "YaRN": PLAIN | dict(rope_parameters=DEFAULT | dict(rope_type="yarn", factor=4.0,
                                                        original_max_position_embeddings=128)),
    "longrope": PLAIN | dict(rope_parameters=LONG, max_position_embeddings=2048),
    # llama.cpp takes the long factors where its context, 512 here, is beyond the original one; transformers where the
    # text is. So texts are.
    "longrope, long factors": PLAIN | dict(rope_parameters=BEYOND, max_position_embeddings=2048, new_tokens=24),
    "Phi-3, long factors": PLAIN | dict(family="phi3", biases="none", max_position_embeddings=2048, new_tokens=24,
                                        rope_parameters=BEYOND, original_max_position_embeddings=24),
    "Vocabulary padded to 64": PLAIN | dict(pad=64),
    "Vocabulary resized for added tokens": PLAIN | dict(tied=True, added=["<extra>", "<more>"], pad=8),
    "Gemma 3 with pictures": PLAIN | dict(family="gemma3_text", size=0.045, tied=True, head_dim=32, sliding_window=8,
                                          query_pre_attn_scalar=32, wrapped=WRAPPED["gemma3_vision"][::2],
                                          layer_types=["sliding_attention", "full_attention"],
                                          rope_parameters=dict(full_attention=DEFAULT,
                                                               sliding_attention=DEFAULT | dict(rope_theta=100.0))),
    "LLaVA": PLAIN | dict(wrapped=WRAPPED["llava"][::2]),
    "Mistral with pictures": PLAIN | dict(family="mistral", head_dim=32, sliding_window=256,
                                          wrapped=WRAPPED["mistral3"][::2]),
}


TEXT = r"model\.language_model\..*_proj"  # of a model around a text model


def check_tiny(lora, folder, broken, results, only):
    prompts = ["Read it again, slowly.", "12 pages, 345 words", "naïve \n text", *PROMPTS[:6], PROMPTS[9]]
    kinds = [("untied, biases, llama3 rope", dict(tied=False, biases=True, rope="llama3")),
             ("tied, no biases, plain rope", dict(tied=True, biases=False, rope="default")),
             ("Qwen2, tied, plain rope", dict(family="qwen2", tied=True, rope="default"))]
    if broken == "permutation":  # Qwen2's rows are not permuted
        kinds = [kind for kind in kinds if "family" not in kind[1]]
    jobs = [(kind, options, name, config) for kind, options in kinds for name, config in ADAPTERS.items()]
    if broken != "permutation":
        jobs += [(kind, options, "plain", dict(r=4, lora_alpha=8) |
                  (OF_EXPERTS if "experts_implementation" in options else
                   dict(target_modules=TEXT if "wrapped" in options else "all-linear")))
                 for kind, options in FAMILIES.items()]
    for kind, options, name, config in jobs:
        if only and only not in kind:
            continue
        print(f"tiny model, {kind}; adapter: {name}")
        place = Path(tempfile.mkdtemp(dir=folder))
        options = dict(options)
        words, new_tokens, multiple = tokenizer(320, whole_alphabet=True), options.pop("new_tokens", 8), options.pop("pad", 1)
        words.add_tokens(options.pop("added", []))
        rows = -(-(len(words) + multiple - 1) // multiple) * multiple  # one more than needed at least, when padded
        model = llama(rows, **options)
        model.save_pretrained(place / "base")
        words.save_pretrained(place / "base")
        adapted = fill_adapter(get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **config)))
        adapted.save_pretrained(place / "adapter")
        found = Results()
        check(lora, place / "base", place / "base", place / "adapter", prompts, place, broken, found,
              candidates=rows, new_tokens=new_tokens, is_read_by_peft=kind not in NOT_READ_BY_PEFT)
        if kind in FAMILIES:
            print("  " + "; ".join(f"{what} {value:.1e}" for what, (value, _) in found.largest.items() if value))
        for what, (value, bound) in found.largest.items():
            results.add(what, value, bound)


    if broken is None and not only:
        check_dora(lora, Path(tempfile.mkdtemp(dir=folder)), prompts, results)
        check_blocks(lora, Path(tempfile.mkdtemp(dir=folder)), prompts, results)


def check_blocks(lora, folder, prompts, results):
    """Rows of whole blocks of every type, which SmolLM2's are not. Numbers are small: rounding is a share of each."""
    words = tokenizer(320, whole_alphabet=True)
    model = llama(320, tied=False, biases=False, rope="default", size=0.04, hidden_size=256, intermediate_size=512)
    model.save_pretrained(folder / "base")
    words.save_pretrained(folder / "base")
    adapted = fill_adapter(get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **ADAPTERS["plain"])), size=0.04).eval()
    adapted.save_pretrained(folder / "adapter")
    sequences = [greedy(adapted, words(prompt)["input_ids"], 8) for prompt in prompts]
    expected = logits_of(adapted, sequences)
    print(f"tiny model of whole blocks; the adapter changes the logits by "
          f"{relative(logits_of(load(folder / 'base'), sequences), expected):.2e} (relative norm)")
    check_types(lora, folder / "base", folder / "adapter", words, sequences, expected, folder, results, candidates=320)


def check_model(lora, model, adapter, folder, broken, results):
    reference = Path(model)
    if reference.suffix == ".gguf":
        reference = folder / "reference"
        run(lora, "convert", model, "--output", reference, "--dtype", "float32", "--quiet")
    if adapter is None:
        adapter = folder / "adapter"
        torch.manual_seed(3)  # PEFT draws the A
        fill_adapter(get_peft_model(load(reference), LoraConfig(task_type="CAUSAL_LM", **ADAPTERS["plain"])),
                     size=0.02).save_pretrained(adapter)
    elif (Path(adapter) / "adapter").is_dir():
        adapter = Path(adapter) / "adapter"
    print(f"{model}; adapter: {adapter}")
    words, sequences, expected = check(lora, model, reference, adapter, PROMPTS, folder, broken, results, candidates=200,
                                       new_tokens=12)
    check_types(lora, model, adapter, words, sequences[:5], expected[:5], folder, results, candidates=200)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", default="build/release/bin", help="the folder that holds the program lora")
    parser.add_argument("--model", help="a Hugging Face folder or a GGUF instead of the tiny models")
    parser.add_argument("--adapter", help="with --model: a run or an adapter; a random one when not given")
    parser.add_argument("--break", dest="broken", choices=["permutation", "scale"], help="spoil one detail")
    parser.add_argument("--only", help="only the tiny models whose names hold this")
    options = parser.parse_args()
    lora = Path(options.programs) / "lora"
    if not lora.exists():
        sys.exit(f"{lora} is not there: build it first")
    results = Results()
    with tempfile.TemporaryDirectory(prefix="lora-exports-") as folder:
        if options.model:
            check_model(lora, options.model, options.adapter, Path(folder), options.broken, results)
        else:
            check_tiny(lora, Path(folder), options.broken, results, options.only)
    print("measured maxima:")
    sys.exit(1 if results.report() else 0)


if __name__ == "__main__":
    main()
