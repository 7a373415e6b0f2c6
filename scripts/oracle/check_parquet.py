#!/usr/bin/env python3
"""Live check of curate's Parquet and JSONL against pyarrow and Hugging Face datasets: what pyarrow writes, `curate run` reads and
writes again, and both peers read back. Exit 1 on a difference.

    build/venv/bin/python scripts/oracle/check_parquet.py build/release/bin/curate [--break value|schema]

--break spoils one shard on purpose: the check must then print DIFFERENT and fail.
"""
import argparse, glob, json, math, os, random, subprocess, sys, tempfile
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1")
import datasets, pyarrow as pa, pyarrow.parquet as pq
from parquet_files import as_json, columns

parser = argparse.ArgumentParser()
parser.add_argument("curate")
parser.add_argument("--break", dest="spoil", choices=["value", "schema"])
arguments = parser.parse_args()
failures = 0


def report(what, differences):
    global failures
    failures += bool(differences)
    print("DIFFERENT" if differences else "ok       ", what, *differences[:5], sep="\n    " if differences else " ", flush=True)


def run(output, *words):
    done = subprocess.run([arguments.curate, "run", "--quiet", "--output", output, *words], capture_output=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr.decode()}")
    return sorted(glob.glob(os.path.join(output, "kept", "*")))


def loaded(kind, files, folder):
    """What datasets.load_dataset makes of the files."""
    split = datasets.load_dataset(kind, data_files=files, split="train", cache_dir=os.path.join(folder, "cache", kind))
    return list(split.with_format(None))


def plain(value):
    """Values as they compare: NaN is "nan"; pyarrow's pairs of a map are objects; a list of any kind is a list."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return {"key": plain(value[0]), "value": plain(value[1])}
    return [plain(v) for v in value] if isinstance(value, list) else value


def rows_differ(ours, theirs):
    found = [] if len(ours) == len(theirs) else [f"{len(ours)} rows, expected {len(theirs)}"]
    for i, (a, b) in enumerate(zip(ours, theirs)):
        found += [f"row {i}, {k}: {a.get(k)!r}, expected {b.get(k)!r}" for k in {**a, **b} if plain(a.get(k)) != plain(b.get(k))]
    return found


def spoil(shards):
    """Writes one shard again with one value, or one type, changed."""
    table = pq.read_table(shards[-1])
    name = "int64" if "int64" in table.column_names else "n"
    at = table.column_names.index(name)
    if arguments.spoil == "value":
        values = table.column(name).to_pylist()
        values[-1] = 12345
        table = table.set_column(at, name, pa.array(values, table.schema.field(name).type))
    if arguments.spoil == "schema":
        table = table.set_column(at, name, table.column(name).cast(pa.string()))
    if arguments.spoil:
        pq.write_table(table, shards[-1])


def every_type(folder):
    table = pa.concat_tables([pa.table(dict(columns()))] * 300)
    source = os.path.join(folder, "types.parquet")
    pq.write_table(table, source, row_group_size=100)
    table = pq.read_table(source)  # what Parquet keeps of Arrow's types
    shards = run(os.path.join(folder, "types"), "--format", "parquet", "--shard-size", "200k", source)
    spoil(shards)
    schemas = {str(pq.read_schema(shard)) for shard in shards}
    report(f"{len(shards)} shards, one schema", [] if len(schemas) == 1 and len(shards) > 3 else sorted(schemas))
    # Types that JSON text does not bring back, and what is there instead.
    instead = {"dictionary": pa.string(), "view": pa.string(), "map": pa.list_(pa.struct([("key", pa.string()), ("value", pa.int64())]))}
    schema = pq.read_schema(shards[0])
    report("types", [f"{f.name}: {schema.field(f.name).type}, expected {instead.get(f.name, f.type)}" for f in table.schema
                     if not schema.field(f.name).type.equals(instead.get(f.name, f.type))])
    expected = table.to_pylist()
    report("every type, read by pyarrow", rows_differ([row for shard in shards for row in pq.read_table(shard).to_pylist()], expected)
           if len(schemas) == 1 else ["schemas differ"])
    report("every type, read by datasets", rows_differ(loaded("parquet", shards, folder), expected))
    for threads in ("2", "8"):
        again = run(os.path.join(folder, "types" + threads), "--threads", threads, "--format", "parquet", "--shard-size", "200k", source)
        same = [open(a, "rb").read() == open(b, "rb").read() for a, b in list(zip(shards, again))[:-1]]
        report(f"same bytes on {threads} threads", [] if len(shards) == len(again) and all(same) else ["bytes differ"])
    lines = run(os.path.join(folder, "lines"), source)
    text = subprocess.run(["zstd", "-dcq", *lines], capture_output=True, check=True).stdout
    names = table.column_names
    wanted = [{name: as_json(table.column(name)[i]) for name in names} for i in range(table.num_rows)]
    report("every type as JSON", rows_differ([json.loads(line) for line in text.splitlines()], wanted))


def mixed_sources(folder):
    """Records of three files, whose fields differ in names and types."""
    generator = random.Random(3)
    records = []
    for i in range(2000):
        record = {"id": f"r{i}", "text": f"Text number {i}, " + "word " * generator.randint(1, 50) + "\u00e9\U0001f600",
                  "n": generator.choice([None, i, -i]), "ratio": generator.choice([1, 0.5, 2 ** 53]), "big": 2 ** 64 - 1 - i,
                  "either": generator.choice([i, "x", [1], {"a": None}, True, None]), "tags": [generator.choice("abc") for _ in range(i % 4)],
                  "meta": {"size": i, "inner": {"any": generator.choice([1, "1"]), "none": None}, "empty": {}}}
        if i % 3 == 0:
            record[f"rare{i % 9}"] = [{"k": i}, None]
        if i % 5 == 0:
            del record["meta"], record["n"]
        records.append(record)
    json_text = ("either", "meta.empty", "meta.inner.any")
    files = [os.path.join(folder, name) for name in ("a.jsonl", "b.parquet", "c.jsonl")]
    for path, part in zip(files[::2], (records[:700], records[1400:])):
        with open(path, "w") as out:
            out.writelines(json.dumps(record) + "\n" for record in part)
    keep = [{k: record.get(k) for k in ("id", "text", "n", "tags")} for record in records[700:1400]]
    records[700:1400] = keep
    pq.write_table(pa.Table.from_pylist(keep), files[1], row_group_size=90)
    output = os.path.join(folder, "mixed")
    shards = run(output, "--format", "parquet", "--shard-size", "50k", *files)
    spoil(shards)
    told = json.load(open(os.path.join(output, "report.json")))["parquet"]
    report("fields of JSON text are reported", [] if sorted(told["json_text"]) == sorted(json_text) and told["fields"] == 11 else [str(told)])

    def unpack(row):
        """The row with its JSON text read, and without the nulls that stand for missing fields."""
        for path in json_text:
            *outer, last = path.split(".")
            place = row
            for name in outer:
                place = place and place.get(name)
            if place and place.get(last) is not None:
                place[last] = json.loads(place[last])
        return row

    expected = [{**{k: None for k in ("n", "ratio", "big", "either", "meta", "rare0", "rare3", "rare6")}, **record} for record in records]
    schemas = {str(pq.read_schema(shard)) for shard in shards}
    report(f"mixed sources: {len(shards)} shards, one schema", [] if len(schemas) == 1 and len(shards) > 3 else sorted(schemas))
    report("mixed sources, read by pyarrow", rows_differ([unpack(r) for s in shards for r in pq.read_table(s).to_pylist()], expected))
    report("mixed sources, read by datasets", rows_differ([unpack(r) for r in loaded("parquet", shards, folder)], expected))
    # The same as JSONL; datasets wants one type in a field, so the fields without one are left out of the input.
    simple = os.path.join(folder, "simple.jsonl")
    wanted = [{k: record.get(k) for k in ("id", "text", "n", "tags")} for record in records]
    with open(simple, "w") as out:
        out.writelines(json.dumps(record) + "\n" for record in wanted)
    lines = run(os.path.join(folder, "simple"), "--shard-size", "100k", simple, files[1])
    got = loaded("json", lines, folder)
    report(f"{len(lines)} shards of JSONL, read by datasets", rows_differ(got, wanted + keep))


with tempfile.TemporaryDirectory() as folder:
    every_type(folder)
    mixed_sources(folder)
print(f"pyarrow {pa.__version__}, datasets {datasets.__version__}: {'DIFFERENT' if failures else 'all equal'}")
sys.exit(failures > 0)
