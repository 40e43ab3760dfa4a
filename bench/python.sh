#!/usr/bin/env bash
# A Python of its own with some packages, made once in .cache/bench. Usage: bench/python.sh NAME PACKAGE...
# Prints the path of the interpreter; exits with 77 and says why when it cannot be made.
set -euo pipefail
name=$1
shift
folder=$(cd "$(dirname "$0")/.." && pwd)/.cache/bench/$name
wanted="$*"
if [ "$(cat "$folder/packages" 2>/dev/null)" != "$wanted" ]; then
  rm -rf "$folder"
  mkdir -p "$folder"
  if ! { python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; } >"$folder/log" 2>&1; then
    echo "pip install $wanted: $(tail -n 1 "$folder/log")" >&2
    exit 77
  fi
  echo "$wanted" >"$folder/packages"
fi
echo "$folder/venv/bin/python"
