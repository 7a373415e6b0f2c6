#!/usr/bin/env python3
"""How the cost of `curate run` grows with the input, and what a second thread brings inside one file.

    curate_scale.py CURATE CORPUS_FOLDER [--sizes 10 30 100 300 600] [--preset textbook | --config FILE] [--rounds 1]

Of CORPUS_FOLDER's *.jsonl (scripts/corpus/make_corpus.py makes them) the records are put into one order by the hash of their
line, so that every size has the same mixture, and the first MEGABYTES of them are one file. Each size is run with two threads and
with one (interleaved, the median of the rounds; small sizes five times as often), with the steps of configs/curate-textbook.yaml
but no threshold for the two scores, or with those given. Prints wall and processor seconds per MB, the ratio of the largest to
the smallest size, for each step and in all (a step whose processor time per MB that it sees grows by more than a fifth is
named), and the speed-up of two threads on each file. Exit code 1 when the whole cost per MB grows by more than a fifth.
The language model is found as always (HORNBOOK_MODELS). Standard library only."""
import argparse, glob, json, os, shutil, statistics, subprocess, sys, tempfile, time, zlib

STEPS = """steps:
  - language: {min_score: 0}
  - gopher_repetition
  - gopher_quality
  - c4: {filter_no_terminal_punct: false}
  - fineweb
  - textbook: {min_score: 0}
  - deduplicate: {keep: longest}
"""


def cut(folder, work, sizes):
    """One file for each size, the smaller the beginning of the larger."""
    lines = []  # (hash, file, offset, length)
    files = [name for name in sorted(glob.glob(os.path.join(folder, "*.jsonl"))) if not os.path.basename(name).startswith("truth_")]
    for number, name in enumerate(files):
        offset = 0
        with open(name, "rb") as file:
            for line in file:
                lines.append((zlib.crc32(line), number, offset, len(line)))
                offset += len(line)
    lines.sort()
    handles = [open(name, "rb") for name in files]
    paths = {size: os.path.join(work, f"{size}.jsonl") for size in sizes}
    outs = {size: open(path, "wb") for size, path in paths.items()}
    written = 0
    for _, number, offset, length in lines:
        open_sizes = [size for size in sizes if written < size * 1e6]
        if not open_sizes:
            break
        handles[number].seek(offset)
        line = handles[number].read(length)
        for size in open_sizes:
            outs[size].write(line)
        written += length
    for file in handles + list(outs.values()):
        file.close()
    if written < max(sizes) * 1e6:
        print(f"note: the corpus has only {written / 1e6:.0f} MB")
    return paths


def run(curate, steps, path, output, threads):
    start = time.monotonic()
    process = subprocess.Popen([curate, "run", "--quiet", *steps, "--output", output, "--overwrite", "--threads", str(threads), path])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(process.returncode)
    report = json.load(open(os.path.join(output, "report.json")))
    return {"wall": time.monotonic() - start, "processor": usage.ru_utime + usage.ru_stime, "report": report}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("curate"), parser.add_argument("corpus")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 30, 100, 300, 600])
    parser.add_argument("--preset"), parser.add_argument("--config"), parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    work = tempfile.mkdtemp()
    try:
        paths = cut(options.corpus, work, options.sizes)
        steps = ["--preset", options.preset] if options.preset else ["--config", options.config or os.path.join(work, "steps.yaml")]
        with open(os.path.join(work, "steps.yaml"), "w") as out:
            out.write(STEPS)
        print(f"{os.cpu_count()} processors; medians of {options.rounds}")
        print(f"{'MB':>6} {'documents':>10} {'kept':>8} {'wall s':>8} {'CPU s':>8} {'wall ms/MB':>11} {'CPU ms/MB':>10} {'1 thread s':>11} {'speed-up':>9}")
        costs = {}
        for size, path in paths.items():
            megabytes = os.path.getsize(path) / 1e6
            # The machine settles: small files are run more often.
            rounds = [[run(options.curate, steps, path, os.path.join(work, "out"), threads) for threads in (2, 1)]
                      for _ in range(options.rounds * (5 if size < 50 else 1))]
            median = lambda side, key: statistics.median(pair[side][key] for pair in rounds)
            wall, processor, one = median(0, "wall"), median(0, "processor"), median(1, "wall")
            report = rounds[0][0]["report"]
            cost = {"in all": processor / megabytes}
            for number, step in enumerate(report["steps"]):
                seconds = statistics.median(pair[0]["report"]["steps"][number]["seconds"] for pair in rounds)
                cost[step["step"]] = seconds / max(1e-9, step["seen_bytes"] / 1e6)
            for part in ("parse", "write", "duplicates"):
                name = {"parse": "(read and parse)", "write": "(compress)", "duplicates": "(match duplicates, wall)"}[part]
                cost[name] = statistics.median(pair[0]["report"]["seconds"][part] for pair in rounds) / megabytes
            costs[size] = cost
            print(f"{size:>6} {report['read']['records']:>10} {report['kept']['records']:>8} {wall:>8.2f} {processor:>8.2f} "
                  f"{1e3 * wall / megabytes:>11.2f} {1e3 * processor / megabytes:>10.2f} {one:>11.2f} {one / wall:>9.2f}", flush=True)
            os.remove(path)
        small, large = costs[min(costs)], costs[max(costs)]
        print(f"processor time per MB (of what a step sees), {max(costs)} MB against {min(costs)} MB:")
        for name in large:
            ratio = large[name] / max(1e-9, small[name])
            grows = "  grows" if ratio > 1.2 and large[name] > 0.02 * large["in all"] else ""
            print(f"  {name:<26} {1e3 * small[name]:>8.3f} -> {1e3 * large[name]:>8.3f} ms/MB  x{ratio:.2f}{grows}")
        return 1 if large["in all"] > 1.2 * small["in all"] else 0
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    sys.exit(main())
