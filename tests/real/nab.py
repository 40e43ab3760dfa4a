#!/usr/bin/env python3
"""Scores the built-in deviation rule with the Numenta Anomaly Benchmark's labelled windows.

    nab.py CHENGMAI NAB_FOLDER [SETTING=VALUE ...]

Each series of the folder becomes a sensor with the tag `watch-usual`; the shipped rule `unusual` watches all of them
with one setting, through `chengmai replay`. Beside it, as a plain threshold would be set by hand, each series has limits
three standard deviations from the mean of its first 15 %, the benchmark's probationary period. Counted are the windows
in which an alert is raised, and the alerts raised outside of any window, per day of data. Settings replace fields of the
shipped rule: `above=8`, or of its deviation: `days=7`.
"""

import csv
import datetime
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

SHIPPED = pathlib.Path(__file__).resolve().parents[2] / "ingest/defaults/reference.ndjson"
PROBATION = 0.15
SIGMAS = 3


def millis(text):
    """The benchmark's timestamps have no zone: they are taken as UTC."""
    moment = datetime.datetime.strptime(text.split(".")[0], "%Y-%m-%d %H:%M:%S")
    return int(moment.replace(tzinfo=datetime.timezone.utc).timestamp() * 1000)


def read(folder):
    """Readings and windows by series."""
    windows = json.loads((folder / "labels/combined_windows.json").read_text())
    series = {}
    for path in sorted(folder.glob("*/*.csv")):
        name = f"{path.parent.name}/{path.name}"
        with path.open() as file:
            readings = [(millis(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)]
        spans = [(millis(first), millis(last)) for first, last in windows.get(name, [])]
        series[name] = (sorted(dict(readings).items()), spans)
    return series


def shipped_rule(settings):
    for line in SHIPPED.read_text().splitlines():
        rule = json.loads(line)
        if rule["id"] == "unusual":
            for name, value in settings.items():
                place = rule if name in ("above", "clear", "hold_s", "clear_hold_s") else rule["signal"]["deviation"]
                place[name] = value
            return rule
    raise SystemExit("there is no shipped rule `unusual`")


def thresholds(name, readings):
    head = [value for _, value in readings[: max(2, int(len(readings) * PROBATION))]]
    mean, sigma = statistics.fmean(head), statistics.pstdev(head)
    common = {"kind": "rule", "metric": "value", "sensor_kind": name, "severity": "notice"}
    return [
        {**common, "id": f"high {name}", "above": mean + SIGMAS * sigma},
        {**common, "id": f"low {name}", "below": mean - SIGMAS * sigma},
    ]


def write(series, rule, folder):
    """The folder that `replay` reads."""
    records = [rule]
    for name, (readings, _) in series.items():
        records.append({"kind": "sensor", "id": name, "sensor_kind": name, "tags": ["watch-usual"]})
        records.extend(thresholds(name, readings))
    lines = (json.dumps(record) for record in records)
    (folder / "reference.ndjson").write_text("\n".join(lines) + "\n")
    rows = [(ts, name, value) for name, (readings, _) in series.items() for ts, value in readings]
    with (folder / "telemetry.ndjson").open("w") as file:
        for ts, name, value in sorted(rows):
            file.write(json.dumps({"sensor_id": name, "ts": ts, "metric": "value", "value": value}) + "\n")


def score(raised, windows, days):
    """Windows hit, windows, false alerts, days."""
    hit = sum(any(first <= ts <= last for ts in raised) for first, last in windows)
    false = sum(not any(first <= ts <= last for first, last in windows) for ts in raised)
    return hit, len(windows), false, days


def table(series, alerts):
    """One line per series and a sum, for both kinds of rules."""
    total = {kind: [0, 0, 0, 0.0] for kind in ("usual", "threshold")}
    lines = ["| series | days | windows | deviation: hit | false/day | threshold: hit | false/day |", "|---|---|---|---|---|---|---|"]

    def line(name, usual, threshold):
        rate = lambda scored: f"{scored[2] / scored[3]:.2f}"
        lines.append(
            f"| {name} | {usual[3]:.0f} | {usual[1]} | {usual[0]} | {rate(usual)} | {threshold[0]} | {rate(threshold)} |"
        )

    for name, (readings, windows) in series.items():
        days = (readings[-1][0] - readings[0][0]) / 86_400_000
        mine = [alert for alert in alerts if alert["target"] == name and alert["state"] != "withdrawn"]
        scored = {}
        for kind in total:
            raised = [alert["raised_ts"] for alert in mine if (alert["rule"] == "unusual") == (kind == "usual")]
            scored[kind] = score(raised, windows, days)
            total[kind] = [a + b for a, b in zip(total[kind], scored[kind])]
        line(name, scored["usual"], scored["threshold"])
    line("all", total["usual"], total["threshold"])
    return "\n".join(lines)


def main(program, folder, *settings):
    series = read(pathlib.Path(folder))
    rule = shipped_rule({name: float(value) for name, value in (one.split("=") for one in settings)})
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "in").mkdir()
        write(series, rule, scratch / "in")
        command = [program, "replay", "--input", scratch / "in", "--output", scratch / "out", "--tick", "1000"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        alerts = [json.loads(line) for line in (scratch / "out/alerts.ndjson").read_text().splitlines()]
    print(table(series, alerts))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
