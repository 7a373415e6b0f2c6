#!/usr/bin/env python3
"""Every command of `lora` that writes an adapter or a model, killed with -9 at random system calls: nothing that it
leaves looks finished and is not, whether there was nothing before or an earlier result, and run again with --overwrite
it gives the bytes of a run that nobody stopped.
    tests/cli/kill_lora.py build/release/bin/lora [NAME ...] [--kills 12 | --all] [--seed 1]
Standard library only; Linux (ptrace)."""
import argparse
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

from killing import killed_at

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests/golden"

# Name: the command; OUT is its folder, OUT.gguf its file.
COMMANDS = {
    "merge": "merge {lora}/plain --base {lora}/base --output OUT",
    "merge_shards": "merge {lora}/plain --base {lora}/base --max-shard-size 100K --output OUT",
    "merge_gguf": "merge {lora}/plain --base {lora}/base --dtype q8_0 --output OUT.gguf",
    "merge_both": "merge {lora}/plain --base {lora}/base --format hf --format gguf --output OUT",
    "export_gguf": "export {lora}/plain --base {lora}/base --output OUT.gguf",
    "export_peft": "export {lora}/pattern --format peft --bake-scale --output OUT",
    "export_mlx": "export {lora}/plain --format mlx --base {lora}/base --output OUT",
    "for_transformers": "export run --for transformers --base {lora}/base --output OUT",
    "for_llama_cpp": "export run --for llama.cpp --base {lora}/base --output OUT.gguf",
    "for_ollama": "export run --for ollama --base {lora}/base --output OUT.gguf",
    "for_vllm": "export run --for vllm --base {lora}/base --output OUT",
    "for_mlx": "export run --for mlx --base {lora}/base --output OUT",
    "for_lm_studio": "export run --for lm-studio --base {lora}/base --output OUT.gguf",
    "convert_gguf": "convert {lora}/base --output OUT.gguf",
    "convert_folder": "convert m.gguf --output OUT",
    "fuse": "fuse {lora}/plain {lora}/pattern --method ties --density 0.5 --rank 4 --output OUT",
    "subtract": "subtract {lora}/plain {lora}/rslora --output OUT",
    "scale": "scale run --by 0.5 --output OUT",
    "resize": "resize run --rank 2 --output OUT",
    "extract": "extract {lora}/base merged --rank 4 --output OUT",
    "stack": "stack {lora}/base --layers 0-1 --layers 0-1 --output OUT",
    "upcycle": "upcycle {tiny}/untied --experts 4 --chosen 2 --output OUT",
    "merge_models": "merge-models {lora}/base merged --method ties --base other --density 0.4 --output OUT",
}


def run(words, folder):
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}: exit {done.returncode}\n{done.stderr}")


def files_of(folder):
    """All finished files but run.yaml, which has --overwrite in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != "run.yaml" and not path.name.endswith(".part")}


class Case:
    def __init__(self, lora, name, folder):
        places = {"lora": GOLDEN / "lora", "tiny": GOLDEN / "finetune/tiny_llama"}
        self.name, self.lora, self.folder, self.output = name, lora, folder, folder / name
        self.output.mkdir()
        self.words = [word.format(**places).replace("OUT", f"{name}/new/out") for word in COMMANDS[name].split()]
        run([lora, *self.words], folder)
        self.expected = files_of(self.output)
        shutil.copytree(self.output, folder / f"{name}.before")
        self.clear(False)

    def clear(self, with_earlier):
        shutil.rmtree(self.output)
        if with_earlier:
            shutil.copytree(self.folder / f"{self.name}.before", self.output)
        else:
            self.output.mkdir()

    def window(self, words):
        """The first stop at which the output was touched, and the last one of the whole run."""
        state = lambda: [(entry.path, entry.stat().st_mtime_ns) for entry in os.scandir(self.output / "new")] \
            if (self.output / "new").exists() else None
        before, first, count = state(), [], [0]

        def look():
            if not first and state() != before:
                first.append(count[0])
            count[0] += 1
        total = killed_at(words, self.folder, -1, look)
        return (first or [0])[0], total

    def check_left(self, stop):
        """What looks finished is what the whole run gives."""
        left = files_of(self.output)
        whole = {name for name in left if name.endswith(".gguf")}
        out = self.output / "new/out"
        names = [name for name in ("config.json", "adapter_config.json") if (out / name).exists()]  # else it is its GGUF
        if names and subprocess.run([self.lora, "info", out, "--quiet"], capture_output=True).returncode == 0:
            whole = {name for name in self.expected if not (name.endswith(".gguf") or name.endswith("Modelfile"))}
        for name in whole:
            if left.get(name) != self.expected.get(name):
                sys.exit(f"{self.name}: killed at {stop}, it left what looks finished, but {name} "
                         f"{'differs' if name in left else 'is missing'}; left are {sorted(left)}")

    def check(self, generator, options):
        kills = 0
        for with_earlier in (False, True):
            words = [self.lora, *self.words] + ["--overwrite"] * with_earlier
            self.clear(with_earlier)
            first, total = self.window(words)
            stops = range(first, total)
            if not options.all:
                stops = sorted(generator.sample(stops, min(options.kills, len(stops))))
            for stop in stops:
                self.clear(with_earlier)
                killed_at(words, self.folder, stop)
                self.check_left(stop)
                run([self.lora, *self.words, "--overwrite"], self.folder)
                if files_of(self.output) != self.expected:
                    sys.exit(f"{self.name}: run again after it was killed at {stop}, it gave other bytes")
                kills += 1
        return kills


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lora", type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(COMMANDS)}")
    parser.add_argument("--kills", type=int, default=12, help="of each command, over nothing and over an earlier result")
    parser.add_argument("--all", action="store_true", help="at every system call")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    generator = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="hornbook_kill_") as work:
        folder = pathlib.Path(work).resolve()
        # What some commands take: a run, models that differ from the base.
        shutil.copytree(GOLDEN / "lora/pattern", folder / "run/adapter")
        for name, adapter in (("merged", "plain"), ("other", "rslora")):
            run([options.lora, "merge", GOLDEN / "lora" / adapter, "--base", GOLDEN / "lora/base", "--output", name], folder)
        run([options.lora, "convert", GOLDEN / "lora/base", "--output", "m.gguf"], folder)
        kills = {name: Case(options.lora, name, folder).check(generator, options) for name in options.names or COMMANDS}
    print(f"{sum(kills.values())} kills in {len(kills)} commands, seed {options.seed}: nothing half, and the same bytes")


if __name__ == "__main__":
    main()
