#!/usr/bin/env python3
"""The answers of city-5, recomputed by DuckDB as a batch: what every contestant is checked against.

    reference.py INPUT OUTPUT [--until MS]

INPUT holds the files of the workload and manifest.json; OUTPUT gets alerts.csv, swept.csv, cases.csv, windows.csv and
scores.csv (bench/src/answers.rs). The meaning of the five questions is in bench/README.md. --until asks for another
instant than the manifest's. Nothing here shares code with any contestant.
"""

import argparse
import json
import pathlib
import time

import duckdb

EARTH_M = 6_371_008.8


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("input", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--until", type=int)
    args = parser.parse_args()
    started = time.monotonic()
    manifest = json.loads((args.input / "manifest.json").read_text())
    rules = manifest["rules"]
    args.output.mkdir(parents=True, exist_ok=True)
    db = duckdb.connect()
    db.execute("SET preserve_insertion_order = false")
    numbers = {**{name: value for name, value in rules.items() if name != "points"},
               "until": args.until or manifest["until_ms"], "k": EARTH_M * 3.141592653589793 / 180 / 1e7}
    for name, value in numbers.items():
        kind = "DOUBLE" if isinstance(value, float) else "BIGINT"
        db.execute(f"SET VARIABLE {name} = {value!r}::{kind}")
    for n, points in enumerate(rules["points"]):
        db.execute(f"SET VARIABLE points{n} = {points}::BIGINT")

    def load(stream, columns):
        path = str(args.input / f"{stream}.ndjson").replace("'", "''")
        fields = ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())
        db.execute(f"CREATE TABLE {stream} AS SELECT * FROM read_json('{path}', format = 'newline_delimited', columns = {{{fields}}})")

    load("reference", {"kind": "VARCHAR", "id": "VARCHAR", "district": "VARCHAR", "sensor_kind": "VARCHAR",
                       "geometry": "STRUCT(coordinates DOUBLE[][])"})
    load("telemetry", {"sensor_id": "VARCHAR", "ts": "BIGINT", "value": "DOUBLE"})
    load("positions", {"vehicle_id": "VARCHAR", "ts": "BIGINT", "lon": "DOUBLE", "lat": "DOUBLE", "working": "BOOLEAN"})
    load("cases", {"case_id": "VARCHAR", "ts": "BIGINT", "event": "VARCHAR", "district": "VARCHAR", "limit": "STRUCT(amount DOUBLE)"})
    db.execute((pathlib.Path(__file__).parent / "reference.sql").read_text())
    for name in ["alerts", "swept", "cases", "windows", "scores"]:
        path = str(args.output / f"{name}.csv").replace("'", "''")
        db.execute(f"COPY (SELECT * FROM {name}_answer ORDER BY ALL) TO '{path}' (HEADER, DELIMITER ',')")
    print(json.dumps({"version": duckdb.__version__, "seconds": time.monotonic() - started}))


if __name__ == "__main__":
    main()
