#!/usr/bin/env python3
"""Which tokens of a conversation are trained: ours against transformers' {% generation %}, on templates of others that have the marks.

    build/venv/bin/python scripts/oracle/chat_masks.py build/release/bin/tokenizer          # counts and first differences
    ... --break eos        # spoils one of our masks: the comparison must see it

Each template is rendered twice by us: with its marks, where the ids and masks must be transformers' own, and with the marks taken out,
as nearly all templates come, where the answers must be found by where their words came from. There a mask may differ only in what
some templates mark and we never train: the header, which the generation prompt writes, and white space behind the end.
The vocabulary is one token a byte, with all that looks like a special token in the template as one.
"""
import argparse, json, os, re, subprocess, sys, tempfile
import chat_templates as oracle
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

MARK = re.compile(r"{%([-+]?)\s*(?:end)?generation\s*([-+]?)%}")
SPECIAL = re.compile(r"<[|｜][^<>|｜\s'\"]{1,40}[|｜]>|<(?:start|end)_of_turn>|<bos>|<eos>|</s>|<s>|\[/?(?:INST|SYS)\]|</?assistant>|<\|?turn\|?>|<end_of_utterance>")
ENDS = ["<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|END_OF_TURN_TOKEN|>", "<｜end▁of▁sentence｜>", "<|return|>", "<|eot|>", "<|end_of_text|>", "<turn|>", "</assistant>", "<end_of_utterance>", "</s>"]

CLOSES_TOOLS = "<｜tool▁outputs▁end｜>"  # written at the next answer's beginning, of which it is no word


def without_marks(template):
    """The template without the marks; what they strip of the white space beside them stays stripped."""
    template = re.sub(r"{#.*?#}", lambda m: m[0].replace("{%", "").replace("%}", ""), template, flags=re.S)  # comments speak of marks
    return MARK.sub(lambda m: f"{{#{m[1]} {m[2]}#}}" if "-" in m[1] + m[2] else "{# #}", template)


def save_model(folder, template):
    """A byte vocabulary that knows the template's special tokens."""
    specials = sorted(set(SPECIAL.findall(template)) | {"<s>", "</s>"})
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False), decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in specials])
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    end = next(e for e in ENDS if e in specials)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": template, "bos_token": "<s>", "eos_token": end}
    json.dump(config, open(os.path.join(folder, "tokenizer_config.json"), "w"))
    return transformers.AutoTokenizer.from_pretrained(folder)


def plain(messages):
    """Text alone: what an injected special token does is not compared here."""
    return all(isinstance(m.get("content"), str) and not SPECIAL.search(m["content"]) for m in messages)


def chats():
    for title, arguments in oracle.conversations():
        if title not in ("continue", "no content") and set(arguments) <= {"messages", "add_generation_prompt", "tools"} and plain(arguments["messages"]):
            if any(m["role"] == "assistant" for m in arguments["messages"]):
                yield title, arguments["messages"], arguments.get("tools")


def theirs(peer, template, messages, tools):
    try:
        encoded = peer.apply_chat_template(messages, tools=tools, chat_template=template, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        return encoded["input_ids"], encoded["assistant_masks"]
    except Exception as error:  # whatever a template raises
        return type(error).__name__, None


def ours(program, folder, template, records):
    """[(ids, mask) or (error, None)] of the records."""
    path = os.path.join(folder, "template.jinja")
    open(path, "w").write(template)
    answers = []
    for messages, tools in records:
        record = {"messages": messages, **({"tools": tools} if tools else {})}
        run = subprocess.run([program, "chat", "--json", "--model", folder, "--chat-template", path, "-"], input=json.dumps(record).encode(), capture_output=True)
        chats = [json.loads(line) for line in run.stdout.splitlines()]
        answers.append((chats[0]["ids"], [int(t) for t in chats[0]["trained"]]) if chats else (run.stderr.decode().strip(), None))
    return answers


def segments(encoded, peer):
    """The texts that are trained."""
    texts, begin = [], None
    ids, mask = encoded
    for i, trained in enumerate(mask + [0]):
        if trained and begin is None:
            begin = i
        elif not trained and begin is not None:
            texts.append(peer.decode(ids[begin:i]))
            begin = None
    return texts


def generation_prompt(peer, template):
    messages = [{"role": "user", "content": "q"}]
    render = lambda prompt: peer.apply_chat_template(messages, chat_template=template, tokenize=False, add_generation_prompt=prompt)
    return render(True)[len(os.path.commonprefix([render(True), render(False)])):]


def same_answers(expected, got, peer, prompt):
    """Do the masks differ only in what the generation prompt writes before an answer, white space around it, and an end of all behind it?"""
    theirs, mine = ([t for t in segments(e, peer) if t.strip()] for e in (expected, got))
    for text, other in zip(theirs, mine):
        begin = text.find(other.strip())
        head, tail = text[:begin].strip(), text[begin + len(other.strip()):].strip()
        if begin < 0 or (head not in prompt and head != CLOSES_TOOLS) or (tail and tail not in ENDS):
            return False
    return len(theirs) == len(mine)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--break", dest="spoil", choices=["eos"])
    options = parser.parse_args()
    count, shown, compared = {}, 0, 0
    for name, template in sorted(oracle.templates().items()):
        if len(re.findall(r"{%[-+]?\s*generation\b", template)) == 0 or name.endswith(":0"):
            continue
        compared += 1
        template = re.sub(r"strftime_now\([^()]*\)", "'2024-07-26'", template)
        with tempfile.TemporaryDirectory() as folder:
            peer = save_model(folder, template)
            conversations, prompt = list(chats()), generation_prompt(peer, template)
            records = [(messages, tools) for _, messages, tools in conversations]
            for kind, text in (("marked", template), ("unmarked", without_marks(template))):
                for (title, messages, tools), got in zip(conversations, ours(options.program, folder, text, records)):
                    expected = theirs(peer, template, messages, tools)
                    if options.spoil and got[1] and any(got[1]):
                        got[1][len(got[1]) - 1 - got[1][::-1].index(1)], options.spoil = 0, None
                    if expected[1] is None or got[1] is None:
                        result = "equal errors" if expected[1] is got[1] else "ours refuses" if got[1] is None else "theirs raises"
                    elif expected[0] != got[0]:
                        result = "IDS DIFFER"
                    elif expected[1] == got[1]:
                        result = "equal"
                    else:
                        result = "same answers" if kind == "unmarked" and same_answers(expected, got, peer, prompt) else "MASKS DIFFER"
                    count[kind, result] = count.get((kind, result), 0) + 1
                    if result not in ("equal", "equal errors", "same answers") and shown < 200:
                        shown += 1
                        print(f"{result}: {name} ({kind}) / {title}")
                        if got[1] is None or expected[1] is None:
                            print(f"   {expected[0] if expected[1] is None else got[0]}"[:300])
                        else:
                            show = lambda ids, mask: re.sub("⟧⟦", "", "".join(f"⟦{peer.decode([i])}⟧" if m else peer.decode([i]) for i, m in zip(ids, mask)))
                            print(f"   theirs {show(*expected)[-500:]!r}\n   ours   {show(*got)[-500:]!r}")
    print(f"{compared} templates, transformers {transformers.__version__}:")
    for (kind, result), number in sorted(count.items()):
        print(f"  {kind}: {result} {number}")
    return 1 if any("DIFFER" in result for _, result in count) else 0


if __name__ == "__main__":
    sys.exit(main())
