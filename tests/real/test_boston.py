"""What is read out of the engine's rows to be compared with DuckDB."""

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path

import boston
import check

NONE = {"reported": 0, "ended": 0, **dict.fromkeys(boston.LATE + boston.WITHIN, 0)}
# Two cases of the Back Bay. One is open and has been overdue since 1 April; the other was closed late after two days.
RATES = [
    {**NONE, "kind": "day", "period": "2015-03-30", "reported": 2},
    {**NONE, "kind": "day", "period": "2015-04-01", "ended": 1, "overdue": 1, "handled_overdue": 1, "closed_overdue": 1},
    {**NONE, "kind": "month", "period": "2015-03", "reported": 2},
    {**NONE, "kind": "month", "period": "2015-04", "ended": 1, "overdue": 1, "handled_overdue": 1, "closed_overdue": 1},
    {**NONE, "kind": "all", "period": "all", "reported": 2, "closed_in_3d": 1, "closed_in_7d": 1, "closed_in_30d": 1},
]
PLACES = (("city", "city"), ("district", "Back Bay"))
DAYS = {"2015-03-30": 2, "2015-03-31": 2, "2015-04-01": 1, "2015-04-02": 1}
EXPECTED = {
    "cases": {("1",): ("Back Bay", 10, 20, None, True), ("2",): ("Back Bay", 10, 20, 30, True)},
    "backlog": {(*place, day): (n,) for place in PLACES for day, n in DAYS.items()},
    "shares": {place: (2, 0, 1, 1, 1) for place in PLACES},
    "overdue": {(*place, "2015-04"): (1, 1, 1) for place in PLACES},
}


class Boston(unittest.TestCase):
    def compare(self, change=lambda rates: None):
        """The text, and how many questions have another answer when `change` was made to the rates."""
        rates = [{"scope": scope, "id": name, **row} for scope, name in PLACES for row in RATES]
        change(rates)
        cases = [
            {"case_id": "1", "district": "Back Bay", "opened_ts": 10, "deadline_ts": 20, "closed_ts": None, "overdue": True},
            {"case_id": "2", "district": "Back Bay", "opened_ts": 10, "deadline_ts": 20, "closed_ts": 30, "overdue": True},
        ]
        check.failures = 0
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as text:
            for name, rows in (("case_rates", rates), ("cases", cases), ("rejects", [])):
                lines = "".join(json.dumps(row) + "\n" for row in rows)
                (Path(folder) / f"{name}.ndjson").write_text(lines)
            boston.compare_all(EXPECTED, Path(folder))
        return text.getvalue(), check.failures

    def test_what_is_right_passes(self):
        text, wrong = self.compare()
        self.assertEqual(wrong, 0, text)
        self.assertIn("2 requests, 1 open at the end", text)
        self.assertIn("0.00 %, 50.00 %, 50.00 %, 50.00 %", text)
        self.assertIn("overdue: 1 open, 1 closed", text)

    def test_what_is_wrong_is_named(self):
        def spoil(change, *parts):
            text, wrong = self.compare(change)
            self.assertEqual(wrong, 1, text)
            for part in parts:
                self.assertIn(part, text)

        spoil(lambda rates: rates[0].update(reported=3), "city/city/2015-03-31: expected (2,), found (3,)")
        spoil(lambda rates: rates[3].update(overdue=0), "city/city/2015-04: expected (1, 1, 1), found (0, 1, 1)")
        spoil(lambda rates: rates[4].update(closed_in_1d=1), "city/city: expected (2, 0, 1, 1, 1), found (2, 1, 1, 1, 1)")
        spoil(lambda rates: rates.pop(0), "city/city/2015-03-30: expected (2,), found (0,)")
        late = {**RATES[0], "scope": "city", "id": "city", "period": "2015-05-01"}
        spoil(lambda rates: rates.append(late), "city/city/2015-05-01: expected nothing, found (3,)")

    def test_a_place_where_nothing_moved_has_an_empty_backlog(self):
        rate = {**RATES[4], "scope": "district", "id": "Roxbury"}
        self.assertEqual(boston.backlog([rate], {"2015-03-30"}), {("district", "Roxbury", "2015-03-30"): (0,)})


if __name__ == "__main__":
    unittest.main()
