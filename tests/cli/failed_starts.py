#!/usr/bin/env python3
"""A command that cannot begin leaves no folder and no file, and an earlier output as it was, also with --overwrite.
    tests/cli/failed_starts.py build/release/bin
Standard library only."""
import json
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile

from kill_resume_finetune import HIDDEN, write_model

programs = pathlib.Path(sys.argv[1]).resolve()
generator = random.Random(3)
wrong = []


def write_adapter(folder, width):
    folder.mkdir()
    header, data = {}, b""
    for name, shape in (("A", (2, width)), ("B", (HIDDEN, 2))):
        values = [0.01] * (shape[0] * shape[1])
        key = f"base_model.model.model.layers.0.self_attn.q_proj.lora_{name}.weight"
        header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * len(values)]}
        data += struct.pack(f"<{len(values)}f", *values)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    (folder / "adapter_config.json").write_text(json.dumps(
        {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}))


LARGE = "model.layers.1.self_attn.o_proj.weight"


def write_large(model, folder, value):
    """The model with one weight of that value."""
    shutil.copytree(model, folder)
    data = bytearray((folder / "model.safetensors").read_bytes())
    header, = struct.unpack("<Q", data[:8])
    entry = json.loads(data[8:8 + header])[LARGE]
    struct.pack_into("<f", data, 8 + header + entry["data_offsets"][0], value)
    (folder / "model.safetensors").write_bytes(data)


def files_of(folder):
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def expect_untouched(folder, *words, said=""):
    before = files_of(folder)
    done = subprocess.run([programs / words[0]] + [str(word) for word in words[1:]], cwd=folder, capture_output=True,
                          text=True, timeout=120)
    line = " ".join(str(word) for word in words)
    if done.returncode not in (1, 2):
        wrong.append(f"{line}: exit {done.returncode}\n{done.stderr}")
    if said not in done.stderr:
        wrong.append(f"{line}: does not say {said!r}\n{done.stderr}")
    after = files_of(folder)
    if after != before:
        changed = sorted(path for path in before.keys() | after.keys() if before.get(path, 0) != after.get(path, 0))
        wrong.append(f"{line}: {changed}\n{done.stderr}")


with tempfile.TemporaryDirectory(prefix="hornbook_starts_") as name:
    folder = pathlib.Path(name)
    (folder / "in.jsonl").write_text("".join(json.dumps(
        {"text": f"Number {i} is a text of some words, and the words are those of a text.", "label": "1", "group": "a",
         "instruction": f"say {i}", "output": "yes"}) + "\n" for i in range(20)))
    (folder / "texts.jsonl").write_text('{"text": "a text to train on"}\n' * 9)
    (folder / "notes.xyz").write_text("what is this")
    (folder / "bad.yaml").write_text("steps:\n  - gopher_quality: {min_words: many}\n")
    (folder / "model.yaml").write_text("steps:\n  - textbook: {model: nowhere.model}\n")
    (folder / "folder.yaml").write_text("steps:\n  - deduplicate: {pairs: in.jsonl/x/pairs.jsonl}\n")
    (folder / "language.yaml").write_text("steps:\n  - language: {model: nowhere.bin}\n")
    model, bare = folder / "model", folder / "bare"
    model.mkdir(), bare.mkdir()
    write_model(model, generator)
    write_model(bare, generator)
    (bare / "tokenizer.json").unlink()  # nothing to write into a GGUF
    write_adapter(folder / "adapter", HIDDEN)
    write_adapter(folder / "narrow", HIDDEN // 2)
    # Earlier outputs, which --overwrite may empty.
    for command in ("curate run in.jsonl --output old-run", "curate instruct in.jsonl --output old-instruct",
                    "lora merge adapter --base model --output old-merge", "lora convert model --output old-convert",
                    "finetune train texts.jsonl --model model --output old-train --steps 2 --max-length 64 --device cpu"):
        words = command.split()
        done = subprocess.run([programs / words[0]] + words[1:], cwd=folder, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            sys.exit(f"{command}\n{done.stderr}")

    for output in ("new/deep", "old"):
        old = ["--overwrite"] if output == "old" else []

        def to(command):
            return ["--output", output if output != "old" else f"old-{command}", *old]

        for words in (["typo.jsonl"], ["notes.xyz"], ["in.jsonl", "--config", "bad.yaml"],
                      ["in.jsonl", "--config", "model.yaml"], ["in.jsonl", "--config", "language.yaml"],
                      ["in.jsonl", "--level", "99"], ["in.jsonl", "--text-field"]):
            expect_untouched(folder, "curate", "run", *to("run"), *words)
        for words in (["typo.jsonl"], ["notes.xyz"], ["in.jsonl", "--validation-share", "2"]):
            expect_untouched(folder, "curate", "instruct", *to("instruct"), *words)
        expect_untouched(folder, "lora", "merge", "narrow", "--base", "model", *to("merge"))
        expect_untouched(folder, "lora", "merge", "adapter", "--base", "bare", "--format", "gguf", *to("merge"))
        expect_untouched(folder, "lora", "merge", "adapter", "--base", "nowhere", *to("merge"))
        expect_untouched(folder, "lora", "merge", "adapter", "--base", "model", "--dtype", "q8_0", *to("merge"))
        expect_untouched(folder, "lora", "convert", "nowhere", *to("convert"))
        expect_untouched(folder, "lora", "convert", "model", "--dtype", "float8", *to("convert"))
        for words in (["typo.jsonl"], ["in.jsonl"], ["texts.jsonl", "--lora.targets", "q_prj"], ["texts.jsonl", "--max-length", "999999"],
                      ["texts.jsonl", "--model", "nowhere"], ["texts.jsonl", "--validation-data", "typo.jsonl"],
                      ["texts.jsonl", "--adapter", "narrow"]):
            model_words = [] if "--model" in words else ["--model", "model"]
            expect_untouched(folder, "finetune", "train", *to("train"), *model_words, "--device", "cpu", *words)
    # A weight that the type cannot hold is found before anything is written, or what was written goes again.
    write_large(model, folder / "large", 70000.0)
    write_large(model, folder / "huge", 1e8)
    write_large(model, folder / "broken", float("nan"))
    for base, dtype, said in (("large", "float16", f"{LARGE}: a weight is too large for float16: got '70000'"),
                              ("huge", "q8_0", f"{LARGE}: a weight is too large for Q8_0: got '100000000'"),
                              ("broken", "bfloat16", f"{LARGE}: the weights are not finite"),
                              ("broken", "float16", f"{LARGE}: the weights are not finite")):
        for words in (["merge", "adapter", "--base", base], ["convert", base]):
            words += ["--dtype", dtype]
            expect_untouched(folder, "lora", *words, "--output", "new/deep/x.gguf", said=said)
            if dtype == "q8_0":
                continue
            expect_untouched(folder, "lora", *words, "--output", "new/deep", said=said)
            if dtype == "float16":
                expect_untouched(folder, "lora", *words, "--output", f"old-{words[0]}", "--overwrite", said=said)
    for words in (["run", "typo.jsonl"], ["run", "in.jsonl", "--config", "folder.yaml"], ["score", "notes.xyz"],
                  ["score", "typo.jsonl"], ["duplicates", "in.jsonl", "--pairs", "in.jsonl/x/p.jsonl"]):
        output = [] if words[0] == "duplicates" else ["--output", "new/deep" + (".jsonl" if words[0] == "score" else "")]
        expect_untouched(folder, "curate", *words, *output)
    expect_untouched(folder, "curate", "run", "in.jsonl", "--output", "in.jsonl/deep/run", said="is a file")
    expect_untouched(folder, "finetune", "train", "texts.jsonl", "--model", "model", "--output", "texts.jsonl/run",
                     said="is a file")
    for words in (["convert", "bare"], ["export", "narrow", "--base", "model"], ["merge", "adapter", "--base", "bare"]):
        expect_untouched(folder, "lora", *words, "--output", "new/deep/x.gguf")
    for kind in ("style", "fasttext"):
        for words in (["typo.jsonl"], ["in.jsonl", "--label-field", "label", "--good", "1", "--bad", "0"]):
            expect_untouched(folder, "curate", "train-scorer", "--kind", kind, "--output", "new/deep/x.model", *words)

if wrong:
    sys.exit("\n".join(wrong))
print("nothing is left of a failed start")
