#!/usr/bin/env python3
"""Tokens per second of our tokenizer program and of the tokenizers package, on the same text, one thread each, interleaved;
medians of five rounds of CPU time (the machine may be busy with other things; wall time is printed beside it).

    build/venv/bin/python scripts/bench/tokenizer.py --program build/release/bin/tokenizer --text corpus.jsonl [--megabytes 4]

The package is timed around its encode calls alone, on texts that lie in memory (encode one by one, encode_batch, and
encode_batch_fast, which leaves the offsets out); the ratio is against its fastest. Our program is timed whole: start, loading the vocabulary, reading JSON, encoding, writing the ids
as JSON. Both must give the same ids.
"""
import argparse, json, os, statistics, subprocess, sys, tempfile, time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
import tokenizers
from measuring import cpu, first, texts_of, write_records

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=os.path.join(ROOT, "build", "release", "bin", "tokenizer"))
    parser.add_argument("--model", default=os.path.join(ROOT, "build", "data", "smollm2.gguf"))
    parser.add_argument("--text", nargs="+", required=True, help="JSONL files with a text in each record")
    parser.add_argument("--megabytes", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()

    texts, size = first(texts_of(arguments.text), arguments.megabytes)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([arguments.program, "convert", "--model", arguments.model, "--output", folder + "/hf", "--quiet"], check=True)
        peer = tokenizers.Tokenizer.from_file(folder + "/hf/tokenizer.json")
        records, ids_file = folder + "/texts.jsonl", folder + "/ids.jsonl"
        write_records(records, texts)

        def ours():
            with open(ids_file, "wb") as out:
                subprocess.run([arguments.program, "encode", "--model", arguments.model, "--special", "--json", "--threads", "1", records], stdout=out, check=True)

        def count():
            subprocess.run([arguments.program, "count", "--model", arguments.model, "--threads", "1", records], stdout=subprocess.DEVNULL, check=True)

        contenders = {"tokenizers encode": lambda: [peer.encode(t, add_special_tokens=False).ids for t in texts],
                      "tokenizers encode_batch": lambda: peer.encode_batch(texts, add_special_tokens=False),
                      "tokenizers encode_batch_fast": lambda: peer.encode_batch_fast(texts, add_special_tokens=False),
                      "ours: encode, whole program": ours, "ours: count, whole program": count}
        seconds, wall = {name: [] for name in contenders}, {name: [] for name in contenders}
        for _ in range(arguments.rounds):
            for name, run in contenders.items():
                start, start_cpu = time.perf_counter(), cpu()
                run()
                seconds[name].append(cpu() - start_cpu)
                wall[name].append(time.perf_counter() - start)
        expected = [e.ids for e in peer.encode_batch_fast(texts, add_special_tokens=False)]
        got = [json.loads(line)["ids"] for line in open(ids_file)]
        tokens = sum(map(len, expected))
        print(f"{len(texts)} texts, {size / 1e6:.1f} MB, {tokens} tokens, ids equal: {got == expected}; tokenizers {tokenizers.__version__}")
        median = {name: statistics.median(values) for name, values in seconds.items()}
        fastest_peer = min(value for name, value in median.items() if name.startswith("tokenizers"))
        for name, value in median.items():
            spread = f"{min(seconds[name]):.3f}-{max(seconds[name]):.3f}"
            print(f"{name:30} {value:7.3f} s ({spread}), wall {statistics.median(wall[name]):7.3f} s  {tokens / value / 1e6:7.2f} M tokens/s  {size / value / 1e6:7.1f} MB/s  {fastest_peer / value:5.1f}x")
        return 0 if got == expected else 1


if __name__ == "__main__":
    sys.exit(main())
