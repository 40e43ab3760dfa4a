#!/usr/bin/env python3
"""Tests of the scripts themselves, on a handful of rows whose right answers were worked out by hand.

    python3 tests/real/test_scripts.py
"""

import contextlib
import gzip
import io
import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import check  # noqa: E402
import convert  # noqa: E402
import expect  # noqa: E402

BUS_HEADER = "vehicle_id,timestamp,speed,route_id,trip_id,latitude,longitude,trip_headsign"
# Bus a stands, is thrown 1° north (111 km in a minute) and comes back: one jump. Bus b is thrown 1° north too, but the
# fix after agrees with it: it really is there, and only its first fix there is a jump. The file is not in time order.
BUSES = """
a,2016-11-24T00:02:00-06:00,0.0,1,1,30.0,-97.7,x
a,2016-11-24T00:00:00-06:00,10.0,1,1,30.0,-97.7,x
a,2016-11-24T00:01:00-06:00,10.0,1,1,31.0,-97.7,x
b,2016-11-24T00:00:00-06:00,10.0,1,1,30.0,-97.7,x
b,2016-11-24T00:01:00-06:00,10.0,1,1,31.0,-97.7,x
b,2016-11-24T00:12:00-06:00,10.0,1,1,31.001,-97.7,x
c,2016-11-24T00:00:00-06:00,3.0,1,1,30.0,-97.7,x
c,2016-11-24T00:00:00-06:00,4.0,1,1,30.1,-97.7,x
""".strip()

CASE_HEADER = (
    "CASE_ENQUIRY_ID,OPEN_DT,TARGET_DT,CLOSED_DT,TYPE,Department,neighborhood,LATITUDE,LONGITUDE,Source,OnTime_Status"
)
# 1: in time, across the change to daylight time (8 March 2015, 2:00). 2: closed late. 3: open and past its target.
# 4: open, the target is the last tick itself, hence not overdue. 5: no target, no neighbourhood. 6: closed before it
# was opened, hence open. 7: target not after open.
CASES = """
1,03/07/2015 12:00:00 PM,03/08/2015 12:00:00 PM,03/08/2015 11:59:59 AM,B,PW,Back Bay,42.3,-71.0,Twitter,ONTIME
2,03/10/2015 12:00:00 PM,03/10/2015 01:00:00 PM,03/10/2015 01:00:01 PM,A,PW,Back Bay,42.3,-71.0,Self Service,OVERDUE
3,03/10/2015 12:00:00 PM,03/10/2015 01:00:00 PM,,A,PW,Back Bay,42.3,-71.0,Unheard Of,OVERDUE
4,03/10/2015 12:00:00 PM,03/31/2015 12:00:00 PM,,A,PW,Roxbury,42.3,-71.0,Self Service,ONTIME
5,03/10/2015 12:00:00 PM,,03/31/2015 12:00:00 PM,A,PW,,42.3,-71.0,Self Service,
6,03/10/2015 12:00:00 PM,,03/10/2015 11:00:00 AM,A,,Roxbury,42.3,-71.0,Self Service,ONTIME
7,03/10/2015 12:00:00 PM,03/10/2015 12:00:00 PM,03/10/2015 12:00:00 PM,A,PW,Roxbury,42.3,-71.0,Self Service,OVERDUE
""".strip()

# A repeated time (the last counts), a step back, and a value that is none.
SERIES = """
2014-04-01 00:00:00,1
2014-04-01 00:05:00,2
2014-04-01 00:05:00,4
2014-04-01 00:01:30,10
2014-04-01 00:06:00,nan
""".strip()

MARCH_31_NOON = 1_427_817_600_000  # 16:00 UTC


class Scripts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.data = self.root / "data"
        for name, header, rows in (
            ("austin_buses/2016-11-24.csv.gz", BUS_HEADER, BUSES),
            ("boston_311/cases_2015_q1.csv.gz", CASE_HEADER, CASES),
        ):
            path = self.data / name
            path.parent.mkdir(parents=True)
            path.write_bytes(gzip.compress(f"{header}\n{rows}\n".encode()))
        path = self.data / "nab/realTraffic/speed_1.csv"
        path.parent.mkdir(parents=True)
        path.write_text(f"timestamp,value\n{SERIES}\n")
        convert.main([str(self.data), str(self.root)])
        expect.main([str(self.data), str(self.root / "expected")])

    def expected(self, name):
        return json.loads((self.root / "expected" / f"{name}.json").read_text())

    def converted(self, name):
        return [json.loads(line) for line in (self.root / name).read_text().splitlines()]

    def test_buses_are_judged_by_their_neighbours(self):
        expected = self.expected("austin")
        midnight = 1_479_967_200_000
        self.assertEqual(expected["jumps"], [["a", midnight + 60_000], ["b", midnight + 60_000]])
        self.assertEqual(expected["tick"], midnight + 12 * 60_000)
        vehicles = expected["vehicles"]
        self.assertEqual((vehicles["a"]["lat"], vehicles["a"]["ts"]), (30.0, midnight + 120_000))
        self.assertEqual((vehicles["b"]["lat"], vehicles["b"]["state"]), (31.001, "driving"))
        # Ten minutes to the ms is not yet offline; twelve are.
        self.assertEqual((vehicles["a"]["state"], vehicles["c"]["state"]), ("stopped", "offline"))
        self.assertEqual((vehicles["c"]["lat"], expected["duplicates"]), (30.1, 1))

    def test_buses_in_order_of_time_are_the_same_records(self):
        by_file = self.converted("austin_file_order/positions.ndjson")
        by_time = self.converted("austin_time_order/positions.ndjson")
        self.assertEqual([record["ts"] for record in by_time], sorted(record["ts"] for record in by_file))
        self.assertEqual([r["lat"] for r in by_time if r["vehicle_id"] == "c"], [30.0, 30.1])
        self.assertEqual(by_file[1]["speed"], 36.0)

    def test_cases_are_counted_where_they_are(self):
        expected = self.expected("boston")
        self.assertEqual(expected["tick"], MARCH_31_NOON)
        counts = ("reported", "open", "overdue", "closed", "closed_overdue")
        rates = {place: [rate[count] for count in counts] for place, rate in expected["rates"].items()}
        self.assertEqual(
            rates,
            {
                "district/Back Bay": [3, 1, 1, 2, 1],
                "district/Roxbury": [3, 2, 0, 1, 0],
                "district/unknown": [1, 0, 0, 1, 0],
                "city/city": [7, 3, 1, 4, 1],
            },
        )
        self.assertEqual(expected["odd"]["closed before open"], 1)
        self.assertEqual(expected["late"], {"Back Bay": {"2015-03": 2}})
        # Case 1 ends in the last second of its day in the city, case 3 begins with the day.
        self.assertEqual(expected["backlog"]["Back Bay"], {"2015-03-08": 0, "2015-03-11": 1})
        said = [expected["cases"][case]["said_overdue"] for case in "1234567"]
        self.assertEqual(said, [False, True, True, False, None, False, None])

    def test_local_time_becomes_utc_in_both_scripts(self):
        for text in ("03/08/2015 01:59:59 AM", "03/08/2015 03:00:00 AM", "11/01/2015 12:59:59 AM",
                     "11/01/2015 02:00:00 AM", "12/31/2015 12:00:00 PM", "07/04/2016 12:00:00 AM",
                     # An hour that never comes, and one that comes twice.
                     "03/08/2015 02:30:00 AM", "11/01/2015 01:30:00 AM"):
            self.assertEqual(convert.boston_ms(text), expect.boston(text), text)
        self.assertEqual(expect.boston("03/31/2015 12:00:00 PM"), MARCH_31_NOON)

    def test_a_case_has_its_events_and_its_limit(self):
        events = [event for event in self.converted("boston/cases.ndjson") if event["case_id"] == "1"]
        self.assertEqual([event["event"] for event in events], ["reported", "dispatched", "closed"])
        # Noon to noon over the change of clocks is 23 hours.
        self.assertEqual(events[1]["limit"], {"amount": 23.0, "unit": "urgent_hour"})
        self.assertEqual((events[0]["class"], events[0]["source"]), ("event:0002", "public_app"))
        dispatched = [e for e in self.converted("boston/cases.ndjson") if e["event"] == "dispatched"]
        limits = {event["case_id"]: "limit" in event for event in dispatched}
        self.assertEqual(limits, {"1": True, "2": True, "3": True, "4": True, "5": False, "6": False, "7": False})

    def test_every_file_of_boston_is_converted_alone_if_asked(self):
        row = "8,04/01/2015 12:00:00 PM,,,C,PW,Roxbury,,,Twitter,ONTIME"
        (self.data / "boston_311/later.csv").write_text(f"{CASE_HEADER}\n{row}\n")
        convert.main([str(self.data), str(self.root / "again"), "boston"])
        self.assertEqual([path.name for path in (self.root / "again").iterdir()], ["boston"])
        cases = {event["case_id"]: event for event in self.converted("again/boston/cases.ndjson")[::-1]}
        self.assertEqual(sorted(cases), list("12345678"))
        self.assertEqual((cases["8"]["class"], "lon" in cases["8"], "lon" in cases["1"]), ("event:0003", False, True))
        expect.main([str(self.data), str(self.root / "expected")])
        self.assertEqual(self.expected("boston")["rates"]["city/city"]["reported"], 8)

    def test_windows_hold_the_last_reading_of_each_time(self):
        expected = self.expected("nab")
        start = 1_396_310_400_000
        minute = 60_000
        windows = {(w[0] - start) // minute: w[1:] for w in expected["windows"]["speed_1"]}
        # 0:00 has 1, 1:30 has 10, 5:00 has 4.
        self.assertEqual(
            windows,
            {
                -4: [1, 1.0, 1.0, 1.0], -3: [2, 5.5, 1.0, 10.0], -2: [2, 5.5, 1.0, 10.0], -1: [2, 5.5, 1.0, 10.0],
                0: [2, 5.5, 1.0, 10.0], 1: [2, 7.0, 4.0, 10.0], 2: [1, 4.0, 4.0, 4.0], 3: [1, 4.0, 4.0, 4.0],
                4: [1, 4.0, 4.0, 4.0], 5: [1, 4.0, 4.0, 4.0],
            },
        )
        self.assertEqual((expected["duplicates"], expected["refused"]), (1, 1))
        self.assertEqual(expected["sensors"]["speed_1"]["value"], 4.0)
        by_time = [record["value"] for record in self.converted("nab_time_order/telemetry.ndjson")]
        self.assertEqual(by_time, [1.0, 2.0, 4.0, 10.0, "nan"])

    def check(self, name, views):
        """The exit code and the text of check.py on these views."""
        out = self.root / "out"
        out.mkdir(exist_ok=True)
        for view, rows in views.items():
            (out / f"{view}.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))
        check.failures = 0
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            code = check.main([str(out), str(self.root / "expected" / f"{name}.json")])
        return code, text.getvalue()

    def right_cases(self):
        expected = self.expected("boston")
        rates = []
        for key, counts in expected["rates"].items():
            scope, _, place = key.partition("/")
            within = expected["closed_within"].get(place, [0, 0, 0, 0])
            within = dict(zip(("closed_in_1d", "closed_in_3d", "closed_in_7d", "closed_in_30d"), within))
            rates.append({"scope": scope, "id": place, "period": "all", "kind": "all", **counts, **within})
        for place, days in expected["backlog"].items():
            before = 0
            for day, n in days.items():
                flow = {"reported": max(n - before, 0) + 1, "ended": max(before - n, 0) + 1}
                rates.append({"scope": "district", "id": place, "period": day, "kind": "day", **flow})
                before = n
        for place, months in expected["late"].items():
            for month, n in months.items():
                late = {"handled_overdue": n, "overdue": 0}
                rates.append({"scope": "district", "id": place, "period": month, "kind": "month", **late})
        cases = [
            {"case_id": case, **{**row, "district": None if row["district"] == "unknown" else row["district"]}}
            for case, row in expected["cases"].items()
        ]
        health = [{"stream": "cases", "duplicates": 0, "rejected": 0}]
        return {"case_rates": rates, "cases": cases, "rejects": [], "stream_health": health}

    def test_the_check_passes_what_is_right(self):
        code, text = self.check("boston", self.right_cases())
        self.assertEqual(code, 0, text)

    def test_the_check_names_what_is_wrong(self):
        def spoil(change, part):
            views = self.right_cases()
            change(views)
            code, text = self.check("boston", views)
            self.assertEqual(code, 1)
            self.assertIn(part, text)

        spoil(lambda views: views["case_rates"][0].update(overdue=7), "found {'overdue': 7}")
        spoil(lambda views: views["cases"].pop(), "7: missing")
        spoil(lambda views: views["cases"].append({**views["cases"][0], "case_id": "8"}), "8: not expected")
        spoil(lambda views: views["cases"].append(views["cases"][0]), "one row per case_id")
        spoil(lambda views: views["cases"][2].update(overdue=False), "3: expected {'overdue': True}")
        spoil(lambda views: views["cases"][2].update(overdue=False), "3: the city says True")
        spoil(lambda views: views["cases"][1].update(deadline_ts=None), "deadline_ts")
        spoil(lambda views: views["stream_health"][0].update(duplicates=1), "duplicates of cases")

    def test_the_check_compares_buses(self):
        expected = self.expected("austin")
        vehicles = [
            {"vehicle_id": name, "fleet": "capmetro", "district": "austin", **row}
            for name, row in expected["vehicles"].items()
        ]
        rejects = [
            {"reason": "implausible_jump: too fast", "ts": ts, "payload": json.dumps({"vehicle_id": vehicle})}
            for vehicle, ts in expected["jumps"]
        ]
        health = [{"stream": "positions", "duplicates": 1, "rejected": 2}]
        right = {"vehicles": vehicles, "rejects": rejects, "stream_health": health}
        code, text = self.check("austin", right)
        self.assertEqual(code, 0, text)
        code, text = self.check("austin", {**right, "rejects": rejects[1:]})
        self.assertEqual(code, 1)
        self.assertIn("not rejected", text)
        vehicles[0]["lat"] += 1e-5
        code, text = self.check("austin", {**right, "vehicles": vehicles})
        self.assertEqual(code, 1)
        self.assertIn("a: expected {'lat'", text)

    def test_the_check_compares_windows(self):
        expected = self.expected("nab")
        windows = [
            {"kind": "realTraffic", "metric": "value", "district": "speed_1", "window_start": start, "count": count,
             "mean": mean, "min": low, "max": high}
            for start, count, mean, low, high in expected["windows"]["speed_1"]
        ]
        sensors = [{"sensor_id": "speed_1", "metric": "value", **expected["sensors"]["speed_1"]}]
        health = [{"stream": "telemetry", "duplicates": 1, "rejected": 1}]
        right = {"sensors": sensors, "sensor_windows": windows, "stream_health": health}
        code, text = self.check("nab", right)
        self.assertEqual(code, 0, text)
        code, text = self.check("nab", {**right, "sensor_windows": windows[1:]})
        self.assertEqual(code, 1)
        self.assertIn("missing", text)
        windows[3]["mean"] = 5.6
        code, text = self.check("nab", {**right, "sensor_windows": windows})
        self.assertEqual(code, 1)
        self.assertIn("'mean': 5.6", text)


if __name__ == "__main__":
    unittest.main()
