#!/usr/bin/env bash
# Formats every C++ file, or with --check says which would change, and which tracked files do not belong (exit 1).
set -euo pipefail
cd "$(dirname "$0")/.."
mode=(-i); [ "${1:-}" = --check ] && mode=(--dry-run --Werror)
git ls-files -co --exclude-standard '*.h' '*.cc' '*.cu' | xargs clang-format "${mode[@]}"
[ "${1:-}" = --check ] || exit 0

# Downloads and outputs of a run slip in with `git add -A`: only these lie at the top, and nothing of 2 MB or more below.
top='\.ci|\.clang-format|\.clang-tidy|\.gitignore|CMakeLists\.txt|CMakePresets\.json|LICENSE|README\.md'
top="$top|base|cmake|configs|curate|docs|finetune|lora|scripts|tests|tokenizer"
stray=$(git ls-files | grep -vE "^($top)(/|$)" || true)
large=$(git ls-files -z | xargs -0 sh -c 'find "$@" -size +2047k' sh)
[ -z "$stray$large" ] || { printf 'tracked, but not a part of the project (git rm --cached):\n%s\n' "$stray$large" >&2; exit 1; }
