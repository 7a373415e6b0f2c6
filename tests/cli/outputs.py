#!/usr/bin/env python3
"""No command's output destroys one of its inputs: each command line below is refused with exit code 2, and every file of
the folder is the same afterwards, byte for byte.

    tests/cli/outputs.py BIN     exit 1 with a line for each that is not. Standard library only."""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
bin_folder = Path(sys.argv[1]).resolve()
golden = SOURCE / "tests/golden"
wrong = []


def call(words, folder):
    program, *rest = words.split()
    return subprocess.run([bin_folder / program, *rest], cwd=folder, capture_output=True, text=True)


def state(folder):
    return {str(path.relative_to(folder)): (os.readlink(path) if path.is_symlink() else
                                            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder")
            for path in sorted(folder.rglob("*"))}


def sign(folder, command):
    """Makes the folders that `command` names outputs of the same command, so that --overwrite would empty them."""
    for name in ("M", "run", "bare", "out"):
        path = folder / name / "run.yaml"
        lines = path.read_text().splitlines() if path.exists() else []
        kept = [line for line in lines if not line.startswith("# written by ")]
        path.write_text("\n".join([f"# written by {command}", *kept, ""]))


def prepare(folder):
    lines = '{"id":"%d","text":"The reader of page %d has to be patient, and that is good.","quality":%d}\n'
    (folder / "in.jsonl").write_text("".join(lines % (i, i, i % 2 * 3) for i in range(40)))
    (folder / "chat.jsonl").write_text('{"messages":[{"role":"user","content":"Hi?"},{"role":"assistant","content":"Hello."}]}\n')
    (folder / "pairs.yaml").write_text("steps: [deduplicate: {pairs: in.jsonl}]\n")
    (folder / "two.yaml").write_text("steps: [deduplicate: {pairs: p.jsonl}, deduplicate: {pairs: ./p.jsonl}]\n")
    (folder / "words.yaml").write_text("steps: [c4: {bad_words: out/words}]\n")
    (folder / "against.yaml").write_text("steps: [decontaminate: {against: [out/bench*]}]\n")
    (folder / "model.yaml").write_text("steps: [textbook: {model: out/my.model}]\n")
    (folder / "plain.yaml").write_text("steps: []\n")
    (folder / "folder.yaml").write_text("steps: [deduplicate: {pairs: report}]\n")
    (folder / "missing.yaml").write_text("steps: [deduplicate: {pairs: made/by/run/pairs.jsonl}]\n")
    (folder / "report").mkdir()
    (folder / "dir.gguf").mkdir()
    for words in ("curate run --config plain.yaml in.jsonl --output out --quiet",
                  "curate instruct chat.jsonl --output chats --quiet"):
        done = call(words, folder)
        assert done.returncode == 0, done.stderr
    for name in ("words", "bench.jsonl", "my.model"):
        (folder / "out" / name).write_text("{}\n")
    (folder / "out/c.yaml").write_text("steps: []\n")
    for name, target in (("soft.jsonl", "in.jsonl"), ("linked", "out")):
        (folder / name).symlink_to(target)
    os.link(folder / "in.jsonl", folder / "hard.jsonl")
    os.link(folder / "out/kept/00000.jsonl.zst", folder / "hard.jsonl.zst")
    shutil.copytree(golden / "lora/base", folder / "M")
    shutil.copytree(golden / "lora/plain", folder / "run/adapter")
    config = folder / "run/adapter/adapter_config.json"  # its base is the one of the run
    config.write_text(config.read_text().replace('"base_model_name_or_path": "base"', f'"base_model_name_or_path": "{folder}/M"'))
    (folder / "run/run.yaml").write_text(f"model: {folder}/M\n")
    shutil.copytree(golden / "lora/plain", folder / "bare/adapter")
    (folder / "m.yaml").write_text("base: M\n")


COMMANDS = """
curate run --config plain.yaml --output out --overwrite out/kept/00000.jsonl.zst
curate run --config plain.yaml --output ./out/../out --overwrite out/kept/00000.jsonl.zst
curate run --config plain.yaml --output linked --overwrite out/kept/00000.jsonl.zst
curate run --config plain.yaml --output out --overwrite linked/kept/00000.jsonl.zst
curate run --config plain.yaml --output out --overwrite out/k*/*.zst
curate run --config plain.yaml --output out --resume out/kept/00000.jsonl.zst
curate run --config plain.yaml --output out --overwrite hard.jsonl.zst
curate run --config plain.yaml --output out/kept --overwrite out/kept/00000.jsonl.zst
curate run --config plain.yaml --output . --overwrite in.jsonl
curate run --config out/c.yaml --output out --overwrite in.jsonl
curate run --config pairs.yaml --output new in.jsonl
curate run --config pairs.yaml --output new soft.jsonl
curate run --config two.yaml --output new in.jsonl
curate run --config words.yaml --output out --overwrite in.jsonl
curate run --config against.yaml --output out --overwrite in.jsonl
curate run --config model.yaml --output out --overwrite in.jsonl
curate run --config two.yaml --output p in.jsonl
curate instruct --output chats --overwrite chats/train.jsonl
curate instruct --output chats --overwrite chat.jsonl ./chats/*.jsonl
curate duplicates in.jsonl --pairs in.jsonl
curate duplicates hard.jsonl --pairs soft.jsonl
curate duplicates *.jsonl --pairs ./in.jsonl
curate score --config plain.yaml in.jsonl --output in.jsonl
curate score --config plain.yaml in.jsonl -o hard.jsonl
curate score --config plain.yaml in.jsonl --output plain.yaml
curate train-scorer in.jsonl --output soft.jsonl
lora merge run --base M --output M --overwrite
lora merge run --output run --overwrite
lora merge run --output M --overwrite
lora merge run --output ./M/. --overwrite
lora merge run --output run/adapter --overwrite
lora merge bare --config m.yaml --output M --overwrite
lora merge bare/adapter --base M --output bare --overwrite
lora merge run --output . --overwrite
lora convert M --output M --overwrite
lora convert M --output M/model.safetensors --overwrite
lora export run --format peft --output run --overwrite
lora export run --format peft --output run/adapter --overwrite
lora export run --output run/adapter/adapter_model.safetensors --overwrite
lora export run --output M/model.safetensors --overwrite
lora fuse run bare --output run --overwrite
lora fuse run bare --output run/adapter --overwrite
lora fuse run run --output M --overwrite
lora fuse run bare --output fused.gguf
lora subtract run bare --output bare --overwrite
lora scale run --by 2 --output run --overwrite
lora scale run --by 2 --output M --overwrite
lora resize run --rank 1 --output run/adapter --overwrite
lora extract M M --output M --overwrite
tokenizer convert --model M --output M
tokenizer convert --model M --output M/tokenizer.json
finetune train --model M --data in.jsonl --output M --overwrite
finetune train --model M --data out/kept/00000.jsonl.zst --output out --overwrite
finetune train --model M --data in.jsonl --validation-data out/kept/*.zst --output out --overwrite
finetune train --model M/../M --data in.jsonl --output . --overwrite
finetune train --model M --data in.jsonl --output X.gguf
finetune train --model M --data in.jsonl --output new/run.safetensors/
finetune train --model M --data in.jsonl --output plain.yaml
curate run --config plain.yaml in.jsonl --output kept.jsonl.zst
curate run --config plain.yaml in.jsonl --output soft.jsonl
curate instruct chat.jsonl --output new/train.Parquet
curate score --config plain.yaml in.jsonl --output report
curate score --config plain.yaml in.jsonl --output new/
curate duplicates in.jsonl --pairs report/
curate duplicates in.jsonl --pairs new/p.csv
curate score --config plain.yaml in.jsonl --output new/s.parquet
curate score --config plain.yaml in.jsonl --output new/s.txt.zst
curate train-scorer in.jsonl --output new/scorer.jsonl
curate train-scorer in.jsonl --output new/scorer.gguf
curate run --config folder.yaml in.jsonl --output new
curate train-scorer in.jsonl --output report
lora merge run --output merged.safetensors
lora merge run --output m.gguf/
lora merge run --output dir.gguf --overwrite
lora convert M --output new/model.json
lora convert M --output dir.gguf
lora export run --format peft --output a.gguf
lora export run --output new/a.gguf/
tokenizer convert --model M --output dir.gguf
tokenizer convert --model M --output t.gguf/
"""

with tempfile.TemporaryDirectory() as work:
    folder = Path(work).resolve() / "case"
    folder.mkdir()
    prepare(folder)
    for words in COMMANDS.strip().splitlines():
        if not (bin_folder / words.split()[0]).exists():
            continue
        sign(folder, " ".join(words.split()[:2]))
        before = state(folder)
        done = call(words, folder)
        if done.returncode != 2 or "output" not in done.stderr:
            wrong.append(f"{words}: exit {done.returncode}\n{done.stderr}")
        after = state(folder)
        if after != before:
            wrong.append(f"{words}: changed {sorted(k for k in before | after if before.get(k) != after.get(k))}")
            break
    sign(folder, "curate run")
    # Nor does another command empty an output.
    before = state(folder)
    for words in ("curate instruct chat.jsonl --output out --overwrite", "curate run --config plain.yaml in.jsonl --output chats --overwrite",
                  "lora extract M M --output out --overwrite", "finetune train --model M --data in.jsonl --output out --overwrite",
                  "finetune train --model M --data in.jsonl --output out --resume"):
        done = call(words, folder) if (bin_folder / words.split()[0]).exists() else None
        if done and (done.returncode != 2 or "is the output of 'curate" not in done.stderr):
            wrong.append(f"{words}: exit {done.returncode}\n{done.stderr}")
    if state(folder) != before:
        wrong.append("an output of another command was changed")
    # What is safe stays possible.
    for words in ("lora merge run --quiet", "lora merge run --overwrite --quiet", "lora export run --quiet",
                  "lora export run --overwrite --quiet", "lora convert M --output M/model.gguf --quiet",
                  "curate run --config out/run.yaml --output out2 --quiet", "curate run --config out2/run.yaml --overwrite --quiet",
                  "curate run --config missing.yaml in.jsonl --output out3 --quiet",
                  "curate duplicates in.jsonl --pairs made/by/duplicates/p.jsonl --quiet",
                  "curate score --config plain.yaml in.jsonl --output made/by/score/s.jsonl.zst --quiet",
                  "lora export run --output made/by/export/a.gguf --quiet",
                  "tokenizer convert --model M --output made/by/tokenizer/t.gguf --quiet",
                  "curate explain --config pairs.yaml --output out out/kept/00000.jsonl.zst --no-deduplicate.near --deduplicate.pairs p.jsonl"):
        done = call(words, folder)
        if done.returncode:
            wrong.append(f"{words}: exit {done.returncode}\n{done.stderr}")
    for path in ("run/pairs.jsonl", "duplicates/p.jsonl", "score/s.jsonl.zst", "export/a.gguf", "tokenizer/t.gguf"):
        if not (folder / "made/by" / path).is_file():
            wrong.append(f"{path} was not written into a folder that was missing")
    with open(folder / "in.jsonl", "a") as appended:
        done = subprocess.run([bin_folder / "curate", "duplicates", "in.jsonl"], cwd=folder, stdout=appended,
                              stderr=subprocess.PIPE, text=True)
    if done.returncode != 2 or "standard output goes into an input" not in done.stderr:
        wrong.append(f"curate duplicates in.jsonl >> in.jsonl: {done.returncode} {done.stderr}")
print(*wrong, sep="\n", end="\n" if wrong else "")
sys.exit(bool(wrong))
