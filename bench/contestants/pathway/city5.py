"""Three of the five questions in Pathway: swept lengths, cases, windows. What was tuned: ../README.md."""

import json
import math
import pathlib
import resource
import sys
import time

import pathway as pw

started = time.time()
inputs, output = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
manifest = json.loads((inputs / "manifest.json").read_text())
rules, until = manifest["rules"], manifest["until_ms"]
K = 6_371_008.8 * math.pi / 180 / 1e7
CELL = 10_000
STEP, WIDTH, REACH = rules["step_ms"], rules["window_ms"], rules["reach_mm"]

kind_of, district_of, length_of, cells, records = {}, {}, {}, {}, 0
for line in (inputs / "reference.ndjson").open():
    record = json.loads(line)
    records += 1
    name = record["id"]
    if record["kind"] == "sensor":
        kind_of[name], district_of[name] = record["sensor_kind"], record["district"]
    elif record["kind"] == "road":
        (x1, y1), (x2, y2) = [(round(lon * 1e7), round(lat * 1e7)) for lon, lat in record["geometry"]["coordinates"]]
        length_of[name] = round(math.hypot((x2 - x1) * math.cos(math.radians((y1 + y2) / 2 / 1e7)) * K, (y2 - y1) * K) * 1000)
        district_of[name] = record["district"]
        for x in range((min(x1, x2) - CELL // 2) // CELL, (max(x1, x2) + CELL // 2) // CELL + 1):
            for y in range((min(y1, y2) - CELL // 2) // CELL, (max(y1, y2) + CELL // 2) // CELL + 1):
                cells.setdefault((x, y), []).append((name, x1, y1, x2, y2))


@pw.udf(deterministic=True)
def nearest(lon: float, lat: float) -> str:
    lon, lat = round(lon * 1e7), round(lat * 1e7)
    east, best = math.cos(math.radians(lat / 1e7)) * K, (REACH + 1, "")
    for name, x1, y1, x2, y2 in cells.get((lon // CELL, lat // CELL), ()):
        x1, y1, x2, y2 = (x1 - lon) * east, (y1 - lat) * K, (x2 - lon) * east, (y2 - lat) * K
        dx, dy = x2 - x1, y2 - y1
        t = max(0.0, min(1.0, -(x1 * dx + y1 * dy) / (dx * dx + dy * dy)))
        best = min(best, (round(math.hypot(x1 + t * dx, y1 + t * dy) * 1000), name))
    return best[1]


def read(stream, schema):
    return pw.io.jsonlines.read(str(inputs / f"{stream}.ndjson"), schema=schema, mode="static")


class Reading(pw.Schema):
    sensor_id: str
    ts: int
    value: float


class Position(pw.Schema):
    ts: int
    lon: float
    lat: float
    working: bool


class Case(pw.Schema):
    case_id: str
    ts: int
    event: str
    district: str | None = pw.column_definition(default_value=None)
    limit: pw.Json | None = pw.column_definition(default_value=None)


kinds = pw.udf(lambda sensor: kind_of[sensor], return_type=str, deterministic=True)
districts = pw.udf(lambda name: district_of[name], return_type=str, deterministic=True)
lengths = pw.udf(lambda road: length_of[road], return_type=int, deterministic=True)
starts = pw.udf(lambda ts: tuple(range(ts // STEP * STEP - WIDTH + STEP, ts + 1, STEP)), return_type=tuple[int, ...], deterministic=True)
tenths = pw.udf(lambda value: round(value * 10), return_type=int, deterministic=True)
deadline = pw.udf(lambda ts, event, limit: ts + round(limit.as_dict()["amount"] * 3_600_000) if event == "dispatched" else 0,
                  return_type=int, deterministic=True)

t = read("telemetry", Reading)
once = t.groupby(t.sensor_id, t.ts).reduce(t.sensor_id, t.ts, tenths=pw.reducers.any(tenths(t.value)))
windows = once.select(kind=kinds(once.sensor_id), district=districts(once.sensor_id), tenths=once.tenths, start_ms=starts(once.ts))
windows = windows.flatten(windows.start_ms)
windows = windows.groupby(windows.kind, windows.district, windows.start_ms).reduce(
    windows.kind, windows.district, windows.start_ms, count=pw.reducers.count(), sum_tenths=pw.reducers.sum(windows.tenths))

p = read("positions", Position)
p = p.filter(p.working)
p = p.select(road=nearest(p.lon, p.lat), hour_ms=p.ts // 3_600_000 * 3_600_000)
p = p.filter(p.road != "")
visits = p.groupby(p.road, p.hour_ms).reduce(p.road, p.hour_ms)
visits = visits.select(district=districts(visits.road), hour_ms=visits.hour_ms, mm=lengths(visits.road))
swept = visits.groupby(visits.district, visits.hour_ms).reduce(
    visits.district, visits.hour_ms, swept_mm=pw.reducers.sum(visits.mm), segments=pw.reducers.count())

c = read("cases", Case)
c = c.select(c.case_id, district=pw.coalesce(c.district, ""), deadline=deadline(c.ts, c.event, c.limit),
             handled=pw.if_else(c.event == "handled", c.ts, 0), closed=pw.if_else(c.event == "closed", 1, 0))
c = c.groupby(c.case_id).reduce(district=pw.reducers.max(c.district), deadline=pw.reducers.max(c.deadline),
                                handled=pw.reducers.max(c.handled), closed=pw.reducers.max(c.closed))
c = c.filter(c.closed == 0)
c = c.select(district=pw.if_else(c.district == "", "unknown", c.district),
             overdue=pw.if_else((c.deadline > 0) & (c.handled == 0) & (until > c.deadline), 1, 0))
cases = c.groupby(c.district).reduce(c.district, open=pw.reducers.count(), overdue=pw.reducers.sum(c.overdue))

answers = {"windows": windows, "swept": swept, "cases": cases}
headers = {"windows": ["kind", "district", "start_ms", "count", "sum_tenths"],
           "swept": ["district", "hour_ms", "swept_mm", "segments"], "cases": ["district", "open", "overdue"]}
rows = {name: {} for name in answers}


def subscribe(name, table):
    def change(key, row, time, is_addition):
        line = ",".join(str(row[column]) for column in headers[name])
        if is_addition:
            rows[name][key] = line
        elif rows[name].get(key) == line:
            del rows[name][key]

    pw.io.subscribe(table, on_change=change)


for name, table in answers.items():
    subscribe(name, table)
pw.run(monitoring_level=pw.MonitoringLevel.NONE)
for name, header in headers.items():
    (output / f"{name}.csv").write_text("\n".join([",".join(header), *rows[name].values()]) + "\n")
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"version": pw.__version__, "records": records + manifest["records"], "seconds": time.time() - started,
                  "cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_rss_bytes": usage.ru_maxrss * 1024}))
