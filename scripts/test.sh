#!/usr/bin/env bash
# Installs what is missing, holds format and names, builds, and runs every test: unit tests, command-line tests, crash
# tests, and the live comparisons with the peers. Arguments go to ctest: scripts/test.sh -R Options
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install.sh --peers
scripts/format.sh --check
cmake --preset release -DTRAINING=ON -DHORNBOOK_TESTS=ON >build/configure.log || { cat build/configure.log; exit 1; }
cmake --build build/release
python3 scripts/dialect.py  # behind the build, which makes some of the sources
ctest --test-dir build/release --output-on-failure -j "$(nproc)" "$@" || {
  status=$?
  lscpu | grep -E '^(Model name|Flags)' | grep -oE 'Model name.*|avx2|avx512f|avx512_bf16|amx_bf16' | paste -sd' '
  exit $status
}
