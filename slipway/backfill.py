"""Backfills: which logical dates are run, in which chunks, how long it takes, and how far it is. Pure.

Rules:
- A date that a run of the DAG holds is left to it: one that is queued or running always, one that ended unless it was
  asked to be run again. So no date is ever run twice at the same time.
- A date the schedule has not come to is left to the schedule. Airflow goes on from the latest run it has, a backfill's
  too: one of a later date would make it pass over the dates before.
- A chunk is one backfill of Airflow. Chunks follow one another, so that a stop, a deployment or a longer scheduled run
  waits for one chunk and not for all.
- How far a chunk is follows from the runs that Airflow has now, never from what this process remembers. Its runs carry
  the mark of the plan, so that a run of this backfill is told from one that was there before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Literal

from slipway.documents import Document, digest_of
from slipway.errors import ConfigurationError
from slipway.model import Model
from slipway.request import REPROCESS, DagRequest, ModelRequest, Reprocess
from slipway.slot import SLOT_LENGTH
from slipway.step import AdoptModel, BackfillDates, RebuildModel

Progress = Literal["missing", "open", "done", "failed"]
OPEN_STATES = ("queued", "running")
MARK_LENGTH = 16  # hex digits


class RunFact(Document):
    """The run of one logical date, as Airflow has it."""

    logical_date: str
    run_id: str
    state: str
    version: str | None
    mark: str | None = None  # of the backfill that made it or had it run again


class DagSurvey(Document):
    """What was seen of a DAG before its backfill was planned.

    Attributes:
        version: that the DAG was last parsed from.
        max_active_runs: of its scheduled runs.
        next_date: the logical date that the schedule comes to next; None when it is at its end.
        ticks: every logical date that the schedule has in the range and whose interval is over, oldest first.
        runs: those there are of them.
        took_s: how long its latest successful runs took, in seconds.
    """

    dag_id: str
    version: str | None
    max_active_runs: int
    next_date: str | None
    ticks: tuple[str, ...]
    runs: tuple[RunFact, ...]
    took_s: tuple[int, ...] = ()


class Left(Document):
    """A logical date that the backfill does not run, and why."""

    logical_date: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which logical dates are run, oldest first, and which are left as they are."""

    dates: tuple[str, ...]
    left: tuple[Left, ...]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """How long a backfill is expected to take, from what the DAG's runs took before; None without any.

    Attributes:
        runs: how many runs it is made of.
        usual_s: if they take what the median run took.
        slow_s: if they take what the slowest tenth took.
    """

    runs: int
    usual_s: int | None
    slow_s: int | None


def choose(request: DagRequest, survey: DagSurvey) -> Choice:
    """Return which dates are run and which are left. No side effects."""
    runs = {run.logical_date: run for run in survey.runs}
    dates, left = [], []
    for tick in survey.ticks:
        reason = _why_left(tick, runs.get(tick), request.reprocess, survey.next_date)
        if reason is None:
            dates.append(tick)
        else:
            left.append(Left(logical_date=tick, reason=reason))
    return Choice(dates=tuple(dates), left=tuple(left))


def _why_left(tick: str, run: RunFact | None, reprocess: Reprocess, next_date: str | None) -> str | None:
    if run is None:
        if next_date is not None and tick >= next_date:
            return "the schedule comes to it by itself"
        return None
    if run.state in OPEN_STATES:
        return f"its run is {run.state}"
    if run.state == "success":
        return None if reprocess == "completed" else "it succeeded"
    return "it failed; --reprocess failed runs it again" if reprocess == "none" else None


def chunks(request: DagRequest, dates: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return the dates in groups, each within `chunk_days` days from the range's first day on; each date once."""

    def number(moment: str) -> int:
        return (datetime.fromisoformat(moment).date() - request.since) // timedelta(days=request.chunk_days)

    return tuple(tuple(group) for _, group in groupby(dates, key=number))


def estimate(request: DagRequest, dates: Sequence[str], took_s: Sequence[int], *, parallel: int) -> Estimate:
    """Return how long the dates take in their chunks. No side effects."""
    rounds = sum(-(-len(chunk) // parallel) for chunk in chunks(request, dates))
    if not took_s:
        return Estimate(runs=len(dates), usual_s=None, slow_s=None)
    ranked = sorted(took_s)
    usual, slow = ranked[len(ranked) // 2], ranked[len(ranked) * 9 // 10]
    return Estimate(runs=len(dates), usual_s=rounds * usual, slow_s=rounds * slow)


def parallel_of(request: DagRequest, survey: DagSurvey) -> int:
    """Return how many runs go at the same time: as asked, and no more than the DAG allows its scheduled runs."""
    return min(request.parallel, survey.max_active_runs)


def mark_of(request: Document, *, version: str, after: str | None) -> str:
    """Return what the runs of a backfill carry.

    Args:
        after: the deployment before, so that the same backfill asked for later is another one.
    """
    return digest_of({"request": request.model_dump(mode="json"), "version": version, "after": after})[:MARK_LENGTH]


def steps_of(request: DagRequest, survey: DagSurvey, *, version: str, after: str | None) -> tuple[BackfillDates, ...]:
    """Return one step for each chunk. No side effects.

    Raises:
        ConfigurationError: the DAG has no logical date in the range that is over.
    """
    if not survey.ticks:
        raise ConfigurationError(
            f"{request.dag_id} has no logical date from {request.since} to {request.until} whose interval is over",
            fix="give other dates as --from and --to",
        )
    wanted = choose(request, survey).dates
    return tuple(
        BackfillDates(
            request=request,
            dates=group,
            leaves=tuple(one for one in survey.ticks if group[0] < one < group[-1] and one not in group),
            parallel=parallel_of(request, survey),
            version=version,
            mark=mark_of(request, version=version, after=after),
        )
        for group in chunks(request, wanted)
    )


def model_steps(
    request: ModelRequest,
    model: Model,
    *,
    slot: str,
    release: str,
    version: str,
    after: str | None,
    rules: str,
) -> tuple[RebuildModel, AdoptModel]:
    """Return the steps of a model's backfill: built aside, then compared and swapped in. No side effects.

    Args:
        rules: the digest of what the policy says of comparisons.
    """
    mark = mark_of(request, version=version, after=after)
    adopt = AdoptModel(
        request=request,
        slot=slot,
        aside=mark[:SLOT_LENGTH].upper(),
        release=release,
        relations=model.relations,
        mark=mark,
        rules=rules,
    )
    shared = adopt.model_dump(exclude={"kind", "request", "rules"})
    return RebuildModel(**shared, request=request, is_microbatch=model.is_microbatch), adopt


def progress_of(step: BackfillDates, runs: Iterable[RunFact]) -> dict[str, Progress]:
    """Return how far each date of a step is, as Airflow's runs tell it. No side effects."""
    known = {run.logical_date: run for run in runs}
    return {one: _progress(step, known.get(one)) for one in step.dates}


def _progress(step: BackfillDates, run: RunFact | None) -> Progress:
    if run is None:
        return "missing"
    is_ours = run.mark == step.mark
    if run.state in OPEN_STATES:
        return "open"
    if run.state == "success":
        return "done" if is_ours or step.request.reprocess != "completed" else "missing"
    return "failed" if is_ours or step.request.reprocess == "none" else "missing"


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Dates that stand side by side, to be run by one backfill of Airflow with one way to deal with runs there are."""

    dates: tuple[str, ...]
    reprocess: Reprocess


def segments(step: BackfillDates, runs: Iterable[RunFact], wanted: Iterable[str]) -> Iterator[Segment]:
    """Yield `wanted` in stretches between which no other date of the step lies: Airflow takes a range of dates, and
    would take what lies in it too."""
    known, chosen = {run.logical_date: run for run in runs}, set(wanted)
    every = sorted({*step.dates, *step.leaves})
    for is_wanted, group in groupby(every, key=chosen.__contains__):
        if is_wanted:
            dates = tuple(group)
            yield Segment(dates=dates, reprocess=max((_way(known.get(one)) for one in dates), key=REPROCESS.index))


def _way(run: RunFact | None) -> Reprocess:
    """Return what Airflow must be told so that it runs a date that has this run."""
    if run is None:
        return "none"
    return "completed" if run.state == "success" else "failed"


def tally(progress: Mapping[str, Progress]) -> dict[Progress, int]:
    """Return how many dates are how far."""
    found: dict[Progress, int] = {"missing": 0, "open": 0, "done": 0, "failed": 0}
    for one in progress.values():
        found[one] += 1
    return found
