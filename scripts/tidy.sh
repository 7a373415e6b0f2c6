#!/usr/bin/env bash
# Runs the short clang-tidy list of .clang-tidy over the given files, or over every source outside finetune/ (LibTorch's
# headers take minutes a file). Needs a configured build/release and Debian's clang-tidy.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -e build/release/compile_commands.json ] || { echo "configure first: cmake --preset release" >&2; exit 2; }
files=("$@")
[ ${#files[@]} -gt 0 ] || mapfile -t files < <(git ls-files 'base/*.cc' 'tokenizer/*.cc' 'curate/*.cc' 'lora/*.cc')
printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -n 1 clang-tidy -p build/release --quiet --checks='-readability-*' --extra-arg=-Wno-unknown-warning-option
