#!/usr/bin/env python3
"""Proof 6: `curate run` killed with -9 at random moments and resumed ends with the bytes of an unbroken run. With --signal
INT or TERM it is asked to stop instead: it saves where it is and leaves with 130.

    kill_resume_curate.py CURATE [--rounds 6] [--seed 1] [--seconds 60] [--format parquet] [--signal KILL]

Standard library only. Each round kills a run several times, at moments spread over its length, then lets it finish."""
import argparse, filecmp, json, os, random, signal, subprocess, sys, tempfile, time

parser = argparse.ArgumentParser()
parser.add_argument("curate")
parser.add_argument("--rounds", type=int, default=6)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--seconds", type=float, default=60)
parser.add_argument("--format", default="jsonl")
parser.add_argument("--signal", default="KILL")
arguments = parser.parse_args()
generator = random.Random(arguments.seed)

STEPS = """
steps:
  - gopher_quality
  - deduplicate: {near: false}
  - c4
  - deduplicate: {keep: longest}
"""


def corpus(folder):
    words = "the of and to that have with be river stone teaches every number letter child walks slowly".split()
    texts = []
    for number in range(20000):
        if number % 4 == 3:
            text = texts[generator.randrange(len(texts))]
            if generator.random() < 0.5:
                text += " And one more sentence here."
        else:
            text = "\n".join(" ".join(generator.choice(words) + (str(generator.randrange(50)) if i % 2 else "")
                                      for i in range(12)) + "." for _ in range(generator.randrange(1, 20)))
        texts.append(text)
    for part in range(3):
        with open(os.path.join(folder, f"part{part}.jsonl"), "w") as out:
            for number, text in enumerate(texts[part::3]):
                out.write(json.dumps({"id": f"{part}-{number}", "text": text}) + "\n" if number % 500 else "not json\n")


def contents(folder):
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            if not name.startswith("report."):
                found[os.path.relpath(path, folder)] = open(path, "rb").read()
    report = json.load(open(os.path.join(folder, "report.json")))
    for key in ("seconds", "threads", "megabytes_per_second"):
        del report[key]
    for step in report["steps"]:
        del step["seconds"], step["megabytes_per_second"]
    found["report.json without times"] = json.dumps(report, sort_keys=True)
    return found


with tempfile.TemporaryDirectory() as folder:
    corpus(folder)
    config = os.path.join(folder, "config.yaml")
    output = os.path.join(folder, "out")
    with open(config, "w") as out:
        out.write(f"input: [{folder}/part*.jsonl]\noutput: {output}\nshard_size: 500k\n{STEPS}")
    command = [arguments.curate, "run", "--config", config, "--quiet", "--format", arguments.format, "--checkpoint-seconds"]
    started = time.monotonic()
    subprocess.run(command + ["0", "--overwrite"], check=True)
    length = time.monotonic() - started
    expected = contents(output)
    assert any(name.startswith("kept") for name in expected) and not any(".work" in name for name in expected)

    kills = resumed_from_checkpoint = stopped = 0
    for round_number in range(arguments.rounds):
        if time.monotonic() - started > arguments.seconds and round_number >= 2:
            break
        mode = "--overwrite"
        for attempt in range(6):
            process = subprocess.Popen(command + [generator.choice(["0", "0.05"]), mode, "--threads", str(generator.choice([1, 2, 3])),
                                                  "--memory", generator.choice(["400M", "1G"])])
            try:
                process.wait(generator.random() * length * (1.1 if attempt == 0 else 0.6))
                assert process.returncode == 0, process.returncode
                break
            except subprocess.TimeoutExpired:
                process.send_signal(getattr(signal, "SIG" + arguments.signal))
                process.wait()
                kills += 1
                if process.returncode == 130:  # before it has a folder, a signal just ends it
                    stopped += 1
                    assert os.path.exists(os.path.join(output, ".work", "checkpoint.json"))
                elif process.returncode == 0:
                    break
                resumed_from_checkpoint += os.path.exists(os.path.join(output, ".work", "checkpoint.json"))
                # Before run.yaml is there, nothing is ours yet and nothing is lost.
                mode = "--resume" if os.path.exists(os.path.join(output, "run.yaml")) else "--overwrite"
                if mode == "--overwrite" and os.path.isdir(output) and os.listdir(output):
                    mode = "--resume"
        subprocess.run(command + ["0.05", "--resume"], check=True)
        got = contents(output)
        # The saved options hold the number of threads and the memory of the attempt that began.
        for side in (got, expected):
            side["run.yaml"] = b"\n".join(line for line in side["run.yaml"].split(b"\n") if not line.startswith((b"threads", b"memory", b"checkpoint")))
        assert got.keys() == expected.keys(), (sorted(got), sorted(expected))
        for name in expected:
            assert got[name] == expected[name], f"{name} differs in round {round_number} (seed {arguments.seed})"
    print(f"{kills} kills, {resumed_from_checkpoint} resumed from a checkpoint, same bytes every time")
    assert kills >= 3 and resumed_from_checkpoint >= 1 and (stopped > 0) == (arguments.signal != "KILL")
