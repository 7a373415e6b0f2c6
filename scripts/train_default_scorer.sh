#!/usr/bin/env bash
# Rebuilds curate/models/textbook.model from the packages named in curate/models/README.md (about 500 MB of downloads, two
# minutes). The same package versions give the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
python3 scripts/corpus/make_corpus.py --cache build/cache --out build/scorer_corpus
rm -f build/scorer_corpus/{fortunes,fortunes-de,fortunes-ru,kjv,chatterbot,emacs-common,jargon-text}.jsonl  # unclear or unwanted
build/release/bin/curate train-scorer build/scorer_corpus/*.jsonl --output curate/models/textbook.model \
  --label-field quality --good 2,3 --bad 0 --group-field source
