#!/usr/bin/env python3
"""Tokens per second of our tokenizer program and of the sentencepiece package on a .model file, the same texts, one thread
each, interleaved; medians of CPU time. Both must give the same ids.

    build/venv/bin/python scripts/bench/sentencepiece_models.py --model build/data/mistral-v1.model --text corpus.jsonl [--megabytes 30]

The package is timed around encode alone, on texts that lie in memory. Our program is timed whole: start, loading the vocabulary, reading JSON,
encoding, counting (count) or writing the ids as JSON (encode).
"""
import argparse, json, os, statistics, subprocess, sys, tempfile

import sentencepiece
from measuring import cpu, first, texts_of, write_records

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=os.path.join(ROOT, "build", "release", "bin", "tokenizer"))
    parser.add_argument("--model", default=os.path.join(ROOT, "build", "data", "mistral-v1.model"))
    parser.add_argument("--text", nargs="+", required=True, help="JSONL files with a text in each record")
    parser.add_argument("--megabytes", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    texts, size = first(texts_of(arguments.text), arguments.megabytes)
    peer = sentencepiece.SentencePieceProcessor(model_file=arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        records, ids_file = folder + "/texts.jsonl", folder + "/ids.jsonl"
        write_records(records, texts)
        command = [arguments.program, "encode", "--model", arguments.model, "--json", "--threads", "1", records]

        def encode():
            with open(ids_file, "wb") as out:
                subprocess.run(command, stdout=out, check=True)

        def count():
            subprocess.run([arguments.program, "count"] + command[2:4] + command[5:], stdout=subprocess.DEVNULL, check=True)

        ids = []
        contenders = {"sentencepiece encode": lambda: ids.__setitem__(slice(None), [peer.encode(t) for t in texts]),
                      "ours: encode, whole program": encode, "ours: count, whole program": count}
        seconds = {name: [] for name in contenders}
        for _ in range(arguments.rounds):
            for name, run in contenders.items():
                start = cpu()
                run()
                seconds[name].append(cpu() - start)
        equal = ids == [json.loads(line)["ids"] for line in open(ids_file)]
    tokens = sum(map(len, ids))
    print(f"{len(texts)} texts, {size / 1e6:.1f} MB, {tokens} tokens, ids equal: {equal}; sentencepiece {sentencepiece.__version__}")
    peer_seconds = statistics.median(seconds["sentencepiece encode"])
    for name, values in seconds.items():
        value = statistics.median(values)
        print(f"{name:30} {value:7.3f} s ({min(values):.3f}-{max(values):.3f})  {size / value / 1e6:7.1f} MB/s  {peer_seconds / value:5.1f}x")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
