#!/usr/bin/env bash
# The trainer's figures on this machine's processor, against its peers from PyPI, one after the other; about an hour on two cores.
#   scripts/bench/finetune.sh [WHICH ...]    step memory sft start prepare generate foretold competing; all of them when none is named
# Needs the build (scripts/quickstart.sh) and nothing else running. Lines go to build/bench/finetune.log too.
set -euo pipefail
cd "$(dirname "$0")/../.."
scripts/install.sh --peers
out=build/bench data=build/bench/records.jsonl python=build/venv/bin/python
mkdir -p $out
if [ ! -e $data ]; then
  python3 scripts/corpus/make_sft.py $out/questions.jsonl build/cache
  rm -rf $out/instructions
  build/release/bin/curate instruct $out/questions.jsonl --output $out/instructions --quiet
  cat $out/instructions/train*.jsonl >$data
fi
trl() {  # a Python with TRL beside the peers that are there
  if [ ! -x build/trl/bin/python ]; then
    python3 -m venv build/trl
    (cd build/venv/lib/python3*/site-packages && pwd) >"$(echo build/trl/lib/python3*/site-packages)/peers.pth"
    build/trl/bin/pip install -q trl==1.16.0
  fi
  echo build/trl/bin/python
}
say() { printf '\n== %s\n' "$*"; }
step() {
  for dtype in float32 bfloat16; do
    for micro in 1 4; do
      $python scripts/bench/train_cpu.py --data $data --only text --rows 4 --steps 2 --peer-micro-batch $micro --dtype $dtype
    done
  done
}
memory() {
  $python scripts/bench/train_cpu.py --data $data --only text --rows 4 --steps 2 --memory 1800MB
  $python scripts/bench/train_cpu.py --data $data --only text --memory 1200MB
  $python scripts/bench/train_cpu.py --data $data --only text --rows 4 --steps 2 --memory 1200MB --dtype bfloat16
}
sft() {
  $python scripts/bench/sft.py --python "$(trl)" --data $data
  $python scripts/bench/sft.py --python "$(trl)" --data $data --peer-packing
  $python scripts/bench/sft.py --python "$(trl)" --data $data --dtype bfloat16
}
start() { $python scripts/bench/start.py; }
prepare() {
  [ -d build/quickstart/corpus ] || { echo "run scripts/quickstart.sh first: its corpus is the text" >&2; exit 1; }
  $python scripts/bench/prepare_data.py --python "$(trl)" --texts build/quickstart/corpus/*.jsonl
}
generate() { $python scripts/bench/generate.py; }
foretold() { $python scripts/bench/training_memory.py; }
competing() { $python scripts/bench/competing.py; }

which=("$@")
[ ${#which[@]} -gt 0 ] || which=(step memory sft start prepare generate foretold competing)
for name in "${which[@]}"; do
  case $name in step | memory | sft | start | prepare | generate | foretold | competing) ;; *) echo "no figure is named '$name'" >&2; exit 2 ;; esac
done
{
  say "$(date +%F), $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2), $(nproc) cores, $(grep -o -w -E 'avx2|avx512f|avx512_bf16|amx_bf16' /proc/cpuinfo | sort -u | tr '\n' ' ')"
  for name in "${which[@]}"; do
    say "$name"
    $name
  done
} 2>&1 | tee -a $out/finetune.log
