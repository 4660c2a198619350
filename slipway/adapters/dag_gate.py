"""The DAG import gate: a release's DAG files parsed by the Airflow they will run on, before anything is touched."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from slipway.adapters import dag_parser
from slipway.adapters.process import run
from slipway.adapters.surroundings import without_aws
from slipway.documents import Document
from slipway.errors import StepFailed

_START_S = 60  # seconds Airflow itself may take to import


class ParsedDag(Document):
    """One DAG as Airflow read it."""

    file: str  # below the dags folder
    tasks: int
    schedule: str


class DagProblem(Document):
    """What is wrong with one DAG file."""

    file: str
    kind: str  # import, hang, died, unstable, duplicate, pool, empty
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
    printed: list[str] = []
    environment = {
        **without_aws(os.environ),
        "SLIPWAY_VERSION_FILE": str(version_file),
        "AIRFLOW_HOME": str(version_file.parent / "airflow-home"),
    }
    files = sum(1 for _ in folder.rglob("*.py"))
    code, _ = run(
        [str(airflow_python), "-P", dag_parser.__file__, str(folder), "--timeout", str(timeout_s)],
        environment=environment,
        on_line=printed.append,
        timeout_s=_START_S + timeout_s * max(files, 1),
    )
    report = next((found for line in reversed(printed) if (found := _report(line)) is not None), None)
    if code or report is None:
        raise StepFailed("the DAG files could not be parsed:\n" + "\n".join(printed[-10:]), fix="./nox -s dags")
    return report


def _report(line: str) -> GateReport | None:
    try:
        content: Any = json.loads(line)
    except ValueError:
        return None
    return GateReport.model_validate(content) if isinstance(content, dict) and "problems" in content else None
