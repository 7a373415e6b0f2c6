#!/usr/bin/env python3
"""Proof 6 for `finetune train`: killed with -9 at random moments and resumed until done, a run ends with the same
adapter, byte for byte, and the same metrics as a run that nobody stopped. So does one that is killed while it writes
its results, at random system calls of its end; what is left there and looks finished is what the unbroken run gives.
    tests/cli/kill_resume_finetune.py build/release/bin/finetune [--seconds 40] [--ends 8] [--seed 1]
A tiny random Llama is written into a temporary folder; no network, no package beyond Python."""
import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

from killing import killed_at

HIDDEN, LAYERS, HEADS, KV_HEADS, INNER, VOCABULARY = 32, 2, 4, 2, 48, 257


def write_model(folder, generator):
    shapes = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN), "model.norm.weight": (HIDDEN,)}
    head = HIDDEN // HEADS
    for layer in range(LAYERS):
        name = f"model.layers.{layer}."
        shapes |= {name + "input_layernorm.weight": (HIDDEN,), name + "post_attention_layernorm.weight": (HIDDEN,),
                   name + "self_attn.q_proj.weight": (HIDDEN, HIDDEN), name + "self_attn.o_proj.weight": (HIDDEN, HIDDEN),
                   name + "self_attn.k_proj.weight": (KV_HEADS * head, HIDDEN),
                   name + "self_attn.v_proj.weight": (KV_HEADS * head, HIDDEN),
                   name + "mlp.gate_proj.weight": (INNER, HIDDEN), name + "mlp.up_proj.weight": (INNER, HIDDEN),
                   name + "mlp.down_proj.weight": (HIDDEN, INNER)}
    header, data = {}, b""
    for name, shape in sorted(shapes.items()):
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = [1.0 if "norm" in name else generator.gauss(0, 0.15) for _ in range(count)]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * count]}
        data += struct.pack(f"<{count}f", *values)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": HIDDEN,
        "intermediate_size": INNER, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "max_position_embeddings": 1024, "tie_word_embeddings": True, "bos_token_id": 256, "eos_token_id": 256}))
    # The bytes as GPT-2 spells them, and an end of text.
    visible = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174]
    hidden = [b for b in range(256) if b not in visible]
    vocabulary = {chr(b) if b in visible else chr(256 + hidden.index(b)): b for b in range(256)} | {"<|endoftext|>": 256}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    end = {"id": 256, "content": "<|endoftext|>", "single_word": False, "lstrip": False, "rstrip": False,
           "normalized": False, "special": True}
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [end], "normalizer": None,
        "pre_tokenizer": level, "post_processor": None, "decoder": level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "vocab": vocabulary, "merges": []}}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|endoftext|>"}))


def write_data(path, generator, longest=60):
    with open(path, "w") as file:
        for i in range(80):
            answer = "".join(generator.choice("abcdefgh ") for _ in range(generator.randrange(1, longest)))
            file.write(json.dumps({"prompt": f"say {i}: ", "completion": answer}) + "\n")


def outcome(folder):
    """What must not depend on kills: the adapter's bytes and the metrics without their times."""
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in metrics:
        for machine in ("seconds", "tokens_per_second", "peak_memory", "threads"):
            line.pop(machine, None)
    return {name: (folder / "adapter" / name).read_bytes()
            for name in ("adapter_model.safetensors", "adapter_config.json")} | {"metrics": metrics}


def kill_ends(command, folder, count, generator):
    """Kills a short run `count` times between the last record of its metrics and its end, and resumes it."""
    command = list(command)
    command[0] = str(pathlib.Path(command[0]).resolve())
    command[command.index("--steps") + 1] = "4"
    subprocess.run([*command, "--output", folder / "short"], check=True, capture_output=True)
    expected, output = outcome(folder / "short"), folder / "end"
    words = [*command, "--output", str(output)]
    seen = []

    def look():
        sizes = {}
        for folder, _, names in os.walk(output):
            for name in names:
                try:
                    sizes[pathlib.Path(folder, name)] = os.stat(os.path.join(folder, name)).st_size
                except FileNotFoundError:  # another thread of the program goes on
                    pass
        seen.append(sizes)
    total = killed_at(words, folder, -1, look)
    metrics = [state.get(output / "metrics.jsonl") for state in seen]
    first, last = metrics.index(metrics[-1]), seen.index(seen[-1])  # from where that, and nothing, is written any more
    if outcome(output) != expected:
        sys.exit("the traced run differs from the other one")
    left_whole = 0
    for stop in sorted(generator.sample(range(first, last + 1), min(count, last + 1 - first))):
        shutil.rmtree(output)
        killed_at(words, folder, stop)
        adapter = output / "adapter"
        if (adapter / "adapter_config.json").exists() and (adapter / "adapter_model.safetensors").exists():
            left_whole += 1
            for name, value in expected.items():
                if name != "metrics" and (adapter / name).read_bytes() != value:
                    sys.exit(f"killed at {stop} of {total}, it left another {name}")
        done = subprocess.run([*words, "--resume"], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"--resume failed after a kill at {stop} of {total}:\n{done.stderr}")
        if outcome(output) != expected:
            sys.exit(f"killed at {stop} of {total} and resumed, it differs from the unbroken run")
    print(f"{count} kills in system calls {first} to {last} of {total}, {left_whole} with a whole adapter")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("finetune")
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--ends", type=int, default=8, help="kills while a run writes its results")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--longest", type=int, default=60, help="tokens of an answer; a GPU shares out attention by the hundred")
    options = parser.parse_args()
    generator = random.Random(options.seed)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hornbook_kill_"))
    try:
        model = folder / "model"
        model.mkdir()
        write_model(model, generator)
        write_data(folder / "data.jsonl", generator, options.longest)
        arguments = ["train", "--model", model, "--data", folder / "data.jsonl", "--steps", 60, "--max-length", options.longest + 36,
                     "--accumulate", 2, "--lora.rank", 4, "--lora.dropout", 0.1, "--save-every", 3, "--eval-every", 20,
                     "--validation-share", 0.1, "--learning-rate", 0.003, "--threads", 1, "--device", options.device]
        command = [options.finetune] + [str(word) for word in arguments]

        def start(output, *words):
            return subprocess.Popen(command + ["--output", str(output), *words], stderr=subprocess.PIPE, text=True)

        begun = time.monotonic()
        whole = start(folder / "whole")
        _, errors = whole.communicate(timeout=120)
        if whole.returncode != 0:
            sys.exit(f"the unbroken run failed:\n{errors}")
        length = time.monotonic() - begun
        expected = outcome(folder / "whole")
        # The comparison can fail: another seed gives other bytes.
        other = start(folder / "other", "--seed", "43")
        other.communicate(timeout=120)
        if outcome(folder / "other") == expected:
            sys.exit("another seed gave the same adapter: the comparison sees nothing")

        kills = runs = resumed = 0
        while runs == 0 or time.monotonic() - begun < options.seconds:
            output = folder / f"killed{runs}"
            attempts = 0
            while True:
                # Later attempts get longer, so that the run ends; the first may die before it made its folder.
                process = start(output, "--resume")
                attempts += 1
                try:
                    _, errors = process.communicate(timeout=generator.uniform(0, length) * (1 if attempts < 6 else 3))
                    break
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    _, errors = process.communicate()
                    kills += 1
                    resumed += "going on after step" in errors
            if process.returncode != 0:
                sys.exit(f"--resume failed after a kill:\n{errors}")
            got = outcome(output)
            for key, value in expected.items():
                if got[key] != value:
                    sys.exit(f"run {runs}, after {attempts - 1} kills: {key} differs from the unbroken run's")
            runs += 1
            shutil.rmtree(output)
        if kills == 0:
            sys.exit("no process was killed: nothing was tested")
        if options.ends:
            kill_ends(command, folder, options.ends, generator)
        print(f"{runs} runs, {kills} kills ({resumed} of them in a resumed run), seed {options.seed}: the same bytes")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
