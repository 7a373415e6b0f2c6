"""Packed golden files: the same bytes for the same value."""
import gzip, json, os

TOKENIZER = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "tests", "golden", "tokenizer")


def write_packed(name, value, folder=TOKENIZER):
    """Writes `value` as gzipped JSON and says how large it is."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    data = json.dumps(value, separators=(",", ":")).encode()
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as f:
        f.write(data)
    print(f"{path}: {len(data)} bytes, {os.path.getsize(path)} packed")
