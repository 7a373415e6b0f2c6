#!/usr/bin/env python3
"""Recall and precision of curate's near-duplicates against an exact answer key.

    dedup_recall.py CURATE CORPUS_FOLDER [--threshold 0.8]

CORPUS_FOLDER is what scripts/corpus/make_corpus.py --truth N makes: *.jsonl, truth_ids.txt (the documents of the key) and
truth_pairs.jsonl (exact word-5-gram Jaccard of every pair of 0.3 and more). Every LSH candidate that verification accepts
at 0.3 is asked for (deduplicate: pairs), and compared with the key; the theory is 1 - (1 - s^8)^14.
Exit code 1 when a pair is wrong, a false positive is found at the threshold, or recall from 0.85 on is below 0.97."""
import argparse, collections, glob, json, os, subprocess, sys, tempfile

parser = argparse.ArgumentParser()
parser.add_argument("curate"); parser.add_argument("corpus"); parser.add_argument("--threshold", type=float, default=0.8)
arguments = parser.parse_args()
ids = set(open(os.path.join(arguments.corpus, "truth_ids.txt"), encoding="utf-8").read().split())
truth = {}
for line in open(os.path.join(arguments.corpus, "truth_pairs.jsonl"), encoding="utf-8"):
    pair = json.loads(line)
    truth[tuple(sorted((pair["a"], pair["b"])))] = pair["jaccard"]

with tempfile.TemporaryDirectory() as folder:
    sample = os.path.join(folder, "sample.jsonl")
    written = set()
    with open(sample, "w", encoding="utf-8") as out:
        for name in sorted(glob.glob(os.path.join(arguments.corpus, "*.jsonl"))):
            if os.path.basename(name) == "truth_pairs.jsonl":
                continue
            for line in open(name, encoding="utf-8"):
                identity = json.loads(line)["id"]
                if identity in ids and identity not in written:
                    written.add(identity)
                    out.write(line)

    def run(threshold, pairs):
        config = os.path.join(folder, "config.yaml")
        output = os.path.join(folder, "out")
        open(config, "w").write(f"steps:\n  - deduplicate: {{threshold: {threshold}, pairs: {pairs}}}\n")
        subprocess.run([arguments.curate, "run", "--config", config, sample, "--output", output, "--overwrite", "--quiet"], check=True)
        return [json.loads(line) for line in open(os.path.join(folder, pairs), encoding="utf-8")]

    found, copies = {}, collections.defaultdict(list)
    accepted = run(0.3, "low.jsonl")
    at_threshold = run(arguments.threshold, "high.jsonl")
    # A copy of a text is paired with the first document of its text only; what holds for one holds for all.
    texts = {}
    for line in open(sample, encoding="utf-8"):
        record = json.loads(line)
        texts.setdefault(record["text"], []).append(record["id"])
    group = {identity: members for members in texts.values() for identity in members}

    def expand(pairs):
        every = {}
        for pair in pairs:
            for a in group[pair["a"]]:
                for b in group[pair["b"]]:
                    if a != b:
                        every[tuple(sorted((a, b)))] = pair["jaccard"]
        return every
    found, high = expand(accepted), expand(at_threshold)

wrong = [(p, j, truth.get(p)) for p, j in found.items() if abs(truth.get(p, -1) - j) > 1e-4 and len(set(p)) == 2]
false_positives = [(p, j, truth.get(p)) for p, j in high.items() if truth.get(p, 0) < arguments.threshold - 5e-5]
print(f"documents {len(written)}, pairs in the key {len(truth)}, found {len(found)}; "
      f"Jaccard differs for {len(wrong)}; false positives at {arguments.threshold}: {len(false_positives)}")
print(f"{'Jaccard':>12} {'pairs':>7} {'found':>7} {'recall':>7} {'theory':>7}")
bins = [i / 20 for i in range(6, 20)] + [1.0]
for low in bins:
    inside = {p: j for p, j in truth.items() if (low <= j < low + 0.05 if low < 1 else j >= 1)}
    if inside:
        hit = sum(p in found for p in inside)
        theory = sum(1 - (1 - j ** 8) ** 14 for j in inside.values()) / len(inside)
        print(f"{low:>6.2f}-{min(low + 0.05, 1):.2f} {len(inside):>7} {hit:>7} {hit / len(inside):>7.4f} {theory:>7.4f}")
upper = [p for p, j in truth.items() if j >= 0.85]
recall = sum(p in found for p in upper) / max(1, len(upper))
print(f"recall from 0.85 on: {recall:.4f} of {len(upper)} pairs")
for p, j, t in (wrong + false_positives)[:10]:
    print("wrong:", p, j, "key:", t)
sys.exit(1 if wrong or false_positives or recall < 0.97 else 0)
