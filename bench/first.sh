#!/usr/bin/env bash
# The first figures: 5 million mixed records through `replay` with all views, one and two workers, and the reading and
# decoding alone. Usage: bench/first.sh CHENGMAI [RECORDS] [ROUNDS]
set -euo pipefail
chengmai=$1
records=${2:-5000000}
rounds=${3:-3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$chengmai" simulate --records "$records" --files "$work/in" --seed 1
echo "machine: $(nproc) cores, $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs)"
echo "| run | records/s | CPU-s per million | peak MiB |"
echo "|---|---|---|---|"
row() {
  python3 -c '
import json, sys
r = json.loads(sys.argv[2])
print("| %s | %d | %.2f | %d |" % (sys.argv[1], r["records_per_second"], r["cpu_seconds"] / r["records"] * 1e6, r["peak_rss_bytes"] / 2**20))
' "$1" "$2"
}
for round in $(seq "$rounds"); do
  row "decode only, round $round" "$("$chengmai" replay --input "$work/in" --decode-only)"
  row "all views, 1 worker, round $round" "$("$chengmai" replay --input "$work/in" --output "$work/out" --workers 1)"
  row "all views, 2 workers, round $round" "$("$chengmai" replay --input "$work/in" --output "$work/out" --workers 2)"
done
