#!/usr/bin/env python3
"""What one competing process costs `finetune train` on two threads, and what the short waits that keep it low cost where none competes.

    build/venv/bin/python scripts/bench/competing.py [--rounds 3] [--steps 4] [--dtype float32]

SmolLM2, LoRA of rank 16 on all linear modules, one row of 512 tokens a step, tokens per second without the first step, turn by turn.
Beside a process that computes without end: two threads, and one. Beside nothing: two threads, and two that wait as libgomp's do when
nothing is said (GOMP_SPINCOUNT=300000). For a machine of two cores that does nothing else. No package beyond Python.
"""
import argparse, json, os, pathlib, statistics, subprocess, sys, tempfile

TEXT = "A branch is a name for a commit that moves along when you commit. "


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--finetune", default="build/release/bin/finetune")
    parser.add_argument("--model", default="build/data/smollm2.gguf")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hornbook_bench_") as folder:
        run, data = pathlib.Path(folder, "run"), pathlib.Path(folder, "data.jsonl")
        data.write_text((json.dumps({"text": TEXT * 100}) + "\n") * 8)

        def rate(threads, **environment):
            subprocess.run([options.finetune, "train", "--model", options.model, "--data", data, "--output", run, "--overwrite", "--steps",
                            str(options.steps + 1), "--max-length", "512", "--rows-per-batch", "1", "--lora.rank", "16", "--dtype",
                            options.dtype, "--device", "cpu", "--threads", str(threads), "--allow-no-end", "--quiet"], check=True,
                           env=os.environ | environment)
            steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()][1:]
            return sum(step["tokens"] for step in steps) / sum(step["tokens"] / step["tokens_per_second"] for step in steps)

        def beside_another(threads):
            other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            try:
                return rate(threads)
            finally:
                other.kill()
                other.wait()

        ways = {"two threads beside another process": lambda: beside_another(2), "one thread beside it": lambda: beside_another(1),
                "two threads alone": lambda: rate(2), "two that wait as libgomp's alone": lambda: rate(2, GOMP_SPINCOUNT="300000")}
        rates = {name: [] for name in ways}
        for turn in range(options.rounds):
            for name, way in ways.items():
                rates[name].append(way())
                print(f"round {turn + 1}: {name} {rates[name][-1]:.0f} tokens/s", flush=True)
        busy, one, alone, spinning = rates.values()
        for name, above, below in (("two threads against one beside another process (goal: at least 1)", busy, one),
                                   ("short waits against libgomp's alone (goal: at least 0.97)", alone, spinning)):
            ratios = sorted(a / b for a, b in zip(above, below))
            print(f"{name}: {statistics.median(above):.0f} and {statistics.median(below):.0f} tokens/s, "
                  f"{statistics.median(ratios):.2f} ({', '.join(f'{ratio:.2f}' for ratio in ratios)})")


if __name__ == "__main__":
    main()
