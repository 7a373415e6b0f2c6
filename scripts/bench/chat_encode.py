#!/usr/bin/env python3
"""Conversations to ids and masks: our code against transformers' apply_chat_template(..., return_assistant_tokens_mask=True).

    python3 scripts/corpus/make_sft.py build/questions.jsonl build/cache
    ninja -C build/release chat_benchmark
    build/venv/bin/python scripts/bench/chat_encode.py build/questions.jsonl [--program build/release/bin/chat_benchmark] [--rounds 5]

Any JSONL with Alpaca's fields, or with messages. SmolLM2's template, with {% generation %} added on transformers' side, since
its mask needs that; rendered, encoded and masked, one thread each, interleaved, in processor time; ids and masks must be equal.
Rendering alone is against Jinja2 with the template compiled once.
"""
import argparse, json, os, statistics, subprocess, sys, tempfile

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "scripts", "oracle"))
import tokenizers, transformers
from measuring import cpu
from tokens import marked_template, smollm2, transformers_tokenizer
from transformers.utils.chat_template_utils import _compile_jinja_template


def conversations(path):
    for line in open(path, encoding="utf-8"):
        record = json.loads(line)
        yield record.get("messages") or [{"role": "user", "content": "\n".join(filter(None, [record["instruction"], record.get("input")]))},
                                         {"role": "assistant", "content": record["output"]}]


def processor_seconds(run):
    begin = cpu()
    run()
    return cpu() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("conversations")
    parser.add_argument("--program", default=os.path.join(ROOT, "build", "release", "bin", "chat_benchmark"))
    parser.add_argument("--model", default=os.path.join(ROOT, "build", "data", "smollm2.gguf"))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    chats = list(conversations(options.conversations))
    tokenizer, template = smollm2()
    peer = transformers_tokenizer(tokenizer, template)
    marked, compiled = marked_template(template), _compile_jinja_template(template)
    context = {"tools": None, "documents": None, "add_generation_prompt": False, **peer.special_tokens_map}

    def render():
        for messages in chats:
            compiled.render(messages=messages, **context)

    def encode():
        return [peer.apply_chat_template(m, chat_template=marked, tokenize=True, return_dict=True, return_assistant_tokens_mask=True) for m in chats]

    seconds = {"render": [], "all": []}
    ours = {"render": [], "all": []}
    with tempfile.TemporaryDirectory() as folder:
        records, encoded = folder + "/chats.jsonl", folder + "/encoded.jsonl"
        with open(records, "w") as f:
            f.writelines(json.dumps({"messages": m}, ensure_ascii=False) + "\n" for m in chats)
        for _ in range(options.rounds):
            seconds["render"].append(processor_seconds(render))
            seconds["all"].append(processor_seconds(encode))
            answer = json.loads(subprocess.run([options.program, options.model, records, "5", encoded], stdout=subprocess.PIPE, check=True).stdout)
            for part in ours:
                ours[part].append(answer[part])
        got = [json.loads(line) for line in open(encoded)]
    expected = [{"ids": e["input_ids"], "trained": e["assistant_masks"]} for e in encode()]
    equal = sum(a == b for a, b in zip(expected, got))
    print(f"{len(chats)} conversations, {sum(len(e['ids']) for e in expected)} tokens, {sum(sum(e['trained']) for e in expected)} trained; ids and masks equal in {equal}; "
          f"transformers {transformers.__version__}, tokenizers {tokenizers.__version__}")
    for part, title in (("render", "render (Jinja2)"), ("all", "render, encode, mask")):
        theirs, mine = statistics.median(seconds[part]), statistics.median(ours[part])
        ratios = sorted(a / b for a, b in zip(seconds[part], ours[part]))
        print(f"{title}: theirs {theirs / len(chats) * 1e6:.1f} us, ours {mine / len(chats) * 1e6:.2f} us a conversation; {statistics.median(ratios):.1f}x ({ratios[0]:.1f} to {ratios[-1]:.1f})")
    return 0 if equal == len(chats) else 1


if __name__ == "__main__":
    sys.exit(main())
