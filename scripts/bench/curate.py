#!/usr/bin/env python3
"""The four quality rules, near-duplicates, and a whole run of a JSONL file: curate against datatrove 0.10.1, interleaved, two
workers each.

    build/venv/bin/python scripts/bench/curate.py BIN SAMPLE.jsonl [--documents 2000] [--rounds 2] [--what rules,run,minhash,whole]

Both sides read the first --documents records.
rules:   gopher repetition, gopher quality, c4 (without the terminal punctuation rule) and fineweb in this order. datatrove counts
         what it keeps and writes nothing, and so does rules_benchmark (ninja -C build/release rules_benchmark).
run:     the same by `curate run`, which writes what it keeps and what it drops.
minhash: 14 x 8, word 5-grams, of all of them, before any rule; `curate duplicates` verifies its pairs.
whole:   language (lid.176.ftz, English above 0.65), the four rules, near-duplicates, JSONL compressed with zstd; curate also scores
         every document with its textbook model, which datatrove has nothing like. datatrove writes nothing of what it drops;
         curate writes the reasons (--dropped reasons), and in a second run, "whole, all dropped", also the records.
Imports are not counted for datatrove; curate's start is. Needs scripts/install.sh --oracles."""
import argparse, json, os, shutil, statistics, subprocess, sys, tempfile, time

RULES = """steps:
  - gopher_repetition
  - gopher_quality
  - c4: {filter_no_terminal_punct: false}
  - fineweb
"""


WHOLE = """steps:
  - language: {keep: [en], min_score: 0.65}
  - gopher_repetition
  - gopher_quality
  - c4: {filter_no_terminal_punct: false}
  - fineweb
  - textbook: {min_score: 0}
  - deduplicate: {threshold: 0.8}
"""
LANGUAGES = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../build/data/lid.176.ftz"))


def datatrove_rules(folder):
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.filters import C4QualityFilter, FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
    from datatrove.pipeline.readers import JsonlReader
    pipeline = [JsonlReader(folder), GopherRepetitionFilter(), GopherQualityFilter(),
                C4QualityFilter(filter_no_terminal_punct=False), FineWebQualityFilter()]
    return LocalPipelineExecutor(pipeline, tasks=2, workers=2, logging_dir=tempfile.mkdtemp(dir=folder + "-logs")).run


def language_filter():
    """datatrove's filter with the model of build/data instead of one from the network."""
    from datatrove.pipeline.filters import LanguageFilter
    from datatrove.utils.lid import FT176LID

    class LocalLanguages(FT176LID):
        @property
        def model(self):
            if self._model is None:
                from fasttext.FastText import _FastText
                self._model = _FastText(LANGUAGES)
            return self._model

    step = LanguageFilter("en", language_threshold=0.65)
    step.model = LocalLanguages(["en"])
    return step


def datatrove_whole(folder):
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature)
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.filters import C4QualityFilter, FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter
    work = tempfile.mkdtemp(dir=folder + "-logs")
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    filters = [language_filter(), GopherRepetitionFilter(), GopherQualityFilter(),
               C4QualityFilter(filter_no_terminal_punct=False), FineWebQualityFilter()]

    def run():
        for name, pipeline, tasks in (
                ("filters", [JsonlReader(folder), *filters, JsonlWriter(work + "/filtered", compression="zstd")], 2),
                ("signatures", [JsonlReader(work + "/filtered"), MinhashDedupSignature(work + "/sig", config=config)], 2),
                ("buckets", [MinhashDedupBuckets(work + "/sig", work + "/buckets", config=config)], 14),
                ("clusters", [MinhashDedupCluster(work + "/buckets", work + "/remove", config=config)], 1),
                ("kept", [JsonlReader(work + "/filtered"), MinhashDedupFilter(work + "/remove"),
                          JsonlWriter(work + "/kept", compression="zstd")], 2)):
            LocalPipelineExecutor(pipeline, tasks=tasks, workers=2, logging_dir=f"{work}/{name}").run()
    return run


def datatrove_minhash(folder):
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import JsonlReader
    work = tempfile.mkdtemp(dir=folder + "-logs")
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)

    def run():
        for name, pipeline, tasks in (
                ("signatures", [JsonlReader(folder), MinhashDedupSignature(work + "/sig", config=config)], 2),
                ("buckets", [MinhashDedupBuckets(work + "/sig", work + "/buckets", config=config)], 14),
                ("clusters", [MinhashDedupCluster(work + "/buckets", work + "/remove", config=config)], 1)):
            LocalPipelineExecutor(pipeline, tasks=tasks, workers=2, logging_dir=f"{work}/{name}").run()
    return run


def timed(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin"), parser.add_argument("sample")
    parser.add_argument("--documents", type=int, default=2000), parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--what", default="rules,run,minhash,whole")
    options = parser.parse_args()
    folder = tempfile.mkdtemp()
    try:
        data = folder + "/data"
        os.makedirs(data), os.makedirs(data + "-logs")
        lines = open(options.sample, encoding="utf-8").readlines()[:options.documents]
        for part in range(2):  # datatrove is parallel over files
            with open(f"{data}/{part}.jsonl", "w", encoding="utf-8") as out:
                for line in lines[part::2]:
                    record = json.loads(line)
                    out.write(json.dumps({"id": record["id"], "text": record["text"]}) + "\n")
        for name, steps in (("rules", RULES), ("whole", WHOLE)):
            with open(f"{folder}/{name}.yaml", "w") as out:
                out.write(steps)
        curate = os.path.join(options.bin, "curate")
        files = [f"{data}/{part}.jsonl" for part in range(2)]
        run = lambda name, dropped="full": subprocess.run(
            [curate, "run", "--config", f"{folder}/{name}.yaml", "--output", folder + "/out", "--overwrite", "--quiet", "--threads",
             "2", "--dropped", dropped, *files], check=True)
        ours = {"rules": lambda: subprocess.run([os.path.join(options.bin, "rules_benchmark"), "--threads", "2", *files],
                                                check=True, stdout=subprocess.DEVNULL),
                "run": lambda: run("rules"), "whole": lambda: run("whole", "reasons"), "whole, all dropped": lambda: run("whole"),
                "minhash": lambda: subprocess.run([curate, "duplicates", "--threads", "2", "--quiet", *files], check=True,
                                                  stdout=subprocess.DEVNULL)}
        theirs = {"rules": datatrove_rules, "run": datatrove_rules, "minhash": datatrove_minhash, "whole": datatrove_whole}
        megabytes = sum(os.path.getsize(f) for f in files) / 1e6
        for what in options.what.split(","):
            names = [name for name in ours if name.split(",")[0] == what]
            seconds = {name: [] for name in names}
            peer = []
            for _ in range(options.rounds):
                for name in names:  # three times: the peer takes minutes, curate a second
                    seconds[name].append(statistics.median(timed(ours[name]) for _ in range(3)))
                peer.append(timed(theirs[what](data)))
            for name in names:
                ratio = statistics.median(y / x for x, y in zip(seconds[name], peer))
                print(f"{name}: {len(lines)} documents, {megabytes:.1f} MB: curate {statistics.median(seconds[name]):.2f} s, "
                      f"datatrove {statistics.median(peer):.2f} s, ratio {ratio:.0f}x", flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())  # datatrove logs to standard error: 2>/dev/null
