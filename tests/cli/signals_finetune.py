#!/usr/bin/env python3
"""Ctrl-C and `kill` while `finetune train` runs: it ends behind a batch, saves, prints how to go on and leaves with 130;
a second signal leaves at once. Either way the run goes on to the same bytes as one that nobody stopped. `generate` and `chat` stop
cleanly.
    tests/cli/signals_finetune.py build/release/bin/finetune
Standard library only; the tiny model is that of kill_resume_finetune.py."""
import json
import pathlib
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from kill_resume_finetune import outcome, write_data, write_model


def check(condition, *what):
    if not condition:
        sys.exit("FAILED: " + " ".join(str(part) for part in what))


def wait_for_steps(folder, count, process):
    metrics = folder / "metrics.jsonl"
    for _ in range(3000):
        if metrics.exists() and metrics.read_text().count("gradient_norm") >= count:
            return
        check(process.poll() is None, "the run ended before it was interrupted")
        time.sleep(0.01)
    check(False, "no step came")


def wait_for_file(file, process):
    for _ in range(3000):
        if file.exists():
            return
        check(process.poll() is None, "the run ended before it was interrupted", file)
        time.sleep(0.01)
    check(False, "no", file)


def known(folder):
    values = json.loads((folder / "references.json").read_text())["log_probabilities"]
    return sum(value is not None for value in values) // 2


def main():
    finetune = sys.argv[1]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hornbook signals "))  # a blank: the printed command must be quoted
    try:
        generator = random.Random(2)
        model = folder / "model"
        model.mkdir()
        write_model(model, generator)
        write_data(folder / "data.jsonl", generator)

        def start(output, *words, **changes):
            options = {"data": folder / "data.jsonl", "steps": 150, "accumulate": 4, "eval_every": 7} | changes
            given = [word for name, value in options.items() for word in ("--" + name, value)]
            command = [finetune, "train", "--model", model, *given, "--max-length", 96, "--lora.dropout", 0.1,
                       "--validation-share", 0.2, "--threads", 1, "--device", "cpu", "--output", output, *words]
            return subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    text=True)

        whole = start(folder / "whole")
        _, errors = whole.communicate(timeout=300)
        check(whole.returncode == 0, errors)
        expected = outcome(folder / "whole")

        def resume(output, command):
            words = shlex.split(command)
            check(words[0] == "finetune", command)
            done = subprocess.run([finetune] + words[1:], stderr=subprocess.PIPE, text=True, timeout=300)
            check(done.returncode == 0, done.stderr)
            got = outcome(output)
            for key, value in expected.items():
                check(got[key] == value, key, "differs from the unbroken run's in", output)

        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            output = folder / name
            process = start(output, "--json")
            wait_for_steps(output, 10, process)
            process.send_signal(getattr(signal, name))
            text, errors = process.communicate(timeout=60)
            check(process.returncode == 130, name, process.returncode, errors)
            check("ending behind this batch" in errors and "it is all saved" in errors, errors)
            result = json.loads(text)
            check(result["interrupted"] is True and result["steps"] >= 10, text)
            check((output / "checkpoints" / f"step-{result['steps']}" / "state.json").exists(), "no checkpoint")
            check("interrupted after" in (output / "report.html").read_text(), "no report")
            check(not (output / "adapter").exists(), "an adapter that looks finished")
            command = [line for line in errors.splitlines() if line.startswith("next: ")][0][len("next: "):]
            check(command == result["resume"], command)
            resume(output, command)

        # Two signals: both wait while the process is stopped, so that the second comes right behind the first.
        output = folder / "twice"
        process = start(output, "--save-every", "3")
        wait_for_steps(output, 10, process)
        for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGTERM, signal.SIGCONT):
            process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        check(process.returncode == 130 and "next:" not in errors, process.returncode, errors)
        resume(output, f"finetune train --config {shlex.quote(str(output / 'run.yaml'))} --resume")

        # One step of many batches ends between two of them.
        output = folder / "long step"
        process = start(output, accumulate=200000, steps=1, eval_every=0)
        wait_for_file(output / "metrics.jsonl", process)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        check(process.returncode == 130 and "interrupted after 0 of 1 steps" in errors, process.returncode, errors)

        # What the model says of pairs before it trains: kept, and gone on with.
        lines = [json.loads(line) for line in (folder / "data.jsonl").read_text().splitlines()]
        pairs = folder / "pairs.jsonl"
        pairs.write_text("".join(json.dumps({"prompt": f"{i} {line['prompt']}", "chosen": line["completion"], "rejected": "no"})
                                 + "\n" for i, line in enumerate(lines * 40)))
        for number in (signal.SIGTERM, signal.SIGKILL):
            output = folder / f"references {number}"
            process = start(output, "--objective", "dpo", data=pairs, accumulate=3000, steps=1, eval_every=0)
            wait_for_file(output / ("run.yaml" if number == signal.SIGTERM else "references.json"), process)
            if number == signal.SIGKILL:
                deadline = time.monotonic() + 60
                while known(output) == 0 and time.monotonic() < deadline:
                    time.sleep(0.2)
            time.sleep(0.5)
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
            before = known(output)
            check(before > 0, "no reference was kept", errors)
            if number == signal.SIGKILL:
                continue
            check(process.returncode == 130 and "the references so far are saved" in errors, process.returncode, errors)
            command = [line for line in errors.splitlines() if line.startswith("next: ")][0][len("next: "):]
            process = subprocess.Popen([finetune] + shlex.split(command)[1:], stderr=subprocess.PIPE, text=True)
            said = ""
            while "references:" not in said:
                check(process.poll() is None, said)
                said += process.stderr.readline()
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
            count = len(json.loads((output / "references.json").read_text())["log_probabilities"]) // 2
            left = int(said.split("says of ")[1].split()[0].replace(",", ""))
            check(left <= count - before, "references were computed again:", left, count, before)

        # Text: what there is is printed.
        (folder / "prompts.txt").write_text("say 1: \n" * 20000)
        text = subprocess.Popen([finetune, "generate", "--model", str(model), "--prompts", str(folder / "prompts.txt"), "--raw", "--max-tokens",
                                 "120", "--temperature", "1", "--device", "cpu"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        first = text.stdout.readline()
        text.send_signal(signal.SIGINT)
        rest, errors = text.stdout.read(), text.stderr.read()
        check(text.wait(60) == 130 and b"interrupted after" in errors, text.returncode, errors)
        check(first.startswith(b"> say 1") and rest.endswith(b"\n"), first, rest[-80:])
        print("SIGINT, SIGTERM, SIGHUP and two at once: saved, told, resumed to the same bytes")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
