#!/usr/bin/env python3
"""Live check of the built tokenizer program against tokenizers, transformers and sentencepiece, on 2,000 mixed-script texts: ids, conversions in both directions, chats. Exit 1 on a difference.

    build/venv/bin/python scripts/oracle/check_tokenizer.py build/release/bin/tokenizer [--llama-cpp] [--vocabularies FOLDER]

--llama-cpp: also against llama.cpp's vocabulary code (pip install llama-cpp-python: built from source, ten minutes).
FOLDER: llama.cpp's models/ggml-vocab-*.gguf with .inp and .out files (in the sdist of llama-cpp-python): llama-bpe, qwen2,
gpt-2, llama-spm. Each is checked against its own vectors, and its tokenizer.json, made by us, in tokenizers.
"""
import argparse, json, os, shutil, subprocess, sys, tempfile
import sentencepiece, tokenizers, transformers
from mixed_texts import conversations, mixed_texts

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
failures = 0
llama_cpp = None  # the module, with --llama-cpp


def report(what, different, total, detail=""):
    global failures
    failures += bool(different)
    print(f"{'ok  ' if not different else 'FAIL'} {what}: {total - different} of {total} equal{detail}", flush=True)


def compare(what, ours, theirs, texts):
    wrong = [i for i, (a, b) in enumerate(zip(ours, theirs)) if list(a) != list(b)]
    assert len(ours) == len(theirs) == len(texts)
    detail = "".join(f"\n     {texts[i]!r}\n       ours {ours[i]}\n       peer {theirs[i]}" for i in wrong[:3])
    report(what, len(wrong), len(texts), detail)


class Program:
    def __init__(self, path):
        self.path = path

    def run(self, *words, data=None):
        done = subprocess.run([self.path, *words], input=data, capture_output=True)
        if done.returncode:
            sys.exit(f"{' '.join(words)}: {done.stderr.decode()}")
        return done.stdout

    def encode(self, model, texts, special=False):
        data = "".join(json.dumps({"text": t}) + "\n" for t in texts).encode()
        out = self.run("encode", "--model", model, "--json", *(["--special"] if special else []), "-", data=data)
        return [json.loads(line)["ids"] for line in out.splitlines()]

    def convert(self, model, output):
        self.run("convert", "--model", model, "--output", output, "--quiet")
        return output


def compare_llama(what, model, ours, texts, special):
    """Without the texts that hold a byte which the vocabulary has no token for (SmolLM2 lacks 21): tokenizers drops such a
    byte before it merges, and so do we; llama.cpp drops it afterwards, so that its neighbours stay apart."""
    if llama_cpp is None:
        return
    llama = llama_cpp.Llama(model_path=model, vocab_only=True, verbose=False)
    kept = [i for i, t in enumerate(texts) if llama.detokenize(llama.tokenize(t.encode(), add_bos=False)).lstrip() == t.encode().lstrip()]
    assert len(kept) > 0.9 * len(texts)
    theirs = [llama.tokenize(texts[i].encode(), add_bos=False, special=special) for i in kept]
    compare(what, [ours[i] for i in kept], theirs, [texts[i] for i in kept])


def json_ids(path, texts, special):
    tk = tokenizers.Tokenizer.from_file(path)
    tk.encode_special_tokens = not special
    return [tk.encode(t, add_special_tokens=False).ids for t in texts]


def check_smollm2(program, texts, folder):
    gguf = os.path.join(ROOT, "build", "data", "smollm2.gguf")
    plain, special = program.encode(gguf, texts), program.encode(gguf, texts, special=True)
    compare_llama("smollm2.gguf in llama.cpp", gguf, special, texts, True)
    compare_llama("smollm2.gguf in llama.cpp, plain", gguf, plain, texts, False)
    made = program.convert(gguf, os.path.join(folder, "smollm2"))
    compare("tokenizer.json from smollm2.gguf in tokenizers", special, json_ids(made + "/tokenizer.json", texts, True), texts)
    compare("tokenizer.json from smollm2.gguf in tokenizers, plain", plain, json_ids(made + "/tokenizer.json", texts, False), texts)
    auto = transformers.AutoTokenizer.from_pretrained(made)
    compare("AutoTokenizer, no config.json", special, [auto.encode(t) for t in texts], texts)
    with open(made + "/config.json", "w") as f:
        json.dump({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 49152}, f)
    auto = transformers.AutoTokenizer.from_pretrained(made)
    compare(f"AutoTokenizer of a llama model ({type(auto).__name__})", special, [auto.encode(t) for t in texts], texts)
    chats = conversations()
    ours = []
    for chat in chats:
        out = program.run("chat", "--model", made, "--json", "--generation-prompt", "-", data=json.dumps({"messages": chat}).encode())
        ours.append(json.loads(out)["ids"])
    theirs = [auto.apply_chat_template(c, tokenize=True, add_generation_prompt=True, return_dict=True)["input_ids"] for c in chats]
    compare("apply_chat_template", ours, theirs, chats)
    again = program.convert(made, os.path.join(folder, "smollm2-again.gguf"))
    compare_llama("GGUF from that folder in llama.cpp", again, special, texts, True)


def check_mistral(program, texts, folder):
    source = os.path.join(folder, "mistral")
    os.makedirs(source)
    shutil.copy(os.path.join(ROOT, "build", "data", "mistral-v1.model"), source + "/tokenizer.model")
    processor = sentencepiece.SentencePieceProcessor(model_file=source + "/tokenizer.model")
    expected = [processor.EncodeAsIds(t) for t in texts]
    compare("mistral-v1.model in sentencepiece", program.encode(source, texts), expected, texts)
    gguf = program.convert(source, os.path.join(folder, "mistral.gguf"))
    compare_llama("GGUF from mistral-v1.model in llama.cpp, plain", gguf, expected, texts, False)
    compare("GGUF from mistral-v1.model, ours", program.encode(gguf, texts), expected, texts)
    made = program.convert(gguf, os.path.join(folder, "mistral-json"))
    compare("tokenizer.json from that GGUF in tokenizers, plain", expected, json_ids(made + "/tokenizer.json", texts, False), texts)
    special = program.encode(gguf, texts, special=True)
    auto = transformers.AutoTokenizer.from_pretrained(made)
    # A text that begins with BOS gets a second one from the peer; ours does not double it, on purpose.
    bos = auto.bos_token_id
    peer = [ids[1:] if ids[:2] == [bos, bos] else ids for ids in (auto.encode(t) for t in texts)]
    compare("AutoTokenizer, with BOS once", special, peer, texts)


def check_vocabulary(program, texts, folder, path, name):
    inputs = open(path + ".inp", encoding="utf-8", newline="").read().split("\n__ggml_vocab_test__\n")
    expected = [[int(i) for i in line.split()] for line in open(path + ".out").read().split("\n")]
    compare(f"{name}: llama.cpp's vectors", program.encode(path, inputs), expected[: len(inputs)], inputs)
    made = program.convert(path, os.path.join(folder, name))
    compare(f"{name}: tokenizer.json in tokenizers, plain", program.encode(path, texts), json_ids(made + "/tokenizer.json", texts, False), texts)
    with open(made + "/config.json", "w") as f:
        json.dump({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}, f)
    auto = transformers.AutoTokenizer.from_pretrained(made)
    compare(f"{name}: AutoTokenizer, special", program.encode(path, texts, special=True), [auto.encode(t) for t in texts], texts)
    os.remove(made + "/config.json")
    again = program.convert(made, os.path.join(folder, name + ".gguf"))
    compare(f"{name}: GGUF to folder to GGUF, ours", program.encode(again, texts), program.encode(path, texts), texts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--vocabularies")
    parser.add_argument("--llama-cpp", action="store_true")
    arguments = parser.parse_args()
    if arguments.llama_cpp:
        global llama_cpp
        import llama_cpp
    program, texts = Program(arguments.program), mixed_texts()
    with tempfile.TemporaryDirectory() as folder:
        check_smollm2(program, texts, folder)
        check_mistral(program, texts, folder)
        for name in ("llama-bpe", "qwen2", "gpt-2", "llama-spm") if arguments.vocabularies else ():
            check_vocabulary(program, texts, folder, os.path.join(arguments.vocabularies, f"ggml-vocab-{name}.gguf"), name)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
