"""Writes tests/golden/base/*.parquet with pyarrow, and the JSON lines that their rows must become.

    build/venv/bin/python scripts/oracle/parquet_files.py

types.parquet    every type, two row groups; types.jsonl says what pyarrow itself reads in them, as JSON
records.parquet  400 records in 8 row groups of several pages, with page checksums: for damaging
twice.parquet    two columns of one name
"""
import base64, datetime, decimal, json, math, os, random
import pyarrow as pa, pyarrow.parquet as pq

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden", "base")
UTC = datetime.timezone.utc
TEXT = ["plain", 'quote " backslash \\ line\nend \x01', "žluťoučký 中文 😀", ""]


def columns():
    """name -> array of four values."""
    day = datetime.date
    moment = datetime.datetime(2024, 2, 29, 23, 59, 58, 123456)
    yield "text", pa.array(TEXT)
    yield "large", pa.array([TEXT[1], None, "", "x" * 1000], pa.large_string())
    yield "view", pa.array([TEXT[2], None, "a", "a string longer than twelve bytes"], pa.string_view())
    yield "dictionary", pa.array(["a", "b", None, "a"]).dictionary_encode()
    yield "flag", pa.array([True, False, None, True])
    for bits in (8, 16, 32, 64):
        yield f"int{bits}", pa.array([-2 ** (bits - 1), 2 ** (bits - 1) - 1, None, 0], f"int{bits}")
        yield f"uint{bits}", pa.array([0, 2 ** bits - 1, None, 1], f"uint{bits}")
    yield "half", pa.array([1.5, -0.0999755859375, None, math.inf], pa.float16())
    yield "float", pa.array([0.1, -1e30, None, math.nan], pa.float32())
    yield "double", pa.array([0.1, 1e-300, 123456789012345680.0, -0.0], pa.float64())
    yield "nothing", pa.nulls(4)
    for unit in ("s", "ms", "us", "ns"):
        yield f"moment_{unit}", pa.array([moment, None, datetime.datetime(1969, 12, 31, 23, 59, 59), moment], pa.timestamp(unit))
        yield f"moment_{unit}_zone", pa.array([moment, None, moment, moment], pa.timestamp(unit, "Europe/Berlin"))
        yield f"span_{unit}", pa.array([-1, 2, None, 3], pa.int64()).cast(pa.duration(unit))
    yield "day", pa.array([day(1, 1, 1), day(9999, 12, 31), None, day(1970, 1, 1)], pa.date32())
    yield "day64", pa.array([day(1900, 3, 1), day(2000, 2, 29), None, day(1969, 12, 31)], pa.date64())
    time = datetime.time(1, 2, 3, 4000)
    yield "time_s", pa.array([time, None, datetime.time(23, 59, 59), datetime.time(0)], pa.time32("s"))
    yield "time_ms", pa.array([time, None, time, time], pa.time32("ms"))
    yield "time_us", pa.array([time, None, time, time], pa.time64("us"))
    yield "time_ns", pa.array([time, None, time, time], pa.time64("ns"))
    number = decimal.Decimal
    yield "decimal", pa.array([number("12.50"), number("-0.01"), None, number("0.00")], pa.decimal128(10, 2))
    yield "decimal_wide", pa.array([number("9" * 40 + ".1"), None, number("-1.0"), number("0.5")], pa.decimal256(60, 1))
    yield "binary", pa.array([b"\x00\xff", b"", None, b"abcd"])
    yield "fixed", pa.array([b"abc", None, b"\xff\x00\x01", b"xyz"], pa.binary(3))
    yield "list", pa.array([[1, None, 3], [], None, [2 ** 53 + 1]], pa.list_(pa.int64()))
    yield "large_list", pa.array([["a"], [], None, ["b", None]], pa.large_list(pa.string()))
    yield "pair", pa.array([[1.5, 2.5], [0.0, None], None, [3.0, 4.0]], pa.list_(pa.float64(), 2))
    inner = pa.struct([("a", pa.int32()), ("b", pa.struct([("c", pa.list_(pa.string()))]))])
    yield "struct", pa.array([{"a": 1, "b": {"c": ["x", None]}}, {"a": None, "b": None}, None, {"a": 2, "b": {"c": []}}], inner)
    yield "structs", pa.array([[{"k": 1}, None], [], None, [{"k": None}]], pa.list_(pa.struct([("k", pa.int8())])))
    yield "map", pa.array([[("x", 1), ("y", None)], [], None, [("x", 2)]], pa.map_(pa.string(), pa.int32()))
    yield 'na"me', pa.array([1, 2, 3, 4])


def fraction(value, digits):
    return "" if digits == 0 else f".{value:0{digits}}"


def as_json(scalar):
    """What one value must become; from pyarrow's raw numbers, not by our own formulas."""
    t = scalar.type
    if not scalar.is_valid:
        return None
    if pa.types.is_dictionary(t):
        return scalar.as_py()
    if pa.types.is_timestamp(t):
        unit = {"s": 0, "ms": 3, "us": 6, "ns": 9}[t.unit]
        seconds, rest = divmod(scalar.value, 10 ** unit)
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
        return moment.isoformat() + fraction(rest, unit) + ("Z" if t.tz else "")
    if pa.types.is_time(t):
        unit = {"s": 0, "ms": 3, "us": 6, "ns": 9}[t.unit]
        seconds, rest = divmod(scalar.value, 10 ** unit)
        return (datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)).time().isoformat() + fraction(rest, unit)
    if pa.types.is_date(t):
        return scalar.as_py().isoformat()
    if pa.types.is_duration(t):
        return scalar.value
    if pa.types.is_decimal(t):
        return str(scalar.as_py())
    if pa.types.is_binary(t) or pa.types.is_fixed_size_binary(t):
        return base64.b64encode(scalar.as_py()).decode()
    if pa.types.is_floating(t):
        return float(scalar.as_py())
    if pa.types.is_map(t):
        return [{"key": as_json(item["key"]), "value": as_json(item["value"])} for item in scalar.values]
    if pa.types.is_list(t) or pa.types.is_large_list(t) or pa.types.is_fixed_size_list(t):
        return [as_json(item) for item in scalar.values]
    if pa.types.is_struct(t):
        return {field.name: as_json(scalar[field.name]) for field in t}
    return scalar.as_py()


if __name__ == "__main__":
    table = pa.table(dict(columns()))
    path = os.path.join(GOLDEN, "types.parquet")
    pq.write_table(table, path, row_group_size=3, compression="zstd")
    back = pq.read_table(path)
    with open(os.path.join(GOLDEN, "types.jsonl"), "w", encoding="utf-8") as out:
        for row in range(back.num_rows):
            record = {name: as_json(back.column(name)[row]) for name in back.column_names}
            out.write(json.dumps(record, ensure_ascii=False) + "\n")  # NaN and Infinity by name

    generator = random.Random(5)
    words = "the of and to that have with be is river stone teaches every number letter child".split()
    records = [{"id": f"r{i}", "text": " ".join(generator.choice(words) for _ in range(generator.randint(5, 60))) + ".",
                "source": words[i % 3], "n": None if i % 7 == 0 else i * 2 ** 40,
                "tags": [words[k] for k in range(i % 4)]} for i in range(400)]
    pq.write_table(pa.Table.from_pylist(records), os.path.join(GOLDEN, "records.parquet"), row_group_size=50, compression="none",
                   data_page_size=2000, write_page_checksum=True)
    with open(os.path.join(GOLDEN, "records.jsonl"), "w") as out:
        out.writelines(json.dumps(record) + "\n" for record in records)
    texts = [None, "first text", "second text"]
    nested = pa.array([None if text is None else {"body": {"text": text, "raw": text.encode()}, "x": math.nan} for text in texts],
                      pa.struct([("body", pa.struct([("text", pa.string()), ("raw", pa.binary())])), ("x", pa.float32())]))
    dotted = pa.array([{"raw": (text or "").encode()} for text in texts], pa.struct([("raw", pa.large_binary())]))
    pq.write_table(pa.table({"data": nested, "data.body": dotted, "score": pa.array([math.nan, 0.5, -math.inf]),
                             "list": pa.array([[math.nan, 1.0], [], None]), "only": pa.array([math.nan] * 3, pa.float16())}),
                   os.path.join(GOLDEN, "nested.parquet"))
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array(["a"])], names=["same", "same"]), os.path.join(GOLDEN, "twice.parquet"))
    print(f"pyarrow {pa.__version__}: {table.num_columns} types, {len(records)} records")
