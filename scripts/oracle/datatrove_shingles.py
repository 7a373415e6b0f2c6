#!/usr/bin/env python3
"""tests/golden/curate/shingles.json: what datatrove's MinHash makes of a text (simplify_text, then English words), and what
Python's re makes of it (\\w+ of text.lower()). Run with build/venv/bin/python."""
import importlib.metadata, json, os, re, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mixed_texts import mixed_texts
from datatrove.utils.typeshelper import Languages
from datatrove.utils.text import simplify_text, split_into_words

texts = mixed_texts(500) + [
    "  It cost 1,234.50 Euro — “naïve” Café!\n\tYes.  ", "1٫5 and １２ and v2.0.1", "a\u0301\u0300 .", "…", "",
    "I can't, won't; don't — it's Dr. Who's U.K. e-mail: x@y.com (http://a.b/c?d=1)", "ΣΑΣ Σ. ΑΣ, ὈΔΥΣΣΕΎΣ", "İI ıi"]
out = []
for text in texts:
    words = split_into_words(simplify_text(text), language=Languages.english)
    out.append({"text": text, "simplified": simplify_text(text), "words": words, "plain": re.findall(r"\w+", text.lower())})
here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/golden/curate/shingles.json")
json.dump({"datatrove": importlib.metadata.version("datatrove"), "spacy": importlib.metadata.version("spacy"),
           "python": sys.version.split()[0], "texts": out}, open(here, "w"), ensure_ascii=False, indent=0)
print(len(out), os.path.getsize(here))
