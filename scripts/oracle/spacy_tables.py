#!/usr/bin/env python3
"""Writes curate/text/english_tables.inc: the English tokenizer rules of the installed spaCy, as tables for curate/text/spacy_words.cc.

    build/venv/bin/python scripts/oracle/spacy_tables.py > curate/text/english_tables.inc

Nothing is copied from spaCy's sources: its character classes are asked about every code point, and its tokenizer (with
its special cases switched off) is asked how it would cut every special case.
"""
import re
import sys
import unicodedata

import datatrove
import spacy
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION
from importlib.metadata import version
from spacy.lang import char_classes as cc
from spacy.pipeline.sentencizer import Sentencizer
from spacy.tokenizer import Tokenizer

nlp = spacy.blank("en")
real = nlp.tokenizer
plain = Tokenizer(nlp.vocab, rules=None, prefix_search=real.prefix_search, suffix_search=real.suffix_search,
                  infix_finditer=real.infix_finditer, token_match=real.token_match, url_match=real.url_match)
assert real.token_match is None, "English had no token_match when curate/text/spacy_words.cc was written"


def one(pattern):
    compiled = re.compile(pattern)
    return lambda c: compiled.fullmatch(c) is not None


quotes, lower, upper, alpha = cc.CONCAT_QUOTES, cc.ALPHA_LOWER, cc.ALPHA_UPPER, cc.ALPHA
single = lambda entries: set(re.sub(r"\\(.)", r"\1", e) for e in entries) - {""}
hyphens = {h for h in single(cc.LIST_HYPHENS) if len(h) == 1}
sentence_ends = set(Sentencizer.default_punct_chars)
# Order = bit number: the enumeration character::Class of curate/text/english.h.
CLASSES = [
    ("Prefix", lambda c: real.find_prefix(c) == 1),
    ("Suffix", lambda c: real.find_suffix(c) == 1),
    ("Lower", one(f"[{lower}]")),
    ("Upper", one(f"[{upper}]")),
    ("Letter", one(f"[{alpha}]")),
    ("BeforePeriod", one(r"[0-9{al}{e}{p}(?:{q})]".format(al=lower, e=r"%²\-\+", q=quotes, p=cc.PUNCT))),
    ("LowerOrQuote", one(f"[{lower}{quotes}]")),
    ("UpperOrQuote", one(f"[{upper}{quotes}]")),
    ("Icon", one(f"[{cc.ICONS}]")),
    ("Currency", lambda c: c in single(cc.LIST_CURRENCY)),
    ("Hyphen", lambda c: c in hyphens),
    ("Alpha", str.isalpha),
    ("Symbol", lambda c: c in PUNCTUATION_SET),
    ("Space", str.isspace),
    ("Punctuation", lambda c: unicodedata.category(c).startswith("P")),
    ("SentenceEnd", lambda c: c in sentence_ends),
    ("Terminal", lambda c: c in TERMINAL_PUNCTUATION),
    ("Digit", lambda c: "0" <= c <= "9"),
]


def escaped(text):
    out = ""
    for byte in text.encode():
        character = chr(byte)
        if character in '"\\':
            out += "\\" + character
        elif 32 <= byte < 127 and character != "?":  # "?" could start a trigraph
            out += character
        else:
            out += f"\\{byte:03o}"
    return '"' + out + '"'


def lengths(parts):
    return '"' + "".join(f"\\{len(p.encode()):o}" for p in parts) + '"'


def wrapped(items):
    line = ""
    for item in items:
        if len(line) + len(item) + 2 > 118:
            print(line.rstrip())
            line = ""
        line += item + ", "
    print(line.rstrip())


print(f"""// Made by scripts/oracle/spacy_tables.py from spaCy {version('spacy')} (MIT licence, Copyright ExplosionAI GmbH and
// contributors), datatrove {version('datatrove')} (Apache-2.0) and Python {sys.version.split()[0]} (Unicode {unicodedata.unidata_version}). Do not edit.
// Included by curate/text/english.cc.

// First and last code point, and the classes they are in; code points that are in none are left out.
constexpr Range kRanges[] = {{""")
ranges = []
for code in range(0x110000):
    c = chr(code)
    mask = 0
    if not 0xD800 <= code < 0xE000:
        for bit, (_, member) in enumerate(CLASSES):
            mask |= bool(member(c)) << bit
    if mask and ranges and ranges[-1][1] == code - 1 and ranges[-1][2] == mask:
        ranges[-1][1] = code
    elif mask:
        ranges.append([code, code, mask])
wrapped("{%#x, %#x, %#x}" % tuple(r) for r in ranges)
print("};\n")

print("// A special case, the lengths in bytes of its tokens, and (when spaCy looks for it in a second pass over the tokens)\n"
      "// the lengths of the tokens into which it falls without this table.\nconstexpr SpecialRow kSpecials[] = {")
rows = []
for text, pieces in sorted(real.rules.items()):
    if text.isspace():
        continue  # a white-space token: dropped by datatrove whatever its form
    tokens = [p[65] if 65 in p else p[spacy.symbols.ORTH] for p in pieces]
    assert "".join(tokens) == text and not any(ch.isspace() for ch in text), text
    second = bool(real.find_prefix(text) or real.find_infix(text) or real.find_suffix(text))
    cut = [t.text for t in plain(text)] if second else []
    assert not second or "".join(cut) == text
    rows.append("{%s, %s, %s}" % (escaped(text), lengths(tokens), lengths(cut)))
wrapped(rows)
print("};\n")
unit = sorted(set(cc.LIST_UNITS))
print("// What may be cut off behind a digit: units, and currencies of more than one letter.\nconstexpr std::string_view kUnits[] = {")
wrapped(escaped(u) for u in unit)
print("};")
print("constexpr std::string_view kLongCurrencies[] = {")
wrapped(escaped(c) for c in sorted(single(cc.LIST_CURRENCY)) if len(c) > 1)
print("};")
assert single(cc.LIST_HYPHENS) - hyphens == {"--", "---", "——"}
assert [p for p in (real.prefix_search.__self__.pattern.split("|^")) if p.startswith("\\+")] == [r"\+(?![0-9])"]
