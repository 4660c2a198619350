"""Backfills through Airflow's own API: what a DAG has, and having dates of it run until each of them succeeded.

Airflow 3.3 (`/api/v2/backfills`), as it was measured:
- It has one active backfill for each DAG: another is refused (409) until the first has an end, which the scheduler
  notes only every thirty seconds. One whose runs are all over is therefore ended here (`cancel`, which fails queued
  runs only).
- A run that is queued or running is never touched, whatever it is told to reprocess.
- It makes runs of dates that the schedule has not come to, and the schedule then goes on behind them. `backfill.choose`
  leaves such dates out.
- `run_on_latest_version` decides what a cleared run is pinned to: here the version that is live, as a new run is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from slipway.adapters.airflow import OPEN_STATES, Airflow
from slipway.backfill import DagSurvey, Progress, RunFact, Segment, progress_of, segments, tally
from slipway.documents import digest_of
from slipway.errors import Blocked, ConfigurationError, Interrupted, StepFailed
from slipway.ports import Outcome
from slipway.ports import Progress as Tell
from slipway.request import DagRequest
from slipway.step import BackfillDates

CONF = "slipway_backfill"  # the key in a run's conf that holds the mark
HISTORY = 50  # runs that an estimate is made from
NAMED = 400  # runs that the journal names one by one: an event has an end
POLL_S = 1.0
LOOKS = 15  # after so many it is asked again whether the DAG is paused
BUILD_TAG = "kind:build"  # of the DAGs that have dbt build into the slot of their version: dags/etl/tags.py
INITIAL = timedelta(minutes=2)  # that Airflow gives a backfill to have its runs made


@dataclass(frozen=True, kw_only=True)
class AirflowBackfill:
    """One backfill as Airflow tells of it."""

    id: int
    dag_id: str
    since: datetime
    until: datetime
    mark: str | None
    is_paused: bool
    created_at: datetime
    completed_at: datetime | None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> AirflowBackfill:
        """Return a row of `/backfills`."""
        return cls(
            id=row["id"],
            dag_id=row["dag_id"],
            since=datetime.fromisoformat(row["from_date"]),
            until=datetime.fromisoformat(row["to_date"]),
            mark=(row["dag_run_conf"] or {}).get(CONF),
            is_paused=row["is_paused"],
            created_at=datetime.fromisoformat(row["created_at"]),
            completed_at=datetime.fromisoformat(row["completed_at"]) if row["completed_at"] else None,
        )


class AirflowBackfills:
    """Has logical dates of DAGs run; implements `ports.Backfills`.

    Args:
        allow: asked at every look: raises what must end the waiting, such as a lost lease or a stop.
    """

    def __init__(
        self,
        airflow: Airflow,
        *,
        allow: Callable[[BackfillDates], None] = lambda step: None,
        poll_s: float = POLL_S,
    ) -> None:
        self._airflow, self._allow, self._poll_s = airflow, allow, poll_s

    # ---- reading

    def survey(self, request: DagRequest) -> DagSurvey:
        """Return what is there of the DAG. No side effects.

        Raises:
            ConfigurationError: there is no such DAG, it is paused, or its schedule knows no backfills.
        """
        self._airflow.require_unpaused(request.dag_id)
        dag = self._airflow.ask(f"/dags/{_part(request.dag_id)}")
        runs = self.runs(request.dag_id, *_bounds(request))
        ticks = {*self._would_run(request), *(run.logical_date for run in runs if run.state in OPEN_STATES)}
        return DagSurvey(
            dag_id=request.dag_id,
            version=dag["bundle_version"],
            max_active_runs=dag["max_active_runs"] or 1,
            next_date=_utc(dag["next_dagrun_logical_date"]) if dag["next_dagrun_logical_date"] else None,
            ticks=tuple(sorted(ticks)),
            runs=tuple(run for run in runs if run.logical_date in ticks),
            took_s=self._took_s(request.dag_id),
        )

    def runs(self, dag_id: str, since: datetime, until: datetime) -> tuple[RunFact, ...]:
        """Return the runs of a DAG whose logical date lies in a range, both ends included, by date."""
        between = {"logical_date_gte": since.isoformat(), "logical_date_lte": until.isoformat()}
        chosen = {"order_by": "logical_date", **between}
        rows = self._airflow.rows(f"/dags/{_part(dag_id)}/dagRuns", "dag_runs", chosen)
        return tuple(
            RunFact(
                logical_date=_utc(row["logical_date"]),
                run_id=row["dag_run_id"],
                state=row["state"],
                version=row["bundle_version"],
                mark=(row["conf"] or {}).get(CONF),
            )
            for row in rows
        )

    def active(self, dag_id: str) -> AirflowBackfill | None:
        """Return the backfill of a DAG that is not over, or None."""
        rows = self._airflow.rows("/backfills", "backfills", {"dag_id": dag_id, "order_by": "-id"})
        return next((one for one in map(AirflowBackfill.from_row, rows) if one.completed_at is None), None)

    def open_builds(self) -> tuple[str, ...]:
        """Return the DAGs that build into the slot of what is live and have a run queued or running, by id."""
        rows = self._airflow.rows("/dags", "dags", {"order_by": "dag_id"})
        builders = {row["dag_id"] for row in rows if BUILD_TAG in {tag["name"] for tag in row["tags"]}}
        runs = self._airflow.open_runs() if builders else ()
        return tuple(sorted({run.dag_id for run in runs} & builders))

    def wait_for_builds(self, progress: Tell, *, allow: Callable[[], None], limit_s: float) -> None:
        """Return once no run is open that builds into the slot of what is live.

        Raises:
            StepFailed: one is, for longer than the limit; what `allow`, which is asked at every look, raises.
        """
        began = time.monotonic()
        while building := self.open_builds():
            allow()
            names = ", ".join(building)
            if time.monotonic() - began > limit_s:
                raise StepFailed(
                    f"a run of {names} is queued or running: it builds into the slot that readers see",
                    fix="invoke dags.status --env ENV; once it has ended, give the same command again",
                )
            progress(f"waiting for the run of {names}, which builds into the slot")
            time.sleep(self._poll_s)

    def progress(self, step: BackfillDates) -> dict[str, Progress]:
        """Return how far each date of a step is."""
        return progress_of(step, self._runs_of(step))

    def _runs_of(self, step: BackfillDates) -> tuple[RunFact, ...]:
        first, last = (datetime.fromisoformat(step.dates[place]) for place in (0, -1))
        return self.runs(step.request.dag_id, first, last)

    def _would_run(self, request: DagRequest) -> Collection[str]:
        """Return every logical date of the range that is over and whose run is not open."""
        since, until = _bounds(request)
        body = {
            "dag_id": request.dag_id,
            "from_date": since.isoformat(),
            "to_date": until.isoformat(),
            "reprocess_behavior": "completed",
        }
        answer = self._airflow.act("POST", "/backfills/dry_run", json=body, allowed=(422,))
        if answer.status == 422:
            raise ConfigurationError(
                f"Airflow runs no backfill of {request.dag_id} from {request.since} to {request.until}: "
                f"{_detail(answer.body)}",
                fix="give dates of the past, of a DAG that has a schedule",
            )
        return [_utc(row["logical_date"]) for row in answer.body["backfills"] if row["logical_date"]]

    def _took_s(self, dag_id: str) -> tuple[int, ...]:
        page = self._airflow.ask(
            f"/dags/{_part(dag_id)}/dagRuns", {"state": ["success"], "order_by": "-end_date", "limit": HISTORY}
        )
        return tuple(max(1, round(row["duration"])) for row in page["dag_runs"] if row["duration"] is not None)

    # ---- acting

    def is_filled(self, step: BackfillDates) -> bool:
        """Probe of the backfill step: every date of it succeeded, and no backfill of Airflow's is open for it."""
        active = self.active(step.request.dag_id)
        if active is not None and active.mark == step.mark:
            return False
        return all(one == "done" for one in self.progress(step).values())

    def fill(self, step: BackfillDates, progress: Tell) -> Outcome:
        """Have every date run that is not done yet, and return when all are.

        Raises:
            Blocked: somebody else backfills the DAG.
            StepFailed: runs failed; the others are as they are.
            ConfigurationError: the DAG is paused, so that no run of it begins.
            Interrupted: the backfill was paused in Airflow.

        Side effects: backfills in Airflow, one after the other, and the runs they make. They go on by themselves when
        this process dies; the next one finds them by their mark.
        """
        began, looks, tried, made = time.monotonic(), 0, set[str](), list[int]()
        self._take_up(step)
        while True:
            self._allow(step)
            runs, active = self._runs_of(step), self.active(step.request.dag_id)
            now = progress_of(step, runs)
            progress(_told(step, now))
            if active is not None:
                self._look_at(active, step, runs)
            elif all(one == "done" for one in now.values()):
                return _outcome(step, runs, made, seconds=time.monotonic() - began)
            elif "open" not in now.values():
                wanted = [one for one in step.dates if now[one] != "done" and one not in tried]
                segment = next(iter(segments(step, runs, wanted)), None)
                if segment is None:
                    raise _failed(step, now)
                if begun := self._begin(step, segment):
                    made.append(begun)
                    tried |= set(segment.dates)
                continue
            looks += 1
            if looks % LOOKS == 0:
                self._airflow.require_unpaused(step.request.dag_id)
            time.sleep(self._poll_s)

    def pause(self, backfill: AirflowBackfill) -> None:
        """Have a backfill begin no more runs. Side effects: on it; one that is over stays as it is."""
        self._airflow.act("PUT", f"/backfills/{backfill.id}/pause", allowed=(409,))

    def unpause(self, backfill: AirflowBackfill) -> None:
        """Have a backfill begin runs again. Side effects: on it; one that is over stays as it is."""
        self._airflow.act("PUT", f"/backfills/{backfill.id}/unpause", allowed=(409,))

    def end(self, backfill: AirflowBackfill) -> None:
        """End a backfill. Side effects: its runs that are queued fail; those that run go on to their end."""
        self._airflow.act("PUT", f"/backfills/{backfill.id}/cancel", allowed=(409,))

    def _take_up(self, step: BackfillDates) -> None:
        """Go on with what was paused before: who gives the command wants it to go on."""
        self._airflow.require_unpaused(step.request.dag_id)
        active = self.active(step.request.dag_id)
        if active is not None and active.mark == step.mark and active.is_paused:
            self.unpause(active)

    def _look_at(self, active: AirflowBackfill, step: BackfillDates, runs: Collection[RunFact]) -> None:
        """End the backfill when its runs are over; raise when it is somebody else's, or paused, whosever it is.

        One that another plan of Slipway's left behind is nobody's any more, since this one holds the environment: it
        goes on to its end first. One that was paused was paused for a reason.
        """
        if active.mark is None:
            raise Blocked(
                f"Airflow runs another backfill of {active.dag_id}, number {active.id} from {active.since:%Y-%m-%d} to "
                f"{active.until:%Y-%m-%d}, and runs only one at a time",
                fix=f"wait for its end or cancel it, in Airflow or by: invoke backfill.cancel --env ENV --dag "
                f"{active.dag_id}",
            )
        if active.mark != step.mark:
            if active.is_paused:
                raise Blocked(
                    f"another backfill of {active.dag_id} is paused in Airflow: number {active.id}",
                    fix=f"end it: invoke backfill.cancel --env ENV --dag {active.dag_id}",
                )
            return
        if active.is_paused:
            raise Interrupted(
                f"the backfill of {active.dag_id} was paused; runs that had begun go on to their end",
                fix="invoke backfill.run --env ENV with the same options goes on",
            )
        own = [run for run in runs if run.mark == step.mark]
        has_open = any(run.state in OPEN_STATES for run in own)
        begun = {run.logical_date for run in own}
        within = {one for one in step.dates if active.since <= datetime.fromisoformat(one) <= active.until}
        is_whole = bool(within) and within <= begun
        if not has_open and (is_whole or datetime.now(UTC) - active.created_at > INITIAL):
            self.end(active)

    def _begin(self, step: BackfillDates, segment: Segment) -> int | None:
        """Have a stretch of dates run and return Airflow's number of it; None when another backfill was first.

        Side effects: a backfill.
        """
        body = {
            "dag_id": step.request.dag_id,
            "from_date": segment.dates[0],
            "to_date": segment.dates[-1],
            "dag_run_conf": {CONF: step.mark},
            "reprocess_behavior": segment.reprocess,
            "max_active_runs": step.parallel,
            "run_on_latest_version": True,
        }
        answer = self._airflow.act("POST", "/backfills", json=body, allowed=(409,))
        return None if answer.status == 409 else int(answer.body["id"])


def _told(step: BackfillDates, now: Mapping[str, Progress]) -> str:
    counted = tally(now)
    return f"{step.request.dag_id}: {counted['done']} of {len(now)} dates done, {counted['open']} queued or running"


def _failed(step: BackfillDates, now: Mapping[str, Progress]) -> StepFailed:
    failed = [one[:10] for one, state in now.items() if state != "done"]
    shown = ", ".join(failed[:5]) + (f" and {len(failed) - 5} more" if len(failed) > 5 else "")
    return StepFailed(
        f"{len(failed)} date(s) of {step.request.dag_id} did not succeed: {shown}; those that did stand",
        fix=f"invoke dags.logs --env ENV --dag {step.request.dag_id} --date {failed[0]}, mend it, and give the command "
        "again: it runs what did not succeed",
    )


def _outcome(step: BackfillDates, runs: Collection[RunFact], made: list[int], *, seconds: float) -> Outcome:
    own = [run for run in runs if run.logical_date in step.dates]
    versions = sorted({run.version or "none" for run in own})
    named: dict[str, Any] = {run.logical_date: run.run_id for run in own}
    return Outcome(
        summary=f"{len(own)} date(s) of {step.request.dag_id} succeeded on {', '.join(versions)}",
        evidence={
            "dag": step.request.dag_id,
            "backfills": made,
            "mark": step.mark,
            "runs": named if len(named) <= NAMED else {"count": len(named), "sha256": digest_of(named)},
            "versions": versions,
        },
        outside_s=seconds,
    )


def _bounds(request: DagRequest) -> tuple[datetime, datetime]:
    """Return the first and the last moment of the days that were asked for."""
    since = datetime(request.since.year, request.since.month, request.since.day, tzinfo=UTC)
    until = datetime(request.until.year, request.until.month, request.until.day, tzinfo=UTC)
    return since, until + timedelta(days=1) - timedelta(microseconds=1)


def _utc(moment: str) -> str:
    """Return a moment as it is written in a plan: ISO 8601 in UTC, so that sorting the text sorts the moments."""
    return datetime.fromisoformat(moment).astimezone(UTC).isoformat()


def _detail(body: Any) -> str:
    found = body.get("detail", body) if isinstance(body, Mapping) else body
    return " ".join(str(found).split())[:300]


def _part(value: str) -> str:
    return quote(value, safe="~")
