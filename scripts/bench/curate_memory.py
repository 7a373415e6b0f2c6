#!/usr/bin/env python3
"""Peak memory of `curate run` and `curate duplicates` under --memory, on a corpus several times over.

    curate_memory.py CURATE CORPUS_FOLDER [--copies 4] [--memory 2G 512M] [--threads 2] [--preset textbook] [--work DIR]
    curate_memory.py CURATE --short 6000000 --memory 4G 512M 400M

CORPUS_FOLDER holds *.jsonl with "id" and "text" (scripts/corpus/make_corpus.py makes one). Copy 0 is the corpus as it is. In each
further copy 40 % of the vocabulary, chosen by a hash, carries the number of the copy: equal words stay equal, five consecutive
words almost never do, so that a copy has as many near-duplicates inside it as the corpus and hardly any in another copy.

With --short the input is that many made-up documents of 14 words, a fourth of them with one word changed, instead of a corpus: what
is held for each document decides then, not the text.

For every budget it runs the search for near-duplicates over all (with --preset: that preset), and `curate duplicates`; prints
the peak of the resident memory (of the process, from the system: what /usr/bin/time -v prints), and checks that the kept
records do not depend on the budget. Exit code 1 when a peak is above its budget by more than 10 %, or the records differ.
Standard library only. The copies take about COPIES times the corpus on the disk of --work (default: a new folder in $TMPDIR)."""
import argparse, glob, hashlib, json, multiprocessing, os, random, re, shutil, subprocess, sys, tempfile, time, zlib

UNITS = {"k": 1 << 10, "M": 1 << 20, "G": 1 << 30}
WORD = re.compile(r"\w+")


class Renamed(dict):
    """word -> the word in this copy; filled as words are met."""

    def __init__(self, copy):
        self.copy = copy

    def __missing__(self, word):
        changed = zlib.crc32(f"{self.copy} {word}".encode()) % 5 < 2
        self[word] = word + f"x{self.copy}" if changed else word
        return self[word]


def make_copy(job):
    source, target, copy = job
    if copy == 0:
        shutil.copyfile(source, target)
        return
    renamed = Renamed(copy)
    with open(source, encoding="utf-8") as lines, open(target + ".part", "w", encoding="utf-8") as out:
        for line in lines:
            record = json.loads(line)
            record["id"] = f"{record['id']}#{copy}"
            record["text"] = WORD.sub(lambda match: renamed[match[0]], record["text"])
            out.write(json.dumps(record, ensure_ascii=False) + "\n")
    os.rename(target + ".part", target)


def make_corpus(folder, work, copies):
    """The files of all copies; those that an earlier call made are used again."""
    jobs = []
    for copy in range(copies):
        for source in sorted(glob.glob(os.path.join(folder, "*.jsonl"))):
            if not os.path.basename(source).startswith("truth_"):
                jobs.append((source, os.path.join(work, f"copy{copy}-{os.path.basename(source)}"), copy))
    missing = [job for job in jobs if not os.path.exists(job[1])]
    with multiprocessing.Pool(2) as pool:
        pool.map(make_copy, missing, chunksize=1)
    return [target for _, target, _ in jobs]


def make_short(work, count):
    random_numbers = random.Random(1)
    vocabulary = [f"w{number}" for number in range(100000)]
    words, path = [], os.path.join(work, "short.jsonl")
    with open(path, "w") as out:
        for number in range(count):
            if number % 4 == 3:
                words = words[:-1] + [random_numbers.choice(vocabulary)]
            else:
                words = random_numbers.choices(vocabulary, k=14)
            out.write(f'{{"id":"{number}","text":"{" ".join(words)}"}}\n')
    return [path]


def run(command, out=subprocess.DEVNULL):
    """(peak bytes, wall seconds, processor seconds) of one command."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=out)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"exit code {process.returncode}: {' '.join(command[:12])} ...")
    return usage.ru_maxrss * 1024, time.monotonic() - start, usage.ru_utime + usage.ru_stime


def digest(folder):
    total = hashlib.sha256()
    for name in sorted(glob.glob(os.path.join(folder, "kept", "*")) + glob.glob(os.path.join(folder, "dropped", "*"))):
        with open(name, "rb") as file:
            while piece := file.read(1 << 20):
                total.update(piece)
    return total.hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("curate"), parser.add_argument("corpus", nargs="?")
    parser.add_argument("--short", type=int, metavar="DOCUMENTS", help="made-up short documents instead of a corpus")
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--memory", nargs="+", default=["2G", "512M"])
    parser.add_argument("--threads", default="2")
    parser.add_argument("--preset", help="run this preset, not only the search for near-duplicates")
    parser.add_argument("--skip-duplicates", action="store_true", help="only `curate run`")
    parser.add_argument("--work", help="folder for the copies and the output; kept, and used again by the next call")
    options = parser.parse_args()
    if not options.short and not options.corpus:
        parser.error("a corpus folder, or --short")
    work = options.work or tempfile.mkdtemp()
    os.makedirs(work, exist_ok=True)
    try:
        if options.short:
            files = make_short(work, options.short)
        else:
            files = make_corpus(options.corpus, work, options.copies)
        size = sum(map(os.path.getsize, files)) / 1e6
        what = "short documents" if options.short else f"{options.copies} copies"
        print(f"{what}: {len(files)} files, {size:.0f} MB; {options.threads} threads", flush=True)
        config = os.path.join(work, "config.yaml")
        with open(config, "w") as out:
            out.write("steps:\n  - deduplicate: {keep: longest}\n")
        over, digests = False, set()
        print(f"{'command':<12} {'budget':>8} {'peak MiB':>9} {'peak/budget':>12} {'wall s':>8} {'CPU s':>8}  result")
        for memory in options.memory:
            budget = float(memory[:-1]) * UNITS[memory[-1]]
            output = os.path.join(work, "out")
            how = ["--preset", options.preset] if options.preset else ["--config", config]
            commands = {"run": [options.curate, "run", *how, "--output", output, "--overwrite", "--quiet"]}
            if not options.skip_duplicates:
                commands["duplicates"] = [options.curate, "duplicates", "--quiet"]
            for name, command in commands.items():
                found = os.path.join(work, "duplicates.jsonl")
                with open(found, "wb") as out:
                    peak, wall, processor = run(command + ["--memory", memory, "--threads", options.threads, *files], out)
                if name == "run":
                    report = json.load(open(os.path.join(output, "report.json")))
                    read, kept = report["read"]["records"], report["kept"]["records"]
                    result = f"{kept} of {read} documents kept ({100 * kept / read:.1f} %)"
                    digests.add(digest(output))
                else:
                    result = f"{sum(1 for _ in open(found, 'rb'))} duplicates"
                over |= peak > 1.1 * budget
                print(f"{name:<12} {memory:>8} {peak / 2**20:>9.0f} {peak / budget:>12.2f} {wall:>8.1f} {processor:>8.1f}  {result}",
                      flush=True)
        same = len(digests) == 1
        print("the same bytes for every budget" if same else "THE BYTES DEPEND ON THE BUDGET")
        return 1 if over or not same else 0
    finally:
        if not options.work:
            shutil.rmtree(work)


if __name__ == "__main__":
    sys.exit(main())
