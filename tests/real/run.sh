#!/usr/bin/env bash
# Replays the real data where they are and compares with the independent recomputation. Says so loudly where they are not.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=${CHENGMAI_REAL_DATA:-../shared/data}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=0
python3 tests/real/run.py "$1" "$data" "$work" || status=$?
if [ "$status" -eq 77 ]; then
  echo "SKIPPED: the real data are not at $data; nothing was compared" >&2
  exit 0
fi
[ "$status" -eq 0 ] || exit "$status"
python3 tests/real/nab.py "$1" "$data/nab"
# The same packages as in bench/reference.sh, so that one installation serves both.
python=$(bench/python.sh reference duckdb==2.0.1) || status=$?
if [ "$status" -eq 77 ]; then
  echo "SKIPPED: DuckDB cannot be had; BOSTON WAS NOT COMPARED WITH IT" >&2
  exit 0
fi
[ "$status" -eq 0 ] || exit "$status"
"$python" tests/real/boston.py "$1" "$data" "$work/boston"
