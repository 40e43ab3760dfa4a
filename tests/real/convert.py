#!/usr/bin/env python3
"""Real data made by others, as the streams of the contract.

    convert.py DATA OUT [austin] [boston] [nab]

reads DATA/{austin_buses,boston_311,nab}, or of these what is asked for, and writes one folder of NDJSON per way of replaying it:

    OUT/austin_file_order   positions as the files have them (by trip: nearly every record is late)
    OUT/austin_time_order   the same records, stably sorted by time
    OUT/boston              case events, case by case in file order
    OUT/nab_file_order      readings, series after series
    OUT/nab_time_order      the same readings merged by time; within a series the order of its file

The README beside this script says what was assumed. Only the standard library is used, and memory holds one data set.
"""

import csv
import gzip
import json
import math
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

# --- Austin: buses ------------------------------------------------------------------------------------------------

# Every speed is a whole multiple of 0.44704, one mile per hour in m/s: the device sent whole mph, the publisher m/s.
KMH_PER_MS = 3.6


def austin_records(data):
    """Positions in the order of the files, files in order of date."""
    files = sorted((data / "austin_buses").glob("*.csv.gz"))
    if not files:
        raise SystemExit(f"no *.csv.gz in {data / 'austin_buses'}")
    for path in files:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                yield {
                    "vehicle_id": row["vehicle_id"],
                    "ts": unix_ms(datetime.fromisoformat(row["timestamp"])),
                    "lon": float(row["longitude"]),
                    "lat": float(row["latitude"]),
                    "speed": round(float(row["speed"]) * KMH_PER_MS, 3),
                }


def austin_reference(records):
    for vehicle in sorted({record["vehicle_id"] for record in records}):
        yield {"kind": "vehicle", "id": vehicle, "fleet": "capmetro", "district": "austin", "vehicle_kind": "bus"}


def convert_austin(data, out):
    records = list(austin_records(data))
    in_time = sorted(records, key=lambda record: record["ts"])
    # Of two records of one vehicle and time the last in the log counts; a stable sort keeps which one that is.
    if last_of_each(records) != last_of_each(in_time):
        raise SystemExit("sorting by time changed which of two equal records is the last")
    for name, order in (("austin_file_order", records), ("austin_time_order", in_time)):
        write(out / name, "reference", austin_reference(records))
        write(out / name, "positions", order)


def last_of_each(records):
    return {(record["vehicle_id"], record["ts"]): record for record in records}


# --- Boston: service requests -------------------------------------------------------------------------------------

SOURCES = {
    "Citizens Connect App": "public_app",
    "City Worker App": "patrol",
    "Constituent Call": "hotline_12345",
    "Employee Generated": "patrol",
    "Self Service": "public_app",
    "Twitter": "public_app",
}


def convert_boston(data, out):
    files = sorted((data / "boston_311").glob("*.csv*"))
    if not files:
        raise SystemExit(f"no *.csv or *.csv.gz in {data / 'boston_311'}")
    rows = [row for path in files for row in read_csv(path)]
    # Types get their codes in order of name: the same whatever the order of the rows.
    codes = {kind: f"event:{number:04}" for number, kind in enumerate(sorted({row["TYPE"] for row in rows}), 1)}
    write(out / "boston", "reference", ({"kind": "case_class", "id": codes[kind], "name": kind} for kind in codes))
    write(out / "boston", "cases", (event for row in rows for event in boston_events(row, codes)))


def boston_events(row, codes):
    opened = boston_ms(row["OPEN_DT"])
    reported = {
        "case_id": row["CASE_ENQUIRY_ID"],
        "ts": opened,
        "event": "reported",
        "source": SOURCES.get(row["Source"], "other"),
        "class": codes[row["TYPE"]],
        "title": row["TYPE"],
    }
    if row["LONGITUDE"] and row["LATITUDE"]:
        reported["lon"], reported["lat"] = float(row["LONGITUDE"]), float(row["LATITUDE"])
    if row["neighborhood"].strip():
        reported["district"] = row["neighborhood"].strip()
    yield reported
    dispatched = {"case_id": row["CASE_ENQUIRY_ID"], "ts": opened, "event": "dispatched"}
    if row["Department"].strip():
        dispatched["department"] = row["Department"].strip()
    if row["TARGET_DT"]:
        hours = (boston_ms(row["TARGET_DT"]) - opened) / 3_600_000
        if hours > 0:
            dispatched["limit"] = {"amount": hours, "unit": "urgent_hour"}
    yield dispatched
    if row["CLOSED_DT"]:
        yield {"case_id": row["CASE_ENQUIRY_ID"], "ts": boston_ms(row["CLOSED_DT"]), "event": "closed"}


def boston_ms(text):
    """Naive local time in Boston as Unix ms.

    The rule of the United States since 2007: daylight time from the second Sunday in March, 2:00, to the first Sunday
    in November, 2:00. The hour that comes twice is taken the first time, the one that never comes in standard time.
    """
    local = datetime.strptime(text, "%m/%d/%Y %I:%M:%S %p")
    begins = sunday(local.year, 3, 2) + timedelta(hours=3)
    ends = sunday(local.year, 11, 1) + timedelta(hours=2)
    offset = -4 if begins <= local < ends else -5
    return unix_ms(local.replace(tzinfo=timezone(timedelta(hours=offset))))


def sunday(year, month, number):
    first = datetime(year, month, 1)
    return first + timedelta(days=(6 - first.weekday()) % 7 + 7 * (number - 1))


# --- NAB: sensor series -------------------------------------------------------------------------------------------

HEARTBEAT_S = 300


def nab_series(data):
    """(folder, series, rows of (ts, value)) in order of path. A value that is no finite number stays text or null."""
    files = sorted((data / "nab").glob("*/*.csv"))
    if not files:
        raise SystemExit(f"no */*.csv in {data / 'nab'}")
    for path in files:
        yield path.parent.name, path.stem, [
            (unix_ms(datetime.fromisoformat(row["timestamp"]).replace(tzinfo=timezone.utc)), number(row["value"]))
            for row in read_csv(path)
        ]


def number(text):
    """The value as JSON has it; what is no number goes through as it is, for the engine to refuse."""
    try:
        value = float(text)
    except ValueError:
        return text.strip() or None
    return value if math.isfinite(value) else text.strip()


def convert_nab(data, out):
    series = list(nab_series(data))
    reference = [
        {
            "kind": "sensor",
            "id": name,
            "sensor_kind": folder,
            "district": name,
            "name": name,
            "heartbeat_s": HEARTBEAT_S,
        }
        for folder, name, _ in series
    ]
    by_file, keys = [], []
    for _, name, rows in series:
        latest = -math.inf
        for ts, value in rows:
            # A step back keeps its place: it comes when its series stood at the latest time before it.
            latest = max(latest, ts)
            by_file.append({"sensor_id": name, "ts": ts, "metric": "value", "value": value})
            keys.append(latest)
    by_time = [by_file[i] for i in sorted(range(len(by_file)), key=keys.__getitem__)]
    for name, order in (("nab_file_order", by_file), ("nab_time_order", by_time)):
        write(out / name, "reference", reference)
        write(out / name, "telemetry", order)


# --- Shared -------------------------------------------------------------------------------------------------------


def read_csv(path):
    opened = gzip.open(path, "rt", encoding="utf-8", newline="") if path.suffix == ".gz" else open(
        path, encoding="utf-8", newline=""
    )
    with opened as lines:
        return list(csv.DictReader(lines))


def unix_ms(moment):
    return round(moment.timestamp() * 1000)


def write(folder, stream, records):
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{stream}.ndjson", "w", encoding="utf-8", newline="\n") as out:
        for record in records:
            out.write(json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n")


def main(arguments):
    converters = {"austin": convert_austin, "boston": convert_boston, "nab": convert_nab}
    if len(arguments) < 2 or not converters.keys() >= set(arguments[2:]):
        raise SystemExit(__doc__)
    data, out = Path(arguments[0]), Path(arguments[1])
    for name in arguments[2:] or converters:
        converters[name](data, out)


if __name__ == "__main__":
    main(sys.argv[1:])
