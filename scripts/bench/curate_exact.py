#!/usr/bin/env python3
"""Exact duplicates of a .jsonl.zst file against decompression and parsing alone of the same file, interleaved.

    curate_exact.py BIN SAMPLE.jsonl[.zst] [--rounds 9] [--threads 2] [--goal 0.6]      (ninja curate_program parse_benchmark)

BIN holds curate and parse_benchmark. A sample that is not compressed is compressed first (zstd -3). curate's side is a whole
process, `curate duplicates --no-near`, ids out; the other side is a whole process of parse_benchmark, which only reads blocks and
parses records. Prints medians of wall and processor seconds and their ratios; exit code 1 below the goal. Standard library
only, and the zstd program."""
import argparse, os, statistics, subprocess, sys, tempfile, time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("bin"), parser.add_argument("sample")
parser.add_argument("--rounds", type=int, default=9), parser.add_argument("--threads", default="2")
parser.add_argument("--goal", type=float, default=0.6)
options = parser.parse_args()


def timed(command):
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime


with tempfile.TemporaryDirectory() as folder:
    sample = options.sample
    if not sample.endswith(".zst"):
        sample = os.path.join(folder, "sample.jsonl.zst")
        subprocess.run(["zstd", "-q", "-3", options.sample, "-o", sample], check=True)
    exact = [os.path.join(options.bin, "curate"), "duplicates", "--quiet", "--no-near", "--threads", options.threads, sample]
    parse = [os.path.join(options.bin, "parse_benchmark"), "--threads", options.threads, sample]
    found = subprocess.run(exact, check=True, stdout=subprocess.PIPE).stdout.count(b"\n")
    rounds = [(timed(exact), timed(parse)) for _ in range(options.rounds)]

print(f"{os.path.getsize(options.sample) / 1e6:.0f} MB, {found} exact duplicates, {options.threads} threads, {options.rounds} rounds")
ratios = []
for index, what in ((0, "wall"), (1, "processor")):
    ours, theirs = (statistics.median(pair[side][index] for pair in rounds) for side in (0, 1))
    ratios.append(statistics.median(pair[1][index] / pair[0][index] for pair in rounds))
    print(f"{what:<10} curate {ours:.3f} s, decompress and parse alone {theirs:.3f} s: {100 * ratios[-1]:.0f} % of its speed")
sys.exit(0 if ratios[0] >= options.goal else 1)
