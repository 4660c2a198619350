"""How fast delivered files are judged: `.venv/bin/python -m benchmarks.inspection [ROWS]`, two million by default.

Three settlement files: a sound one, one with a faulty line at its end, one with a faulty line in a hundred. The same
rules stated row by row, with the csv module, judge the sound one too: what it would cost to make objects of all lines.
Each runs in a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import csv
import io
import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "dags"))

from etl import catalog, inspection
from etl.dataset import Tolerance, Type

RESULT = Path(__file__).parents[1] / ".build" / "bench-inspection.json"
GOAL_RATIO = 1.5  # times as fast as row by row, at the least
DATASET = replace(
    catalog.SETTLEMENT_FILES,
    source=replace(catalog.SETTLEMENT_FILES.drop, tolerance=Tolerance(faulty_percent=5)),
)


def content(rows: int, *, faulty: frozenset[int] | range) -> bytes:
    """Return a settlement file of so many lines, those at `faulty` with an amount that is none."""
    lines = (
        f"visa,2026-03-01,VISA-20260301-{n % 3},T{n:09d},{'ten' if n in faulty else f'{n % 900}.{n % 100:02d}'},"
        "0.05,9.95,EUR"
        for n in range(rows)
    )
    return "\n".join([DATASET.header, *lines, ""]).encode()


def by_column(body: bytes) -> tuple[int, Decimal]:
    found = inspection.inspect(body, dataset=DATASET, name="f.csv")
    assert not found.whole
    return found.rows, found.amount or Decimal(0)


def by_row(body: bytes) -> tuple[int, Decimal]:
    """The rules of the inspection, line by line."""
    forms = [
        None if column.type is Type.TEXT else re.compile(inspection._FORMS[column.type][0])
        for column in DATASET.columns
    ]
    keys: set[tuple[str, ...]] = set()
    total = Decimal("0.00")
    for line in csv.reader(io.StringIO(body.decode(), newline="")):
        if line == DATASET.header.split(","):
            continue
        assert len(line) == len(forms)
        for value, form, column in zip(line, forms, DATASET.columns, strict=True):
            assert value
            assert form is None or form.fullmatch(value)
            assert column.length is None or len(value) <= column.length
        key = (line[0], line[2], line[3])
        assert key not in keys
        keys.add(key)
        total += Decimal(line[4])
    return len(keys), total


CASES: dict[str, tuple[Callable[[bytes], tuple[int, Decimal]], Callable[[int], frozenset[int] | range]]] = {
    "sound, by column": (by_column, lambda rows: frozenset()),
    "faulty at the end, by column": (by_column, lambda rows: frozenset({rows - 1})),
    "one in a hundred faulty, by column": (by_column, lambda rows: range(0, rows, 100)),
    "sound, row by row": (by_row, lambda rows: frozenset()),
}


def measure(case: str, rows: int) -> dict[str, float]:
    """Return seconds, lines a second and peak megabytes beyond the file itself, of one case, in this process."""
    judge, faulty = CASES[case]
    body = content(rows, faulty=faulty(rows))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    counted, _ = judge(body)
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert counted == rows - len(faulty(rows))
    return {"cpu_seconds": round(seconds, 2), "lines_a_second": round(rows / seconds), "peak_mb": round(peak / 1024)}


def main(rows: int) -> int:
    """Print the figures and return 0, or 1 when judging by column is not GOAL_RATIO times as fast as row by row."""
    found = {}
    for case in CASES:
        command = [sys.executable, "-m", "benchmarks.inspection", str(rows), case]
        found[case] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        figures = found[case]
        print(
            f"{case:36} {figures['cpu_seconds']:6.2f} s of processor, {figures['lines_a_second']:>9,} lines/s, "
            f"{figures['peak_mb']:,} MB beyond the file"
        )
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"rows": rows, "cases": found}, indent=1))
    ratio = found["sound, by column"]["lines_a_second"] / found["sound, row by row"]["lines_a_second"]
    print(f"{rows:,} lines by column: {ratio:.1f} times as fast as row by row (goal {GOAL_RATIO})")
    return 0 if ratio >= GOAL_RATIO else 1


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(json.dumps(measure(sys.argv[2], int(sys.argv[1]))))
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000))
