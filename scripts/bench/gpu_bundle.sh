#!/usr/bin/env bash
# Makes build/gpu-bundle/ for a machine with an NVIDIA GPU that need not have this source tree, a compiler or a network:
# the programs and the tests, stripped, the libraries that they link but for LibTorch's, the golden files, a text, a
# tokenizer and gpu_run.py. There: Python with torch 2.11.0 (CUDA 13), transformers and peft; then
#     build/gpu-bundle/run.sh [--minutes 9] [--device cuda|cpu] [--results FILE]
# Here: scripts/install.sh has run, and build/release holds finetune, lora and finetune_test.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=build/release/bin
for program in finetune lora finetune_test; do
  [ -x $bin/$program ] || { echo "$bin/$program is not there: scripts/test.sh builds it" >&2; exit 1; }
done
out=build/gpu-bundle
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{bin,lib,tokenizer,tests/golden/finetune}
strip -o "$work/bin/finetune" $bin/finetune
strip -o "$work/bin/finetune_test" $bin/finetune_test
# All but what comes with LibTorch, the C library and the C++ library, which every machine with torch has.
ldd $bin/finetune $bin/finetune_test | awk '$2 == "=>" && $3 ~ "^/" {print $3}' | sort -u |
  grep -v -e '/torch/' -e '/nvidia/' -e '/lib\(c\|m\|dl\|rt\|pthread\|util\|gcc_s\|stdc++\|gomp\)\.so' |
  while read -r library; do cp -L "$library" "$work/lib/"; done
strip "$work"/lib/*
cp -r tests/golden/finetune/{tiny_llama,variants} "$work/tests/golden/finetune/"
cp scripts/bench/gpu_run.py tests/cli/kill_resume_finetune.py tests/cli/killing.py "$work/"
$bin/lora convert build/data/smollm2.gguf --output "$work/hf" --quiet
mv "$work/hf/tokenizer.json" "$work/hf/tokenizer_config.json" "$work/tokenizer/"
rm -r "$work/hf"
# One text longer than any row, again and again, so that every row holds the same tokens whatever their order.
python3 - "$work/texts.jsonl" <<'PYTHON'
import json, pathlib, sys
text = "\n".join(path.read_text() for path in [pathlib.Path("README.md"), *sorted(pathlib.Path("docs").glob("*.md"))])[:40000]
pathlib.Path(sys.argv[1]).write_text((json.dumps({"text": text}) + "\n") * 24)
PYTHON
rm -rf $out && mkdir -p $out
tar -C "$work" -cJf $out/bundle.tar.xz .
cat > $out/run.sh <<'RUN'
#!/usr/bin/env bash
# Tests and benchmarks of finetune on this machine's GPU: see gpu_run.py in bundle.tar.xz. PYTHON names another python3.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${PYTHON:-python3}
"$python" -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$here/bundle.tar.xz" "$work" 2>/dev/null
PYTHONUNBUFFERED=1 "$python" "$work/gpu_run.py" "$@"
RUN
chmod +x $out/run.sh
du -sh $out | awk '{print "build/gpu-bundle: " $1}'
