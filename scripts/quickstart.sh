#!/usr/bin/env bash
# The main job from nothing: a real corpus is curated, an instruction set is built, SmolLM2-135M is fine-tuned with LoRA,
# merged and exported, and what was exported is shown to be what was trained. Two cores, no GPU, under 20 minutes.
# Every step is a command that is printed first, so that you can type it yourself. Everything lands in build/quickstart/.
set -euo pipefail
cd "$(dirname "$0")/.."
out=build/quickstart
bin=build/release/bin
started=$SECONDS
say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
run() { printf '\033[2m$ %s\033[0m\n' "$*"; "$@"; }

say "1. Install what is missing and build"
scripts/install.sh
cmake --preset release -DTRAINING=ON >build/configure.log || { cat build/configure.log; exit 1; }
cmake --build build/release --target curate_program tokenizer_program lora_program finetune_program
built=$SECONDS

say "2. A real corpus and real questions, from Debian packages"
rm -rf $out && mkdir -p $out
run python3 scripts/corpus/make_corpus.py --tags quickstart --cache build/cache --out $out/corpus
run python3 scripts/corpus/make_sft.py $out/questions.jsonl build/cache

say "3. Curate: train a textbook scorer on the corpus' own labels, then filter and deduplicate"
# The German manual has no labels, and a file that gives nothing to learn from is a failure.
labelled=$(ls $out/corpus/*.jsonl | grep -v -e /debian-reference-de.jsonl)
run $bin/curate train-scorer $labelled --output $out/textbook.model --label-field quality --good 2,3 --bad 0 --group-field source
run $bin/curate run --config configs/curate-quickstart.yaml

say "4. Instruction data: question/answer pairs into chat records"
run $bin/curate instruct $out/questions.jsonl --output $out/instructions --validation-share 0.05

say "5. Fine-tune SmolLM2-135M-Instruct with LoRA"
run $bin/finetune train --config configs/finetune-smollm2.yaml

say "6. Merge the adapter: a Hugging Face folder and a GGUF file"
run $bin/lora merge $out/run --format hf --format gguf --dtype float32

say "7. Three prompts, before and after"
printf '%s\n' '{"prompt":"How do I make a branch in git?"}' '{"prompt":"How can I read a file line by line in Perl?"}' \
  '{"prompt":"What is a decorator in Python?"}' >$out/prompts.jsonl
printf '\n-- before\n'; run $bin/finetune generate --model build/data/smollm2.gguf --prompts $out/prompts.jsonl --max-tokens 48
printf '\n-- after\n'; run $bin/finetune generate --model $out/run/merged --prompts $out/prompts.jsonl --max-tokens 48

say "8. Is what was exported what was trained?"
python3 -c "import json; [print(json.loads(l)['instruction']) for l in open('$out/questions.jsonl').readlines()[:5]]" >$out/verify.txt
run $bin/finetune verify build/data/smollm2.gguf $out/run/merged --adapter $out/run/adapter --text $out/verify.txt

say "Done in $((SECONDS - started)) s ($((SECONDS - built)) s after the build). What was made:"
cat <<T
  $out/curated/kept/      the clean corpus          $out/curated/report.html   what was dropped, and why
  $out/instructions/      chat records              $out/run/adapter/          the LoRA adapter (PEFT)
  $out/run/merged/        the model, for transformers and llama.cpp
T
