#!/usr/bin/env bash
# Formats every C++ file, or with --check says which would change (exit 1).
set -euo pipefail
cd "$(dirname "$0")/.."
mode=(-i); [ "${1:-}" = --check ] && mode=(--dry-run --Werror)
git ls-files -co --exclude-standard '*.h' '*.cc' '*.cu' | xargs clang-format "${mode[@]}"
