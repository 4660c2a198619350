"""The faults of `faults.toml`, run: `python -m tests.fault` runs every test that injects one and prints a row for each.

A fault counts as withstood when all of its tests passed; one without tests is open, with its reason.
"""

from __future__ import annotations

import json
import sys
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

TABLE = Path(__file__).with_name("faults.toml")
RESULT = Path(__file__).parents[1] / ".build" / "faults.json"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One row: the tests that inject the fault, or why it is open."""

    id: str
    fault: str
    tests: tuple[str, ...] = ()
    open: str | None = None


def faults() -> tuple[Fault, ...]:
    """Return every row of the table."""
    content = tomllib.loads(TABLE.read_text())
    return tuple(
        Fault(id=name, fault=row["fault"], tests=tuple(row.get("tests", ())), open=row.get("open"))
        for name, row in content.items()
    )


class Outcomes:
    """Collects how tests ended, the cases of one test together."""

    def __init__(self) -> None:
        self.worst: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = report.nodeid.partition("[")[0]
        if report.outcome != "passed":
            self.worst[test] = report.outcome  # a skipped test has withstood nothing
        elif report.when == "call":
            self.worst.setdefault(test, "passed")


def place(test: str) -> tuple[str, int]:
    """Return where a test stands, as file and position in it: the tests of one house build on each other."""
    file, _, name = test.partition("::")
    return file, (TABLE.parents[1] / file).read_text().index(f"def {name}(")


def main(arguments: list[str]) -> int:
    """Run the tests of every fault, print the table, keep it as JSON, and return 0 when all of them passed."""
    table, outcomes = faults(), Outcomes()
    tests = sorted({test for fault in table for test in fault.tests}, key=place)
    code = pytest.main(["-q", "-n0", *arguments, *tests], plugins=[outcomes])
    rows = []
    for fault in table:
        states = [outcomes.worst.get(test, "not run") for test in fault.tests]
        state = "open" if not states else "withstood" if set(states) == {"passed"} else "NOT WITHSTOOD"
        rows.append({**asdict(fault), "state": state})
        sys.stdout.write(f"{fault.id}  {state:<13} {fault.fault}" + (f": {fault.open}" if fault.open else "") + "\n")
    withstood = sum(row["state"] == "withstood" for row in rows)
    still_open = sum(row["state"] == "open" for row in rows)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"faults": rows}, indent=2) + "\n")
    sys.stdout.write(f"FAULTS: {withstood}/{len(rows) - still_open} withstood, {still_open} of {len(rows)} open\n")
    return int(code) or int(withstood + still_open != len(rows))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
