#!/usr/bin/env python3
"""`finetune train` in several processes: two train what one trains, to 1e-6; they resume to the same bytes; when one is
killed the other ends with an error instead of waiting; those that disagree say so.
    tests/cli/processes_finetune.py build/release/bin/finetune [--torchrun build/venv/bin/torchrun]
A tiny random Llama is written into a temporary folder; no network, no package beyond Python, torchrun where given."""
import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

from kill_resume_finetune import write_data, write_model

BOUND = 1e-6


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def weights(folder):
    """All numbers of the adapter, tensors by name."""
    data = (folder / "adapter/adapter_model.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    numbers = []
    for name in sorted(set(header) - {"__metadata__"}):
        begin, end = header[name]["data_offsets"]
        numbers += struct.unpack(f"<{(end - begin) // 4}f", data[8 + size + begin:8 + size + end])
    return numbers


def difference(first, second):
    """Of the adapters of two runs, relative to the length."""
    a, b = weights(first), weights(second)
    if len(a) != len(b):
        sys.exit("two adapters of another size")
    return (sum((x - y) ** 2 for x, y in zip(a, b)) / sum(x * x for x in b)) ** 0.5


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def where_it_waits(process):
    """A line for each thread: its name, the kernel's function that it waits in, and its system call with its values."""
    def read(path):
        try:
            return path.read_text().strip()
        except OSError as error:
            return str(error)
    return "".join(f"{' '.join(read(thread / name) for name in ('comm', 'wchan', 'syscall'))}\n"
                   for thread in pathlib.Path(f"/proc/{process}/task").iterdir())


class Training:
    def __init__(self, finetune, folder, torchrun):
        self.finetune, self.folder, self.torchrun = finetune, folder, torchrun
        self.words = ["train", "--model", folder / "model", "--data", folder / "data.jsonl", "--max-length", 64,
                      "--accumulate", 5, "--lora.rank", 4, "--lora.dropout", 0.1, "--validation-share", 0.1,
                      "--save-every", 2, "--keep-checkpoints", 9, "--learning-rate", 0.003,
                      "--schedule", "constant", "--device", "cpu"]

    def command(self, output, *words):
        often = [] if "--eval-every" in words else ["--eval-every", 4]
        return [str(word) for word in [self.finetune, *self.words, *often, "--output", self.folder / output, *words]]

    def start(self, size, output, *words, others=None):
        """The processes, by rank; `others`: output and words of all but the first."""
        port = str(free_port())
        environment = [os.environ | {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank),
                                     "LOCAL_WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
                       for rank in range(size)]
        commands = [self.command(output, *words)] + [self.command(*(others or (output, *words)))] * (size - 1)
        return [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=each)
                for command, each in zip(commands, environment)]

    def start_until(self, step, output, *words):
        """Two processes that train, once the checkpoint of that step is there."""
        processes = self.start(2, output, *words)
        deadline = time.monotonic() + 120
        while not (self.folder / output / f"checkpoints/step-{step}").exists():
            if time.monotonic() > deadline or any(process.poll() is not None for process in processes):
                sys.exit(f"the processes do not train: {[process.poll() for process in processes]}")
            time.sleep(0.01)
        return processes

    def check_ends(self, rank, process):
        """The other was killed: this one ends, and says why."""
        try:
            _, errors = process.communicate(timeout=180)  # a checkpoint on a busy disk may have to end first
        except subprocess.TimeoutExpired:
            threads = where_it_waits(process.pid)
            process.kill()
            sys.exit(f"rank {rank} waits for rank {1 - rank}, which was killed:\n{threads}{process.communicate()}")
        if process.returncode != 1 or "another process of the training has ended" not in errors:
            sys.exit(f"rank {rank} ended with {process.returncode}:\n{errors}")

    def run(self, size, output, *words):
        processes = self.start(size, output, *words) if size > 1 else [subprocess.Popen(
            self.command(output, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)]
        said = [process.communicate(timeout=180) for process in processes]
        for rank, (process, (_, errors)) in enumerate(zip(processes, said)):
            if process.returncode != 0:
                sys.exit(f"{output}: rank {rank} of {size} ended with {process.returncode}:\n{errors}")
        if any(out + errors for out, errors in said[1:]):
            sys.exit(f"{output}: another process than the first speaks: {said[1:]}")
        return self.folder / output

    def check_equal(self):
        one = self.run(1, "one", "--steps", 8)
        other = self.run(1, "other", "--steps", 8, "--seed", 43)
        if difference(other, one) < 1e-3:
            sys.exit("another seed gave nearly the same adapter: the comparison sees nothing")
        for size in (2, 3):
            several = self.run(size, f"of{size}", "--steps", 8)
            gap = difference(several, one)
            print(f"{size} processes against one after 8 steps: {gap:.2g}")
            if gap > BOUND:
                sys.exit(f"{size} processes differ from one by {gap}")
            for mine, its in zip(metrics(several), metrics(one), strict=True):
                for key, value in its.items():
                    bound = BOUND if key.startswith("validation") else 1e-5
                    if key not in ("seconds", "tokens_per_second", "peak_memory", "threads") and abs(mine[key] - value) > bound * abs(value):
                        sys.exit(f"{size} processes: {key} is {mine[key]}, of one {value}")
        names = sorted(path.name for path in one.iterdir())
        if names != sorted(path.name for path in (self.folder / "of2").iterdir()):
            sys.exit("two processes left other files than one")

    def check_resume(self):
        whole = self.folder / "of2"
        self.run(2, "half", "--steps", 4)
        half = self.run(2, "half", "--steps", 8, "--resume")
        if weights(half) != weights(whole):
            sys.exit("a resumed run of two processes ends with other bytes")

    def check_disagreement(self):
        """Processes of other options, data or checkpoints do not train together: each says what differs."""
        steps = ("--steps", 8)
        self.run(2, "alone", *steps)  # whose checkpoints the other process does not have
        short = self.folder / "short.jsonl"
        short.write_text("".join((self.folder / "data.jsonl").read_text().splitlines(keepends=True)[:30]))
        for first, other, option in (
                (("apart", *steps), ("apart", *steps, "--seed", 7), "--seed"),
                (("apart", *steps), ("apart", "--steps", 9), "--steps"),
                (("apart", *steps), ("apart", *steps, "--lora.alpha", 8), "--lora.alpha"),
                (("apart", *steps), ("apart", *steps, "--eval-every", 3), "--eval-every"),
                (("apart", *steps), ("apart", *steps, "--data", short), "--data"),
                (("alone", "--steps", 9, "--resume"), ("elsewhere", "--steps", 9, "--resume"), "--resume")):
            for rank, process in enumerate(self.start(2, *first, others=other)):
                _, errors = process.communicate(timeout=120)
                if process.returncode != 2 or f"{option} of rank 1" not in errors:
                    sys.exit(f"{option} differs: rank {rank} ended with {process.returncode}:\n{errors}")
            if (self.folder / "apart").exists() or (self.folder / "elsewhere").exists():
                sys.exit(f"{option} differs, and the refused run left a folder")

    def check_pairs(self):
        """What the model says of pairs before it trains is shared out: the same file, and the same training."""
        lines = [json.loads(line) for line in (self.folder / "data.jsonl").read_text().splitlines()[:40]]
        pairs = self.folder / "pairs.jsonl"
        pairs.write_text("".join(json.dumps({"prompt": a["prompt"], "chosen": a["completion"], "rejected": b["completion"] + "."})
                                 + "\n" for a, b in zip(lines, lines[1:])))
        on_pairs = Training(self.finetune, self.folder, None)
        on_pairs.words[on_pairs.words.index("--data") + 1] = pairs
        words = ["--objective", "dpo", "--steps", 3, "--eval-every", 2]
        one, two = on_pairs.run(1, "pairs1", *words), on_pairs.run(2, "pairs2", *words)
        if (one / "references.json").read_bytes() != (two / "references.json").read_bytes():
            sys.exit("two processes found other references than one")
        gap = difference(two, one)
        print(f"two processes against one on pairs: {gap:.2g}")
        if gap > BOUND:
            sys.exit(f"on pairs two processes differ from one by {gap}")

    def check_killed(self, victim):
        output = f"killed{victim}"
        processes = self.start_until(4, output, "--steps", 100000, "--eval-every", 0)
        processes[victim].send_signal(signal.SIGKILL)
        self.check_ends(1 - victim, processes[1 - victim])
        processes[victim].communicate()
        if victim == 1:
            self.run(2, output, "--steps", max(int(path.name[5:]) for path in
                                               (self.folder / output / "checkpoints").glob("step-*")) + 2, "--eval-every",
                     0, "--resume")

    def check_killed_at_once(self):
        """The first, as soon as it has asked the other, stopped, for what that has to send: Gloo sends it, fails and forgets
        that it has to, and without the question whether the first is still there would wait without end."""
        for attempt in range(4):
            output = f"at_once{attempt}"
            processes = self.start_until(4, output, "--steps", 100000, "--eval-every", 0)
            processes[0].send_signal(signal.SIGSTOP)
            time.sleep(0.2)
            processes[1].send_signal(signal.SIGSTOP)
            processes[0].send_signal(signal.SIGCONT)
            time.sleep(0.3)
            processes[0].kill()
            processes[0].communicate()
            processes[1].send_signal(signal.SIGCONT)
            self.check_ends(1, processes[1])

    def check_slow(self):
        """One that does not answer for a while is waited for, and asked, and the numbers are the same."""
        for attempt in range(10):
            output = f"slow{attempt}"
            processes = self.start_until(2, output, "--steps", 8)
            processes[1].send_signal(signal.SIGSTOP)
            time.sleep(7 if processes[0].poll() is None else 0)
            waited = processes[0].poll() is None
            processes[1].send_signal(signal.SIGCONT)
            for rank, process in enumerate(processes):
                _, errors = process.communicate(timeout=120)
                if process.returncode != 0:
                    sys.exit(f"rank 1 was slow: rank {rank} ended with {process.returncode}:\n{errors}")
            if weights(self.folder / output) != weights(self.folder / "of2"):
                sys.exit("rank 1 was slow, and the adapter has other bytes")
            if waited:
                return
        sys.exit("rank 1 was never stopped in time: nothing was tested")

    def check_signal(self):
        processes = self.start_until(4, "signal", "--steps", 100000, "--eval-every", 0)
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for rank, process in enumerate(processes):
            process.communicate(timeout=60)
            if process.returncode != 130:
                sys.exit(f"rank {rank} ended with {process.returncode} after SIGTERM")

    def check_environment(self):
        for name, value in (("RANK", "2"), ("WORLD_SIZE", "two"), ("MASTER_PORT", "0")):
            environment = os.environ | {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500",
                                        name: value}
            got = subprocess.run(self.command("malformed", "--steps", 1), capture_output=True, text=True, env=environment)
            if got.returncode != 2 or name not in got.stderr or (self.folder / "malformed").exists():
                sys.exit(f"{name}={value}: {got.returncode} {got.stderr}")

    def check_torchrun(self):
        words = [self.torchrun, "--no-python", "--standalone", "--nproc-per-node", "2"]
        got = subprocess.run(words + self.command("torchrun", "--steps", 8), capture_output=True, text=True, timeout=300)
        if got.returncode != 0:
            sys.exit(f"torchrun: {got.stderr}")
        if "\nthreads: 0\n" not in (self.folder / "torchrun/run.yaml").read_text():
            sys.exit("run.yaml has one process's share of the machine, which another run would take for the whole")
        if weights(self.folder / "torchrun") != weights(self.folder / "of2"):
            sys.exit("torchrun's two processes give other bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("finetune")
    parser.add_argument("--torchrun")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hornbook_processes_"))
    try:
        (folder / "model").mkdir()
        generator = random.Random(1)
        write_model(folder / "model", generator)
        write_data(folder / "data.jsonl", generator)
        training = Training(options.finetune, folder, options.torchrun)
        training.check_environment()
        training.check_equal()
        training.check_resume()
        training.check_disagreement()
        training.check_pairs()
        training.check_killed(1)
        training.check_killed(0)
        training.check_killed_at_once()
        training.check_slow()
        training.check_signal()
        if options.torchrun:
            training.check_torchrun()
        print("several processes train as one")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
