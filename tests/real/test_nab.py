"""The arithmetic of the benchmark's score."""

import json
import pathlib
import tempfile
import unittest

import nab


class Score(unittest.TestCase):
    def test_a_window_is_hit_once_and_what_is_outside_is_false(self):
        windows = [(100, 200), (300, 400)]
        self.assertEqual(nab.score([50, 100, 150, 200, 250], windows, 2.0), (1, 2, 2, 2.0))

    def test_withdrawn_alerts_count_for_nothing(self):
        series = {"a/b.csv": ([(0, 1.0), (86_400_000, 2.0)], [(0, 10)])}
        alert = {"target": "a/b.csv", "rule": "unusual", "raised_ts": 5}
        alerts = [{**alert, "state": "cleared"}, {**alert, "raised_ts": 20, "state": "withdrawn"}]
        self.assertIn("| all | 1 | 1 | 1 | 0.00 | 0 | 0.00 |", nab.table(series, alerts))

    def test_settings_replace_fields_of_the_shipped_rule(self):
        rule = nab.shipped_rule({"above": 8.0, "days": 7.0})
        self.assertEqual((rule["above"], rule["signal"]["deviation"]["days"], rule["clear"]), (8.0, 7.0, 5))

    def test_a_series_becomes_a_sensor(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            series = {"a/b.csv": ([(0, 1.0), (1000, 3.0)], [])}
            nab.write(series, nab.shipped_rule({}), folder)
            records = [json.loads(line) for line in (folder / "reference.ndjson").read_text().splitlines()]
            self.assertEqual([record["id"] for record in records], ["unusual", "a/b.csv", "high a/b.csv", "low a/b.csv"])
            self.assertEqual((records[2]["above"], records[3]["below"]), (5.0, -1.0))
            self.assertEqual(len((folder / "telemetry.ndjson").read_text().splitlines()), 2)


if __name__ == "__main__":
    unittest.main()
