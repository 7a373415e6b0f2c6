#!/usr/bin/env python3
"""Does the time of a step grow with its tokens alone? `finetune train` on one row of 512 to 4,096 tokens.

    scripts/bench/row_lengths.py [--programs build/release/bin] [--model build/data/smollm2.gguf] [--threads 2] [--rounds 2]

Float32, LoRA of rank 16 on all linear modules, checkpointing off. Rows of documents of 512 tokens: all but attention sees
their length only. And a row that is one text: attention's own share comes in, which grows with the square of the length; beside
it what the operations of a step foretell, at the speed of the rows of documents. Tokens per second of whole steps, the first
of each process left out; the lengths in turns, medians.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

LENGTHS = [512, 1024, 2048, 4096]


def speed(options, work, data, length, steps):
    output = work / "run"
    subprocess.run([options.programs / "finetune", "train", "--model", options.model, "--data", data, "--output", output, "--overwrite",
                    "--steps", str(steps + 1), "--max-length", str(length), "--rows-per-batch", "1", "--lora.rank", "16", "--dtype",
                    "float32", "--device", "cpu", "--threads", str(options.threads), "--learning-rate", "1e-4", "--allow-no-end",
                    "--gradient-checkpointing", "none", "--quiet"], check=True)
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()][1:]
    return sum(line["tokens"] for line in lines) / sum(line["tokens"] / line["tokens_per_second"] for line in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, default=pathlib.Path("build/release/bin"))
    parser.add_argument("--model", default="build/data/smollm2.gguf")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    facts = json.loads(subprocess.run([options.programs / "lora", "info", options.model, "--json"], check=True, capture_output=True,
                                      text=True).stdout)
    with tempfile.TemporaryDirectory(prefix="hornbook_bench_") as work:
        work = pathlib.Path(work)
        # Digits are tokens of their own: numbers of one digit and a blank are two.
        one = " ".join(str(i * 7 % 10) for i in range(255))
        (work / "short.jsonl").write_text("".join(json.dumps({"text": f"{i % 10} {one}"}) + "\n" for i in range(200)))
        (work / "long.jsonl").write_text((json.dumps({"text": " ".join(str(i % 9973) for i in range(9000))}) + "\n") * 8)
        found = {}
        for _ in range(options.rounds):
            for length in LENGTHS:
                for kind in ("short", "long"):
                    found.setdefault((kind, length), []).append(
                        speed(options, work, work / f"{kind}.jsonl", length, max(1, 2048 // length)))
        middle = {key: statistics.median(values) for key, values in found.items()}
        base = middle["short", 512]
        # Operations a token: of a frozen matrix two products, of attention seven tiles of half of the row each.
        attention = 7 * facts["heads"] * facts["head_dim"] * facts["layers"]
        of_length = lambda length: 4 * facts["parameters"] + attention * length
        for length in LENGTHS:
            print(f"{length:5} tokens: documents of 512 {middle['short', length]:6.1f} tokens/s, {middle['short', length] / base:.2f} of rows of "
                  f"512; one text {middle['long', length]:6.1f} tokens/s, {middle['long', length] / middle['long', 512]:.2f}, by its operations "
                  f"{of_length(512) / of_length(length):.2f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
