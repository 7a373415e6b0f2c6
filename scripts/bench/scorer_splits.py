#!/usr/bin/env python3
"""The textbook scorer on sources it never saw: five splits by source, ours against fastText's supervised classifier.

  scorer_splits.py CORPUS_DIR [--curate build/release/bin/curate] [--fasttext fasttext] [--work DIR] [--splits 0,1,2,3,4]

CORPUS_DIR is made by scripts/corpus/make_corpus.py. Documents are English, good (quality 2, 3) or bad (0), at most 400 of a
source and kind. In split s a source is unseen when sha1(f"{s}:{source}")[:8] % 4 == 0; training takes the documents marked
"train" of all other sources. Both sides get the same documents. Then, with the model that comes with curate: what it says
of texts that no label resembles.
"""
import argparse, collections, glob, hashlib, json, os, random, re, shutil, subprocess, tempfile, time


def load(corpus):
    for path in sorted(glob.glob(os.path.join(corpus, '*.jsonl'))):
        if 'truth' in os.path.basename(path):
            continue
        with open(path, encoding='utf-8') as lines:
            for line in lines:
                yield json.loads(line)


def choose(corpus):
    random.seed(0)
    labelled = [d for d in load(corpus) if d['lang'] == 'en' and d['quality'] is not None]
    random.shuffle(labelled)
    taken, rows = collections.Counter(), []
    for d in labelled:
        key = (d['source'], d['kind'])
        if d['quality'] != 1 and taken[key] < 400:
            taken[key] += 1
            rows.append(dict(id=d['id'], text=d['text'], source=d['source'], kind=d['kind'], split=d['split'],
                             label='good' if d['quality'] >= 2 else 'bad'))
    return rows


def auc(rows, scores):
    order = sorted(zip(scores, (r['label'] == 'good' for r in rows)))
    wins = good = bad = i = 0
    while i < len(order):
        j, tied = i, [0, 0]
        while j < len(order) and order[j][0] == order[i][0]:
            tied[order[j][1]] += 1
            j += 1
        wins += tied[1] * (bad + tied[0] / 2)
        good, bad, i = good + tied[1], bad + tied[0], j
    return wins / (good * bad)


def write(path, rows):
    with open(path, 'w', encoding='utf-8') as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + '\n')


def score(curate, folder, rows, model):
    write(f'{folder}/rows.jsonl', rows)
    with open(f'{folder}/score.yaml', 'w') as out:
        out.write(f'steps:\n  - textbook: {{model: {json.dumps(model)}}}\n' if model else 'steps:\n  - textbook: {}\n')
    subprocess.run([curate, 'score', '--config', f'{folder}/score.yaml', '--quiet', '--threads', '1', '--output',
                    f'{folder}/scored.jsonl', f'{folder}/rows.jsonl'], check=True, stdout=subprocess.DEVNULL)
    with open(f'{folder}/scored.jsonl', encoding='utf-8') as lines:
        return [json.loads(line)['hornbook']['textbook'] for line in lines]


def ours(curate, folder, train, unseen):
    write(f'{folder}/train.jsonl', train)
    model = f'{folder}/split.model'
    subprocess.run([curate, 'train-scorer', f'{folder}/train.jsonl', '--output', model, '--quiet', '--label-field', 'label',
                    '--good', 'good', '--bad', 'bad', '--group-field', 'source', '--per-group', '0', '--held-out', '0'],
                   check=True, stdout=subprocess.DEVNULL)
    return score(curate, folder, unseen, model)


def normalised(text):
    start = len(text) // 2 if len(text) > 6000 else 0
    text = re.sub(r'\d', '0', text[start:start + 2500].lower())
    return ' '.join(re.findall(r'\w+|[^\w\s]', text))


def fasttext(program, folder, train, unseen):
    for name, rows in (('ft.train', train), ('ft.unseen', unseen)):
        with open(f'{folder}/{name}', 'w', encoding='utf-8') as out:
            out.writelines(f'__label__{r["label"]} {normalised(r["text"])}\n' for r in rows)
    subprocess.run([program, 'supervised', '-input', f'{folder}/ft.train', '-output', f'{folder}/ft', '-dim', '32', '-epoch', '8',
                    '-lr', '0.3', '-wordNgrams', '2', '-bucket', '200000', '-minCount', '3', '-thread', '1', '-verbose', '0'], check=True)
    lines = subprocess.run([program, 'predict-prob', f'{folder}/ft.bin', f'{folder}/ft.unseen', '2'], check=True,
                           capture_output=True, text=True).stdout.splitlines()
    scores = []
    for line in lines:
        words = line.split()
        scores.append(dict(zip(words[::2], map(float, words[1::2]))).get('__label__good', 0.0))
    return scores


def strangers(curate, folder, corpus):
    """Unlabelled and reference texts: the share at or above 0.5, and the quartiles, under the default model."""
    by_source = collections.defaultdict(list)
    for d in load(corpus):
        if d['quality'] in (None, 1) and (d['lang'] == 'en' or d['kind'] in ('news', 'chat', 'literature')):
            by_source[(d['source'], d['kind'])].append(dict(id=d['id'], text=d['text'], source=d['source']))
    print('\nthe default model on texts that no label resembles (unlabelled) or lies between the labels (reference):')
    print(f'{"source":22} {"kind":12} {"texts":>6} {"25 %":>6} {"median":>6} {"75 %":>6} {">= 0.5":>7}')
    for (source, kind), rows in sorted(by_source.items()):
        scores = sorted(score(curate, folder, rows[:400], None))
        quartile = [scores[min(len(scores) - 1, len(scores) * q // 4)] for q in (1, 2, 3)]
        share = sum(s >= 0.5 for s in scores) / len(scores)
        print(f'{source:22} {kind:12} {len(scores):6} {quartile[0]:6.2f} {quartile[1]:6.2f} {quartile[2]:6.2f} {100 * share:6.0f}%')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('corpus')
    parser.add_argument('--curate', default='build/release/bin/curate')
    parser.add_argument('--fasttext', default=shutil.which('fasttext') or '', help='empty: no baseline')
    parser.add_argument('--work', default='')
    parser.add_argument('--splits', default='0,1,2,3,4', help='empty: only the texts that no label resembles')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.work or temporary
        os.makedirs(folder, exist_ok=True)
        rows = choose(arguments.corpus)
        results = {'curate': [], 'fastText': []}
        print(f'{"split":6}{"train":>8}{"unseen":>8}{"curate":>10}{"fastText":>10}{"seconds":>16}')
        for split in map(int, filter(None, arguments.splits.split(','))):
            unseen_source = lambda d: int(hashlib.sha1(f'{split}:{d["source"]}'.encode()).hexdigest()[:8], 16) % 4 == 0
            unseen = [r for r in rows if unseen_source(r)]
            train = [r for r in rows if r['split'] == 'train' and not unseen_source(r)]
            start = time.time()
            results['curate'].append(auc(unseen, ours(arguments.curate, folder, train, unseen)))
            middle = time.time()
            line = f'{split:<6}{len(train):8}{len(unseen):8}{results["curate"][-1]:10.4f}'
            if arguments.fasttext:
                results['fastText'].append(auc(unseen, fasttext(arguments.fasttext, folder, train, unseen)))
                line += f'{results["fastText"][-1]:10.4f}{middle - start:8.1f}{time.time() - middle:8.1f}'
            print(line, flush=True)
        for name, function in (('mean', lambda v: sum(v) / len(v)), ('worst', min)) if results['curate'] else ():
            print(f'{name:22}' + ''.join(f'{function(v):10.4f}' for v in results.values() if v))
        strangers(arguments.curate, folder, arguments.corpus)


if __name__ == '__main__':
    main()
