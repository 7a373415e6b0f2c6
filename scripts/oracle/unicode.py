"""Writes tests/golden/base/unicode.json: what Python's str, re and unicodedata say of every code point."""

import json
import pathlib
import platform
import random
import re
import sys
import unicodedata

# Surrogates are no text; `\w` is asked once per code point.
CODE_POINTS = [c for c in range(sys.maxunicode + 1) if not 0xD800 <= c <= 0xDFFF]


def ranges(predicate):
    """[first, last] of every run of code points that satisfy the predicate."""
    runs = []
    for c in CODE_POINTS:
        if not predicate(chr(c)):
            continue
        if runs and runs[-1][1] == c - 1:
            runs[-1][1] = c
        else:
            runs.append([c, c])
    return runs


def samples(pool, count, seed):
    generator = random.Random(seed)
    return ["".join(generator.choice(pool) for _ in range(generator.randint(1, 12))) for _ in range(count)]


word = re.compile(r"\w")
space = re.compile(r"\s")
category = unicodedata.category
assigned = [chr(c) for c in CODE_POINTS if category(chr(c)) not in ("Cn", "Co")]
# Letters around a sigma: cased, uncased, case-ignorable (apostrophe, dot, combining, modifier) and breaking.
sigma_pool = list("ΣΣΣσςΑαaB1 -'.\u0301\u02b0中\U0001d6ba\u0130")
composed_pool = [c for c in assigned if unicodedata.normalize("NFD", c) != c or unicodedata.combining(c)]

golden = {
    "made_by": f"Python {platform.python_version()}, Unicode {unicodedata.unidata_version}",
    "alpha": ranges(str.isalpha),
    "space": ranges(str.isspace),
    "re_space": ranges(lambda c: space.match(c) is not None),
    "word": ranges(lambda c: word.match(c) is not None),
    "decimal_digit": ranges(lambda c: category(c) == "Nd"),
    "number": ranges(lambda c: category(c)[0] == "N"),
    "nonspacing_mark": ranges(lambda c: category(c) == "Mn"),
    "uppercase": ranges(lambda c: category(c) == "Lu"),
    "punctuation": ranges(lambda c: category(c)[0] == "P"),
    "lower": [[c, chr(c).lower()] for c in CODE_POINTS if chr(c).lower() != chr(c)],
    "lower_texts": [[s, s.lower()] for s in samples(sigma_pool, 1000, 1) + samples(assigned, 500, 2)],
    "normal_forms": [
        [s, unicodedata.normalize("NFC", s), unicodedata.normalize("NFD", s)]
        for s in samples(composed_pool, 1000, 3) + samples(assigned, 500, 4)
    ],
}
target = pathlib.Path(__file__).parents[2] / "tests/golden/base/unicode.json"
target.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
print(target, target.stat().st_size, "bytes;", golden["made_by"])
