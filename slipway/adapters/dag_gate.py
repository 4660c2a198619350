"""The DAG import gate: a release's DAG files parsed by the Airflow they will run on, before anything is touched."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from slipway.adapters import dag_parser
from slipway.adapters.process import run
from slipway.documents import Document
from slipway.errors import StepFailed

_START_S = 60  # seconds Airflow itself may take to import
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")  # nothing else: a DAG must read the same wherever it is deployed from


class ParsedDag(Document):
    """One DAG as Airflow read it."""

    file: str  # below the dags folder
    tasks: int
    schedule: str


class DagProblem(Document):
    """What is wrong with one DAG file."""

    file: str  # below the dags folder; "." is the folder itself
    kind: str  # as dag_parser lists them
    message: str


class GateReport(Document):
    """Every DAG found, by id, and everything wrong."""

    files: int
    dags: dict[str, ParsedDag]
    problems: tuple[DagProblem, ...]


def check(folder: Path, *, airflow_python: Path, version_file: Path, timeout_s: float) -> GateReport:
    """Return what Airflow makes of the DAG files in `folder`.

    Args:
        airflow_python: the interpreter of the Airflow environment.
        version_file: the `version.json` the DAGs read their settings from.
        timeout_s: seconds one file may take.

    Raises:
        StepFailed: the parser itself did not give a report.
    """
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    files = sum(1 for _ in folder.rglob("*.py"))
    with tempfile.TemporaryDirectory(prefix="slipway-gate-") as home:
        report = Path(home) / "report.json"
        code, printed = run(
            [
                str(airflow_python),
                *("-P", dag_parser.__file__, str(folder)),
                *("--timeout", str(timeout_s), "--report", str(report)),
            ],
            environment={**inherited, "SLIPWAY_VERSION_FILE": str(version_file), "AIRFLOW_HOME": home},
            on_line=lambda line: None,
            timeout_s=_START_S + timeout_s * max(files, 1),
        )
        if code or not report.exists():
            raise StepFailed("the DAG files could not be parsed:\n" + "\n".join(printed[-10:]), fix="./nox -s dags")
        return GateReport.from_bytes(report.read_bytes(), origin="the report of the DAG files")
