#!/usr/bin/env python3
"""Parks of two real cities: what the engine says beside what shapely says.

    parks.py CHENGMAI DATA WORK [--workers 1]

CHENGMAI is the binary, DATA the folder of the data sets, WORK a folder for what is made on the way. Needs shapely and
pyproj; without them, or without the data, it says so loudly and ends with code 77.

Austin: the share of each council district within 300, 402, 500 and 805 m of a park that is open, by area and by people.
By area a district is one residence. By people its residences are the parts of the census tracts that lie in it, with the
tract's people in the share of its area. Agreement: 0.2 points. Helsinki: the straight distance of each residential building to
the nearest park. Agreement: 0.1 m and 0.01 %.

shapely works in a transverse Mercator projection around each city (GRS 80, scale 1), the engine in an equal-area one.
"""

import argparse
import gzip
import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

MISSING = 77
RADII = (300, 402, 500, 805)
POINTS = 0.002
TICK = 1_700_000_000_000
# Austin takes the engine three minutes of a core, which is several times that on a busy machine.
REPLAY_TIMEOUT_S = 1800

try:
    import pyproj
    import shapely
    from shapely.geometry import mapping, shape
    from shapely.ops import transform, unary_union
except ImportError as error:
    print(f"SKIPPED: {error}: NO PARKS WERE CHECKED ON REAL DATA", file=sys.stderr)
    sys.exit(MISSING)


def features(path):
    opened = gzip.open(path) if path.suffix == ".gz" else open(path, "rb")
    with opened as file:
        return [f for f in json.load(file)["features"] if f.get("geometry")]


def valid(geometry):
    """Each polygon made valid on its own, then their union: polygons of one geometry that overlap are no hole."""
    parts = getattr(geometry, "geoms", [geometry])
    return unary_union([polygonal(shapely.make_valid(part)) for part in parts])


def polygonal(geometry):
    if geometry.geom_type in ("Polygon", "MultiPolygon"):
        return geometry
    parts = [part for part in getattr(geometry, "geoms", []) if part.geom_type in ("Polygon", "MultiPolygon")]
    return unary_union(parts)


def tracts(folder):
    """Census tracts of a shapefile: people and rings, by the format's own description."""
    table = (folder / "census_tract_park_score.dbf").read_bytes()
    count, head, width = struct.unpack("<IHH", table[4:12])
    offset, at, column = 32, 1, None
    while table[offset] != 0x0D:
        name = table[offset : offset + 11].split(b"\0")[0]
        if name == b"popTotal":
            column = (at, table[offset + 16])
        at += table[offset + 16]
        offset += 32
    people = []
    for row in range(count):
        start = head + row * width + column[0]
        people.append(int(table[start : start + column[1]].decode().strip() or 0))
    data = (folder / "census_tract_park_score.shp").read_bytes()
    offset, shapes = 100, []
    while offset < len(data):
        (length,) = struct.unpack(">i", data[offset + 4 : offset + 8])
        body = data[offset + 8 : offset + 8 + 2 * length]
        offset += 8 + 2 * length
        parts, points = struct.unpack("<ii", body[36:44])
        starts = list(struct.unpack(f"<{parts}i", body[44 : 44 + 4 * parts])) + [points]
        flat = struct.unpack(f"<{2 * points}d", body[44 + 4 * parts : 44 + 4 * parts + 16 * points])
        rings = [[(flat[2 * i], flat[2 * i + 1]) for i in range(a, b)] for a, b in zip(starts, starts[1:])]
        # Rings of a shapefile are outer or holes by their direction; here none overlap but as holes.
        whole = shapely.Polygon()
        for ring in rings:
            whole = whole.symmetric_difference(shapely.make_valid(shapely.Polygon(ring)))
        shapes.append(polygonal(whole))
    return list(zip(people, shapes))


def metric(lon, lat):
    """From degrees to metres around a place."""
    there = pyproj.CRS.from_proj4(f"+proj=tmerc +lat_0={lat} +lon_0={lon} +k=1 +ellps=GRS80 +units=m")
    to = pyproj.Transformer.from_crs("EPSG:4326", there, always_xy=True).transform
    return lambda geometry: transform(to, geometry)


def record(kind, name, **fields):
    return {"kind": kind, "id": name, "ts": TICK, "appended_at": TICK, **fields}


def replay(binary, records, folder, workers):
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "in").mkdir(parents=True)
    with open(folder / "in" / "reference.ndjson", "w", encoding="utf-8") as out:
        for line in records:
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
    command = [binary, "replay", "--input", folder / "in", "--output", folder / "out", "--workers", workers]
    done = subprocess.run(
        list(map(str, command)), stdout=subprocess.PIPE, text=True, timeout=REPLAY_TIMEOUT_S, check=True
    )
    print("    ", done.stdout.strip().splitlines()[-1])

    def rows(view):
        with open(folder / "out" / f"{view}.ndjson", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]

    rejected = rows("rejects")
    if rejected:
        print(f"BAD  {len(rejected)} records were rejected: {rejected[0]}")
        sys.exit(1)
    return rows


def austin(binary, data, work, workers):
    folder = data / "austin_parks"
    project = metric(-97.75, 30.3)
    statuses = {"Planned": "planned", "Closed": "closed"}
    records = [record("radius_scheme", "garden-city-2022", enabled=False, steps=[{"radius_m": 500}])]
    records += [record("radius_scheme", f"r{radius}", steps=[{"radius_m": radius}]) for radius in RADII]
    open_parks = []
    for n, feature in enumerate(features(folder / "parks.geojson.gz")):
        status = statuses.get(feature["properties"]["PARK_STATUS"], "open")
        records.append(record("park", f"park-{n}", status=status, geometry=feature["geometry"]))
        if status == "open":
            open_parks.append(project(valid(shape(feature["geometry"]))))
    whole = unary_union(open_parks)
    reach = {radius: whole.buffer(radius, quad_segs=64) for radius in RADII}
    expected = {}
    of_tracts = [(people, tract, project(tract).area) for people, tract in tracts(folder) if people > 0]
    for feature in features(folder / "council_districts.geojson"):
        name = feature["properties"]["DISTRICT_N"]
        geometry = valid(shape(feature["geometry"]))
        flat = project(geometry)
        records.append(
            record("residence", f"area-{name}", district=f"area-{name}", population=0, geometry=feature["geometry"])
        )
        parts = []
        for n, (people, tract, area) in enumerate(of_tracts):
            part = polygonal(tract.intersection(geometry))
            flat_part = project(part)
            if flat_part.area < 1.0:
                continue
            lives = people * flat_part.area / area
            parts.append((lives, flat_part))
            records.append(
                record(
                    "residence",
                    f"part-{name}-{n}",
                    district=f"people-{name}",
                    population=lives,
                    geometry=mapping(part),
                )
            )
        for radius in RADII:
            expected[f"area-{name}", radius] = flat.intersection(reach[radius]).area / flat.area
            inside = sum(lives * part.intersection(reach[radius]).area / part.area for lives, part in parts)
            expected[f"people-{name}", radius] = inside / sum(lives for lives, _ in parts)
    rows = replay(binary, records, work / "austin_parks", workers)
    said = {(row["district"], row["scheme"]): row for row in rows("park_radius")}
    worst, good = 0.0, True
    for (district, radius), share in sorted(expected.items()):
        row = said[district, f"r{radius}"]
        ours = row["share"] if district.startswith("area") else row["population_share"]
        off = abs(ours - share)
        worst = max(worst, off)
        if off > POINTS:
            good = False
            print(f"BAD  {district} within {radius} m: {ours:.4f}, shapely {share:.4f}")
    print(f"{'ok ' if good else 'BAD'}  Austin: {len(expected)} shares, the greatest difference {100 * worst:.4f} points")
    return good


def helsinki(binary, data, work, workers):
    folder = data / "helsinki_osm"
    project = metric(24.94, 60.17)
    records, parks, homes = [], [], {}
    for feature in features(folder / "parks.geojson.gz"):
        if feature["properties"]["leisure"] == "park":
            records.append(record("park", f"park-{feature['properties']['id']}", geometry=feature["geometry"]))
            parks.append(project(valid(shape(feature["geometry"]))))
    for feature in features(folder / "buildings.geojson.gz"):
        if feature["properties"]["building"] in ("apartments", "residential"):
            name = f"home-{feature['properties']['id']}"
            home = project(valid(shape(feature["geometry"])))
            if home.is_empty:
                print(f"     {name} has no area: left out")
                continue
            records.append(record("residence", name, geometry=feature["geometry"], population=1))
            homes[name] = home
    rows = replay(binary, records, work / "helsinki_parks", workers)
    said = {row["residence_id"]: row["straight_m"] for row in rows("residence_access")}
    worst, good = 0.0, said.keys() == homes.keys()
    for name, home in sorted(homes.items()):
        metres = min(home.distance(park) for park in parks)
        off = abs(said[name] - metres)
        worst = max(worst, off)
        if off > 0.1 + 1e-4 * metres:
            good = False
            print(f"BAD  {name}: {said[name]:.3f} m, shapely {metres:.3f} m")
    print(f"{'ok ' if good else 'BAD'}  Helsinki: {len(homes)} buildings, the greatest difference {worst:.3f} m")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chengmai", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    missing = [name for name in ("austin_parks", "helsinki_osm") if not (arguments.data / name).is_dir()]
    if missing:
        what = ", ".join(missing)
        print(f"SKIPPED: no {what} in {arguments.data}: NO PARKS WERE CHECKED ON REAL DATA", file=sys.stderr)
        return MISSING
    rest = (arguments.chengmai, arguments.data, arguments.work, arguments.workers)
    good = [austin(*rest), helsinki(*rest)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
