#!/usr/bin/env bash
# Rebuilds curate/models/textbook.model from the packages named in curate/models/README.md: about 500 MB of downloads and
# two minutes, or seconds with a corpus that make_corpus.py has made:   train_default_scorer.sh [CORPUS_DIR]
# The same package versions give the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
corpus=${1:-build/scorer_corpus}
curate=${CURATE:-build/release/bin/curate}
[ $# -gt 0 ] || python3 scripts/corpus/make_corpus.py --cache build/cache --out "$corpus"
mkdir -p build/data
# One labelled file. Groups are whole works: four architectures of one guide, or two versions of one manual, are held out
# together, or else the scorer would be measured on texts that it has all but seen.
python3 - "$corpus" > build/data/scorer_training.jsonl <<'PYTHON'
import glob, json, os, sys
SKIPPED = {'fortunes', 'fortunes-de', 'fortunes-ru', 'kjv', 'chatterbot', 'emacs-common', 'jargon-text'}  # licence unclear, or unwanted
WORKS = ('llvm', 'clang', 'linux-doc', 'boost', 'install-guide', 'debian-reference', 'manpages', 'lo-help')
for path in sorted(glob.glob(os.path.join(sys.argv[1], '*.jsonl'))):
    if 'truth' in os.path.basename(path):
        continue
    for line in open(path, encoding='utf-8'):
        d = json.loads(line)
        if d['source'] in SKIPPED or d['lang'] != 'en' or d['quality'] not in (0, 2, 3):
            continue
        work = next((w for w in WORKS if d['source'].startswith(w)), d['source']).replace('clang', 'llvm')
        print(json.dumps({'text': d['text'], 'label': 'good' if d['quality'] >= 2 else 'bad', 'work': work}, ensure_ascii=False))
PYTHON
"$curate" train-scorer build/data/scorer_training.jsonl --output curate/models/textbook.model \
  --label-field label --good good --bad bad --group-field work --per-group 800 \
  --note "English documentation from Debian 12 packages, see curate/models/README.md"
