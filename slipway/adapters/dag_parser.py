"""Parses a folder of DAG files as Airflow would, and prints what it found as one JSON document.

Run by Airflow's own Python: it imports Airflow and the standard library, nothing of Slipway. Airflow is imported once;
each file is then parsed in a forked child of its own, so that a file that hangs, exits or crashes takes nothing with
it. No metadata database is needed, and reaching for one is an error of the file.

Output: {"files": N, "dags": {id: {"file", "tasks", "schedule"}}, "problems": [{"file", "kind", "message"}]}, where kind
is one of import, hang, died, unstable, duplicate, pool, empty.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import re
import select
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

NO_DATABASE = "sqlite:////nonexistent/slipway.db"
_OWN_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')


@dataclass
class Child:
    """One file being parsed in a process of its own."""

    pid: int
    file: str
    began: float
    output: bytearray = field(default_factory=bytearray)


def main() -> None:
    """Parse the command line's folder and print the report."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--timeout", type=float, required=True, help="seconds one file may take")
    arguments.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    chosen = arguments.parse_args()
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = NO_DATABASE
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "CRITICAL"
    results = sys.stdout.fileno()
    report_to = os.dup(results)
    os.dup2(sys.stderr.fileno(), results)  # what a DAG file prints must not mix with the report
    report = merge(parse_folder(chosen.folder.resolve(), timeout_s=chosen.timeout, jobs=chosen.jobs))
    with os.fdopen(report_to, "w") as stream:
        json.dump(report, stream)


def parse_folder(folder: Path, *, timeout_s: float, jobs: int) -> list[dict[str, Any]]:
    """Return what every DAG file of `folder` gave, at most `jobs` of them at a time."""
    sys.path.insert(0, str(folder))
    from airflow.dag_processing.importers import get_importer_registry

    waiting = sorted(Path(name) for name in get_importer_registry().list_dag_files(str(folder), safe_mode=True))
    _warm_up(waiting)
    running: dict[int, Child] = {}
    found: list[dict[str, Any]] = []
    while waiting or running:
        while waiting and len(running) < jobs:
            descriptor, child = _fork(waiting.pop(0), folder)
            running[descriptor] = child
        for descriptor in select.select(list(running), [], [], 0.05)[0]:
            child = running[descriptor]
            if chunk := os.read(descriptor, 1 << 16):
                child.output.extend(chunk)
                continue
            found.append(_collect(running.pop(descriptor), descriptor))
        for descriptor, child in list(running.items()):
            if time.monotonic() - child.began > timeout_s:
                del running[descriptor]
                os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)
                os.close(descriptor)
                found.append(_trouble(child.file, "hang", f"does not import within {timeout_s:.0f} s"))
    return sorted(found, key=lambda one: str(one["file"]))


def merge(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one report of the files' results; a DAG id that two files define is a problem of the second."""
    dags: dict[str, dict[str, Any]] = {}
    problems: list[dict[str, str]] = []
    for one in found:
        file = one["file"]
        problems += one["problems"]
        for dag_id, facts in one["dags"].items():
            if dag_id in dags:
                message = f"DAG id {dag_id!r} is also defined in {dags[dag_id]['file']}"
                problems.append({"file": file, "kind": "duplicate", "message": message})
            else:
                dags[dag_id] = {"file": file, **facts}
        if not one["dags"] and not one["problems"]:
            problems.append({"file": file, "kind": "empty", "message": "defines no DAG"})
    return {"files": len(found), "dags": dags, "problems": problems}


def parse_file(path: Path, folder: Path) -> dict[str, Any]:
    """Return the DAGs of one file and what is wrong with it. Parses twice: a DAG must be the same each time."""
    file = str(path.relative_to(folder))
    first, problems = _parse(path, folder)
    if not problems:
        second, _ = _parse(path, folder)
        problems += [
            {"file": file, "kind": "unstable", "message": f"DAG {dag_id!r} differs between two parses of the same file"}
            for dag_id, facts in first.items()
            if dag_id in second and second[dag_id]["hash"] != facts["hash"]
        ]
    shown = {dag_id: {"tasks": facts["tasks"], "schedule": facts["schedule"]} for dag_id, facts in first.items()}
    return {"file": file, "dags": shown, "problems": problems}


def _parse(path: Path, folder: Path) -> tuple[dict[str, dict[str, Any]], list[dict[str, str]]]:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import LazyDeserializedDAG

    file = str(path.relative_to(folder))
    bag = DagBag(str(path), bundle_path=folder, bundle_name="gate", collect_dags=False, known_pools={"default_pool"})
    bag.process_file(str(path), only_if_updated=False, safe_mode=True)
    problems = [
        {"file": file, "kind": "import", "message": _telling(error, folder)} for error in bag.import_errors.values()
    ]
    problems += [{"file": file, "kind": "pool", "message": warning.message} for warning in bag.dag_warnings]
    dags: dict[str, dict[str, Any]] = {}
    for dag_id, dag in bag.dags.items():
        try:
            serialised = LazyDeserializedDAG.from_dag(dag)
            dags[dag_id] = {"hash": serialised.hash, "tasks": len(dag.tasks), "schedule": str(dag.schedule)}
        except Exception as error:
            message = f"DAG {dag_id!r} cannot be serialised: {type(error).__name__}: {error}"
            problems.append({"file": file, "kind": "import", "message": message})
    return dags, problems


def _telling(error: str, folder: Path) -> str:
    """Return the last line of a traceback, with the innermost line of the folder's own code that it passed."""
    last = next((line.strip() for line in reversed(error.splitlines()) if line.strip()), "unknown error")
    own = [match for match in _OWN_FRAME.finditer(error) if match["file"].startswith(f"{folder}/")]
    if not own:
        return last
    place = f"{Path(own[-1]['file']).relative_to(folder)}:{own[-1]['line']}"
    return f"{last} ({place})"


def _fork(path: Path, folder: Path) -> tuple[int, Child]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return reader, Child(pid=pid, file=str(path.relative_to(folder)), began=time.monotonic())
    os.close(reader)
    try:
        result = parse_file(path, folder)
    except BaseException as error:
        lines = "".join(traceback.format_exception(error))
        result = _trouble(str(path.relative_to(folder)), "import", _telling(lines, folder))
    with os.fdopen(writer, "w") as stream:
        json.dump(result, stream)
    os._exit(0)


def _collect(child: Child, descriptor: int) -> dict[str, Any]:
    os.close(descriptor)
    _, status = os.waitpid(child.pid, 0)
    try:
        result: dict[str, Any] = json.loads(bytes(child.output))
    except ValueError:
        code = os.waitstatus_to_exitcode(status)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return _trouble(child.file, "died", f"ends the process that imports it ({how})")
    return result


def _trouble(file: str, kind: str, message: str) -> dict[str, Any]:
    return {"file": file, "dags": {}, "problems": [{"file": file, "kind": kind, "message": message}]}


def _warm_up(files: list[Path]) -> None:
    """Import here, once, what every child would import again; a failure shows in the child that needs it."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG

    for name in sorted(_airflow_modules(files)):
        with suppress(Exception):
            importlib.import_module(name)
    with DAG("warm_up", schedule="@daily", start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        from airflow.providers.standard.operators.empty import EmptyOperator

        EmptyOperator(task_id="nothing")
    _ = LazyDeserializedDAG.from_dag(dag).hash
    DagBag(os.devnull, collect_dags=False).bag_dag(dag)


def _airflow_modules(files: list[Path]) -> set[str]:
    names: set[str] = set()
    for file in files:
        with suppress(SyntaxError, OSError, ValueError):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module:
                    names.add(node.module)
                elif isinstance(node, ast.Import):
                    names.update(alias.name for alias in node.names)
    return {name for name in names if name.split(".")[0] == "airflow"}


if __name__ == "__main__":
    main()
