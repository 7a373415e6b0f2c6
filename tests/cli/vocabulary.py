#!/usr/bin/env python3
"""Models whose embedding has more rows than the tokenizer has tokens (padded, or resized for added tokens), other rows than
config.json says, or fewer than tokens: through train, generate, merge, GGUF and back, as a user types it.
    tests/cli/vocabulary.py build/release/bin
Standard library only."""
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

source = pathlib.Path(__file__).resolve().parents[2]
programs = pathlib.Path(sys.argv[1]).resolve()
base = source / "tests/golden/lora/base"
ROWS = ("model.embed_tokens.weight", "lm_head.weight")


def read_safetensors(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    return {name: (entry["dtype"], entry["shape"], data[8 + size:][slice(*entry["data_offsets"])])
            for name, entry in header.items() if name != "__metadata__"}


def write_safetensors(path, tensors):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, (kind, shape, data) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


def model_of(folder, rows, config_rows=None, chosen=None, added=()):
    """The base with so many rows; `chosen`: a row that always wins."""
    shutil.copytree(base, folder)
    tensors = read_safetensors(folder / "model.safetensors")
    for name in ROWS:
        kind, (old, width), data = tensors[name]
        new = [0.01 * (1 + i % 7) for i in range(max(0, rows - old) * width)]
        data = data[:rows * width * 4] + struct.pack(f"<{len(new)}f", *new)
        tensors[name] = (kind, [rows, width], data)
    if chosen is not None:  # every other row is nothing
        kind, (_, width), _ = tensors["lm_head.weight"]
        norm = struct.unpack(f"<{width}f", tensors["model.norm.weight"][2])
        assert any(norm)
        row = b"\0" * 4 * width
        # The sign of the hidden state is not known: two rows, of which one is positive.
        positive, negative = struct.pack(f"<{width}f", *[1.0] * width), struct.pack(f"<{width}f", *[-1.0] * width)
        tensors["lm_head.weight"] = (kind, [rows, width], row * chosen + positive + negative + row * (rows - chosen - 2))
    write_safetensors(folder / "model.safetensors", tensors)
    config = json.loads((folder / "config.json").read_text())
    config["vocab_size"] = config_rows or rows
    (folder / "config.json").write_text(json.dumps(config))
    if added:
        (folder / "added_tokens.json").write_text(json.dumps(dict(added)))
    return folder


def run(program, *words, code=0):
    done = subprocess.run([programs / program, *map(str, words)], capture_output=True, text=True)
    if done.returncode != code:
        sys.exit(f"{program} {' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def expect(text, *parts):
    for part in parts:
        if part not in text:
            sys.exit(f"'{part}' is not in:\n{text}")


with tempfile.TemporaryDirectory(prefix="hornbook_vocabulary_") as name:
    folder = pathlib.Path(name)
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"say {i}: ", "completion": "a hornbook " * (1 + i % 3)}) + "\n"
                            for i in range(16)))
    text = folder / "text.txt"
    text.write_text("A hornbook was a page of letters. 12 pages, 345 words.")
    for kind, rows, added in (("padded", 320, ()), ("resized", 264, (("<extra>", 243), ("<more>", 244)))):
        model = model_of(folder / kind, rows, added=added)
        out = folder / f"{kind}-run"
        run("finetune", "train", "--model", model, "--output", out, "--steps", 3, "--max-length", 64, "--device", "cpu",
            "--learning-rate", "0.01", data)
        run("finetune", "generate", "--model", model, "--adapter", out, "--prompt", "say 3: <extra>", "--max-tokens", 5,
            "--raw", "--allow-special", "--device", "cpu")
        run("lora", "merge", out, "--format", "hf", "--format", "gguf", "--dtype", "float32")
        back = folder / f"{kind}-back"
        run("lora", "convert", out / "merged/model-f32.gguf", "--output", back)
        for merged in (out / "merged", out / "merged/model-f32.gguf", back):
            run("finetune", "verify", model, merged, "--adapter", out, "--text", text)
            expect(run("lora", "info", merged, "--json"), f'"vocab_size":{rows}')
        shapes = {name: shape for name, (_, shape, _) in read_safetensors(back / "model.safetensors").items()}
        if any(shapes[name][0] != rows for name in ROWS):
            sys.exit(f"{kind}: rows {shapes}")
        for token, number in added:
            for written in (out / "merged", out / "merged/model-f32.gguf", back):
                (folder / "token.txt").write_text(token)
                ids = run("tokenizer", "encode", "--model", written, "--allow-special", "--quiet", folder / "token.txt").split()
                if ids != [str(number)]:
                    sys.exit(f"{written}: {token} is {ids}")

    # A row that no token belongs to is drawn, as transformers and llama.cpp draw it, and gives no text.
    model = model_of(folder / "chosen", 320, chosen=300)
    answer = json.loads(run("finetune", "generate", "--model", model, "--prompt", "say", "--raw", "--max-tokens", 4,
                            "--repetition-penalty", 1, "--device", "cpu", "--json").splitlines()[0])
    if not answer["ids"] or not set(answer["ids"]) <= {300, 301} or answer["text"] != "":
        sys.exit(f"a row without a token: {answer}")

    # config.json says another number of rows than the weights have.
    model = model_of(folder / "other", 320, config_rows=257)
    for words in (("lora", "convert", model, "--output", folder / "x.gguf"),
                  ("finetune", "generate", "--model", model, "--prompt", "x")):
        expect(run(*words, code=1), "of another shape than the config says", '"vocab_size": 320')

    # Fewer rows than the tokenizer has tokens.
    model = model_of(folder / "few", 200)
    for words in (("finetune", "train", "--model", model, "--output", folder / "y", "--steps", 1, "--max-length", 64, "--device", "cpu",
                   data),
                  ("finetune", "generate", "--model", model, "--prompt", "a hornbook", "--raw", "--device", "cpu"),
                  ("lora", "convert", model, "--output", folder / "z.gguf")):
        expect(run(*words, code=1), "resize_token_embeddings(len(tokenizer))")
    print("padded, resized, chosen, said otherwise, too few")
