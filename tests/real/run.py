#!/usr/bin/env python3
"""The engine on real data: convert, replay, compare.

    run.py CHENGMAI DATA WORK [--workers 1,2,3] [--sets austin,boston,nab]

CHENGMAI is the binary, DATA the folder of the data sets, WORK a folder for everything made on the way. Each folder of
convert.py is replayed once per number of workers. All outputs of one data set must be equal byte for byte, whatever
the number of workers and whatever the order of the file, and must agree with expect.py (see check.py).

Ends with 77 where the data are not at hand: they are not part of this project.
"""

import argparse
import filecmp
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Data set, and the folders whose replays must say the same.
SETS = {
    "austin": ["austin_time_order", "austin_file_order"],
    "boston": ["boston"],
    "nab": ["nab_time_order", "nab_file_order"],
}
# These views of a data set speak of places in the file, or of the ticks at which something was said: they differ with
# the order of the file, but not with the number of workers.
OF_THE_LOG = {
    "austin": set(),
    # An alert keeps the id and the revisions that its history gave it, an incident names its alerts, and a score says
    # which of its versions was published last.
    "nab": {
        f"{view}.ndjson"
        for view in ("rejects", "alerts", "shadow_alerts", "incidents", "scores", "score_versions")
    },
}
REPLAY_TIMEOUT_S = 600
MISSING = 77


def python(script, *arguments):
    subprocess.run([sys.executable, str(HERE / script), *map(str, arguments)], check=True)


def replay(binary, folder, out, workers):
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    command = [binary, "replay", "--input", folder, "--output", out, "--workers", workers]
    done = subprocess.run(
        list(map(str, command)), stdout=subprocess.PIPE, text=True, timeout=REPLAY_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        print(f"BAD  replay of {folder.name} with {workers} workers ended with {done.returncode}")
        return False
    summary = done.stdout.strip().splitlines()[-1]
    print(f"     {folder.name}, {workers} workers: {summary}")
    (out / "summary.json").write_text(summary, encoding="utf-8")
    return True


def equal(first, other, skip):
    """Whether two outputs have the same files with the same bytes."""
    skip = skip | {"summary.json"}
    names = [{path.name for path in folder.iterdir()} - skip for folder in (first, other)]
    wrong = sorted(names[0] ^ names[1])
    wrong += [name for name in sorted(names[0] & names[1]) if not filecmp.cmp(first / name, other / name, False)]
    but = f": not {', '.join(wrong)}" if wrong else ""
    print(f"{'BAD' if wrong else 'ok '}  {other.name} equals {first.name}{but}")
    return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chengmai", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--workers", default="1,2,3")
    parser.add_argument("--sets", default=",".join(SETS))
    arguments = parser.parse_args()
    missing = [name for name in ("austin_buses", "boston_311", "nab") if not (arguments.data / name).is_dir()]
    if missing:
        what = ", ".join(missing)
        print(f"SKIPPED: no {what} in {arguments.data}: NOTHING WAS CHECKED ON REAL DATA", file=sys.stderr)
        return MISSING
    work = arguments.work
    python("convert.py", arguments.data, work / "input")
    python("expect.py", arguments.data, work / "expected")
    good = True
    for name in arguments.sets.split(","):
        folders = SETS[name]
        print(f"--- {name}")
        first = None
        for folder in folders:
            first_of_folder = None
            for workers in arguments.workers.split(","):
                out = work / "output" / f"{folder}_w{workers}"
                if not replay(arguments.chengmai, work / "input" / folder, out, workers):
                    good = False
                    continue
                if first_of_folder is not None:
                    good &= equal(first_of_folder, out, set())
                elif first is not None:
                    good &= equal(first, out, OF_THE_LOG[name])
                first_of_folder = first_of_folder or out
                first = first or out
            if first_of_folder is not None:
                expected = work / "expected" / f"{name}.json"
                checked = subprocess.run(
                    [sys.executable, str(HERE / "check.py"), str(first_of_folder), str(expected)], check=False
                )
                good &= checked.returncode == 0
    print("all agree" if good else "something differs")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
