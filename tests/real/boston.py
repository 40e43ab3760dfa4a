#!/usr/bin/env python3
"""Boston's service requests through the case stream: what the engine says beside what DuckDB says.

    boston.py CHENGMAI DATA WORK [--utc-offset-min -300] [--workers 1]

CHENGMAI is the binary, DATA the folder of the data sets, of which every CSV file in boston_311 is taken, WORK a folder for
what is made on the way. DuckDB reads the original files (boston.sql); convert.py makes the events that the engine gets. All
numbers are compared as the integers they are. Ends with 77, and says so, where the data or DuckDB are missing.

The engine's days have one length: they are Boston's by standard time, all year, unless told otherwise.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections import defaultdict
from itertools import accumulate
from pathlib import Path

import check

HERE = Path(__file__).resolve().parent
MISSING = 77
REPLAY_TIMEOUT_S = 900
WITHIN = ("closed_in_1d", "closed_in_3d", "closed_in_7d", "closed_in_30d")
LATE = ("overdue", "handled_overdue", "closed_overdue")


def ask(duckdb, files, utc_offset_min):
    """The answers of DuckDB: by their names, from key to integers."""
    db = duckdb.connect()
    db.execute("SET VARIABLE files = ?", [[str(path) for path in files]])
    db.execute("SET VARIABLE utc_offset_min = ?", [utc_offset_min])
    db.execute((HERE / "boston.sql").read_text(encoding="utf-8"))

    def table(columns, source, keys):
        return {row[:keys]: row[keys:] for row in db.execute(f"SELECT {columns} FROM {source}").fetchall()}

    twice = db.execute("SELECT case_id FROM requests GROUP BY ALL HAVING count(*) > 1").fetchall()
    if twice:
        raise SystemExit(f"{len(twice)} cases come twice with different times: {twice[0][0]} is one of them")
    return {
        "until": db.execute("SELECT getvariable('until')").fetchone()[0],
        "cases": table("case_id, place, opened, deadline, closed, late", "requests", 1),
        "backlog": table("scope, id, day, open", "backlog", 3),
        "shares": table(f"scope, id, reported, {', '.join(WITHIN)}", "shares", 2),
        "overdue": table(f"scope, id, month, {', '.join(LATE)}", "overdue", 3),
    }


def replay(binary, work, utc_offset_min, workers):
    """The last tick; the views are in WORK/output."""
    shutil.rmtree(work / "output", ignore_errors=True)
    command = [binary, "replay", "--input", work / "input" / "boston", "--output", work / "output"]
    command += ["--views", "cases,case_rates,rejects", "--workers", workers]
    command += ["--set", f"engine.utc_offset_min={utc_offset_min}"]
    done = subprocess.run(
        list(map(str, command)), stdout=subprocess.PIPE, text=True, timeout=REPLAY_TIMEOUT_S, check=True
    )
    return json.loads(done.stdout.strip().splitlines()[-1])["last_tick"]


def backlog(rates, days):
    """By scope, id and day: what was reported less what ended, up to there. A day without a row moved nothing."""
    moves = defaultdict(lambda: defaultdict(int))
    for row in rates:
        if row["kind"] == "day" and row["reported"] != row["ended"]:
            moves[row["scope"], row["id"]][row["period"]] = row["reported"] - row["ended"]
        elif row["kind"] == "all":
            moves[row["scope"], row["id"]]
    found = {}
    for (scope, name), of_day in moves.items():
        # A day beyond those asked for stays in, so that it is found to be one too many.
        all_days = sorted(days | of_day.keys())
        open_at_end = accumulate(of_day[day] for day in all_days)
        found.update({(scope, name, day): (n,) for day, n in zip(all_days, open_at_end)})
    return found


def shares(rates):
    counts = ("reported", *WITHIN)
    return {(row["scope"], row["id"]): tuple(row[c] for c in counts) for row in rates if row["kind"] == "all"}


def overdue(rates):
    months = {
        (row["scope"], row["id"], row["period"]): tuple(row[count] for count in LATE)
        for row in rates
        if row["kind"] == "month"
    }
    return {key: counts for key, counts in months.items() if any(counts)}


def compare(what, expected, found):
    """Two tables that must be the same; their numbers of rows are shown."""
    differences = [
        f"{'/'.join(key)}: expected {expected.get(key, 'nothing')}, found {found.get(key, 'nothing')}"
        for key in sorted(expected.keys() | found.keys())
        if expected.get(key) != found.get(key)
    ]
    check.report(what, len(expected), len(found), differences)


def compare_all(expected, out):
    rates = [row for row in check.view(out, "case_rates") if row["scope"] in ("city", "district")]
    cases = {
        (row["case_id"],): (
            row["district"] or "unknown", row["opened_ts"], row["deadline_ts"], row["closed_ts"], row["overdue"],
        )
        for row in check.view(out, "cases")
    }
    check.report("rejects", 0, len(check.view(out, "rejects")))
    compare("cases: times, deadline and overdue of each", expected["cases"], cases)
    days = {day for *_, day in expected["backlog"]}
    compare("case_rates: backlog by neighbourhood and day", expected["backlog"], backlog(rates, days))
    compare("case_rates: closed in 1, 3, 7, 30 d of reported", expected["shares"], shares(rates))
    compare("case_rates: overdue by neighbourhood and month", expected["overdue"], overdue(rates))
    total, *closed = expected["shares"]["city", "city"]
    late = [counts for (scope, *_), counts in expected["overdue"].items() if scope == "city"]
    print(f"     {total} requests, {expected['backlog']['city', 'city', max(days)][0]} open at the end")
    print("     closed within 1, 3, 7, 30 days:", ", ".join(f"{100 * n / total:.2f} %" for n in closed))
    print(f"     overdue: {sum(counts[0] for counts in late)} open, {sum(counts[1] for counts in late)} closed")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chengmai", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--utc-offset-min", type=int, default=-300)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    files = sorted((arguments.data / "boston_311").glob("*.csv*"))
    if not files:
        print(f"SKIPPED: no CSV file in {arguments.data / 'boston_311'}: BOSTON WAS NOT CHECKED", file=sys.stderr)
        return MISSING
    try:
        import duckdb
    except ImportError as error:
        print(f"SKIPPED: {error}: BOSTON WAS NOT CHECKED WITH DUCKDB", file=sys.stderr)
        return MISSING
    expected = ask(duckdb, files, arguments.utc_offset_min)
    work = arguments.work
    subprocess.run(
        [sys.executable, str(HERE / "convert.py"), str(arguments.data), str(work / "input"), "boston"], check=True
    )
    last_tick = replay(arguments.chengmai, work, arguments.utc_offset_min, arguments.workers)
    check.report("last tick", expected["until"], last_tick)
    compare_all(expected, work / "output")
    print(f"{check.failures} wrong" if check.failures else f"all agree with DuckDB {duckdb.__version__}")
    return 1 if check.failures else 0


if __name__ == "__main__":
    sys.exit(main())
