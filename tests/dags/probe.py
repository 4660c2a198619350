"""Parses a folder of DAG files with Airflow's own DagBag, and prints what was found as one JSON document.

Run by Airflow's own Python, in a process of its own: `python probe.py <folder>`. Any attempt to look up a host or to
open a connection while a file is imported is noted, by an audit hook of the interpreter.

Output: {"errors": {file: text}, "dags": {id: facts}, "network": [event], "modules": [name], "seconds": {file: float}};
`modules` are those that the DAG files brought in besides Airflow's SDK, `seconds` the time each file took.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")


def main(folder: Path) -> dict[str, Any]:
    """Return what there is to say of the DAG files in `folder`."""
    sys.path.insert(0, str(folder))
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG, CronDataIntervalTimetable, PokeReturnValue, task
    from airflow.serialization.serialized_objects import LazyDeserializedDAG

    _ = DAG, CronDataIntervalTimetable, PokeReturnValue, task  # lazy names: resolved here, not in the first DAG file
    network: list[str] = []
    watching = True

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event in NETWORK:
            network.append(f"{event} {arguments[1:]}")

    sys.addaudithook(watch)
    before = set(sys.modules)
    bag = DagBag(str(folder), bundle_path=folder, bundle_name="probe", known_pools={"default_pool"})
    watching = False
    return {
        "errors": {_file(name, folder): text for name, text in bag.import_errors.items()},
        "warnings": sorted(warning.message for warning in bag.dag_warnings),
        "dags": {dag_id: _facts(dag, folder) for dag_id, dag in bag.dags.items()},
        "serialised": sorted(dag_id for dag_id, dag in bag.dags.items() if LazyDeserializedDAG.from_dag(dag).hash),
        "network": network,
        "modules": sorted(set(sys.modules) - before),
        "seconds": {_file(stat.file, folder): stat.duration.total_seconds() for stat in bag.dagbag_stats},
    }


def _file(name: str, folder: Path) -> str:
    path = Path(name.lstrip("/"))
    return str(Path(name).relative_to(folder)) if Path(name).is_relative_to(folder) else str(path)


def _facts(dag: Any, folder: Path) -> dict[str, Any]:
    return {
        "file": _file(dag.fileloc, folder),
        "tags": sorted(dag.tags),
        "schedule": dag.timetable.expression,
        "timetable": type(dag.timetable).__name__,
        "start": dag.start_date.isoformat(),
        "catchup": dag.catchup,
        "active_runs": dag.max_active_runs,
        "notes": dag.doc_md,
        "tasks": {
            task.task_id: {
                "owner": task.owner,
                "retries": task.retries,
                "retry_seconds": task.retry_delay.total_seconds(),
                "timeout_seconds": task.execution_timeout.total_seconds(),
                "patience_seconds": getattr(task, "timeout", None),
                "at_once": task.max_active_tis_per_dag,
                "after": sorted(task.upstream_task_ids),
            }
            for task in dag.tasks
        },
    }


if __name__ == "__main__":
    results = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what Airflow prints must not mix with the report
    report = main(Path(sys.argv[1]).resolve())
    with os.fdopen(results, "w") as stream:
        json.dump(report, stream)
