#!/usr/bin/env python3
"""The rule steps of curate against datatrove's own filters.

    datatrove_rules.py --golden tests/golden/curate/rules.json        writes the golden file (synthetic texts only)
    datatrove_rules.py --curate build/release/bin/curate [--corpus DIR] [--limit 20000] [--every 5]
                                                                      compares decisions and lists every mismatch
Without --corpus only the synthetic texts are compared. Exit code 1 when a rule that does not depend on the word
splitter differs at all, or one that does agrees on less than 99.5 % of the documents.
"""
import argparse
import json
import multiprocessing
import os
import sys
from importlib.metadata import version

import numpy as np
from datatrove.data import Document
from datatrove.pipeline.filters import C4QualityFilter, FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.filters import gopher_repetition_filter as repetition
from datatrove.utils.text import PUNCTUATION_SET, split_into_words

from rule_texts import corpus_texts, run_curate, synthetic

FILTERS = {
    "gopher_repetition": (GopherRepetitionFilter, {}, {}),
    "gopher_quality": (GopherQualityFilter, {}, {}),
    "c4": (C4QualityFilter, {"filter_no_terminal_punct": False}, {"filter_no_terminal_punct": False}),
    "c4_strict": (C4QualityFilter, {}, {}),
    "fineweb": (FineWebQualityFilter, {}, {}),
}
STEP = lambda name: name.removesuffix("_strict")
# Reasons that datatrove decides without its word splitter.
SPLITTER_FREE = {"empty", "dup_para_frac", "dup_para_char_frac", "dup_line_frac", "dup_line_char_frac", "line_punct_ratio",
                 "short_line_ratio", "char_dup_ratio", "lorem_ipsum", "curly_bracket"}


def decide(text):
    """{filter: [kept, reason, text afterwards where it changed]}"""
    result = {}
    for name, (make, options, _) in FILTERS.items():
        document = Document(text=text, id="0")
        try:
            verdict = instances()[name].filter(document)
        except ZeroDivisionError:
            verdict = (False, "ZeroDivisionError")
        kept, reason = (verdict, "") if isinstance(verdict, (bool, np.bool_)) else verdict
        result[name] = [bool(kept), reason] + ([document.text] if kept and document.text != text else [])
    return result


_instances = {}


def instances():
    if not _instances:
        for name, (make, options, _) in FILTERS.items():
            _instances[name] = make(**options)
    return _instances


def values(text):
    """What the filters compare, by reason, computed with datatrove's own helpers."""
    words = split_into_words(text)
    length = len(text)
    found = {}
    if text:
        f = instances()["gopher_repetition"]
        paragraphs = f.paragraph_exp.split(text.strip())
        elements, chars = repetition.find_duplicates(paragraphs)
        found["dup_para_frac"], found["dup_para_char_frac"] = elements / len(paragraphs), chars / length
        lines = f._line_splitter.split(text)
        elements, chars = repetition.find_duplicates(lines)
        found["dup_line_frac"], found["dup_line_char_frac"] = elements / len(lines), chars / length
        for n in (2, 3, 4):
            grams = repetition.get_n_grams(words, n)
            found[f"top_{n}_gram"] = repetition.find_top_duplicate(grams) / length if grams else 0
        for n in range(5, 11):
            found[f"duplicated_{n}_n_grams"] = repetition.find_all_duplicate(words, n) / length
    plain = [w for w in words if any(c not in PUNCTUATION_SET for c in w)]
    found["gopher_short_doc"] = len(plain)
    if words:
        found["gopher_below_avg_threshold"] = float(np.mean([len(w) for w in plain])) if plain else 0
        found["gopher_too_many_hashes"] = text.count("#") / len(words)
        found["gopher_too_many_ellipsis"] = (text.count("...") + text.count("…")) / len(words)
        lines = text.splitlines()
        found["gopher_too_many_bullets"] = sum(
            s.lstrip().startswith("•") or s.lstrip().startswith("-") for s in lines) / len(lines)
        found["gopher_too_many_end_ellipsis"] = sum(
            s.rstrip().endswith("...") or s.rstrip().endswith("…") for s in lines) / len(lines)
        found["gopher_below_alpha_threshold"] = sum(any(c.isalpha() for c in w) for w in words) / len(words)
        found["gopher_enough_stop_words"] = len(instances()["gopher_quality"].stop_words & set(words))
        f = instances()["fineweb"]
        lines = [line for line in text.split("\n") if line.strip()]
        if lines:
            found["line_punct_ratio"] = sum(line.endswith(f.stop_chars) for line in lines) / len(lines)
            found["short_line_ratio"] = sum(len(line) <= 30 for line in lines) / len(lines)
            found["char_dup_ratio"] = repetition.find_duplicates(lines)[1] / len(text.replace("\n", ""))
            found["list_ratio"] = text.count("\n") / len(words)
    return {k: round(v, 6) for k, v in found.items()}


# ---- comparing -------------------------------------------------------------------------------------------------------

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golden")
    parser.add_argument("--curate")
    parser.add_argument("--corpus")
    parser.add_argument("--limit", type=int, default=20000)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()

    if options.golden:
        documents = []
        for text in synthetic(2024, 520):
            documents.append({"text": text, "words": split_into_words(text), "filters": decide(text), "values": values(text)})
        os.makedirs(os.path.dirname(options.golden), exist_ok=True)
        with open(options.golden, "w", encoding="utf-8") as out:
            out.write('{"datatrove": "%s", "spacy": "%s", "python": "%s", "documents": [\n' %
                      (version("datatrove"), version("spacy"), sys.version.split()[0]))
            out.write(",\n".join(json.dumps(d, separators=(",", ":")) for d in documents) + "\n]}\n")
        print(f"{options.golden}: {len(documents)} texts")
    if not options.curate:
        return
    texts = synthetic(7, 3000)
    if options.corpus:
        texts = corpus_texts(options.corpus, options.limit, options.every) + texts
    with multiprocessing.Pool(options.processes) as pool:
        expected = pool.map(decide, texts, chunksize=16)
    good = True
    for name in FILTERS:
        decisions = run_curate(options.curate, texts, [(STEP(name), FILTERS[name][2])])
        ours = [[decision[0] == "", *decision] for decision in decisions]
        free, bound, mismatches = 0, 0, []
        for i, text in enumerate(texts):
            theirs = expected[i][name]
            if theirs[1] == "ZeroDivisionError":
                continue
            if ours[i] == theirs:
                continue
            reasons = {theirs[1], ours[i][1]}
            if reasons <= SPLITTER_FREE:
                free += 1
            else:
                bound += 1
            mismatches.append((i, theirs, ours[i], text))
        agreement = 1 - len(mismatches) / len(texts)
        drops = sum(not e[name][0] for e in expected)
        print(f"{name:18} {len(texts)} documents, {drops} dropped by datatrove, {len(mismatches)} mismatches "
              f"({free} where no word splitter is involved), agreement {100 * agreement:.4f} %")
        for i, theirs, mine, text in mismatches[:50]:
            print(f"    document {i}: datatrove {str(theirs)[:120]}  curate {str(mine)[:120]}  text {text[:60]!r}")
        good &= free == 0 and agreement >= 0.995
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
