#!/usr/bin/env python3
"""Reading the same records as JSONL.zst and as Parquet: `curate run` with one cheap step that keeps all, interleaved.

    build/venv/bin/python scripts/bench/parquet.py CURATE SAMPLE.jsonl [--rounds 5] [--threads 1]

pyarrow writes SAMPLE as Parquet: row groups of 1,000 rows, zstd and snappy, and one row group. Every curate run is a whole
process, which writes what it keeps as JSONL.zst (the last line: as Parquet). A round runs each once; printed are medians
of wall and processor seconds, and the median of each round's ratio to JSONL.zst. Beside them pyarrow alone: the same
files read batch by batch, one thread, the import not counted, nothing made of the columns. Exit code 1 when two runs did
not keep the same records and bytes of text."""
import argparse, json, os, statistics, subprocess, sys, tempfile, time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("curate"), parser.add_argument("sample")
parser.add_argument("--rounds", type=int, default=5), parser.add_argument("--threads", default="1")
parser.add_argument("--pyarrow-alone", action="store_true", help=argparse.SUPPRESS)
options = parser.parse_args()

import pyarrow.json
import pyarrow.parquet


def pyarrow_alone(path):
    start, processor = time.monotonic(), time.process_time()
    rows = sum(len(batch) for batch in pyarrow.parquet.ParquetFile(path).iter_batches(1000, use_threads=False))
    print(json.dumps({"rows": rows, "seconds": [time.monotonic() - start, time.process_time() - processor]}))


def curate_run(path, folder, form):
    output = os.path.join(folder, "out")
    start = time.monotonic()
    process = subprocess.Popen([options.curate, "run", "--quiet", "--config", os.path.join(folder, "run.yaml"), "--threads",
                                options.threads, "--format", form, "--output", output, "--overwrite", path])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"curate run {path} ended with {process.returncode}")
    seconds = time.monotonic() - start, usage.ru_utime + usage.ru_stime
    with open(os.path.join(output, "report.json")) as report:
        return json.load(report)["kept"], seconds


if options.pyarrow_alone:
    pyarrow_alone(options.sample)
    sys.exit()

with tempfile.TemporaryDirectory() as folder:
    with open(os.path.join(folder, "run.yaml"), "w") as config:
        config.write("steps:\n  - sample: {rate: 1}\n")
    compressed = os.path.join(folder, "sample.jsonl.zst")
    subprocess.run(["zstd", "-q", "-3", options.sample, "-o", compressed], check=True)
    table = pyarrow.json.read_json(options.sample, pyarrow.json.ReadOptions(block_size=64 << 20))
    runs, kinds = {"JSONL.zst": (compressed, "jsonl")}, [("zstd", 1000), ("snappy", 1000), ("zstd", len(table))]
    for compression, rows in kinds:
        path = os.path.join(folder, f"{compression}-{rows}.parquet")
        pyarrow.parquet.write_table(table, path, compression=compression, row_group_size=rows)
        runs[f"Parquet, {compression}, row groups of {rows:,}"] = (path, "jsonl")
    runs["Parquet in (the first) and out"] = (os.path.join(folder, "zstd-1000.parquet"), "parquet")
    peers = {f"pyarrow alone, {compression}, {rows:,}": os.path.join(folder, f"{compression}-{rows}.parquet") for compression, rows in kinds}
    del table
    seconds, kept = {name: [] for name in [*runs, *peers]}, []
    for _ in range(options.rounds):
        for name, (path, form) in runs.items():
            counts, taken = curate_run(path, folder, form)
            kept.append(counts)
            seconds[name].append(taken)
        for name, path in peers.items():
            out = subprocess.run([sys.executable, __file__, options.curate, path, "--pyarrow-alone"], check=True, stdout=subprocess.PIPE).stdout
            seconds[name].append(json.loads(out)["seconds"])

print(f"{os.path.getsize(options.sample) / 1e6:.0f} MB, {kept[0]['records']:,} records, {options.threads} threads, median of {options.rounds} rounds")
for name, taken in seconds.items():
    wall, processor = (statistics.median(one[i] for one in taken) for i in (0, 1))
    ratio = statistics.median(one[1] / base[1] for one, base in zip(taken, seconds["JSONL.zst"]))
    print(f"{name:<36} wall {wall:>6.2f} s   processor {processor:>6.2f} s   {ratio:.2f} of JSONL.zst (processor)")
if any(counts != kept[0] for counts in kept):
    sys.exit("the runs did not keep the same records")
