#!/usr/bin/env python3
"""Every option that base/suggestions.cc suggests for another tool's name exists, and the well-known names are answered.

    tests/cli/foreign_names.py BIN     exit 1 with a line for each that fails
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
bin_folder = Path(sys.argv[1])
wrong = []


def output(*words):
    done = subprocess.run([bin_folder / words[0], *words[1:]], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


options, commands = {}, set()
for program in ("curate", "lora", "tokenizer", "finetune"):
    if not (bin_folder / program).exists():
        continue
    for command in re.findall(r"^  ([a-z-]+)  ", output(program, "--help")[1], re.M):
        commands.add(command)
        options[program, command] = {name.replace("-", "_") for name in
                                     re.findall(r"^  --([a-z0-9.-]+)", output(program, "help", command)[1], re.M)}
assert len(options) > 10

with_finetune = ("finetune", "train") in options
table = (ROOT / "base/suggestions.cc").read_text()
rows = re.findall(r'\{"([^"]+)",\s*((?:"[^"]*"\s*)+)\}', table[table.index("kOptions"):table.index("kWords")])
assert len(rows) > 40, len(rows)
everywhere = set().union(*options.values())
for option, _ in rows:
    if option not in everywhere and with_finetune:
        wrong.append(f"{option}: no command has it")

# What axolotl, TRL, PEFT and LLaMA-Factory write in the first config that a newcomer brings along.
TRAIN = {
    "lr": "learning_rate", "num_train_epochs": "epochs", "num_epochs": "epochs", "max_steps": "steps",
    "gradient_accumulation_steps": "accumulate", "lora_r": "lora.rank", "r": "lora.rank", "lora_rank": "lora.rank",
    "lora_alpha": "lora.alpha", "lora_dropout": "lora.dropout", "lora_target_modules": "lora.targets",
    "target_modules": "lora.targets", "lora_target": "lora.targets", "use_rslora": "lora.rslora", "base_model": "model",
    "model_name_or_path": "model", "micro_batch_size": "rows_per_batch", "per_device_train_batch_size": "rows_per_batch",
    "sequence_len": "max_length", "max_seq_length": "max_length", "cutoff_len": "max_length", "output_dir": "output",
    "dataset": "data", "datasets": "data", "val_set_size": "validation_share", "val_size": "validation_share",
    "save_steps": "save_every", "eval_steps": "eval_every", "logging_steps": "log_every", "bf16": "dtype",
    "fp16": "dtype", "torch_dtype": "dtype", "resume_from_checkpoint": "resume", "lr_scheduler_type": "schedule",
    "lr_scheduler": "schedule", "max_grad_norm": "clip", "save_total_limit": "keep_checkpoints",
    "sample_packing": "packing", "overwrite_output_dir": "overwrite", "max_samples": "limit",
    "num_warmup_steps": "warmup_steps", "data_seed": "seed",
}
if with_finetune:
    for name, option in TRAIN.items():
        code, text = output("finetune", "train", f"--{name}", "1")
        if code != 2 or f"did you mean '{option}'" not in text:
            wrong.append(f"finetune train --{name}: {text.strip()}")
for words, expected in [
    (("finetune", "train", "--device", "gpu"), "did you mean 'cuda'"),
    (("lora", "merge", "--dtype", "bf16"), "did you mean 'bfloat16'"),
    (("lora", "merge", "--base_model", "x"), "did you mean 'base'"),
    (("lora", "combine"), "did you mean 'fuse'"),
    (("curate", "dedup"), "did you mean 'duplicates'"),
    (("curate", "run", "--text-key", "x"), "did you mean 'text_field'"),
    (("curate", "--input", "x"), "a command comes first"),
]:
    if (bin_folder / words[0]).exists():
        code, text = output(*words)
        if code != 2 or expected not in text or text.startswith(f"{words[0]}: {words[0]}:"):
            wrong.append(f"{' '.join(words)}: {text.strip()}")
print(*wrong, sep="\n", end="\n" if wrong else "")
sys.exit(bool(wrong))
