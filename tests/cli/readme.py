#!/usr/bin/env python3
"""Every command line of README.md and of scripts/quickstart.sh names a program, a command, options and files that exist.

    tests/cli/readme.py BIN     exit 1 with a line for each that does not
"""
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
bin_folder = Path(sys.argv[1])
COMMON = {"--config", "--preset", "--quiet", "--json"}
help_of = {}
wrong = []


def check(words, where):
    program, command = Path(words[0]).name, words[1]
    if command.startswith("--") or command == "help":
        return
    key = (program, command)
    if key not in help_of:
        help_of[key] = subprocess.run([bin_folder / program, "help", command], capture_output=True, text=True)
    if help_of[key].returncode:
        wrong.append(f"{where}: no command {program} {command}")
        return
    known = set(re.findall(r"^  (--[a-z0-9.-]+)", help_of[key].stdout, re.M)) | COMMON
    for i, word in enumerate(words):
        flag = word.split("=")[0].replace("_", "-")
        if word.startswith("--") and flag not in known:
            wrong.append(f"{where}: {program} {command} has no option {word}")
        if word == "--config" and not (ROOT / words[i + 1]).exists():
            wrong.append(f"{where}: no config file {words[i + 1]}")


count = 0
for path in ("README.md", "scripts/quickstart.sh"):
    for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
        line = line.replace("$bin/", "build/release/bin/")
        match = re.match(r"(?:.*\brun )?(build/release/bin/.*)", line)
        if match:
            count += 1
            check(shlex.split(match.group(1)), f"{path}:{number}")
print("\n".join(wrong) or f"{count} command lines are right")
sys.exit(bool(wrong) or count < 10)
