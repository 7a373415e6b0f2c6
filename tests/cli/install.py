#!/usr/bin/env python3
"""cmake --install gives programs that run from any folder: presets with their models, Parquet, a merge, LibTorch.

    tests/cli/install.py BUILD_FOLDER     installs into a temporary folder and runs what is there from another one

Nothing of the source tree may be used: the models of the presets must be the installed ones. Standard library only."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
build = Path(sys.argv[1]).resolve()
PROSE = "The reader of a good book has to be patient, and that is what this page asks of everyone who reads it to the end. "


def run(words, folder):
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    done = subprocess.run([str(word) for word in words], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


with tempfile.TemporaryDirectory() as work:
    prefix, elsewhere = Path(work, "prefix"), Path(work, "elsewhere")
    elsewhere.mkdir()
    subprocess.run(["cmake", "--install", build, "--prefix", prefix], check=True, stdout=subprocess.DEVNULL)
    programs = sorted(path.name for path in (prefix / "bin").iterdir())
    assert {"curate", "lora", "tokenizer"} <= set(programs), programs
    assert ("finetune" in programs) == (build / "bin" / "finetune").exists(), programs
    for program in programs:
        print(run([prefix / "bin" / program, "--version"], elsewhere).splitlines()[0])

    lines = [json.dumps({"id": str(i), "text": (PROSE + f"It is page {i} of many.\n") * 5}) for i in range(20)]
    (elsewhere / "in.jsonl").write_text("\n".join(lines) + "\n")
    presets = sorted(path.stem.removeprefix("curate-") for path in (SOURCE / "configs").glob("curate-*.yaml")
                     if not any(line.startswith("input:") for line in path.read_text().splitlines()))
    assert presets
    for preset in presets:
        run([prefix / "bin/curate", "run", "--preset", preset, "in.jsonl", "-o", preset, "--quiet"], elsewhere)
        report = json.loads((elsewhere / preset / "report.json").read_text())
        assert report["read"]["records"] == 20, (preset, report["read"])
        print("preset", preset)
    run([prefix / "bin/curate", "run", "in.jsonl", "-o", "parquet", "--format", "parquet", "--quiet"], elsewhere)
    run([prefix / "bin/curate", "score", *(elsewhere / "parquet/kept").glob("*.parquet"), "-o", "scored.jsonl",
         "--quiet"], elsewhere)
    assert len((elsewhere / "scored.jsonl").read_text().splitlines()) >= 1

    golden = SOURCE / "tests/golden/lora"
    shutil.copytree(golden / "base", elsewhere / "base")
    shutil.copytree(golden / "plain", elsewhere / "plain")
    run([prefix / "bin/lora", "merge", "plain", "--base", "base", "-o", "merged", "--quiet"], elsewhere)
    run([prefix / "bin/tokenizer", "info", "--model", "merged"], elsewhere)
    if "finetune" in programs:
        run([prefix / "bin/finetune", "generate", "--model", "merged", "--prompt", "a", "--max-tokens", "2", "--raw"],
            elsewhere)
