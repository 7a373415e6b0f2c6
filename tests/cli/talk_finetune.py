#!/usr/bin/env python3
"""`finetune chat` and `generate` where a person or a model does something odd: bytes that are no text, lines that a terminal
cuts, a full context, a prompt of a file that cannot be answered.
    tests/cli/talk_finetune.py build/release/bin/finetune
Standard library only; the tiny model is that of kill_resume_finetune.py: its tokens are bytes, which it draws as they come."""
import json
import os
import pathlib
import pty
import random
import select
import subprocess
import sys
import tempfile
import time

from kill_resume_finetune import write_model

TEMPLATE = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}[assistant]"


def check(condition, *what):
    if not condition:
        sys.exit("FAILED: " + " ".join(str(part) for part in what))


finetune = str(pathlib.Path(sys.argv[1]).resolve())
folder = pathlib.Path(tempfile.mkdtemp(prefix="hornbook_talk_"))
model = folder / "model"
model.mkdir()
write_model(model, random.Random(2))
(model / "chat_template.jinja").write_text(TEMPLATE)


def run(command, *words, text=b""):
    return subprocess.run([finetune, command, "--model", str(model), "--device", "cpu", "--threads", "1", *words],
                          input=text, capture_output=True, timeout=120)


# Every answer is bytes at random, cut after some: the next turns are answered all the same.
done = run("chat", "--max-tokens", "7", "--temperature", "2", "--json", text="".join(f"turn {i} 🙂\n" for i in range(12)).encode())
lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
check(done.returncode == 0 and len(lines) == 12, done.returncode, done.stderr)
check(any("�" in line["text"] for line in lines), "no answer held a broken character: the test shows nothing")
check(all(set(line) == {"prompt", "ids", "text", "ended"} for line in lines), lines[0])
check(lines[3]["prompt"] == "turn 3 🙂" and {line["ended"] for line in lines} <= {"stop", "max_tokens"}, lines[3])
check(all(len(line["ids"]) == 7 for line in lines if line["ended"] == "max_tokens"), lines)

# A line that is not UTF-8 is not sent, and the chat goes on; the exit code tells scripts.
done = run("chat", "--max-tokens", "3", "--json", text=b"one\n\xff\xfe\ntwo\n")
check([json.loads(line)["prompt"] for line in done.stdout.splitlines()] == ["one", "two"], done.stdout)
check(done.returncode == 1 and b"not sent: the line is not UTF-8" in done.stderr, done.returncode, done.stderr)
done = run("chat", "--system", b"\xff", text=b"one\n")
check(done.returncode == 2 and b"--system" in done.stderr, done.returncode, done.stderr)

# A full context: an empty line helps, and the line is not lost to the conversation without a word.
long = b"x" * 400
done = run("chat", "--max-tokens", "3", "--json", text=b"\n".join([long, long, long, b"", b"short", b"y" * 2000, b"end"]) + b"\n")
check([len(json.loads(line)["prompt"]) for line in done.stdout.splitlines()] == [400, 400, 5, 3], done.stdout)
check(done.stderr.count(b"not sent: ") == 2 and b"an empty line forgets the conversation" in done.stderr, done.stderr)

# A terminal passes on 4,095 bytes of a line.
control, terminal = pty.openpty()
process = subprocess.Popen([finetune, "chat", "--model", str(model), "--device", "cpu", "--threads", "1", "--max-tokens", "3"],
                           stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
os.close(terminal)


def read_until(word):
    text, end = b"", time.time() + 60
    while word not in text:
        check(time.time() < end and process.poll() is None, "waited in vain for", word, "in", text)
        if select.select([process.stdout], [], [], 1)[0]:
            text += os.read(process.stdout.fileno(), 65536)
    return text


read_until(b"> ")
for part in (b"y" * 4000, b"y" * 1000, b"\n"):
    os.write(control, part)
    time.sleep(0.1)
text = read_until(b"> ")
check(b"not sent: the line may have lost its end" in text and b"< FILE" in text, text)
os.write(control, b"short\n")
check(b"not sent" not in read_until(b"> "), "a short line is sent")
os.write(control, b"\x04")
check(process.wait(60) == 1, "the exit code")
os.close(control)

# Prompts of a file: all are looked at before the first is answered.
(folder / "prompts.txt").write_text("one\n" + "z" * 1100 + "\nthree\n")
done = run("generate", "--prompts", str(folder / "prompts.txt"), "--max-tokens", "3")
check(done.returncode == 1 and done.stdout == b"" and b"prompts.txt:2: the prompt is longer than" in done.stderr, done.stderr)
(folder / "bad.jsonl").write_text('{"prompt": "one"}\n{"text": "two"}\n')
done = run("generate", "--prompts", str(folder / "bad.jsonl"))
check(b"bad.jsonl:2: a record is not a prompt" in done.stderr, done.stderr)
(folder / "cut.txt").write_bytes(b"a cut \xf0\x9f")
done = run("generate", "--prompts", str(folder / "cut.txt"))
check(b"cut.txt:1: a prompt cannot be read" in done.stderr and b"expected" not in done.stderr, done.stderr)
done = run("generate", "--prompts", "-", text=b"just text\n")
check(done.returncode == 1 and b"JSON lines" in done.stderr, done.stderr)
done = run("generate", "--prompts", "-", "--max-tokens", "5", "--temperature", "2", "--json", text=b'{"prompt": "a"}\n')
check(json.loads(done.stdout)["ended"] in ("stop", "max_tokens"), done.stdout)

# What does nothing is refused.
for option in ("--seed", "--top-k"):
    done = run("generate", "--prompt", "a", option, "3")
    check(done.returncode == 2 and option.encode() in done.stderr, option, done.stderr)
print("broken characters, cut lines and a full context are told, and the talk goes on")
