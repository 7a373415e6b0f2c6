#!/usr/bin/env python3
"""tests/golden/tokenizer/pre_tokenizers.json.gz: what pre-tokenizers and normalizers of the tokenizers package make (as hashes) of 400 texts, and of code points of every block.

    build/venv/bin/python scripts/oracle/splits.py
"""
import itertools, json, random, unicodedata, zlib
import tokenizers
from tokenizers import Tokenizer, models
from golden import write_packed
from mixed_texts import mixed_texts

split = lambda pattern, behavior="Isolated", invert=False: {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}
byte_level = lambda prefix=False, regex=True: {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}
BEHAVIORS = ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS = [r"\s+(?!\S)|\S+", r"\p{L}+?\p{N}|.", r"(?:ab|a)c?", r"[a-z&&[^aeiou]]+", r"\p{Han}+", r"[^\s\p{L}]++.", r"(?>\p{L}+)\p{L}|\s", r"\d{1,3}(?=(?:\d{3})*\b)", r"\d{2,}?|x", r"\p{N}{1,3}+",
            r"$", r"^.", r"\b", r"(?=\d)", r"\w+", r"\W+", r"[\w']+", r"[\]\-\\^]", r"[-a]+|[a-]", r"\x41|\u0042|\x{1F600}", r"(?i)ABC|k", r"(?i:[a-f]+)", r"\p{P}|\p{S}", r"\p{^L}+", r"\P{L}+", r"(a|b)+c*", r"(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+",
            r"[0-9][0-9][0-9]", r" ?[^(\s|.,!?…。，、।۔،)]+", r"\s+$", r"\A\s|\s\z", r"[\r\n]+|(?:\r?\n)*x", r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+", LLAMA3, O200K]


def pre_tokenizers():
    for pattern in PATTERNS:
        yield split(pattern)
    for behavior in BEHAVIORS:
        for invert in (False, True):
            yield split(r"[aeiou\s]", behavior, invert)
            yield split(LLAMA3, behavior, invert)
            yield {"type": "Split", "pattern": {"String": "'s"}, "behavior": behavior, "invert": invert}
        yield {"type": "Punctuation", "behavior": behavior}
    yield {"type": "Split", "pattern": {"String": "."}, "behavior": "Removed", "invert": False}
    yield {"type": "Whitespace"}
    yield {"type": "WhitespaceSplit"}
    yield {"type": "BertPreTokenizer"}
    yield {"type": "CharDelimiterSplit", "delimiter": " "}
    yield {"type": "Digits", "individual_digits": True}
    yield {"type": "Digits", "individual_digits": False}
    yield {"type": "UnicodeScripts"}
    yield {"type": "FixedLength", "length": 7}
    for scheme in ("always", "first", "never"):
        for cut in (False, True):
            yield {"type": "Metaspace", "replacement": "\u2581" if cut else "_", "prepend_scheme": scheme, "split": cut}
    for prefix in (False, True):
        for regex in (False, True):
            yield {"type": "Sequence", "pretokenizers": [byte_level(prefix, regex), {"type": "Digits", "individual_digits": True}]}
    # Falcon's.
    yield {"type": "Sequence", "pretokenizers": [{"type": "Punctuation", "behavior": "Contiguous"}, byte_level(), {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]")]}
    yield {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "Contiguous"}, {"type": "Digits", "individual_digits": True}, split(r"\p{Lu}", "MergedWithNext")]}


def normalizers():
    from random_tokenizers import charsmaps
    for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Nmt", "StripAccents", "ByteLevel"):
        yield {"type": name}
    for clean, chinese, accents, lower in itertools.product((False, True), (False, True), (None, False, True), (False, True)):
        if clean + chinese + bool(accents) + lower in (1, 4) or accents is None:
            yield {"type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": chinese, "strip_accents": accents, "lowercase": lower}
    for charsmap in charsmaps():
        yield {"type": "Precompiled", "precompiled_charsmap": charsmap}
    for left in (False, True):
        for right in (False, True):
            yield {"type": "Strip", "strip_left": left, "strip_right": right}
    yield {"type": "Prepend", "prepend": "▁"}
    yield {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    yield {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}
    yield {"type": "Replace", "pattern": {"Regex": r" {2,}|'"}, "content": ""}
    yield {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}, {"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "Replace", "pattern": {"String": "a"}, "content": "é"}, {"type": "NFD"}]}


def loaded(key, value):
    return Tokenizer.from_str(json.dumps({"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None,
                                          "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, key: value}))


def hashes(texts):
    return "".join(f"{zlib.crc32(t.encode()):08x}" for t in texts)


def main():
    # Also code points that Unicode 14 assigns: all below U+3400, some of the others.
    points = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    rng = random.Random(3)
    points = [c for c in points if ord(c) < 0x3400 or rng.random() < 0.05]
    every = ["a" + c + "1" for c in points]
    every = ["".join(every[i:i + 400]) for i in range(0, len(every), 400)]
    texts = mixed_texts(400, seed=99) + every
    golden = {"tokenizers": tokenizers.__version__, "texts": texts, "pre_tokenizers": [], "normalizers": []}
    for value in pre_tokenizers():
        cut = loaded("pre_tokenizer", value).pre_tokenizer.pre_tokenize_str
        golden["pre_tokenizers"].append({"value": value, "hashes": hashes("\x01".join(p for p, _ in cut(t)) for t in texts)})
    for value in normalizers():
        change = loaded("normalizer", value).normalizer.normalize_str
        golden["normalizers"].append({"value": value, "hashes": hashes(change(t) for t in texts)})
    write_packed("pre_tokenizers.json.gz", golden)


if __name__ == "__main__":
    main()
