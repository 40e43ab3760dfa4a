#!/usr/bin/env python3
"""What the views must say at the last tick, computed from the original files.

    expect.py DATA OUT

writes OUT/{austin,boston,nab}.json. Nothing here is shared with convert.py, and nothing is taken from the engine: the
definitions are the ones the README beside this script states in words. Only the standard library is used.
"""

import csv
import datetime
import gzip
import json
import math
import sys
from collections import Counter, defaultdict
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

TICK_MS = 200
EARTH_M = 6_371_008.8
JUMP_KMH = 200.0
OFFLINE_MS = 10 * 60_000
STOPPED_BELOW_KMH = 3.0
WINDOW_MS = 5 * 60_000
STEP_MS = 60_000
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def millis(moment):
    return (moment - EPOCH) // datetime.timedelta(milliseconds=1)


def last_tick(latest_ms):
    return -(-latest_ms // TICK_MS) * TICK_MS


def rows_of(path):
    reader = gzip.open if path.name.endswith(".gz") else open
    with reader(path, "rt", encoding="utf-8", newline="") as text:
        yield from csv.DictReader(text)


# --- Buses --------------------------------------------------------------------------------------------------------


def haversine_m(a, b):
    (lon1, lat1), (lon2, lat2) = [(math.radians(lon), math.radians(lat)) for lon, lat in (a, b)]
    h = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_M * math.asin(math.sqrt(min(1.0, h)))


def near_enough(earlier, later):
    """Whether the later fix can be reached from the earlier one at the jump speed."""
    hours = (later["ts"] - earlier["ts"]) / 3_600_000
    return haversine_m(earlier["at"], later["at"]) / 1000 <= JUMP_KMH * hours


def judge(fixes):
    """The accepted fixes and the jumps of one vehicle, whose fixes are in order of time, one per time."""
    accepted, jumps, rejected_before = [], [], None
    for fix in fixes:
        if not accepted or near_enough(accepted[-1], fix):
            fits = True
        else:
            fits = rejected_before is not None and near_enough(rejected_before, fix)
        (accepted if fits else jumps).append(fix)
        rejected_before = None if fits else fix
    return accepted, jumps


def buses(data):
    tracks, latest, records, replaced, zero = defaultdict(dict), 0, 0, 0, 0
    for path in sorted((data / "austin_buses").glob("*.csv.gz")):
        for row in rows_of(path):
            records += 1
            ts = millis(datetime.datetime.fromisoformat(row["timestamp"]))
            latest = max(latest, ts)
            at = (float(row["longitude"]), float(row["latitude"]))
            if at == (0.0, 0.0):
                zero += 1
                continue
            track = tracks[row["vehicle_id"]]
            replaced += ts in track
            track[ts] = {"ts": ts, "at": at, "speed": float(row["speed"]) * 3.6}
    tick = last_tick(latest)
    vehicles, jumps = {}, []
    for vehicle, track in sorted(tracks.items()):
        accepted, thrown = judge([track[ts] for ts in sorted(track)])
        jumps += [[vehicle, fix["ts"]] for fix in thrown]
        last = accepted[-1]
        if tick - last["ts"] > OFFLINE_MS:
            state = "offline"
        else:
            state = "driving" if round(last["speed"], 3) >= STOPPED_BELOW_KMH else "stopped"
        vehicles[vehicle] = {
            "ts": last["ts"], "lon": last["at"][0], "lat": last["at"][1], "speed": last["speed"], "state": state,
        }
    return {
        "kind": "buses", "tick": tick, "records": records, "duplicates": replaced, "zero_fixes": zero,
        "vehicles": vehicles, "jumps": sorted(jumps),
    }


# --- Service requests ---------------------------------------------------------------------------------------------

BOSTON = ZoneInfo("America/New_York")


def boston(text):
    local = datetime.datetime.strptime(text, "%m/%d/%Y %I:%M:%S %p")
    return millis(local.replace(tzinfo=BOSTON).astimezone(datetime.timezone.utc)) if text else None


def requests(data):
    cases, latest, odd = {}, 0, Counter()
    files = sorted((data / "boston_311").glob("*.csv*"))
    for row in (row for path in files for row in rows_of(path)):
        opened = boston(row["OPEN_DT"])
        target = boston(row["TARGET_DT"]) if row["TARGET_DT"] else None
        closed = boston(row["CLOSED_DT"]) if row["CLOSED_DT"] else None
        latest = max(latest, opened, closed or 0)
        if row["CASE_ENQUIRY_ID"] in cases:
            raise SystemExit(f"case {row['CASE_ENQUIRY_ID']} comes twice: the expectation doesn't cover that")
        odd["no target"] += target is None
        odd["target not after open"] += target is not None and target <= opened
        odd["closed at open"] += closed == opened
        deadline = target if target is not None and target > opened else None
        if closed is not None and closed < opened:
            # By its times it was closed, then reported and dispatched: that leaves it open.
            odd["closed before open"] += 1
            closed = None
        # The city's own verdict, where it gave one on a case that has a deadline or never had a target.
        said = {"OVERDUE": True, "ONTIME": False}.get(row["OnTime_Status"])
        if target is not None and deadline is None:
            said = None
        place = row["neighborhood"].strip() or "unknown"
        cases[row["CASE_ENQUIRY_ID"]] = (place, opened, deadline, closed, said)
    tick = last_tick(latest)
    rates = defaultdict(lambda: dict.fromkeys(("reported", "open", "overdue", "closed", "closed_overdue"), 0))
    expected = {}
    for case, (place, opened, deadline, closed, said) in cases.items():
        overdue = deadline is not None and (tick if closed is None else closed) > deadline
        expected[case] = {
            "district": place, "opened_ts": opened, "deadline_ts": deadline, "closed_ts": closed,
            "overdue": overdue, "stage": "dispatched" if closed is None else "closed", "said_overdue": said,
        }
        for key in (("district", place), ("city", "city")):
            counts = rates["/".join(key)]
            counts["reported"] += 1
            counts["open"] += closed is None
            counts["closed"] += closed is not None
            counts["overdue"] += overdue and closed is None
            counts["closed_overdue"] += overdue and closed is not None
    return {
        "kind": "requests", "tick": tick, "odd": odd, "rates": rates, "cases": expected,
        "backlog": backlog(cases), "closed_within": closed_within(cases), "late": late(cases, tick),
    }


# The engine's city is eight hours ahead of UTC unless it is told otherwise, so its days and months are these.
CITY = datetime.timezone(datetime.timedelta(hours=8))


def city_date(ts):
    return (EPOCH + datetime.timedelta(milliseconds=ts)).astimezone(CITY).date()


def backlog(cases):
    """By place: for each day on which something was opened or closed, how many cases were open at its end."""
    days = defaultdict(set)
    for place, opened, _, closed, _ in cases.values():
        days[place] |= {city_date(ts) for ts in (opened, closed) if ts is not None}
    open_at_end = {place: dict.fromkeys(sorted(dates), 0) for place, dates in days.items()}
    for place, opened, _, closed, _ in cases.values():
        first, last = city_date(opened), None if closed is None else city_date(closed)
        for day in open_at_end[place]:
            open_at_end[place][day] += first <= day and (last is None or last > day)
    return {place: {str(day): n for day, n in dates.items()} for place, dates in open_at_end.items()}


def closed_within(cases):
    """By place: how many cases were closed within 1, 3, 7 and 30 times 24 hours of their report."""
    within = defaultdict(lambda: [0, 0, 0, 0])
    for place, opened, _, closed, _ in cases.values():
        for i, days in enumerate((1, 3, 7, 30)):
            within[place][i] += closed is not None and closed - opened <= days * 86_400_000
    return within


def late(cases, tick):
    """By place and month: cases closed after their deadline, when closed, and open ones past it, at the deadline."""
    months = defaultdict(Counter)
    for place, _, deadline, closed, _ in cases.values():
        if deadline is not None and (tick if closed is None else closed) > deadline:
            months[place][str(city_date(deadline if closed is None else closed))[:7]] += 1
    return months


# --- Sensor series ------------------------------------------------------------------------------------------------


def reading(text):
    """The exact value, or None when the text is no finite number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return Fraction(text) if math.isfinite(value) else None


def series(data):
    windows, sensors, latest, records, refused, replaced = {}, {}, 0, 0, 0, 0
    for path in sorted((data / "nab").glob("*/*.csv")):
        at = {}
        for row in rows_of(path):
            records += 1
            value = reading(row["value"])
            if value is None:
                refused += 1
                continue
            moment = datetime.datetime.strptime(row["timestamp"], "%Y-%m-%d %H:%M:%S")
            ts = millis(moment.replace(tzinfo=datetime.timezone.utc))
            latest = max(latest, ts)
            replaced += ts in at
            at[ts] = value
        inside = defaultdict(list)
        for ts, value in at.items():
            start = ts // STEP_MS * STEP_MS
            while start > ts - WINDOW_MS:
                inside[start].append(value)
                start -= STEP_MS
        windows[path.stem] = [
            [start, len(values), float(sum(values) / len(values)), float(min(values)), float(max(values))]
            for start, values in sorted(inside.items())
        ]
        newest = max(at)
        sensors[path.stem] = {"kind": path.parent.name, "ts": newest, "value": float(at[newest])}
    return {
        "kind": "series", "tick": last_tick(latest), "records": records, "duplicates": replaced,
        "refused": refused, "sensors": sensors, "windows": windows,
    }


def main(arguments):
    if len(arguments) != 2:
        raise SystemExit(__doc__)
    data, out = Path(arguments[0]), Path(arguments[1])
    out.mkdir(parents=True, exist_ok=True)
    for name, compute in (("austin", buses), ("boston", requests), ("nab", series)):
        expected = compute(data)
        with open(out / f"{name}.json", "w", encoding="utf-8") as file:
            json.dump(expected, file, ensure_ascii=False, allow_nan=False)


if __name__ == "__main__":
    main(sys.argv[1:])
