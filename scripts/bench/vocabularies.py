#!/usr/bin/env python3
"""Speed of the tokenizer program on each vocabulary, against tokenizers and tiktoken: one thread each, and two against tokenizers' batch.

    scripts/bench/vocabularies.py --text a.jsonl ... [--megabytes 20] [--rounds 3] [--only llama3 ...]

Contenders take turns on the same texts. The peers are timed encoding texts that lie in memory; ours is the whole program: start, loading the
vocabulary, reading JSON, encoding ("count"), and the same without texts is shown as its start. CPU seconds on one thread, wall seconds on two.
Ids are compared first. Needs scripts/vocabularies.py --llama-cpp run before, and tiktoken and tokenizers in the Python that runs it.
"""
import argparse, os, statistics, subprocess, sys, tempfile, time

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
os.environ["RAYON_NUM_THREADS"] = "2"
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "oracle"))
import tokenizers
import vocabularies as known
from measuring import cpu, first, texts_of, write_records
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers


def alphabet():
    """GPT-2's character of each byte."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in own]
    return {**{b: chr(b) for b in own}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def tokenizers_of(encoding, pattern, nfc):
    """The ranks of tiktoken as a tokenizers.Tokenizer, in the way of transformers' TikTokenConverter."""
    letters, ranks = alphabet(), encoding._mergeable_ranks
    write = lambda token: "".join(letters[b] for b in token)
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        cuts = [(token[:i], token[i:]) for i in range(1, len(token)) if token[:i] in ranks and token[i:] in ranks]
        merges += [(write(a), write(b)) for a, b in sorted(cuts, key=lambda cut: (ranks[cut[0]], ranks[cut[1]]))]
    tk = Tokenizer(models.BPE({write(t): r for t, r in ranks.items()}, merges, ignore_merges=True))
    tk.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    if nfc:
        tk.normalizer = normalizers.NFC()
    return tk


def measure(program, name, texts, size, records, empty, rounds):
    file, make = known.PEERS[name]
    peer, path = make(), known.at(file)
    contenders = {}
    if isinstance(peer, known.Tokenizers):
        tk = peer.tk
    elif isinstance(peer, known.SentencePiece):
        tk = None
        contenders["sentencepiece"] = lambda: [peer.processor.EncodeAsIds(t) for t in texts]
    else:
        encoding = peer.tk._model if isinstance(peer, known.Tekken) else peer.encoding
        tk = tokenizers_of(encoding, encoding._pat_str, getattr(peer, "nfc", False))
        contenders["tiktoken"] = lambda: [encoding.encode_ordinary(t) for t in texts]
    if tk:
        contenders["tokenizers"] = lambda: [tk.encode(t, add_special_tokens=False) for t in texts]
        contenders["tokenizers, batch on two"] = lambda: tk.encode_batch_fast(texts, add_special_tokens=False)
    count = lambda threads, data: subprocess.run([program, "count", "--model", path, "--threads", str(threads), data], stdout=subprocess.DEVNULL, check=True)
    contenders |= {"ours": lambda: count(1, records), "ours on two": lambda: count(2, records), "ours, start": lambda: count(1, empty)}
    same = known.encode(program, path, texts, False) == [list(peer.plain(t)) for t in texts]
    seconds = {what: [] for what in contenders}
    for _ in range(rounds):
        for what, run in contenders.items():
            wall, start = time.perf_counter(), cpu()
            run()
            seconds[what].append(time.perf_counter() - wall if "two" in what else cpu() - start)
    median = {what: statistics.median(values) for what, values in seconds.items()}
    ours, on_two, start = median["ours"], median["ours on two"], median["ours, start"]
    speed = "; ".join(f"{what} {size / value / 1e6:.1f} MB/s" for what, value in median.items() if what != "ours, start")
    against = [f"{median[what] / (ours - start):.1f}x {what} ({median[what] / ours:.1f}x with start)" for what in ("tokenizers", "tiktoken", "sentencepiece") if what in median]
    if tk:
        against.append(f"{median['tokenizers, batch on two'] / on_two:.1f}x its batch on two")
    print(f"{name}: ids {'equal' if same else 'DIFFERENT'}; {speed}; start {start * 1e3:.0f} ms CPU; {', '.join(against)}", flush=True)
    return same


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=os.path.join(known.ROOT, "build", "release", "bin", "tokenizer"))
    parser.add_argument("--text", nargs="+", required=True, help="JSONL files with a text in each record")
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(known.PEERS))
    arguments = parser.parse_args()
    texts, size = first(texts_of(arguments.text), arguments.megabytes)
    with tempfile.TemporaryDirectory() as folder:
        records, empty = folder + "/texts.jsonl", folder + "/empty.jsonl"
        write_records(records, texts)
        open(empty, "w").close()
        return 0 if all([measure(arguments.program, name, texts, size, records, empty, arguments.rounds) for name in arguments.only]) else 1


if __name__ == "__main__":
    sys.exit(main())
