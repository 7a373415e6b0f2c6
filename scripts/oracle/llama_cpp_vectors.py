#!/usr/bin/env python3
"""Checks the built tokenizer program on llama.cpp's own vectors: every vocabulary that has them and is BPE or SentencePiece; others must be refused by name.

    build/venv/bin/python scripts/oracle/llama_cpp_vectors.py build/release/bin/tokenizer     # after scripts/vocabularies.py --llama-cpp
"""
import glob, json, os, subprocess, sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(ROOT, "build", "data", "vocabularies", "llama.cpp")
REFUSED = {"bert-bge": "'bert'", "nomic-bert-moe": "'t5'"}


def check(program, path):
    name = os.path.basename(path)[len("ggml-vocab-"):-len(".gguf")]
    with open(path + ".inp", encoding="utf-8", newline="") as f:
        inputs = f.read().split("\n__ggml_vocab_test__\n")
    with open(path + ".out") as f:
        expected = [[int(i) for i in line.split()] for line in f.read().split("\n")][: len(inputs)]
    data = "".join(json.dumps({"text": t}) + "\n" for t in inputs).encode()
    done = subprocess.run([program, "encode", "--model", path, "--json", "-"], input=data, capture_output=True, text=False)
    if name in REFUSED:
        good = done.returncode != 0 and REFUSED[name] in done.stderr.decode()
        print(f"{'ok  ' if good else 'FAIL'} {name}: refused by name", flush=True)
        return good
    if done.returncode:
        print(f"FAIL {name}: {done.stderr.decode()}", flush=True)
        return False
    ids = [json.loads(line)["ids"] for line in done.stdout.splitlines()]
    wrong = [i for i in range(len(inputs)) if ids[i] != expected[i]]
    print(f"{'FAIL' if wrong else 'ok  '} {name}: {len(inputs) - len(wrong)} of {len(inputs)} vectors equal", flush=True)
    for i in wrong[:3]:
        print(f"     {inputs[i]!r}\n       ours {ids[i]}\n       llama.cpp {expected[i]}")
    return not wrong


if __name__ == "__main__":
    paths = sorted(path[:-4] for path in glob.glob(os.path.join(FOLDER, "*.gguf.inp")))
    if len(paths) < 15:
        sys.exit(f"{FOLDER}: not there; run scripts/vocabularies.py --llama-cpp")
    sys.exit(0 if all([check(sys.argv[1], path) for path in paths]) else 1)
