"""Airflow through its REST API: which version every DAG has, what runs, and waiting until a release is live.

Airflow 3.3, API v2 (https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html). How
requests travel is the transport's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from slipway.adapters.airflow_liveness import Liveness, listed
from slipway.adapters.airflow_record import BrokenFile, DagRun, DagState
from slipway.adapters.airflow_transport import Answer, TokenTransport, Transport
from slipway.errors import ConfigurationError, StepFailed, Unavailable

__all__ = ["Airflow", "Answer", "BrokenFile", "DagRun", "DagState", "NotFound", "TokenTransport", "Transport"]

PAGE = 100  # rows, the most Airflow gives
ATTEMPTS = 3  # of a read that was not answered
POLL_S = 0.5
ASK_S = 3.0  # for Airflow to have parsed by itself
ALL = "~"  # instead of a DAG id: of every DAG
OPEN_STATES = ("queued", "running")
SHOWN_DATES = 10  # of the runs there are, when one is asked for that is not


class NotFound(StepFailed):
    """Airflow knows nothing of that name (HTTP 404)."""


class Airflow:
    """One environment's Airflow.

    Every method raises `Unavailable` when Airflow does not answer and `StepFailed` when it refuses; those that are
    given a DAG id raise `ConfigurationError` that names the DAGs there are when there is none of that id.
    """

    def __init__(self, transport: Transport, *, bundle: str = "slipway") -> None:
        self._transport, self._bundle = transport, bundle

    # ---- reading

    def health(self) -> dict[str, str]:
        """Return the state of each part: metadatabase, scheduler, dag_processor; `healthy` when it is."""
        parts = self._get("/monitor/health")
        return {name: part.get("status") or "absent" for name, part in sorted(parts.items()) if part.get("status")}

    def dags(self) -> dict[str, DagState]:
        """Return the DAGs that exist now, by id."""
        return {row["dag_id"]: DagState.from_row(row) for row in self._rows("/dags", "dags", {"order_by": "dag_id"})}

    def import_errors(self) -> tuple[BrokenFile, ...]:
        """Return the DAG files that do not import, by name."""
        rows = self._rows("/importErrors", "import_errors", {})
        broken = [BrokenFile.from_row(row) for row in rows if row.get("bundle_name") in (self._bundle, None)]
        return tuple(sorted(broken, key=lambda one: one.file))

    def open_runs(self) -> tuple[DagRun, ...]:
        """Return the runs that are queued or running."""
        return self.dag_runs(ALL, state=OPEN_STATES)

    def dag_runs(self, dag_id: str, *, state: Collection[str] = (), **filters: str) -> tuple[DagRun, ...]:
        """Return the runs of a DAG (`~`: of all), by logical date.

        Args:
            filters: as the API names them, e.g. `logical_date_gte`.
        """
        params: dict[str, Any] = {"order_by": "logical_date", **filters}
        if state:
            params["state"] = list(state)
        return tuple(DagRun.from_row(row) for row in self._rows(f"/dags/{_part(dag_id)}/dagRuns", "dag_runs", params))

    def latest_runs(self, count: int = 5) -> tuple[DagRun, ...]:
        """Return the `count` newest runs of every DAG, oldest first within a DAG."""
        found: list[DagRun] = []
        for dag_id in sorted(self.dags()):
            params = {"order_by": "-run_after", "limit": count}
            rows = self._get(f"/dags/{_part(dag_id)}/dagRuns", params)["dag_runs"]
            found += reversed([DagRun.from_row(row) for row in rows])
        return tuple(found)

    def run(self, dag_id: str, run_id: str) -> DagRun:
        """Return a run as it is now."""
        with self._known(dag_id):
            return DagRun.from_row(self._get(f"/dags/{_part(dag_id)}/dagRuns/{_part(run_id)}"))

    def run_at(self, dag_id: str, logical_date: str | datetime) -> DagRun:
        """Return the run of a logical date.

        Raises:
            ConfigurationError: there is none; the message names the latest dates there are.
        """
        wanted = _utc(logical_date)
        exact = {"logical_date_gte": wanted.isoformat(), "logical_date_lte": wanted.isoformat()}
        with self._known(dag_id):
            if runs := self.dag_runs(dag_id, **exact):
                return runs[0]
            latest = {"order_by": "-logical_date", "limit": SHOWN_DATES}
            page = self._get(f"/dags/{_part(dag_id)}/dagRuns", latest)
        dates = [
            _date(run.logical_date) for run in map(DagRun.from_row, reversed(page["dag_runs"])) if run.logical_date
        ]
        more = page["total_entries"] - len(page["dag_runs"])
        there_are = f"{', '.join(dates) or 'none'}{f' and {more} earlier ones' if more > 0 else ''}"
        raise ConfigurationError(
            f"{dag_id} has no run of {_date(wanted.isoformat())}; it has: {there_are}",
            fix=f"give a date it has, or make the run: invoke dags.trigger --env ENV --dag {dag_id} --date "
            f"{_date(wanted.isoformat())}",
        )

    def require_unpaused(self, dag_id: str) -> None:
        """Return when runs of a DAG can begin; raise `ConfigurationError` when it is paused, or of no live version."""
        dags = self.dags()
        if dag_id not in dags:
            raise self._unknown(dag_id, dags)
        if dags[dag_id].is_paused:
            raise ConfigurationError(
                f"{dag_id} is paused: none of its runs would begin",
                fix=f"unpause {dag_id} on its page in Airflow, then give the command again",
            )

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Return the state of every task of a run, by task id; mapped tasks as `task[index]`."""
        path = f"/dags/{_part(dag_id)}/dagRuns/{_part(run_id)}/taskInstances"
        return {_task(row): row["state"] for row in self._rows(path, "task_instances", {})}

    def latest_failed(self, dag_id: str) -> DagRun:
        """Return the newest run of a DAG that failed; raise `ConfigurationError` when none did."""
        with self._known(dag_id):
            if runs := self.dag_runs(dag_id, state=("failed",)):
                return runs[-1]
        raise ConfigurationError(
            f"no run of {dag_id} failed", fix=f"name a run: invoke dags.logs --env ENV --dag {dag_id} --date YYYY-MM-DD"
        )

    def task_logs(self, dag_id: str, run_id: str) -> Iterator[tuple[str, str]]:
        """Yield `task, try N` and what the last try of every task of a run said, in the order they began.

        Mapped tasks are named as `task_states` names them, each with a log of its own.
        """
        path = f"/dags/{_part(dag_id)}/dagRuns/{_part(run_id)}/taskInstances"
        tried = [row for row in self._rows(path, "task_instances", {}) if row["try_number"]]
        for row in sorted(tried, key=lambda one: (one["start_date"] or "", one["task_id"], one["map_index"])):
            log = f"{path}/{_part(row['task_id'])}/logs/{row['try_number']}"
            said = self._get(log, {"map_index": row["map_index"]})["content"]
            yield f"{_task(row)}, try {row['try_number']}: {row['state']}", "\n".join(_log_lines(said))

    # ---- acting

    def request_parse(self, dag: DagState) -> None:
        """Have a DAG's file parsed before all others.

        Side effects: a request in Airflow's queue; a repeated one changes nothing.
        """
        self._act("PUT", f"/parseDagFile/{_part(dag.file_token)}", allowed=(409,))

    def trigger(self, dag_id: str, logical_date: str | datetime) -> DagRun:
        """Have a run of a logical date; return the one there is when it was made before.

        Side effects: a DAG run, at most one per logical date.
        """
        when = _utc(logical_date)
        with self._known(dag_id):
            answer = self._act(
                "POST", f"/dags/{_part(dag_id)}/dagRuns", json={"logical_date": when.isoformat()}, allowed=(409,)
            )
        return self.run_at(dag_id, when) if answer.status == 409 else DagRun.from_row(answer.body)

    def clear(self, dag_id: str, run_id: str, *, only_failed: bool = False) -> None:
        """Have every task of a run, or those that failed, run again on the version of the run.

        Side effects: the states of tasks and run.
        """
        path = f"/dags/{_part(dag_id)}/dagRuns/{_part(run_id)}/clear"
        self._act("POST", path, json={"dry_run": False, "only_failed": only_failed})

    def set_paused(self, dag_id: str, is_paused: bool) -> None:
        """Pause a DAG or let it run. A deployment never does.

        Side effects: the DAG's schedule.
        """
        self._act("PATCH", f"/dags/{_part(dag_id)}", json={"is_paused": is_paused})

    def behind(self, version: str, dag_ids: Collection[str], *, since: datetime | None = None) -> tuple[str, ...]:
        """Return the DAGs that were not yet parsed from the version, sorted.

        Args:
            since: as of `Liveness`.
        """
        return Liveness(version=version, dag_ids=dag_ids, since=since).behind(self.dags())

    def wait_for_version(
        self,
        version: str,
        dag_ids: Collection[str],
        *,
        timeout_s: float,
        since: datetime | None = None,
        on_tick: Callable[[str], None] = lambda line: None,
    ) -> float:
        """Return the seconds until every DAG was parsed from the version and no file failed to import.

        Args:
            since: as of `Liveness`.
            on_tick: told what is missing whenever that changed.

        Side effects: a DAG that has the version from an earlier time is asked to be parsed again.

        Raises:
            StepFailed: a file of the version does not import (at once), or the time is over.
        """
        wanted = Liveness(version=version, dag_ids=dag_ids, since=since)
        began = time.monotonic()
        before: Mapping[str, DagState] = self.dags()
        told, asked = "", False
        while True:
            elapsed = time.monotonic() - began
            try:
                dags, broken = self.dags(), self.import_errors()
            except Unavailable:
                if elapsed > timeout_s:
                    raise
                time.sleep(POLL_S)
                continue
            missing = wanted.behind(dags)
            if not missing and not broken:
                return elapsed
            if refused := wanted.refused(before, dags, broken, elapsed_s=elapsed):
                raise StepFailed(f"{version} does not import:\n{listed(refused)}")
            if elapsed > timeout_s:
                raise StepFailed(wanted.overdue(dags, broken, timeout_s=timeout_s))
            if elapsed > ASK_S and not asked:
                asked = True
                for dag in (dags[one] for one in missing if one in dags and dags[one].version == version):
                    self.request_parse(dag)
            line = f"{len(dag_ids) - len(missing)} of {len(dag_ids)} DAGs report {version}"
            if line != told:
                on_tick(told := line)
            time.sleep(POLL_S)

    @contextmanager
    def _known(self, dag_id: str) -> Iterator[None]:
        """Tell of a DAG id that does not exist by naming those that do."""
        try:
            yield
        except NotFound as error:
            if dag_id in (dags := self.dags()):
                raise
            raise self._unknown(dag_id, dags) from error

    def _unknown(self, dag_id: str, dags: Collection[str]) -> ConfigurationError:
        close = get_close_matches(dag_id, dags, n=1)
        return ConfigurationError(
            f"there is no DAG {dag_id!r}; there are: {', '.join(sorted(dags)) or 'none yet'}",
            fix=f"--dag {close[0]}" if close else "give one of them as --dag" if dags else "invoke deploy --env ENV",
        )

    # ---- the one way out

    def ask(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Return what a path answers."""
        return self._get(path, params)

    def rows(self, path: str, key: str, params: Mapping[str, Any]) -> Iterator[Any]:
        """Yield every row that a path lists under `key`, page by page."""
        return self._rows(path, key, params)

    def act(
        self, method: str, path: str, *, json: Mapping[str, Any] | None = None, allowed: tuple[int, ...] = ()
    ) -> Answer:
        """Return the answer to a request that changes something, once; those of `allowed` are no errors.

        Side effects: those of the request.
        """
        return self._act(method, path, json=json, allowed=allowed)

    def _get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return _expect(self._transport.request("GET", path, params=params), "GET", path)
            except Unavailable:
                if attempt == ATTEMPTS:
                    raise
                time.sleep(POLL_S * attempt)
        raise AssertionError("unreachable")

    def _act(
        self, method: str, path: str, *, json: Mapping[str, Any] | None = None, allowed: tuple[int, ...] = ()
    ) -> Answer:
        answer = self._transport.request(method, path, json=json)
        if answer.status not in allowed:
            _expect(answer, method, path)
        return answer

    def _rows(self, path: str, key: str, params: Mapping[str, Any]) -> Iterator[Any]:
        offset = 0
        while True:
            page = self._get(path, {**params, "limit": PAGE, "offset": offset})
            yield from page[key]
            offset += PAGE
            if offset >= page["total_entries"] or not page[key]:
                return


def _log_lines(events: Iterable[Any]) -> Iterator[str]:
    """Yield the readable lines of a structured task log: events, and the errors inside them."""
    for event in events:
        if not isinstance(event, Mapping):
            yield str(event)
        elif not str(event.get("event", "")).startswith("::"):
            yield f"{str(event.get('timestamp') or '')[:19]} {event.get('level', '')} {event.get('event', '')}".strip()
            for detail in event.get("error_detail") or ():
                yield f"  {detail['exc_type']}: {detail['exc_value']}"


def _expect(answer: Answer, method: str, path: str) -> Any:
    """Return the body of a good answer; every error of Airflow becomes ours here."""
    if answer.status < 300:
        return answer.body
    detail = answer.body.get("detail", answer.body) if isinstance(answer.body, dict) else answer.body
    message = f"Airflow: {method} {path}: HTTP {answer.status}: {str(detail)[:500]}"
    if answer.status == HTTPStatus.NOT_FOUND:
        raise NotFound(message)
    raise Unavailable(message) if answer.status >= 500 else StepFailed(message)


def _task(row: Mapping[str, Any]) -> str:
    """Return the name of a task instance: a mapped one has its index."""
    return row["task_id"] if row["map_index"] < 0 else f"{row['task_id']}[{row['map_index']}]"


def _date(moment: str) -> str:
    """Return an ISO moment in UTC as short as it can be given: midnights as dates."""
    day, _, clock = moment.replace("+00:00", "").rstrip("Z").partition("T")
    return day if clock in ("", "00:00:00") else f"{day}T{clock}"


def _utc(value: str | datetime) -> datetime:
    try:
        when = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ConfigurationError(f"{value!r} is no date", fix="give it as 2026-11-20") from error
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _part(value: str) -> str:
    """Return a value as one part of a path."""
    return quote(value, safe="~")
