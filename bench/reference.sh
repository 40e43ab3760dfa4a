#!/usr/bin/env bash
# The batch reference with the DuckDB that it needs. Usage: bench/reference.sh INPUT OUTPUT [--until MS]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/python.sh" reference duckdb==2.0.1)
exec "$python" "$here/reference.py" "$@"
