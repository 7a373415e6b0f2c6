#!/usr/bin/env python3
"""`lora merge` against PEFT's merge_and_unload and save_pretrained, `lora convert` against llama.cpp's Python converter.

    build/venv/bin/python scripts/bench/merge_speed.py [--programs build/release/bin] [--model build/data/smollm2.gguf]
        [--rounds 5] [--dtype bfloat16] [--converter build/data/llama_cpp_python-0.3.36/vendor/llama.cpp]

The converter is that of the source package of llama-cpp-python:
    pip download --no-deps --no-binary llama-cpp-python llama-cpp-python==0.3.36 && tar xzf llama_cpp_python-0.3.36.tar.gz

The base is the folder, in float32 or as --dtype says, that `lora convert` makes of the GGUF; the adapter has rank 16 on all linear layers. Each
round runs all contenders in turn, each in a process of its own. Whole process: wall time from outside, start and imports
among it. Work alone: ours, what `--json` says, which is from the first look at a file to the last rename; theirs, the calls
alone: merge_and_unload and save_pretrained of models that are loaded (and, beside it, with the loading, which ours has in
it), main() of a converter that is imported. Ours waits until what it wrote is on the disk (fsync), theirs leave that to the
kernel: --folder /dev/shm takes the disk out of both. Medians, and the ratio of each round's pair. Written weights are compared: PEFT's
to float32's rounding, the converter's byte by byte."""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
SELF = pathlib.Path(__file__)


def make_adapter(base, folder, dtype):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, dtype)), LoraConfig(
        r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.02)
    model.save_pretrained(folder)


def by_peft(base, adapter, output, dtype):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM
    start = time.perf_counter()
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, dtype)), adapter)
    loaded = time.perf_counter()
    model.merge_and_unload().save_pretrained(output)
    end = time.perf_counter()
    print(json.dumps({"work": end - loaded, "with_loading": end - start}))


def by_converter(converter, base, output, dtype):
    sys.path[:0] = [converter, converter + "/gguf-py"]
    sys.argv = ["convert_hf_to_gguf.py", base, "--outfile", output, "--outtype", dtype]
    import convert_hf_to_gguf
    start = time.perf_counter()
    convert_hf_to_gguf.main()
    print(json.dumps({"work": time.perf_counter() - start}))


def timed(words):
    """Seconds of the whole process, and what its last line says."""
    start = time.perf_counter()
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{words}\n{done.stderr[-3000:]}")
    said = json.loads(done.stdout.strip().splitlines()[-1])
    return {"whole": seconds, "work": said.get("work", said.get("seconds")), "with_loading": said.get("with_loading")}


def same_weights(ours, theirs):
    """The largest difference, of the norm of a tensor."""
    from safetensors.torch import load_file
    left, right = load_file(ours / "model.safetensors"), load_file(theirs / "model.safetensors")
    if set(left) != set(right):
        sys.exit(f"other tensors: {sorted(set(left) ^ set(right))[:5]}")
    return max(float((left[name].float() - right[name].float()).norm() / right[name].float().norm()) for name in left)


def same_bytes(ours, theirs):
    """How many tensors differ."""
    from gguf import GGUFReader
    left, right = ({tensor.name: tensor.data.tobytes() for tensor in GGUFReader(path).tensors} for path in (ours, theirs))
    return sum(left.get(name) != right.get(name) for name in left | right)


def report(name, goal, rounds):
    print(f"{name} ({len(rounds)} rounds)")
    for kind in ("whole", "work", "with_loading"):
        pairs = [(ours["work" if kind == "with_loading" else kind], theirs[kind]) for ours, theirs in rounds]
        if None in pairs[0]:
            continue
        ratios = sorted(theirs / ours for ours, theirs in pairs)
        print(f"  {kind:13} ours {statistics.median(pair[0] for pair in pairs):7.3f} s, theirs "
              f"{statistics.median(pair[1] for pair in pairs):7.3f} s: {statistics.median(ratios):5.1f}x "
              f"({ratios[0]:.1f} to {ratios[-1]:.1f}){f', goal {goal}x' if kind == 'work' else ''}")


def measure(options, work):
    lora, base, adapter = options.programs / "lora", work / "base", work / "adapter"
    subprocess.run([lora, "convert", options.model, "--output", base, "--dtype", options.dtype, "--quiet"], check=True)
    make_adapter(base, adapter, options.dtype)
    merges, conversions = [], {"f32": [], "f16": []}
    for number in range(options.rounds + 1):  # the first one only fills the page cache
        pair = (timed([lora, "merge", adapter, "--base", base, "--output", work / "ours", "--json", "--quiet", "--overwrite"]),
                timed([sys.executable, SELF, "--child", "peft", base, adapter, work / "theirs", options.dtype]))
        if number:
            merges.append(pair)
        for dtype, rounds in conversions.items() if options.converter else ():
            name = {"f32": "float32", "f16": "float16"}[dtype]
            pair = (timed([lora, "convert", base, "--output", work / f"ours-{dtype}.gguf", "--dtype", name, "--json", "--quiet",
                           "--overwrite"]),
                    timed([sys.executable, SELF, "--child", "converter", options.converter, base,
                           work / f"theirs-{dtype}.gguf", dtype]))
            if number:
                rounds.append(pair)
    report("lora merge against merge_and_unload and save_pretrained", 5, merges)
    print(f"  weights differ by at most {same_weights(work / 'ours', work / 'theirs'):.1e} of a tensor's norm")
    for dtype, rounds in conversions.items() if options.converter else ():
        report(f"lora convert against convert_hf_to_gguf.py, {dtype}", 3, rounds)
        print(f"  tensors that differ: {same_bytes(work / f'ours-{dtype}.gguf', work / f'theirs-{dtype}.gguf')}")


def main():
    if sys.argv[1:2] == ["--child"]:
        return (by_peft if sys.argv[2] == "peft" else by_converter)(*sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, default=pathlib.Path("build/release/bin"))
    parser.add_argument("--model", default="build/data/smollm2.gguf", help="a GGUF or a Hugging Face folder")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="of the base, and of the merged model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--converter", help="the folder that holds convert_hf_to_gguf.py; without it only merges")
    parser.add_argument("--folder", help="where models are written; else a temporary folder")
    options = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="merge-speed-", dir=options.folder))
    try:
        measure(options, work)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
