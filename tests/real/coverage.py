#!/usr/bin/env python3
"""What simulated sweepers truly swept of Helsinki's roads, and what the engine says of it.

    coverage.py CHENGMAI DATA WORK [--workers 1,2,3]

Vehicles drive at random along the roads of DATA/helsinki_osm/roads_driving.geojson.gz, one-way streets one way, and
sweep now and then. Known is, to the second and the metre, which part of which road they swept; the devices send a
position now and then, beside the road by some noise. `chengmai replay` gets the roads and the positions and nothing
else. Each hour is a shift. Compared, road by road and hour by hour, are the metres swept at least once, with those of
the true way: the union of its intervals, on lengths worked out here. Three cities are tried:

    exact      a fix every second without noise: what differs is how a move that begins or ends work is cut
    ten        a fix every 10 s with 8 m of noise: the aim is 97 % covered, and 1 % that was not swept
    thirty     a fix every 30 s with 8 m of noise

Covered is the sum over all roads of the smaller of the two lengths, wrong the sum of what the engine has more, both as
shares of what was swept. The records of the third city come once more late and in another order, for the same answer;
all outputs are equal for all numbers of workers. Vehicles are few and shifts short, so that a metre missed is not made
good by another pass. Only the standard library; no code is shared with the engine.
Exit 0 when all agrees, 1 when not, 77 without data.
"""

import argparse
import gzip
import json
import math
import random
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import convert

MISSING = 77
# 2026-11-24 06:00 in a city at UTC+8.
START_MS, FIRST_HOUR = 1_795_471_200_000, 6
SPEED_MS = 2.5
# WGS-84.
AXIS_M, FLATTENING = 6_378_137.0, 1 / 298.257_223_563


class City:
    """Roads as lines of vertices; they meet where they share a vertex."""

    def __init__(self, features):
        e2 = FLATTENING * (2 - FLATTENING)
        self.roads, self.leaving = {}, defaultdict(list)
        for feature in features:
            name, oneway = str(feature["properties"]["id"]), feature["properties"]["oneway"]
            line = [tuple(p[:2]) for p in feature["geometry"]["coordinates"]]
            line = [p for i, p in enumerate(line) if i == 0 or p != line[i - 1]]
            phi = math.radians(line[0][1])
            w = math.sqrt(1 - e2 * math.sin(phi) ** 2)
            north = math.radians(1) * AXIS_M * (1 - e2) / w**3
            east = math.radians(1) * AXIS_M / w * math.cos(phi)
            at = [0.0]
            for a, b in zip(line, line[1:]):
                at.append(at[-1] + math.hypot((b[0] - a[0]) * east, (b[1] - a[1]) * north))
            self.roads[name] = (line, at, east, north, oneway == "yes")
            for i in range(len(line) - 1):
                self.leaving[line[i]].append((name, i, True))
                if oneway != "yes":
                    self.leaving[line[i + 1]].append((name, i, False))

    def length(self, name):
        return self.roads[name][1][-1]


def drive(city, dice, seconds):
    """Second by second: the road, from where to where along it (m), whether it sweeps, position, heading; None = silent."""
    arcs = sorted({arc for arcs in city.leaving.values() for arc in arcs})
    arc, done, works, turn = dice.choice(arcs), 0.0, True, 0
    silent = 0
    for _ in range(seconds):
        if silent > 0:
            silent -= 1
            yield []
            continue
        turn -= 1
        if turn < 0:
            works, turn = dice.random() < 0.75, dice.randrange(240, 1500)
        parts, left = [], SPEED_MS
        while left > 0:
            name, i, ahead = arc
            line, at, east, north, _ = city.roads[name]
            step = min(left, at[i + 1] - at[i] - done)
            begun, ended = done, done + step
            low, high = (at[i] + begun, at[i] + ended) if ahead else (at[i + 1] - ended, at[i + 1] - begun)
            share = (high if ahead else low) - at[i]
            share /= at[i + 1] - at[i]
            (ax, ay), (bx, by) = line[i], line[i + 1]
            place = (ax + share * (bx - ax), ay + share * (by - ay))
            heading = math.degrees(math.atan2((bx - ax) * east, (by - ay) * north)) + (0 if ahead else 180)
            parts.append((name, low, high, works, place, heading % 360))
            left, done = left - step, done + step
            if done < at[i + 1] - at[i] - 1e-9:
                continue
            end = line[i + 1] if ahead else line[i]
            onward = [next_arc for next_arc in city.leaving[end] if next_arc[:2] != (name, i)]
            back = [next_arc for next_arc in city.leaving[end] if next_arc[:2] == (name, i)]
            done = 0.0
            if onward or back:
                arc = dice.choice(onward or back)
            else:
                # The road leaves the map: silence, and then on from somewhere else.
                arc, silent = dice.choice(arcs), 900
                break
        yield parts


def merged(intervals):
    total, end = 0.0, -1.0
    for low, high in sorted(intervals):
        total += max(0.0, high - max(low, end))
        end = max(end, high)
    return total


def simulate(city, vehicles, hours, every_s, noise_m, seed):
    """Positions, and what was truly swept of each road in each hour, m."""
    swept, records = defaultdict(list), []
    for vehicle in range(vehicles):
        dice = random.Random(f"{seed}/{vehicle}")
        # Errors of a receiver have a memory of a minute.
        memory = math.exp(-every_s / 60)
        error = [dice.gauss(0, noise_m), dice.gauss(0, noise_m)]
        for second, parts in enumerate(drive(city, dice, hours * 3600)):
            for name, low, high, works, *_ in parts:
                if works:
                    swept[name, f"h{FIRST_HOUR + second // 3600:02}"].append((low, high))
            if not parts or second % every_s:
                continue
            name, _, _, works, (lon, lat), heading = parts[-1]
            error = [memory * e + math.sqrt(1 - memory**2) * dice.gauss(0, noise_m) for e in error]
            _, _, east, north, _ = city.roads[name]
            records.append({
                "vehicle_id": f"v{vehicle}", "ts": START_MS + second * 1000,
                "lon": round(lon + error[0] / east, 7), "lat": round(lat + error[1] / north, 7),
                "speed": round(SPEED_MS * 3.6, 1), "heading": round(heading, 1), "working": works,
            })
    records.sort(key=lambda record: record["ts"])
    return records, {key: merged(intervals) for key, intervals in swept.items()}


def reference(features):
    for hour in range(24):
        yield {"kind": "shift", "id": f"h{hour:02}", "start": f"{hour:02}:00", "end": f"{hour + 1:02}:00"}
    for feature in features:
        yield {
            "kind": "road", "id": str(feature["properties"]["id"]), "grade": feature["properties"]["highway"],
            "oneway": feature["properties"]["oneway"] == "yes", "geometry": feature["geometry"],
            "plan": [{"shift": f"h{FIRST_HOUR:02}", "passes": 1}],
        }


def replay(binary, folder, out, workers):
    out.mkdir(parents=True, exist_ok=True)
    views = "road_coverage,district_coverage"
    command = [binary, "replay", "--input", folder, "--output", out, "--workers", workers, "--views", views]
    subprocess.run(list(map(str, command)), check=True, timeout=1200, stdout=subprocess.DEVNULL)
    return (out / "road_coverage.ndjson").read_bytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chengmai", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--workers", default="1,2,3")
    arguments = parser.parse_args()
    source = arguments.data / "helsinki_osm" / "roads_driving.geojson.gz"
    if not source.exists():
        print(f"SKIPPED: no roads in {arguments.data}: NO COVERAGE WAS CHECKED", file=sys.stderr)
        return MISSING
    with gzip.open(source, "rt", encoding="utf-8") as text:
        features = json.load(text)["features"]
    city = City(features)
    good = True

    def check(what, right, detail=""):
        nonlocal good
        good &= bool(right)
        print(f"{'ok ' if right else 'BAD'}  {what}{detail and ': ' + detail}")

    # Name, vehicles, hours, seconds between fixes, noise, least covered, most wrong.
    for name, vehicles, hours, every_s, noise_m, least, most in (
        ("exact", 2, 4, 1, 0.0, 0.99, 0.005),
        ("ten", 3, 12, 10, 8.0, 0.97, 0.01),
        ("thirty", 3, 12, 30, 8.0, 0.93, 0.02),
    ):
        records, true = simulate(city, vehicles, hours, every_s, noise_m, name)
        folder = arguments.work / "input" / f"coverage_{name}"
        convert.write(folder, "reference", reference(features))
        convert.write(folder, "positions", records)
        counts = arguments.workers.split(",")
        said = [replay(arguments.chengmai, folder, arguments.work / "output" / f"coverage_{name}_w{n}", n) for n in counts]
        check(f"{name}: road_coverage is equal for {arguments.workers} workers", all(one == said[0] for one in said))
        if name == "thirty":
            # Each record up to an hour late, and some wait longer: same roads, another order.
            dice = random.Random("late")
            due = {id(r): r["ts"] + dice.choice((0, 0, 600_000, 3_600_000, 14_400_000)) * dice.random() for r in records}
            late = sorted(records, key=lambda record: due[id(record)])
            folder = arguments.work / "input" / "coverage_late"
            convert.write(folder, "reference", reference(features))
            convert.write(folder, "positions", late)
            other = replay(arguments.chengmai, folder, arguments.work / "output" / "coverage_late", counts[-1])
            check("late and in another order: the same", other == said[0])
        rows = [json.loads(line) for line in said[0].splitlines()]
        have = {(row["road"], row["shift"]): row["swept_length"] for row in rows}
        planned = sum(row["planned_passes"] for row in rows)
        check(f"{name}: each road is planned once", planned == len(features) and len(rows) == len(have))
        off = max(abs(row["length"] / city.length(row["road"]) - 1) for row in rows)
        check(f"{name}: lengths of roads differ by {off:.1e} at most", off < 1e-3)
        total = sum(true.values())
        covered = sum(min(have.get(key, 0.0), metres) for key, metres in true.items()) / total
        wrong = sum(max(0.0, metres - true.get(key, 0.0)) for key, metres in have.items()) / total
        apart = sorted(abs(have.get(key, 0.0) - metres) for key, metres in true.items())
        figures = f"{len(records)} fixes, {total / 1000:.2f} km swept in {len(true)} roads and hours; covered {covered:.2%}, wrong {wrong:.2%}"
        figures += f"; roads differ by {apart[len(apart) // 2]:.1f} m (median), {apart[len(apart) * 95 // 100]:.1f} m (95 %)"
        check(f"{name}: {figures}", covered >= least and wrong <= most, "" if covered >= least and wrong <= most else f"expected {least:.0%} and {most:.1%}")
    print("all agree" if good else "something differs")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
