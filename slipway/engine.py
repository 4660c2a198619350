"""The engine: the one loop that causes effects.

Rules:
- The lease is checked before every effect, and the base of the plan before the first: moved means stop, say what.
- Every step is probed before it is tried: what is already so is recorded as found, not done again.
- A step is recorded as it starts and as it ends, so that a killed process leaves "unknown", never a wrong "done".
- A part that does not answer is waited for. What an effect left behind when its answer was lost is unknown too: the
  step is probed again before it is tried again.
- A stop that was asked for is obeyed at the next boundary between steps.
- After the last step the environment is observed and planned again: success is an empty plan.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, assert_never

from slipway.deployment import Deployment, EventKind, fold
from slipway.errors import Interrupted, Locked, SlipwayError, Stale, VerificationFailed
from slipway.observation import Observation
from slipway.patience import Patience
from slipway.plan import Plan, moved_by_others
from slipway.ports import Backfills, Effects, Journal, Lease, Outcome, Progress
from slipway.release import short
from slipway.step import (
    AdoptModel,
    ApplyInfrastructure,
    BackfillDates,
    BuildSlot,
    CatchUpSlot,
    CompareSlot,
    FlipPointer,
    MigrateWarehouse,
    PublishSlot,
    RebuildModel,
    RehearseMigrations,
    Step,
    StepKind,
    UploadVersion,
    summarise,
)

PATIENCE_S = 120.0  # how long a part that does not answer is waited for
_T = TypeVar("_T")


class Listener(Protocol):
    """Is told what the engine does, to show it."""

    def step_started(self, number: int, step: Step) -> None: ...

    def step_moved(self, line: str) -> None: ...

    def step_ended(self, number: int, step: Step, outcome: Outcome, *, found: bool, seconds: float) -> None: ...

    def verifying(self) -> None: ...

    def waiting(self, line: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What is to be applied, for whom, and what was already begun of it.

    Attributes:
        deployment: the id to journal under; that of the unfinished deployment when `resumes`.
        begun: kinds of the plan's steps that an earlier process started.
        done: those of them that it recorded as done.
        permission: who and what allowed it, for the record.
    """

    plan: Plan
    deployment: str
    by: str
    resumes: bool = False
    begun: Collection[StepKind] = ()
    done: Collection[StepKind] = ()
    permission: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the engine works with.

    Attributes:
        observe_base: a cheap observation, for the base.
        look_again: a full observation of the same target and the plan that follows from it, for the verification.
        patience_s: how long a part that does not answer is waited for.
        pause_s: the first pause between two questions; see `Patience`.
    """

    effects: Effects
    journal: Journal
    lease: Lease
    observe_base: Callable[[], Observation]
    look_again: Callable[[], tuple[Observation, Plan]]
    listener: Listener
    is_stopping: Callable[[], bool]
    patience_s: float = PATIENCE_S
    pause_s: float = 0.5


def apply(work: Assignment, around: Surroundings) -> Deployment:
    """Apply the plan and return the deployment as the journal tells it.

    Raises:
        Stale: the base moved since the plan was made; nothing was changed.
        Locked: the lease was lost; nothing more was changed.
        StepFailed: a step failed; the steps before it stand.
        Unavailable: a part did not answer for as long as the engine waits.
        VerificationFailed: what is observed in the end differs from the plan.
        Interrupted: a stop was asked for.

    Side effects: those of the steps, and the journal.
    """
    plan, journal = work.plan, around.journal
    around.lease.check()
    now = _patiently(around.observe_base, around)
    if said := moved_by_others(plan, now.base, begun=work.begun):
        raise Stale(
            f"{plan.environment} moved since the plan was made; nothing was changed:\n  " + "\n  ".join(said),
            fix=f"invoke plan --env {plan.environment}",
        )
    _stop_if_asked(1, plan, around)  # what was stopped while it was examined never began
    journal.append(work.deployment, "resumed" if work.resumes else "began", _facts_of(work))
    try:
        for number, step in enumerate(plan.steps, start=1):
            _stop_if_asked(number, plan, around)
            _take(number, step, work, around)
        journal.append(work.deployment, "verifying", {})
        around.listener.verifying()
        began = time.monotonic()
        seen, again = _patiently(around.look_again, around)
        looked_ms = _ms(time.monotonic() - began)
        _refuse_more_to_do(again, plan.environment)
    except Locked:
        raise  # whoever holds the environment now writes the journal
    except SlipwayError as error:
        _record(error, journal, work.deployment, "failed", {"error": type(error).__name__})
        raise
    journal.append(work.deployment, "succeeded", {**_found(seen), "outside_ms": looked_ms})
    return next(one for one in fold(journal.events()) if one.id == work.deployment)


def _take(number: int, step: Step, work: Assignment, around: Surroundings) -> None:
    deployment = work.deployment
    around.listener.step_started(number, step)
    around.journal.append(deployment, "step-started", {"kind": step.kind, "summary": summarise(step)})
    began = time.monotonic()
    try:
        outcome, found = _patiently(lambda: _probe_and_perform(step, work, around), around)
    except Locked:
        raise
    except SlipwayError as error:
        facts = {"duration_ms": _ms(time.monotonic() - began), "evidence": dict(error.evidence)}
        _record(error, around.journal, deployment, "step-failed", facts)
        raise
    seconds = time.monotonic() - began
    around.journal.append(
        deployment,
        "step-done",
        {
            "summary": outcome.summary,
            "found": found,
            "evidence": dict(outcome.evidence),
            "duration_ms": _ms(seconds),
            "outside_ms": _ms(outcome.outside_s),
        },
    )
    around.listener.step_ended(number, step, outcome, found=found, seconds=seconds)


def _record(error: SlipwayError, journal: Journal, deployment: str, kind: EventKind, facts: Mapping[str, Any]) -> None:
    """Journal a failure; that it could not be recorded is told beside the failure, not in its place."""
    try:
        journal.append(deployment, kind, {"message": error.message, **facts})
    except Locked:
        raise
    except SlipwayError as other:
        error.message += f"\n  and it could not be recorded: {other.message}"


def _probe_and_perform(step: Step, work: Assignment, around: Surroundings) -> tuple[Outcome, bool]:
    """Return what came of the step, and whether it was found done."""
    if is_done(step, around.effects, recorded=step.kind in work.done):
        return Outcome(summary="already so"), True
    around.lease.check()  # a probe may take its time
    return perform(step, around.effects, around.listener.step_moved), False


def is_done(step: Step, effects: Effects, *, recorded: bool = False) -> bool:
    """Probe: return whether the system already is as the step would leave it. No side effects.

    Args:
        recorded: whether the journal has it as done; of a slot built anew, only that tells the new build from the old.
    """
    match step:
        case ApplyInfrastructure():
            return effects.infrastructure.is_applied(step)
        case UploadVersion():
            return effects.releases.is_uploaded(step)
        case RehearseMigrations():
            return effects.migrations.are_rehearsed(step)
        case MigrateWarehouse():
            return effects.migrations.are_applied(step)
        case BuildSlot():
            return (recorded or not step.anew) and effects.slots.is_built(step)
        case CatchUpSlot():
            return effects.slots.is_caught_up(step)
        case CompareSlot():
            return effects.slots.is_compared(step)  # it only reads: until the slot is published it is done again
        case PublishSlot():
            return effects.slots.is_published(step)
        case FlipPointer():
            return effects.orchestrator.is_live(step)
        case BackfillDates():
            return _backfills(effects).is_filled(step)
        case RebuildModel():
            return _backfills(effects).is_rebuilt(step)
        case AdoptModel():
            return _backfills(effects).is_adopted(step)
        case _:
            assert_never(step)


def perform(step: Step, effects: Effects, progress: Progress) -> Outcome:
    """Cause the effect of one step. Side effects: exactly those the step names."""
    match step:
        case ApplyInfrastructure():
            return effects.infrastructure.apply(step, progress)
        case UploadVersion():
            return effects.releases.upload(step, progress)
        case RehearseMigrations():
            return effects.migrations.rehearse(step, progress)
        case MigrateWarehouse():
            return effects.migrations.migrate(step, progress)
        case BuildSlot():
            return effects.slots.build(step, progress)
        case CatchUpSlot():
            return effects.slots.catch_up(step, progress)
        case CompareSlot():
            return effects.slots.compare(step, progress)
        case PublishSlot():
            return effects.slots.publish(step, progress)
        case FlipPointer():
            return effects.orchestrator.flip(step, progress)
        case BackfillDates():
            return _backfills(effects).fill(step, progress)
        case RebuildModel():
            return _backfills(effects).rebuild(step, progress)
        case AdoptModel():
            return _backfills(effects).adopt(step, progress)
        case _:
            assert_never(step)


def _backfills(effects: Effects) -> Backfills:
    if effects.backfills is None:
        raise AssertionError("no plan of a release holds a step of a backfill")
    return effects.backfills


def _patiently(call: Callable[[], _T], around: Surroundings) -> _T:
    """Return what `call` returns, tried again while a part does not answer; raise whatever it raised last."""

    def allow() -> None:
        if around.is_stopping():
            raise Interrupted("stopped while waiting; the steps before stand", fix="give the same command again")

    patience = Patience(
        limit_s=around.patience_s, tell=around.listener.waiting, allow=allow, first_pause_s=around.pause_s
    )
    return patience.ask(call)


def _stop_if_asked(number: int, plan: Plan, around: Surroundings) -> None:
    if around.is_stopping():
        before = "the steps before it stand" if number > 1 else "nothing was done"
        raise Interrupted(
            f"stopped before step {number} of {len(plan.steps)}; {before}",
            fix=_again(plan),
        )


def _again(plan: Plan) -> str:
    """Return the command that goes on with a plan."""
    if plan.purpose == "backfill":
        return f"invoke backfill.run --env {plan.environment} --plan {short(plan.id)}"
    return f"invoke {plan.purpose} --env {plan.environment}"


def _refuse_more_to_do(again: Plan, environment: str) -> None:
    if not again.is_empty:
        left = [f"  {summarise(step)}" for step in again.steps]
        raise VerificationFailed(
            "every step was done, and there is still something to do:\n" + "\n".join(left),
            fix=f"invoke plan --env {environment}",
        )


def _facts_of(work: Assignment) -> dict[str, Any]:
    plan = work.plan
    return {
        "plan": plan.id,
        "purpose": plan.purpose,
        "release": plan.release,
        "version": plan.version,
        "slot": plan.slot,
        "replaces": plan.replaces,
        "dags": list(plan.dag_ids),
        "commit": plan.commit,
        "policy": plan.policy,
        "by": work.by,
        **work.permission,
    }


def _found(seen: Observation) -> dict[str, Any]:
    """Return what was there in the end, for the record."""
    published = seen.warehouse.published
    return {
        "serial": seen.infrastructure.serial,
        "slot": published.slot if published else None,
        "pointer": seen.pointer.version if seen.pointer else None,
        "dags": dict(sorted(seen.orchestrator.versions.items())),
        "import_errors": len(seen.orchestrator.import_errors),
    }


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
