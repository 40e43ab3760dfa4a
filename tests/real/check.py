#!/usr/bin/env python3
"""Compares what a replay wrote with what the original files say.

    check.py REPLAY_OUT EXPECTED.json

prints one line per question (what, expected, found) and the first differences; exit code 0 when all agree, 1 when
something differs, 2 for bad arguments or missing files. Numbers agree within 10⁻⁹ of their size, speeds within
0.001 km/h, coordinates within 10⁻⁷ degrees (all of them the precision of the engine's rows).
"""

import json
import math
import sys
from pathlib import Path

SHOWN = 5
failures = 0


def report(what, expected, found, differences=()):
    global failures
    differences = list(differences)
    right = not differences and expected == found
    failures += not right
    print(f"{'ok ' if right else 'BAD'}  {what:<46} expected {expected!s:>12}   found {found!s:>12}")
    for difference in differences[:SHOWN]:
        print(f"       {difference}")
    if len(differences) > SHOWN:
        print(f"       … and {len(differences) - SHOWN} more")


def view(out, name):
    path = out / f"{name}.ndjson"
    try:
        with open(path, encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]
    except (OSError, ValueError) as error:
        print(f"check: {path}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def close(a, b, absolute=0.0):
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=max(absolute, 1e-9))


def compare(what, expected, found, same):
    """Two dictionaries with the same keys whose values are the same."""
    differences = [f"{key}: missing" for key in expected.keys() - found.keys()]
    differences += [f"{key}: not expected" for key in found.keys() - expected.keys()]
    for key in expected.keys() & found.keys():
        wrong = [field for field, equal in same(expected[key], found[key]).items() if not equal]
        if wrong:
            wanted = {field: expected[key][field] for field in wrong}
            got = {field: found[key].get(field) for field in wrong}
            differences.append(f"{key}: expected {wanted}, found {got}")
    report(what, len(expected), len(found), sorted(differences))


def unique(rows, *keys):
    by_key = {}
    for row in rows:
        key = row[keys[0]] if len(keys) == 1 else "/".join(str(row[k]) for k in keys)
        if key in by_key:
            report(f"one row per {' and '.join(keys)}", 1, 2, [key])
        by_key[key] = row
    return by_key


def health(out, stream, what, expected):
    rows = [row for row in view(out, "stream_health") if row["stream"] == stream]
    report(f"stream_health: {what} of {stream}", expected, sum(row[what] for row in rows))


def check_buses(out, expected):
    compare(
        "vehicles: last position of each",
        expected["vehicles"],
        unique(view(out, "vehicles"), "vehicle_id"),
        lambda want, got: {
            "ts": want["ts"] == got["ts"],
            "lon": close(want["lon"], got["lon"], 1.01e-7),
            "lat": close(want["lat"], got["lat"], 1.01e-7),
            "speed": close(want["speed"], got["speed"], 1.01e-3),
            "state": want["state"] == got["state"],
        },
    )
    report(
        "vehicles: fleet and district",
        {("capmetro", "austin")},
        {(row["fleet"], row["district"]) for row in view(out, "vehicles")},
    )
    jumps = set()
    for row in view(out, "rejects"):
        payload = row["payload"] if isinstance(row["payload"], dict) else json.loads(row["payload"])
        if row["reason"].startswith("implausible_jump"):
            jumps.add((payload["vehicle_id"], row["ts"]))
        else:
            report("rejects: only jumps", "jump", row["reason"])
    wanted = {(vehicle, ts) for vehicle, ts in expected["jumps"]}
    differences = [f"{key}: not rejected" for key in wanted - jumps]
    differences += [f"{key}: rejected" for key in jumps - wanted]
    report("rejects: jumps", len(wanted), len(jumps), sorted(differences))
    health(out, "positions", "duplicates", expected["duplicates"])
    health(out, "positions", "rejected", len(wanted) + expected["zero_fixes"])


def check_requests(out, expected):
    counts = ("reported", "open", "overdue", "closed", "closed_overdue")
    rates = [row for row in view(out, "case_rates") if row["period"] == "all" and row["scope"] in ("city", "district")]
    compare(
        "case_rates: counts per neighbourhood and city",
        expected["rates"],
        unique(rates, "scope", "id"),
        lambda want, got: {count: want[count] == got.get(count) for count in counts},
    )
    for count in counts:
        found = sum(row[count] for row in rates if row["scope"] == "district")
        report(f"case_rates: {count}, all neighbourhoods", expected["rates"]["city/city"][count], found)
    check_periods(out, expected)
    compare(
        "cases: stage, times, deadline and overdue",
        expected["cases"],
        unique(view(out, "cases"), "case_id"),
        lambda want, got: {
            "district": want["district"] == (got["district"] or "unknown"),
            **{field: want[field] == got[field] for field in ("stage", "opened_ts", "closed_ts", "overdue")},
            "deadline_ts": close(want["deadline_ts"], got["deadline_ts"]),
        },
    )
    said = {case: row["said_overdue"] for case, row in expected["cases"].items() if row["said_overdue"] is not None}
    found = {row["case_id"]: row["overdue"] for row in view(out, "cases") if row["case_id"] in said}
    differences = [f"{case}: the city says {said[case]}" for case in found if found[case] != said[case]]
    report("cases: overdue as the city itself says", len(said), len(found), differences)
    report("rejects", 0, len(view(out, "rejects")))
    health(out, "cases", "duplicates", 0)


def check_periods(out, expected):
    """Days, months and shares of each neighbourhood."""
    districts = [row for row in view(out, "case_rates") if row["scope"] == "district"]
    days = {}
    # On other days a deadline passed, and nothing was opened or closed.
    moves = [row for row in districts if row["kind"] == "day" and (row["reported"] or row["ended"])]
    for row in sorted(moves, key=lambda row: row["period"]):
        place = days.setdefault(row["id"], {})
        before = next(reversed(place.values()), 0)
        place[row["period"]] = before + row["reported"] - row["ended"]
    flat = lambda tables: {f"{place}/{when}": {"n": n} for place, table in tables.items() for when, n in table.items()}
    compare(
        "case_rates: backlog per neighbourhood and day",
        flat(expected["backlog"]),
        flat(days),
        lambda want, got: {"n": want["n"] == got["n"]},
    )
    counts = ("closed_in_1d", "closed_in_3d", "closed_in_7d", "closed_in_30d")
    compare(
        "case_rates: closed within 1, 3, 7 and 30 days",
        {place: {"n": numbers} for place, numbers in expected["closed_within"].items()},
        {row["id"]: {"n": [row[count] for count in counts]} for row in districts if row["kind"] == "all"},
        lambda want, got: {"n": want["n"] == got["n"]},
    )
    months = {}
    for row in (row for row in districts if row["kind"] == "month"):
        if row["handled_overdue"] + row["overdue"]:
            months.setdefault(row["id"], {})[row["period"]] = row["handled_overdue"] + row["overdue"]
    compare(
        "case_rates: overdue per neighbourhood and month",
        flat(expected["late"]),
        flat(months),
        lambda want, got: {"n": want["n"] == got["n"]},
    )


def check_series(out, expected):
    compare(
        "sensors: latest value of each series",
        expected["sensors"],
        unique(view(out, "sensors"), "sensor_id"),
        lambda want, got: {
            "kind": want["kind"] == got["kind"],
            "ts": want["ts"] == got["ts"],
            "value": close(want["value"], got["value"]),
        },
    )
    found = {}
    for row in view(out, "sensor_windows"):
        if row["metric"] != "value" or row["kind"] != expected["sensors"].get(row["district"], {}).get("kind"):
            report("sensor_windows: kind and metric", "value", f"{row['kind']}/{row['metric']}")
        found.setdefault(row["district"], {})[row["window_start"]] = row
    for name, windows in expected["windows"].items():
        fields = ("count", "mean", "min", "max")
        compare(
            f"sensor_windows: {name}"[:46],
            {start: dict(zip(fields, numbers)) for start, *numbers in windows},
            found.pop(name, {}),
            lambda want, got: {field: close(want[field], got[field]) for field in fields},
        )
    report("sensor_windows: no other district", [], sorted(found))
    health(out, "telemetry", "duplicates", expected["duplicates"])
    health(out, "telemetry", "rejected", expected["refused"])


def main(arguments):
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    out = Path(arguments[0])
    try:
        expected = json.loads(Path(arguments[1]).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"check: {arguments[1]}: {error}", file=sys.stderr)
        return 2
    summary = out / "summary.json"
    if summary.exists():
        # What the replay said on stdout, where the caller kept it.
        report("last tick", expected["tick"], json.loads(summary.read_text(encoding="utf-8"))["last_tick"])
    {"buses": check_buses, "requests": check_requests, "series": check_series}[expected["kind"]](out, expected)
    print(f"{failures} wrong" if failures else "all agree")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
