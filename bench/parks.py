#!/usr/bin/env python3
"""What parks cost in the engine: 100,000 residences, 500 parks and 200,000 walkways through `chengmai replay`.

    parks.py CHENGMAI [BRIDGES]

The city is that of `green/examples/scale.rs`: a grid of streets with a river, one street in twenty crosses it. It is
replayed as it is, and once more with BRIDGES (16) of its bridges closing and opening again, each at a tick of its own.
Printed are the CPU seconds and the peak memory of the first, and what a change adds: the difference divided by the
changes. The radius schemes that ship are switched off but one, as in the example.
"""

import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile

SIDE, BLOCK_M, BRIDGE_EVERY, HOMES, PARKS = 317, 95.0, 20, 100_000, 500
START = 1_790_000_000_000


def at(x, y):
    return [round(109.3 + x * 1.118e-5, 7), round(36.45 + y * 9.01e-6, 7)]


def blob(dice, x, y, radius, corners):
    angles = (math.tau * k / corners for k in range(corners))
    sizes = ((radius * dice.uniform(0.8, 1.2), angle) for angle in angles)
    ring = [at(x + r * math.cos(angle), y + r * math.sin(angle)) for r, angle in sizes]
    return {"type": "Polygon", "coordinates": [ring + ring[:1]]}


def city(dice):
    size = SIDE * BLOCK_M
    for n in range(PARKS):
        x, y, radius = dice.uniform(0, size), dice.uniform(0, size), 30 + 250 * dice.random() ** 3
        gates = [at(x + radius, y), at(x - radius, y), at(x, y + radius), at(x, y - radius)]
        yield {"kind": "park", "id": f"park-{n}", "geometry": blob(dice, x, y, radius, 24), "entrances": gates}
    for n in range(HOMES):
        shape = blob(dice, dice.uniform(0, size), dice.uniform(0, size), 25, 8)
        people = round(dice.uniform(100, 1000))
        yield {"kind": "residence", "id": f"home-{n}", "district": f"district-{n % 13}", "population": people, "geometry": shape}
    corners = {
        (x, y): at((x + 0.4 * dice.random()) * BLOCK_M, (y + 0.4 * dice.random()) * BLOCK_M)
        for x in range(SIDE)
        for y in range(SIDE)
    }
    for (x, y), corner in corners.items():
        for other in [(x + 1, y), (x, y + 1)]:
            river = x == SIDE // 2 and other[0] == x + 1
            if other not in corners or (river and y % BRIDGE_EVERY):
                continue
            line = {"type": "LineString", "coordinates": [corner, corners[other]]}
            yield {"kind": "walkway", "id": f"{'bridge' if river else 'way'}-{x}-{y}-{other[0]}", "geometry": line}


def one_scheme():
    """The shipped radius schemes but one, switched off."""
    shipped = (pathlib.Path(__file__).parents[1] / "ingest/defaults/reference.ndjson").open(encoding="utf-8")
    schemes = [record for record in map(json.loads, shipped) if record["kind"] == "radius_scheme"]
    return [scheme | {"enabled": n == 0} for n, scheme in enumerate(schemes)]


def run(program, folder):
    command = [program, "replay", "--input", folder, "--output", folder / "out"]
    command += ["--views", "parks,residence_access,park_radius"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result = json.loads(said.splitlines()[-1])
    return result["cpu_seconds"], result["peak_rss_bytes"] / 2**20


def main(program, bridges=16):
    records = one_scheme() + list(city(random.Random(1)))
    crossing = [record for record in records if record["id"].startswith("bridge")][: int(bridges)]
    # Every change has a tick of its own, ten seconds after the one before.
    edits = [record | {"status": status} for record in crossing for status in ("closed", "open")]
    edits = [record | {"ts": START + 10_000 * (n + 1)} for n, record in enumerate(edits)]
    records = [record | {"ts": START} for record in records]
    figures = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, lines in [("as it is", records), ("with changes", records + edits)]:
            folder = pathlib.Path(scratch) / name.replace(" ", "-")
            folder.mkdir()
            with (folder / "reference.ndjson").open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in lines)
            figures.append(run(program, folder))
    (first, peak), (changed, _) = figures
    print(f"{len(records)} records: {first:.1f} CPU-s, {peak:.0f} MiB at most")
    print(f"{len(edits)} changes of a bridge: {1000 * (changed - first) / len(edits):.1f} ms each, in CPU time")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
