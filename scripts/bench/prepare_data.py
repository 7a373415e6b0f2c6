#!/usr/bin/env python3
"""Preparing data (template, ids, mask, best-fit packing): `finetune train` beside TRL's SFTTrainer.

    python3 -m venv trlenv && trlenv/bin/pip install torch==2.11.0 trl==1.16.0
    scripts/bench/prepare_data.py --python trlenv/bin/python --texts corpus.jsonl [--records 18900] [--rounds 3]

One thread of ours against one process of TRL's `map`, turn by turn, caches cold; processor seconds. Records are made of the
corpus's texts ({"text"} a line): a question of a line and an answer of about 1,000 characters, none twice. What starts up is
left out on both sides: of TRL only SFTTrainer._prepare_dataset is measured, with its data set read and its tokenizer loaded;
of ours the whole program, reading, hashing and writing of its cache included, less the same with one record.
The first run's tokens, trained tokens and rows are printed for both. TRL trains the line end behind an answer's end token, one
token a record more.
"""
import argparse, json, os, re, resource, statistics, subprocess, sys, tempfile

import measuring

LENGTH = 1024


def records_of(texts, count):
    """Distinct records out of the corpus, in its order."""
    made, seen = [], set()
    for line in (line for path in texts for line in open(path, encoding="utf-8")):
        paragraphs = [p.strip() for p in re.split(r"\n+", json.loads(line)["text"]) if len(p.strip()) > 30]
        while len(paragraphs) > 1 and len(made) < count:
            question, answer = paragraphs.pop(0)[:200], ""
            while paragraphs and len(answer) < 1000:
                answer += paragraphs.pop(0) + "\n"
            answer = answer.strip()[:2000]
            if len(answer) >= 60 and answer not in seen:
                seen.add(answer)
                made.append({"prompt": [{"role": "user", "content": question}],
                             "completion": [{"role": "assistant", "content": answer}]})
    if len(made) < count:
        sys.exit(f"the texts give {len(made)} records only; give more texts, or --records {len(made)}")
    return made


def peer(options):
    """Prepares once for each line read, and answers a line of JSON."""
    import time
    import datasets, trl, transformers
    from trl.trainer.sft_trainer import SFTTrainer
    datasets.disable_caching()
    datasets.disable_progress_bars()
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.hf)
    data = datasets.Dataset.from_list([json.loads(line) for line in open(options.data, encoding="utf-8")])
    arguments = trl.SFTConfig(output_dir=os.path.dirname(options.data), max_length=LENGTH, packing=True, use_cpu=True, bf16=False,
                              report_to="none")
    trainer = SFTTrainer.__new__(SFTTrainer)  # without a model: only what _prepare_dataset reads
    trainer._tokenizer, trainer.completion_only_loss, trainer.chat_template = tokenizer, True, tokenizer.chat_template
    for _ in sys.stdin:
        begun = time.process_time()
        rows = trainer._prepare_dataset(data, tokenizer, arguments, True, None, "train")
        seconds = time.process_time() - begun
        answer = {"seconds": seconds, "rows": len(rows), "version": trl.__version__,
                  "tokens": sum(len(ids) for ids in rows["input_ids"]),
                  "trained": sum(sum(label != -100 for label in labels) for labels in rows["labels"])}
        print(json.dumps(answer), flush=True)


def ours(options, data, folder, number):
    """Processor seconds of the whole program, and what it says."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([options.finetune, "train", "--model", options.model, "--data", data, "--show-batch", "--threads", "1",
                           "--max-length", str(LENGTH), "--data-cache", os.path.join(folder, f"cache{number}")],
                          capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="a Python that has trl")
    parser.add_argument("--texts", nargs="+", help="JSONL of texts")
    parser.add_argument("--records", type=int, default=18900)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--finetune", default="build/release/bin/finetune")
    parser.add_argument("--lora", default="build/release/bin/lora")
    parser.add_argument("--model", default="build/data/smollm2.gguf")
    parser.add_argument("--hf", default="", help="the model as a Hugging Face folder; default: made with lora convert")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return peer(options)
    with tempfile.TemporaryDirectory() as folder:
        records = records_of(options.texts, options.records)
        data, one = os.path.join(folder, "records.jsonl"), os.path.join(folder, "one.jsonl")
        for path, some in ((data, records), (one, records[:1])):
            with open(path, "w", encoding="utf-8") as out:
                out.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in some)
        if not options.hf:
            options.hf = measuring.model_folder(options.lora, options.model, folder)
        environment = dict(os.environ, TOKENIZERS_PARALLELISM="false", RAYON_NUM_THREADS="1", OMP_NUM_THREADS="1",
                           CUDA_VISIBLE_DEVICES="", HF_HUB_OFFLINE="1")
        worker = subprocess.Popen([options.python, __file__, "--peer", "--hf", options.hf, "--data", data], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True, env=environment)
        print(f"{len(records)} records, {os.path.getsize(data) / 1e6:.1f} MB")
        pairs = []
        for number in range(options.rounds):
            worker.stdin.write("go\n")
            worker.stdin.flush()
            answer = worker.stdout.readline()
            if not answer:
                sys.exit("the peer failed, see above")
            theirs = json.loads(answer)
            start, _ = ours(options, one, folder, f"{number}-one")
            whole, said = ours(options, data, folder, number)
            pairs.append((theirs["seconds"], whole - start))
            if number == 0:
                tokens, trained = re.search(r"([\d,]+) tokens, ([\d,]+) trained", said).groups()
                rows = re.search(r"row 1 of ([\d,]+)", said).group(1)
                print(f"trl {theirs['version']}: {theirs['tokens']:,} tokens, {theirs['trained']:,} trained, {theirs['rows']:,} rows")
                print(f"finetune: {tokens} tokens, {trained} trained, {rows} rows")
            print(f"trl {pairs[-1][0]:.2f} s  finetune {pairs[-1][1]:.3f} s (and {start:.3f} s to start)  {pairs[-1][0] / pairs[-1][1]:.1f}x",
                  flush=True)
        worker.stdin.close()
        worker.wait()
        theirs, mine = (statistics.median(column) for column in zip(*pairs))
        print(f"medians: trl {theirs:.2f} s ({len(records) / theirs:,.0f} records/s), finetune {mine:.3f} s "
              f"({len(records) / mine:,.0f} records/s): {theirs / mine:.1f}x")


if __name__ == "__main__":
    main()
