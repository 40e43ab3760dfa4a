#!/usr/bin/env python3
"""Austin's buses against the council districts as fences: the engine, and a computation of its own.

    fences.py CHENGMAI DATA WORK [--workers 1,2,3]

Replays the positions of DATA/austin_buses with the districts of DATA/austin_parks as fences and compares

1. every visit (vehicle, district, entered, left): the rule of docs/fences.md, written here a second time on plain
   floating-point degrees; times may differ by 2 ms (rounding), nothing else may;
2. hours per district: each way between two neighbouring fixes is cut at the district's boundary and the time inside is
   added up, without any rule of visits or margins. The two may differ by 5 %: fixes are minutes apart, and a straight
   way between two of them cuts through corners of districts in which no fix lies, or out of the one where both lie;
3. trips and stops per vehicle: number, metres and seconds, again by the rule written a second time.

Only the standard library. The parts share no code with the engine. Exit 0 when all agree, 1 when not, 77 without data.
"""

import argparse
import json
import math
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import convert

EARTH_M = 6_371_008.8
ACCURACY_M = 10.0
GAP_MS, PARKED_M, HOLE_MS = 600_000, 100.0, 60_000
REST_KMH, STOP_MS, TRIP_M = 3.0, 180_000, 100.0
MISSING = 77
SLAB_DEG = 0.002


class District:
    """Rings in degrees; edges by slabs of latitude, so that a question looks at few of them."""

    def __init__(self, name, geometry):
        polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
        # The engine keeps 1e-7 degrees.
        rings = [[(round(x, 7), round(y, 7)) for x, y, *_ in ring] for polygon in polygons for ring in polygon]
        self.name, self.slabs = name, defaultdict(list)
        xs, ys = [x for ring in rings for x, _ in ring], [y for ring in rings for _, y in ring]
        self.box = (min(xs), min(ys), max(xs), max(ys))
        self.east = math.radians(1) * EARTH_M * math.cos(math.radians((self.box[1] + self.box[3]) / 2))
        self.north = math.radians(1) * EARTH_M
        for ring in rings:
            for a, b in zip(ring, ring[1:] + ring[:1]):
                if a != b:
                    low, high = sorted((a[1], b[1]))
                    for slab in range(math.floor(low / SLAB_DEG), math.floor(high / SLAB_DEG) + 1):
                        self.slabs[slab].append((a, b))

    def edges(self, low, high):
        first, last = math.floor(low / SLAB_DEG), math.floor(high / SLAB_DEG)
        if first == last:
            return self.slabs.get(first, ())
        return {edge for slab in range(first, last + 1) for edge in self.slabs.get(slab, ())}

    def holds(self, x, y):
        if not (self.box[0] <= x <= self.box[2] and self.box[1] <= y <= self.box[3]):
            return False
        inside = False
        for (ax, ay), (bx, by) in self.edges(y, y):
            if (ay > y) != (by > y) and x < ax + (y - ay) * (bx - ax) / (by - ay):
                inside = not inside
        return inside

    def near(self, x, y):
        reach = ACCURACY_M / self.north
        for (ax, ay), (bx, by) in self.edges(y - reach, y + reach):
            ax, ay, bx, by = (ax - x) * self.east, (ay - y) * self.north, (bx - x) * self.east, (by - y) * self.north
            dx, dy = bx - ax, by - ay
            t = max(0.0, min(1.0, -(ax * dx + ay * dy) / (dx * dx + dy * dy)))
            if math.hypot(ax + t * dx, ay + t * dy) < ACCURACY_M:
                return True
        return False

    def crossings(self, p, q):
        """Shares of the way from p to q at which it crosses the boundary, ascending."""
        (px, py), (qx, qy) = p, q
        if max(px, qx) < self.box[0] or min(px, qx) > self.box[2] or max(py, qy) < self.box[1] or min(py, qy) > self.box[3]:
            return []
        shares = []
        for (ax, ay), (bx, by) in self.edges(min(py, qy), max(py, qy)):
            side_a = (qx - px) * (ay - py) - (qy - py) * (ax - px)
            side_b = (qx - px) * (by - py) - (qy - py) * (bx - px)
            side_p = (bx - ax) * (py - ay) - (by - ay) * (px - ax)
            side_q = (bx - ax) * (qy - ay) - (by - ay) * (qx - ax)
            if (side_a > 0) != (side_b > 0) and (side_p > 0) != (side_q > 0):
                shares.append(side_p / (side_p - side_q))
        return sorted(shares)


def metres(p, q):
    x = math.radians(q[0] - p[0]) * math.cos(math.radians((p[1] + q[1]) / 2))
    return EARTH_M * math.hypot(x, math.radians(q[1] - p[1]))


def between(a, b):
    """rest, move or break of the interval between two fixes (ts, x, y, speed)."""
    ms, m = b[0] - a[0], metres(a[1:3], b[1:3])
    if ms > GAP_MS:
        return "break" if m > PARKED_M else "rest"
    slow = max(0.0, m - ACCURACY_M) / ms * 3600 < REST_KMH
    return "rest" if slow and b[3] < REST_KMH else "move"


def visits_of(district, track):
    """Visits (entered, left or None) and the time inside by cutting ways, ms."""
    visits, inside_ms = [], 0.0
    entered = crossed = None
    was = False
    for i, fix in enumerate(track):
        here = fix[1:3]
        kind = between(track[i - 1], fix) if i else "break"
        now = district.holds(*here)
        if kind == "break":
            if entered is not None:
                visits.append((entered, track[i - 1][0] if was else crossed))
            entered, was = (fix[0] if now else None), now
            crossed = fix[0]
            continue
        before = track[i - 1]
        ms = fix[0] - before[0]
        shares = district.crossings(before[1:3], here)
        state, at = was, 0.0
        for share in [*shares, 1.0]:
            inside_ms += ms * (share - at) if state else 0.0
            state, at = not state, share
        if now and not was:
            crossed = before[0] + math.floor(ms * (shares[-1] if shares else 1.0) + 0.5)
        elif was and not now:
            crossed = before[0] + math.floor(ms * (shares[0] if shares else 0.0) + 0.5)
        was = now
        if (entered is None) == now and not district.near(*here):
            if now:
                entered = crossed
            else:
                visits.append((entered, crossed))
                entered = None
    if entered is not None:
        visits.append((entered, None))
    return visits, inside_ms


def journey_of(track):
    """Trips (metres) and stops (seconds) of one vehicle."""
    trips, stops = [], []
    pieces, start = [], 0
    kinds = [between(a, b) for a, b in zip(track, track[1:])]
    for i, kind in enumerate([*kinds, "break"]):
        if kind == "break":
            pieces.append((start, i))
            start = i + 1

    def way(i, j):
        return sum(round(1000 * metres(track[k][1:3], track[k + 1][1:3])) for k in range(i, j) if kinds[k] == "move")

    for first, last in pieces:
        stays, i = [], first
        while i < last:
            j = i
            while j < last and kinds[j] == "rest":
                j += 1
            if j > i and track[j][0] - track[i][0] >= STOP_MS:
                stays.append([i, j])
            i = max(j, i + 1)
        merged = []
        for stay in stays:
            if merged and way(merged[-1][1], stay[0]) < TRIP_M * 1000:
                merged[-1][1] = stay[1]
            else:
                merged.append(stay)
        ends = [first] + [stay[1] for stay in merged]
        starts = [stay[0] for stay in merged] + [last]
        trips += [way(i, j) / 1000 for i, j in zip(ends, starts) if way(i, j) >= TRIP_M * 1000]
        stops += [(track[j][0] - track[i][0]) / 1000 for i, j in merged]
    return trips, stops


def lines(path):
    with open(path, encoding="utf-8") as rows:
        return [json.loads(row) for row in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chengmai", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--workers", default="1,2,3")
    arguments = parser.parse_args()
    source = arguments.data / "austin_parks" / "council_districts.geojson"
    if not source.exists() or not (arguments.data / "austin_buses").is_dir():
        print(f"SKIPPED: no districts or buses in {arguments.data}: NO FENCE WAS CHECKED", file=sys.stderr)
        return MISSING
    features = json.loads(source.read_text(encoding="utf-8"))["features"]
    records = list(convert.austin_records(arguments.data))
    reference = list(convert.austin_reference(records))
    for feature in features:
        name = f"district-{feature['properties']['DISTRICT_N']}"
        reference.append({"kind": "fence", "id": name, "place": True, "geometry": feature["geometry"]})
    folder = arguments.work / "input" / "austin_fences"
    convert.write(folder, "reference", reference)
    convert.write(folder, "positions", records)
    outputs = []
    for workers in arguments.workers.split(","):
        out = arguments.work / "output" / f"austin_fences_w{workers}"
        out.mkdir(parents=True, exist_ok=True)
        command = [arguments.chengmai, "replay", "--input", folder, "--output", out, "--workers", workers]
        subprocess.run(list(map(str, command)), check=True, timeout=600)
        outputs.append(out)
    good = True

    def check(what, same, detail=""):
        nonlocal good
        good &= same
        print(f"{'ok ' if same else 'BAD'}  {what}{detail and ': ' + detail}")

    for view in ("fence_events", "trips", "stops", "gps_quality", "tracks"):
        first = (outputs[0] / f"{view}.ndjson").read_bytes()
        check(f"{view}: equal for {arguments.workers} workers", all((out / f"{view}.ndjson").read_bytes() == first for out in outputs))

    districts = [District(f"district-{f['properties']['DISTRICT_N']}", f["geometry"]) for f in features]
    tracks = defaultdict(dict)
    for record in records:
        fix = (record["ts"], round(record["lon"], 7), round(record["lat"], 7), record["speed"])
        tracks[record["vehicle_id"]][record["ts"]] = fix
    expected, hours_cut, hours_engine = {}, defaultdict(float), defaultdict(float)
    trips, stops = {}, {}
    for vehicle, by_time in tracks.items():
        track = [by_time[ts] for ts in sorted(by_time)]
        trips[vehicle], stops[vehicle] = journey_of(track)
        for district in districts:
            visits, inside_ms = visits_of(district, track)
            hours_cut[district.name] += inside_ms / 3_600_000
            if visits:
                expected[vehicle, district.name] = visits
    events = lines(outputs[0] / "fence_events.ndjson")
    said = defaultdict(list)
    for event in events:
        hours_engine[event["fence"]] += event["dwell"] / 3600
        if event["kind"] == "visit":
            said[event["vehicle_id"], event["fence"]].append((event["start_ts"], event["end_ts"]))
    n = sum(map(len, expected.values()))
    wrong = []
    for key in sorted(expected.keys() | said.keys()):
        ours, theirs = sorted(said.get(key, [])), sorted(expected.get(key, []))
        near = len(ours) == len(theirs) and all(
            abs(a[0] - b[0]) <= 2 and ((a[1] is None) == (b[1] is None)) and (a[1] is None or abs(a[1] - b[1]) <= 2)
            for a, b in zip(ours, theirs)
        )
        if not near:
            wrong.append((key, ours[:3], theirs[:3]))
    check(f"{n} visits of {len(tracks)} vehicles to {len(districts)} districts", not wrong and n > 0, f"{len(wrong)} pairs differ, {wrong[:2]}" if wrong else "")
    passages = sum(event["kind"] == "passage" for event in events)
    print(f"     {passages} passages")
    for district in sorted(hours_cut, key=lambda name: int(name.split("-")[1])):
        ours, cut = hours_engine[district], hours_cut[district]
        check(f"{district}: {ours:.2f} h in visits, {cut:.2f} h by cutting ways", abs(ours - cut) <= 0.05 * cut)
    for view, want, column in (("trips", trips, "distance"), ("stops", stops, "duration")):
        have = defaultdict(list)
        for row in lines(outputs[0] / f"{view}.ndjson"):
            have[row["vehicle_id"]].append(row[column])
        bad = [
            v for v in tracks
            if len(have[v]) != len(want[v]) or any(abs(a - b) > 0.01 * max(1.0, len(tracks[v]) / 100) for a, b in zip(sorted(have[v]), sorted(want[v])))
        ]
        total = sum(map(sum, want.values()))
        unit = f"{total / 1000:.0f} km" if column == "distance" else f"{total / 3600:.0f} h"
        check(f"{sum(map(len, want.values()))} {view}, {unit}", not bad, f"vehicles {bad[:5]} differ" if bad else "")
    print("all agree" if good else "something differs")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
