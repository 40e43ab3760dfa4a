#!/usr/bin/env bash
# Runs the engine with everything embedded on a simulated city, and the screens against it in a real headless browser.
# Usage: [OUT=folder for screenshots] tests/e2e.sh CHENGMAI
set -euo pipefail
cd "$(dirname "$0")/.."
chengmai=$1


work=$(mktemp -d)
"$chengmai" demo --set "data.folder=$work/data" --set api.listen=127.0.0.1:0 --set engine.workers=2 \
  >"$work/out" 2>"$work/err" &
engine=$!
trap 'kill "$engine" 2>/dev/null || true; wait "$engine" 2>/dev/null || true; rm -rf "$work"' EXIT

# The address is printed once everything listens.
for _ in $(seq 300); do
  url=$(sed -n 's/^chengmai is at //p' "$work/out")
  [ -n "$url" ] && break
  kill -0 "$engine" 2>/dev/null || { echo "e2e: the engine ended:" >&2; cat "$work/err" >&2; exit 1; }
  sleep 0.2
done
[ -n "${url:-}" ] || { echo "e2e: no address after 60 s" >&2; cat "$work/err" >&2; exit 1; }

cd dashboards
for screen in command dispatch analytics; do
  echo "== $screen"
  BASE_URL=${url%/} OUT=${OUT:-$work/shots} node "e2e/$screen.mjs" || { cat "$work/err" >&2; exit 1; }
done
