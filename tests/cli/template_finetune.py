#!/usr/bin/env python3
"""configs/finetune-template.yaml as a newcomer uses it: two lines are edited (own data, own output), and it runs.
    tests/cli/template_finetune.py build/release/bin/finetune
Needs the quickstart's model, build/data/smollm2.gguf."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

source = pathlib.Path(__file__).resolve().parents[2]
finetune = pathlib.Path(sys.argv[1]).resolve()
template = (source / "configs" / "finetune-template.yaml").read_text()
with tempfile.TemporaryDirectory(prefix="hornbook_template_") as name:
    folder = pathlib.Path(name)
    with open(folder / "questions.jsonl", "w") as file:
        for i in range(24):
            file.write(json.dumps({"messages": [{"role": "user", "content": f"What is {i} plus 1?"},
                                                {"role": "assistant", "content": str(i + 1)}]}) + "\n")
    edited, count = re.subn(r"^data: \[my-data\.jsonl\]", "data: [questions.jsonl]", template, flags=re.M)
    edited, more = re.subn(r"^output: my-run", "output: trained", edited, flags=re.M)
    if (count, more) != (1, 1):
        sys.exit("the two lines to edit are not there")
    differing = [a for a, b in zip(template.splitlines(), edited.splitlines()) if a != b]
    if len(differing) != 2 or not ("(1)" in differing[0] and "(2)" in differing[1]):
        sys.exit(f"not the two marked lines: {differing}")
    (folder / "mine.yaml").write_text(edited)
    done = subprocess.run([finetune, "train", "--config", folder / "mine.yaml"], cwd=source, capture_output=True, text=True)
    if done.returncode != 0 or not (folder / "trained" / "adapter" / "adapter_config.json").exists():
        sys.exit(f"exit {done.returncode}\n{done.stderr}")
    if not re.search(r"1 of 24 examples held out", done.stderr):
        sys.exit(f"it does not say how many are held out:\n{done.stderr}")
    wide = [line for line in done.stderr.splitlines() if line.startswith("step ") and len(line) > 79]
    if wide:
        sys.exit(f"lines wider than a terminal: {wide}")
    before = subprocess.run([finetune, "train", "--config", folder / "mine.yaml"], cwd=source, capture_output=True, text=True)
    if before.returncode != 2 or "--resume" not in before.stderr:
        sys.exit(f"a second start is not refused: {before.returncode}\n{before.stderr}")
    print("two lines edited, and it trains")
