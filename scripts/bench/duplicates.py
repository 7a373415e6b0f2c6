#!/usr/bin/env python3
"""Near-duplicates of a JSONL file, ids out: curate against rensa (plain MinHash, every shingle), interleaved.

    duplicates.py CURATE SAMPLE.jsonl [--rounds 3] [--no-rensa]        (build/venv/bin/python has rensa)

Both get 112 permutations, 14 bands of 8, word 5-grams of `\\w+` of the lower-cased text. rensa proposes only; curate also
computes the exact Jaccard of every candidate pair and drops what is below 0.8. Wall and processor seconds are printed: on a
busy machine only the latter mean something."""
import argparse, json, os, re, resource, subprocess, sys, time

parser = argparse.ArgumentParser()
parser.add_argument("curate"); parser.add_argument("sample"); parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--no-rensa", action="store_true"); parser.add_argument("--rensa-once", action="store_true", help=argparse.SUPPRESS)
arguments = parser.parse_args()


def rensa_once(path):
    from rensa import RMinHash, RMinHashLSH
    index, found, key = RMinHashLSH(threshold=0.8, num_perm=112, num_bands=14), 0, 0
    for line in open(path, encoding="utf-8"):
        words = re.findall(r"\w+", json.loads(line)["text"].lower())
        minhash = RMinHash(num_perm=112, seed=1)
        minhash.update([" ".join(words[i:i + 5]) for i in range(max(1, len(words) - 4))])
        found += bool(index.query(minhash))
        index.insert(key, minhash)
        key += 1
    print(found)


if arguments.rensa_once:
    rensa_once(arguments.sample)
    sys.exit()

size = os.path.getsize(arguments.sample) / 1e6
sides = {"curate duplicates": [arguments.curate, "duplicates", "--quiet", arguments.sample]}
if not arguments.no_rensa:
    sides["rensa"] = [sys.executable, __file__, arguments.curate, arguments.sample, "--rensa-once"]
best = {}
for _ in range(arguments.rounds):
    for name, command in sides.items():
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found = len(out.splitlines()) if name.startswith("curate") else int(out)
        best[name] = min(best.get(name, (1e9, 1e9, 0)), (processor, wall, found))
print(f"{size:.1f} MB, {os.cpu_count()} processors, best of {arguments.rounds}")
for name, (processor, wall, found) in best.items():
    print(f"{name:<20} {processor:>8.2f} s processor {wall:>8.2f} s wall {size / wall:>8.1f} MB/s   {found} found")
if len(best) == 2:
    ours, theirs = best["curate duplicates"], best["rensa"]
    print(f"curate uses {theirs[0] / ours[0]:.1f} times less processor time, {theirs[1] / ours[1]:.1f} times less wall time")
