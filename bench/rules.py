#!/usr/bin/env python3
"""What alert rules cost: readings of many sensors under many rules, through `chengmai replay`.

    rules.py CHENGMAI [READINGS [SENSORS [RULES]]]

Each sensor reports one of 25 metrics every 10 s; its values are a slow random walk that now and then crosses a limit.
Rules spread over the metrics: thresholds with holds, ladders, and one in ten a condition in CEL. Printed are the CPU
seconds per million readings with all rules, with none, and with all and one more that covers every sensor of a metric.
"""

import json
import pathlib
import random
import subprocess
import sys
import tempfile

VIEWS = "sensors,alerts,incidents"
METRICS = 25
START = 1_790_000_000_000
SPACING_MS = 10_000


def rules(number):
    for n in range(number):
        metric, step = f"m{n % METRICS}", n // METRICS
        rule = {"kind": "rule", "id": f"rule{n}", "metric": metric, "hold_s": 30 * (n % 4)}
        if n % 10 == 9:
            rule |= {"severity": "warning", "condition": f"value > {96 + step / 10} && mean('1m') > {95 + step / 10}"}
        elif n % 3:
            rule |= {"severity": "notice", "above": 95 + step / 4, "clear": 93}
        else:
            rule["levels"] = [
                {"severity": "notice", "below": 5 - step / 8, "clear": 7},
                {"severity": "severe", "below": 2 - step / 16, "clear": 4},
            ]
        yield rule


def write(folder, readings, sensors, records):
    dice = random.Random(1)
    folder.mkdir()
    with (folder / "reference.ndjson").open("w") as file:
        for record in records:
            file.write(json.dumps(record) + "\n")
        for n in range(sensors):
            sensor = {"kind": "sensor", "id": f"s{n}", "sensor_kind": f"k{n % METRICS}", "district": f"d{n % 13}"}
            file.write(json.dumps(sensor | {"heartbeat_s": 60, "ts": START - 1000}) + "\n")
    values = [dice.uniform(20, 80) for _ in range(sensors)]
    with (folder / "telemetry.ndjson").open("w") as file:
        for n in range(readings):
            sensor, ts = n % sensors, START + n * SPACING_MS // sensors
            values[sensor] = min(100.0, max(0.0, values[sensor] + dice.gauss(0, 2)))
            reading = f'"sensor_id":"s{sensor}","ts":{ts},"metric":"m{sensor % METRICS}","value":{values[sensor]:.2f}'
            file.write("{" + reading + "}\n")


def run(program, folder, name):
    command = [program, "replay", "--input", folder / name, "--output", folder / f"{name}-out", "--views", VIEWS]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result = json.loads(said.splitlines()[-1])
    alerts = sum(1 for _ in (folder / f"{name}-out/alerts.ndjson").open())
    return result["cpu_seconds"], result["peak_rss_bytes"] / 2**20, alerts


def main(program, readings=1_000_000, sensors=50_000, number=500):
    readings, sensors, number = int(readings), int(sensors), int(number)
    off = [json.loads(line) for line in (pathlib.Path(__file__).parents[1] / "ingest/defaults/reference.ndjson").open()]
    off = [record | {"enabled": False} for record in off]
    one_more = {"kind": "rule", "id": "more", "metric": "m0", "severity": "notice", "above": 50, "clear": 45}
    everything = list(rules(number))
    cases = {"none": off, f"{number}": off + everything, f"{number} and one": off + everything + [one_more]}
    print("| rules | CPU-s per million readings | peak MiB | alerts |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        for n, (name, records) in enumerate(cases.items()):
            write(scratch / str(n), readings, sensors, records)
            cpu, peak, alerts = run(program, scratch, str(n))
            print(f"| {name} | {cpu * 1e6 / readings:.2f} | {peak:.0f} | {alerts} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
