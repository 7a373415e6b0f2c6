#!/usr/bin/env python3
"""Tokens a second of greedy generation, batch 1: `finetune generate` against transformers and llama.cpp.

    build/venv/bin/python scripts/bench/generate.py [--programs build/release/bin] [--model build/data/smollm2.gguf]
        [--tokens 128] [--rounds 3] [--threads 2] [--stored bfloat16]

Of the same weights, a folder in bfloat16 as SmolLM2 is published (`--stored float32`: saved in float32): in float32 and bfloat16 transformers from that folder, llama.cpp
(the package xllamacpp) from a GGUF of that type made of it; of the GGUF's own blocks llama.cpp alone; in float32 with an adapter (rank
16 on all linear layers, LoRA and DoRA) peft, which does not merge it either. Each round runs all of them in turn,
each in a process of its own that generates twice and tells the seconds of the second time for each token; the prompt is part of it.
Tokens must be the same for the same type as far as float rounding lets them: how many agree is printed."""
import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

PROMPT = "The history of computing begins with"


def ours(options, model, words):
    command = [options.programs / "finetune", "generate", "--model", model, "--prompts", "-", "--raw", "--max-tokens",
               options.tokens, "--temperature", "0", "--repetition-penalty", "1", "--threads", options.threads, "--json", *words]
    # Two prompts: what the first costs once is not counted.
    seconds, last = [], {}
    for prompts in (1, 2):
        done = subprocess.run([str(word) for word in command], input=(json.dumps({"prompt": PROMPT}) + "\n") * prompts, text=True,
                              capture_output=True)
        if done.returncode:
            sys.exit(done.stderr)
        found = re.search(r"in ([0-9.]+) (ms|s|min)", done.stderr)
        seconds.append(float(found[1]) * {"ms": 1e-3, "s": 1, "min": 60}[found[2]])
        last = json.loads(done.stdout.splitlines()[-1])
    return (seconds[1] - seconds[0]) / len(last["ids"]), last["text"]


def make_adapter(folder, out, dora):
    """With numbers that do something: what peft begins with, and a small B."""
    import peft
    import torch
    import transformers
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32,
                                                       target_modules="all-linear", use_dora=dora))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=1e-3)
    model.save_pretrained(out)


def by_transformers(folder, dtype, tokens, threads):
    import time
    import torch
    import transformers
    torch.set_num_threads(threads)
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder).partition("+")[0])
    folder, _, adapter = str(folder).partition("+")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    if adapter:
        import peft
        model = peft.PeftModel.from_pretrained(model, adapter).eval()
    ids = tokenizer(PROMPT, return_tensors="pt")
    for _ in range(2):
        begin = time.perf_counter()
        with torch.inference_mode():
            out = model.generate(**ids, max_new_tokens=tokens, do_sample=False, repetition_penalty=1.0,
                                 eos_token_id=None, pad_token_id=0)
        seconds = time.perf_counter() - begin
    return seconds / tokens, tokenizer.decode(out[0][ids.input_ids.shape[1]:], skip_special_tokens=True)


def by_llama_cpp(gguf, tokens, threads):
    import time
    import xllamacpp
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(gguf)
    parameters.n_ctx = 512
    parameters.warmup = False
    parameters.n_gpu_layers = 0
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(parameters)
    for _ in range(2):
        begin = time.perf_counter()
        answer = server.handle_completions({"prompt": PROMPT, "n_predict": tokens, "temperature": 0, "top_k": 1,
                                            "repeat_penalty": 1.0, "cache_prompt": False, "ignore_eos": True})
        seconds = time.perf_counter() - begin
    return seconds / tokens, answer["content"] if "content" in answer else answer["choices"][0]["text"]


def apart(options, which, model, dtype):
    done = subprocess.run([sys.executable, __file__, "--apart", which, str(model), dtype, "--tokens", str(options.tokens),
                           "--threads", str(options.threads)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    seconds, text = json.loads(done.stdout.splitlines()[-1])
    return seconds, text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", default="build/release/bin", type=pathlib.Path)
    parser.add_argument("--model", default="build/data/smollm2.gguf", type=pathlib.Path)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stored", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--apart", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.apart:
        which, model, dtype = options.apart
        if which == "adapter":
            return make_adapter(*model.split("+"), dtype == "DoRA")
        found = (by_transformers(model, dtype, options.tokens, options.threads) if which == "transformers" else
                 by_llama_cpp(model, options.tokens, options.threads))
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory(prefix="hornbook_bench_") as work:
        work = pathlib.Path(work)
        convert = [options.programs / "lora", "convert", "--quiet"]
        subprocess.run([*convert, options.model, "--output", work / "bf16", "--dtype", "bfloat16"], check=True)
        subprocess.run([*convert, work / "bf16", "--output", work / "hf", "--dtype", options.stored], check=True)
        runs = [("blocks", "ours", lambda: ours(options, options.model, ["--quantization", "keep"])),
                ("blocks", "llama.cpp", lambda: apart(options, "llama.cpp", options.model, "-"))]
        for dtype, gguf in (("float32", "f32"), ("bfloat16", "bf16")):
            file = work / f"{gguf}.gguf"
            subprocess.run([*convert, work / "hf", "--output", file, "--dtype", dtype], check=True)
            runs += [(dtype, "ours", lambda dtype=dtype: ours(options, work / "hf", ["--dtype", dtype])),
                     (dtype, "transformers", lambda dtype=dtype: apart(options, "transformers", work / "hf", dtype)),
                     (dtype, "llama.cpp", lambda file=file: apart(options, "llama.cpp", file, "-"))]
        for kind in ("LoRA", "DoRA"):
            made = subprocess.run([sys.executable, __file__, "--apart", "adapter", f"{work / 'hf'}+{work / kind}", kind], capture_output=True, text=True)
            if made.returncode:
                sys.exit(made.stderr)
            runs += [(kind, "ours", lambda kind=kind: ours(options, work / "hf", ["--dtype", "float32", "--adapter", work / kind])),
                     (kind, "peft", lambda kind=kind: apart(options, "transformers", f"{work / 'hf'}+{work / kind}", "float32"))]
        speeds, texts = {}, {}
        for _ in range(options.rounds):
            for dtype, who, run in runs:
                seconds, text = run()
                speeds.setdefault((dtype, who), []).append(1 / seconds)
                texts[dtype, who] = text.strip()
        for (dtype, who), found in speeds.items():
            line = f"{dtype} {who}: {statistics.median(found):.1f} tokens/s ({min(found):.1f} to {max(found):.1f})"
            if who != "ours":
                ratios = [a / b for a, b in zip(speeds[dtype, "ours"], found)]
                line += f"; ours is {statistics.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})"
                alike = texts[dtype, "ours"].startswith(texts[dtype, who][:200])
                line += "; the first 200 characters are the same" if alike else "; the texts differ"
            print(line, flush=True)


main()
