#!/usr/bin/env python3
"""Golden files of tests/golden/tokenizer: offsets of tokens, chats of SentencePiece vocabularies, prompts and completions.

    PYTHON scripts/oracle/encodings.py   # needs trl 1.16, datasets, accelerate and protobuf beside build/venv's packages,
                                         # and build/data/smollm2.gguf and build/data/mistral-v1.model
"""
import json, os, sys, tempfile, types
import sentencepiece, tokenizers, transformers, trl
from datasets import Dataset
from tokenizers import AddedToken, Tokenizer
from trl.trainer.sft_trainer import SFTTrainer
from mixed_texts import conversations, mixed_texts
from golden import TOKENIZER, write_packed
from tokens import ROOT, smollm2
import gzip

MISTRAL = os.path.join(ROOT, "build", "data", "mistral-v1.model")
CHATML = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
MARKED = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n'}}{% if message['role'] == 'assistant' %}{% generation %}"
          "{{message['content'] + '<|im_end|>'}}{% endgeneration %}{{'\n'}}{% else %}{{message['content'] + '<|im_end|>' + '\n'}}{% endif %}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def read(name):
    return json.loads(gzip.open(os.path.join(TOKENIZER, name)).read())


def offsets():
    """[begin, end, begin, end ...] in characters for every text: tokenizers' and sentencepiece's own."""
    texts = mixed_texts()
    flat = lambda pairs: [n for pair in pairs for n in pair]
    of = lambda tk, ts: [flat(tk.encode(t, add_special_tokens=False).offsets) for t in ts]
    processor = sentencepiece.SentencePieceProcessor(model_file=MISTRAL)
    spans = lambda t: flat((p.begin, p.end) for p in processor.encode(t, return_type="proto").pieces)
    small = {name: of(Tokenizer.from_str(json.dumps(model["tokenizer"])), model["texts"]) for name, model in read("small.json.gz")["models"].items()}
    return {"peer": f"tokenizers {tokenizers.__version__}, sentencepiece {sentencepiece.__version__}", "smollm2": of(smollm2()[0], texts[::8]),
            "mistral": [spans(t) for t in texts[::8]], "small": small}


def token(content, special=True):
    return {"content": content, "special": special, "normalized": False, "lstrip": False, "rstrip": False, "single_word": False}


def folders():
    """name -> the files of a folder beside tokenizer.model, or with a tokenizer.json."""
    added = {"32000": token("<|im_start|>"), "32001": token("<|im_end|>")}
    config = lambda **more: {"tokenizer_class": "LlamaTokenizer", "eos_token": "<|im_end|>", "chat_template": CHATML, **more}
    first = read("small.json.gz")["models"]["metaspace_first"]["tokenizer"]
    always = read("small.json.gz")["models"]["metaspace_always"]["tokenizer"]
    def with_chatml(spec):
        tk = Tokenizer.from_str(json.dumps({**spec, "added_tokens": [t for t in spec["added_tokens"] if t["content"] == "<unk>"]}))
        tk.add_special_tokens(["<|im_start|>", "<|im_end|>"])
        return json.loads(tk.to_str())
    fast = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "chat_template": CHATML}
    return {
        "model": {"tokenizer_config.json": config(added_tokens_decoder=added)},
        "model_legacy": {"tokenizer_config.json": config(added_tokens_decoder=added, legacy=True)},
        "model_added_tokens": {"tokenizer_config.json": config(), "added_tokens.json": {"<|im_start|>": 32000, "<|im_end|>": 32001}},
        "model_named_only": {"tokenizer_config.json": config(additional_special_tokens=["<|im_start|>"])},
        "metaspace_first": {"tokenizer.json": with_chatml(first), "tokenizer_config.json": fast},
        "metaspace_always": {"tokenizer.json": with_chatml(always), "tokenizer_config.json": fast},
    }


def auto(files):
    with tempfile.TemporaryDirectory() as folder:
        for name, value in files.items():
            json.dump(value, open(os.path.join(folder, name), "w"))
        if "tokenizer.json" not in files:
            os.symlink(MISTRAL, os.path.join(folder, "tokenizer.model"))
        return transformers.AutoTokenizer.from_pretrained(folder)


def chats():
    """Without contents that transformers cuts otherwise than sentencepiece itself ("  //" for one), which counts for a .model."""
    result = {}
    processor = sentencepiece.SentencePieceProcessor(model_file=MISTRAL)
    for name, files in folders().items():
        tk = auto(files)
        rows = []
        plain = lambda text: "tokenizer.json" in files or processor.EncodeAsIds("x" + text) == tk.encode("x" + text, add_special_tokens=False)
        for number, messages in enumerate(conversations()):
            if not all(plain(message["content"]) for message in messages): continue
            prompt = number % 3 == 0
            ids = tk.apply_chat_template(messages, tokenize=True, add_generation_prompt=prompt, return_dict=True)["input_ids"]
            mask = tk.apply_chat_template(messages, chat_template=MARKED, tokenize=True, add_generation_prompt=prompt, return_dict=True, return_assistant_tokens_mask=True)
            assert mask["input_ids"] == ids
            rows.append({"messages": messages, "generation_prompt": prompt, "ids": ids, "trained": mask["assistant_masks"]})
        result[name] = {"files": files, "eos": tk.eos_token_id, "size": len(tk), "conversations": rows}
    return result


PAIRS = [("Question: hello\nAnswer:", " yes"), ("Question: hello\nAnswer: ", "yes"), ("He is unbeliev", "able."), ("", "All of it."), ("Nothing after this", ""),
         ("1 + 1 = ", "2"), ("1 + 1 =", " 2\n"), ("Grüße, Gr", "öße"), ("Line\n", "\n\nLine"), (" x", " y"), ("日本", "語です"), ("tab\t", "\ttab"),
         ("<s>Already begun:", " yes"), ("Ends by itself:", " yes</s>"), ("[INST] a [/INST]", " b")]


def trl_pairs():
    """TRL's own tokenisation of prompt and completion (SFTTrainer._prepare_dataset), and which tokens it trains."""
    tk = auto({"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True}})
    trainer = types.SimpleNamespace(_tokenizer=tk, chat_template=None, completion_only_loss=True)
    arguments = types.SimpleNamespace(dataset_num_proc=None, dataset_text_field="text", assistant_only_loss=False, max_length=None, packing=False,
                                      completion_only_loss=True, use_liger_kernel=False, shuffle_dataset=False, truncation_mode="keep_start", padding_free=False)
    rows = [{"prompt": p, "completion": c} for p, c in PAIRS]
    data = SFTTrainer._prepare_dataset(trainer, Dataset.from_list(rows), tk, arguments, False, None, "train")
    return [{**row, "ids": one["input_ids"], "trained": [int(label != -100) for label in one["labels"]]} for row, one in zip(rows, data)]


def main():
    peer = f"transformers {transformers.__version__}"
    write_packed("offsets.json.gz", offsets())
    write_packed("sentencepiece_chats.json.gz", {"peer": peer, "models": chats()})
    write_packed("trl.json.gz", {"peer": f"trl {trl.__version__}, {peer}", "records": trl_pairs()})


if __name__ == "__main__":
    sys.exit(main())
