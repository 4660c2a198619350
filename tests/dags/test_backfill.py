"""Backfills through an Airflow in memory: whichever request is the last of a process, each date is run once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.adapters.airflow import Airflow, Answer
from slipway.adapters.airflow_backfill import BUILD_TAG, AirflowBackfills
from slipway.backfill import steps_of
from slipway.errors import ConfigurationError, Interrupted, StepFailed, Unavailable
from slipway.request import REPROCESS, DagRequest, Reprocess
from slipway.step import BackfillDates
from tests.dags.server import InMemoryAirflow

DAYS = 4
DAG = "customers"


class Died(BaseException):
    """The process is dead."""


def moment(day: int) -> str:
    return (datetime(2026, 10, 1, tzinfo=UTC) + timedelta(days=day)).isoformat()


@dataclass
class Run:
    state: str
    conf: dict[str, str] | None = None
    backfill: int | None = None
    executions: int = 0


@dataclass
class Row:
    since: str
    until: str
    conf: dict[str, str] | None
    is_paused: bool = False
    is_over: bool = False
    is_whole: bool = True  # Airflow made every run of it


@dataclass
class BackfillingAirflow:
    """Answers as Airflow 3.3's API v2 does. Its runs go on by themselves, a little at every request.

    Attributes:
        dies_at: the process that asks is dead before (or after) this request.
        loses: or the answer to it is lost.

        makes: of the runs of the first backfill, how many are made before Airflow dies; None all.
    """

    runs: dict[str, Run] = field(default_factory=dict)
    backfills: list[Row] = field(default_factory=list)
    is_paused: bool = False
    dies_at: int = 0
    is_after: bool = False
    loses: bool = False
    makes: int | None = None
    asked: int = 0
    ended_early: int = 0  # backfills that were ended while Airflow may still have been making their runs

    def request(
        self, method: str, path: str, *, json: Mapping[str, Any] | None = None, params: Mapping[str, Any] | None = None
    ) -> Answer:
        self.asked += 1
        self._go_on()
        is_last = self.asked == self.dies_at
        error: BaseException = Unavailable("the answer was lost") if self.loses else Died()
        if is_last and not self.is_after:
            raise error
        answer = self._answer(method, path.strip("/").split("/"), dict(json or {}))
        if is_last:
            raise error
        return answer

    def _answer(self, method: str, path: list[str], body: dict[str, Any]) -> Answer:
        match method, path:
            case "GET", ["dags"]:
                row = {"dag_id": DAG, "is_paused": self.is_paused, "bundle_version": "v", "has_import_errors": False}
                rows = [{**row, "last_parsed_time": None, "relative_fileloc": "", "file_token": ""}]
                return Answer(status=200, body={"dags": rows, "total_entries": 1})
            case "GET", ["dags", _]:
                facts = {"bundle_version": "v", "max_active_runs": 1, "next_dagrun_logical_date": None}
                return Answer(status=200, body=facts)
            case "GET", ["dags", _, "dagRuns"]:
                found = [self._run_row(day) for day in sorted(self.runs)]
                return Answer(status=200, body={"dag_runs": found, "total_entries": len(found)})
            case "GET", ["backfills"]:
                rows = [self._row(number) for number in reversed(range(len(self.backfills)))]
                return Answer(status=200, body={"backfills": rows, "total_entries": len(rows)})
            case "POST", ["backfills", "dry_run"]:
                days = [one for one in map(moment, range(DAYS)) if not self._is_open(one)]
                return Answer(status=200, body={"backfills": [{"logical_date": day} for day in days]})
            case "POST", ["backfills"]:
                return self._begin(body)
            case "PUT", ["backfills", number, word]:
                return self._change(self.backfills[int(number)], int(number), word)
        raise AssertionError(f"{method} {path}")

    def _begin(self, body: dict[str, Any]) -> Answer:
        if any(not one.is_over for one in self.backfills):
            return Answer(status=409, body={"detail": "There is already a running backfill"})
        number = len(self.backfills)
        self.backfills.append(Row(body["from_date"], body["to_date"], body.get("dag_run_conf")))
        days = [one for one in map(moment, range(DAYS)) if body["from_date"] <= one <= body["to_date"]]
        for day in days[: self.makes]:
            run = self.runs.setdefault(day, Run("new"))
            again = {"success": ("completed",), "failed": ("completed", "failed"), "new": REPROCESS}.get(run.state, ())
            if body["reprocess_behavior"] in again:
                run.state, run.conf, run.backfill = "queued", body.get("dag_run_conf"), number
        self.backfills[number].is_whole = days == days[: self.makes]
        self.makes = None
        return Answer(status=200, body=self._row(number))

    def _change(self, row: Row, number: int, word: str) -> Answer:
        if row.is_over:
            return Answer(status=409, body={"detail": "Backfill is already completed."})
        row.is_paused = word != "unpause"
        if word == "cancel":
            row.is_over = True
            self.ended_early += not row.is_whole
            for run in self.runs.values():
                if run.backfill == number and run.state == "queued":
                    run.state = "failed"
        return Answer(status=200, body=self._row(number))

    def _go_on(self) -> None:
        """Let the run that runs end, or the next one begin."""
        for _, run in sorted(self.runs.items()):
            if run.state == "running":
                run.state = "success"
                run.executions += 1
                return
        for _, run in sorted(self.runs.items()):
            if run.state == "queued" and (run.backfill is None or not self.backfills[run.backfill].is_paused):
                run.state = "running"
                return
        for number, row in enumerate(self.backfills):  # the scheduler notes what is over, long after
            open_ones = [run for run in self.runs.values() if run.backfill == number and run.state in ("queued",)]
            row.is_over = row.is_over or (not open_ones and self.asked % 40 == 0)

    def _is_open(self, day: str) -> bool:
        return day in self.runs and self.runs[day].state in ("queued", "running")

    def _run_row(self, day: str) -> dict[str, Any]:
        run = self.runs[day]
        return {
            "logical_date": day,
            "dag_run_id": f"run-{day}",
            "state": run.state,
            "bundle_version": "v",
            "conf": run.conf,
            "duration": 3.0 if run.state == "success" else None,
        }

    def _row(self, number: int) -> dict[str, Any]:
        row = self.backfills[number]
        return {
            "id": number,
            "dag_id": DAG,
            "from_date": row.since,
            "to_date": row.until,
            "dag_run_conf": row.conf,
            "is_paused": row.is_paused,
            "created_at": datetime.now(UTC).isoformat(),
            "completed_at": "2026-10-02T00:00:00+00:00" if row.is_over else None,
        }


def backfills_of(server: BackfillingAirflow) -> AirflowBackfills:
    return AirflowBackfills(Airflow(server), poll_s=0)


def planned(server: BackfillingAirflow, reprocess: Reprocess) -> tuple[BackfillDates, ...]:
    first = date(2026, 10, 1)
    request = DagRequest(
        dag_id=DAG, since=first, until=first + timedelta(days=DAYS - 1), reprocess=reprocess, chunk_days=3
    )
    return steps_of(request, backfills_of(server).survey(request), version="v", after=None)


def work(server: BackfillingAirflow, steps: tuple[BackfillDates, ...]) -> None:
    """Do what the engine does with the steps, asked again when an answer was lost."""
    for step in steps:
        for _ in range(3):
            try:
                if not backfills_of(server).is_filled(step):
                    backfills_of(server).fill(step, lambda line: None)
                break
            except Unavailable:
                continue


states = st.dictionaries(
    st.integers(min_value=0, max_value=DAYS - 1), st.sampled_from(("success", "failed", "running"))
)


@settings(deadline=None, max_examples=150)
@given(
    states,
    st.sampled_from(REPROCESS),
    st.lists(st.tuples(st.integers(min_value=1, max_value=60), st.booleans(), st.booleans()), max_size=3),
    st.none() | st.integers(min_value=0, max_value=2),
)
def test_whenever_processes_die_or_answers_are_lost_each_date_asked_for_is_run_once_and_no_other(
    before: dict[int, str],
    reprocess: Reprocess,
    ends: list[tuple[int, bool, bool]],
    makes: int | None,
) -> None:
    server = BackfillingAirflow({moment(day): Run(state) for day, state in before.items()})
    steps = planned(server, reprocess)
    wanted = {one for step in steps for one in step.dates}
    was_open = {day for day, run in server.runs.items() if run.state == "running"}
    for run in server.runs.values():
        run.executions = 0
    server.makes = makes
    for at, is_after, loses in ends:
        server.asked, server.dies_at, server.is_after, server.loses = 0, at, is_after, loses
        try:
            work(server, steps)
        except Died:
            continue
    server.dies_at = 0
    work(server, steps)
    assert all(backfills_of(server).is_filled(step) for step in steps)
    assert {day: run.executions for day, run in server.runs.items()} == {
        day: int(day in wanted or day in was_open) for day in {*server.runs, *wanted}
    }
    assert {server.runs[day].state for day in wanted} <= {"success"}
    assert all(row.is_over for row in server.backfills)
    assert not server.ended_early


def test_a_dag_that_is_paused_meanwhile_is_not_waited_for() -> None:
    server = BackfillingAirflow()
    (step, _) = planned(server, "none")

    def pauses(_: BackfillDates) -> None:
        server.is_paused = True
        for row in server.backfills:
            row.is_paused = False
        for run in server.runs.values():
            run.state = "queued"

    with pytest.raises(ConfigurationError, match="customers is paused"):
        AirflowBackfills(Airflow(server), allow=pauses, poll_s=0).fill(step, lambda line: None)


def builders() -> InMemoryAirflow:
    server = InMemoryAirflow("finance_daily", "customers")
    server.tags = {"finance_daily": ["domain:finance", BUILD_TAG], "customers": ["kind:load"]}
    server.run("customers", "2026-11-20", "running")
    return server


def test_a_run_that_builds_is_waited_for_and_one_that_loads_is_not() -> None:
    server, told = builders(), list[str]()
    AirflowBackfills(Airflow(server), poll_s=0).wait_for_builds(told.append, allow=lambda: None, limit_s=0)
    assert told == []
    server.run("finance_daily", "2026-11-20", "queued", "running", "running", "success")
    AirflowBackfills(Airflow(server), poll_s=0).wait_for_builds(told.append, allow=lambda: None, limit_s=60)
    assert told == ["waiting for the run of finance_daily, which builds into the slot"] * 2


def test_a_run_that_builds_and_does_not_end_is_refused_in_time_and_a_stop_is_obeyed_meanwhile() -> None:
    server = builders()
    server.run("finance_daily", "2026-11-20", "running")
    backfills = AirflowBackfills(Airflow(server), poll_s=0)
    with pytest.raises(StepFailed, match="a run of finance_daily is queued or running"):
        backfills.wait_for_builds(lambda line: None, allow=lambda: None, limit_s=0)

    def stop() -> None:
        raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        backfills.wait_for_builds(lambda line: None, allow=stop, limit_s=60)


def test_the_tag_that_tells_who_builds_is_the_one_that_dags_carry() -> None:
    tags = (Path(__file__).parents[2] / "dags/etl/tags.py").read_text()
    assert f'BUILD = "{BUILD_TAG}"' in tags
