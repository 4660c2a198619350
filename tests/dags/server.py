"""An Airflow in memory: a transport that answers as Airflow 3.3's API v2 does, and lets runs go on at each look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from slipway.adapters.airflow import Answer

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@dataclass
class Run:
    """A run and the states it goes through, one at each look at it; the last one stays."""

    dag_id: str
    date: str
    states: list[str]
    tasks: dict[tuple[str, int], str] = field(default_factory=dict)  # task id and map index -> what it says
    ended: str | None = None

    @property
    def run_id(self) -> str:
        return f"run-{self.date}"

    @property
    def state(self) -> str:
        return self.states[0]


class InMemoryAirflow:
    """Implements `Transport`. `asked` keeps what was asked, as `METHOD path`."""

    def __init__(self, *dag_ids: str) -> None:
        self.paused: dict[str, bool] = dict.fromkeys(dag_ids, False)
        self.tags: dict[str, list[str]] = {}
        self.runs: list[Run] = []
        self.versions: dict[str, str] = {}
        self.broken: dict[str, str] = {}  # file -> the last line of its error
        self.asked: list[str] = []
        self._clock = count(1)

    def run(self, dag_id: str, date: str, *states: str, **tasks: str) -> Run:
        """Have a run; it ended long ago when it has one state."""
        made = Run(dag_id, date, list(states), {(name, -1): said for name, said in tasks.items()})
        made.ended = self._moment() if len(states) == 1 and states[0] in ("success", "failed") else None
        self.runs.append(made)
        return made

    def request(
        self, method: str, path: str, *, json: Mapping[str, Any] | None = None, params: Mapping[str, Any] | None = None
    ) -> Answer:
        self.asked.append(f"{method} {path}")
        chosen = dict(params or {})
        match method, path.strip("/").split("/"):
            case "GET", ["dags"]:
                return _page("dags", [self._dag(one) for one in self.paused], chosen)
            case "GET", ["importErrors"]:
                return _page("import_errors", [self._error(file) for file in self.broken], chosen)
            case "GET", ["dags", dag_id, "dagRuns"] if dag_id == "~" or self._has(dag_id):
                return _page("dag_runs", self._found(dag_id, chosen), chosen)
            case "POST", ["dags", dag_id, "dagRuns"] if dag_id in self.paused:
                date = str((json or {})["logical_date"]).removesuffix("+00:00")
                if any((one.dag_id, one.date) == (dag_id, date) for one in self.runs):
                    return Answer(status=409, body={"detail": "there is one"})
                return Answer(status=200, body=_row(self.run(dag_id, date, "queued", "running", "success")))
            case "GET", ["dags", dag_id, "dagRuns", run_id] if run := self._run(dag_id, run_id):
                self._go_on(run)
                return Answer(status=200, body=_row(run))
            case "POST", ["dags", dag_id, "dagRuns", run_id, "clear"] if run := self._run(dag_id, run_id):
                run.states, run.ended = ["queued", "running", run.state], None
                return Answer(status=200, body={})
            case "GET", ["dags", dag_id, "dagRuns", run_id, "taskInstances"] if run := self._run(dag_id, run_id):
                return _page("task_instances", [_instance(*one) for one in run.tasks], chosen)
            case "GET", ["dags", dag_id, "dagRuns", run_id, "taskInstances", task, "logs", _] if run := self._run(
                dag_id, run_id
            ):
                said = run.tasks.get((task, chosen.get("map_index", -1)))
                if said is not None:
                    return Answer(status=200, body={"content": [{"event": said, "level": "info"}]})
        return Answer(status=404, body={"detail": f"{path} was not found"})

    def _moment(self) -> str:
        return (NOW + timedelta(seconds=next(self._clock))).isoformat()

    def _has(self, dag_id: str) -> bool:
        return dag_id in self.paused or any(run.dag_id == dag_id for run in self.runs)

    def _run(self, dag_id: str, run_id: str) -> Run | None:
        return next((run for run in self.runs if (run.dag_id, run.run_id) == (dag_id, run_id)), None)

    def _go_on(self, run: Run) -> None:
        if len(run.states) > 1:
            del run.states[0]
            if run.state in ("success", "failed"):
                run.ended = self._moment()

    def _found(self, dag_id: str, chosen: Mapping[str, Any]) -> list[dict[str, Any]]:
        if dag_id == "~" and "failed" not in chosen.get("state", ()):
            for run in self.runs:
                self._go_on(run)
        exact = chosen.get("logical_date_gte", "").removesuffix("T00:00:00+00:00")
        found = [
            run
            for run in self.runs
            if dag_id in ("~", run.dag_id)
            and run.state in chosen.get("state", (run.state,))
            and (not exact or run.date == exact)
        ]
        backwards = str(chosen.get("order_by", "")).startswith("-")
        return [_row(run) for run in sorted(found, key=lambda one: one.date, reverse=backwards)]

    def _dag(self, dag_id: str) -> dict[str, Any]:
        return {
            "dag_id": dag_id,
            "bundle_version": self.versions.get(dag_id),
            "is_paused": self.paused[dag_id],
            "has_import_errors": False,
            "last_parsed_time": datetime.now(UTC).isoformat(),
            "relative_fileloc": f"{dag_id}.py",
            "file_token": dag_id,
            "tags": [{"name": tag, "dag_id": dag_id} for tag in self.tags.get(dag_id, ())],
        }

    def _error(self, file: str) -> dict[str, Any]:
        at = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
        return {"filename": file, "stack_trace": self.broken[file], "timestamp": at, "bundle_name": "slipway"}


def _page(key: str, rows: list[dict[str, Any]], chosen: Mapping[str, Any]) -> Answer:
    first, most = int(chosen.get("offset", 0)), int(chosen.get("limit", 50))
    return Answer(status=200, body={key: rows[first : first + most], "total_entries": len(rows)})


def _row(run: Run) -> dict[str, Any]:
    return {
        "dag_id": run.dag_id,
        "dag_run_id": run.run_id,
        "state": run.state,
        "bundle_version": "v1",
        "logical_date": f"{run.date}T00:00:00Z" if "T" not in run.date else f"{run.date}Z",
        "start_date": None,
        "end_date": run.ended,
    }


def _instance(task_id: str, map_index: int) -> dict[str, Any]:
    started = NOW.isoformat()
    return {"task_id": task_id, "map_index": map_index, "try_number": 1, "state": "success", "start_date": started}
