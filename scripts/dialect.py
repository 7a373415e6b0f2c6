#!/usr/bin/env python3
"""Holds the names and the lengths of functions, as .clang-tidy has them: prints what is otherwise, exit 1.

    scripts/dialect.py [FOLDER ...]      # default: every folder of sources

Each folder is read as one translation unit, because nearly all of the time goes into the system's headers: a few
minutes of processor time for all, where clang-tidy file by file takes a quarter of an hour. What may not stand twice in a
unit (names without linkage) is an error to the compiler and none to us. Needs a configured build/release and Debian's
clang-tidy. scripts/tidy.sh looks for bugs, file by file.
"""
import collections, concurrent.futures, json, os, re, shlex, subprocess, sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SOURCES = ["base", "tokenizer", "curate", "lora", "finetune"]
OUT = os.path.join(ROOT, "build", "dialect")
FLAGS = re.compile(r"-(?:I|D|std=|isystem)")


def units(folders):
    """Folder -> its sources and the flags that they are compiled with."""
    with open(os.path.join(ROOT, "build", "release", "compile_commands.json")) as f:
        commands = json.load(f)
    found = collections.defaultdict(lambda: ([], []))
    for command in commands:
        source = os.path.relpath(command["file"], ROOT)
        if not any(source.startswith(folder.rstrip("/") + "/") for folder in folders) or not source.endswith(".cc"):
            continue
        sources, flags = found[os.path.dirname(source)]
        sources.append(source)
        words = shlex.split(command.get("command") or shlex.join(command["arguments"]))
        for i, word in enumerate(words):
            if FLAGS.match(word):
                flag = [word, words[i + 1]] if word in ("-isystem", "-I", "-D") else [word]
                if flag not in flags:
                    flags.append(flag)
    return found


def findings(folder, sources, flags):
    path = os.path.join(OUT, folder.replace("/", "_") + ".cc")
    with open(path, "w") as out:
        out.writelines(f'#include "{source}"\n' for source in sorted(sources))
    checks = "-*,readability-identifier-naming,readability-function-size"
    command = ["clang-tidy", "--quiet", f"--checks={checks}", path, "--", *(word for flag in flags for word in flag), "-w", "-ferror-limit=0"]
    text = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    if "fatal error:" in text:
        sys.exit(f"{folder} cannot be read:\n{text}")
    return {line.replace(ROOT + "/", "").replace("./", "", 1) for line in text.splitlines() if line.startswith("/") and "[readability-" in line}


def main(folders):
    os.makedirs(OUT, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda item: findings(item[0], *item[1]), units(folders).items()))
    if not results:
        sys.exit(f"no sources in {', '.join(folders)}")
    for line in sorted(set().union(*results)):
        print(line)
    return 1 if any(results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or SOURCES))
