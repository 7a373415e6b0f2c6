#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: are the tests green, does CUDA train as the CPU does, is a resumed run the same to the
# last bit, and how fast is it? Usage: scripts/bench/gpu.sh [DATA.jsonl]; needs scripts/install.sh --peers to have run.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=${1:-build/quickstart/instructions/train.jsonl}
model=build/data/smollm2.gguf
bin=build/release/bin
out=build/gpu
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || { echo "no NVIDIA GPU here" >&2; exit 1; }
[ -e "$data" ] || { echo "$data is not there: run scripts/quickstart.sh, or name a file of records" >&2; exit 1; }
rm -rf $out && mkdir -p $out

echo "== build and test"
cmake --preset release -DTRAINING=ON >/dev/null
cmake --build build/release --target finetune_program lora_program finetune_test
$bin/finetune_test --gtest_brief=1

echo "== CUDA beside the CPU: ten steps in float32, losses within 1e-3"
for device in cpu cuda; do
  $bin/finetune train --model $model --data "$data" --limit 200 --output $out/$device --device $device --dtype float32 \
    --steps 10 --max-length 256 --learning-rate 5e-4 --quiet
done
python3 - $out <<'PYTHON'
import json, sys
def losses(device):
    return [json.loads(line)["loss"] for line in open(f"{sys.argv[1]}/{device}/metrics.jsonl")]
gap = max(abs(a - b) for a, b in zip(losses("cpu"), losses("cuda"), strict=True))
print(f"largest difference of a step's loss: {gap:.2e}")
sys.exit(gap > 1e-3)
PYTHON

echo "== killed and resumed on CUDA: the same bytes"
python3 tests/cli/kill_resume_finetune.py $bin/finetune --device cuda --seconds 90

echo "== speed: rows of 2,048 tokens, bfloat16"
for rows in 1 4 16; do
  $bin/finetune train --model $model --data "$data" --output $out/rows$rows --device cuda --dtype bfloat16 --steps 30 \
    --max-length 2048 --rows-per-batch $rows --quiet
  python3 - $out/rows$rows/metrics.jsonl $rows <<'PYTHON'
import json, statistics, sys
rates = [json.loads(line)["tokens_per_second"] for line in open(sys.argv[1])][5:]  # the first steps warm up
print(f"{sys.argv[2]:>3} rows a batch: {statistics.median(rates):,.0f} tokens/s (median of {len(rates)} steps)")
PYTHON
done
