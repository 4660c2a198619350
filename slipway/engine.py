"""The engine: the only loop that causes effects.

Rules:
- The lease is checked before every effect, and the base of the plan before the first: moved means stop, say what.
- Every step is probed before it is tried: what is already so is recorded as found, not done again.
- A step is recorded as it starts and as it ends, so that a killed process leaves "unknown", never a wrong "done".
- A stop that was asked for is obeyed at the next boundary between steps.
- After the last step the environment is observed and planned again: success is an empty plan.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol, assert_never

from slipway.deployment import Deployment, fold
from slipway.errors import Interrupted, Locked, SlipwayError, Stale, VerificationFailed
from slipway.observation import Observation, moved
from slipway.plan import Plan
from slipway.ports import Effects, Journal, Lease, Outcome, Progress
from slipway.step import (
    ApplyInfrastructure,
    BuildSlot,
    FlipPointer,
    MigrateWarehouse,
    PublishSlot,
    Step,
    UploadVersion,
    summarise,
)


class Listener(Protocol):
    """Is told what the engine does, to show it."""

    def step_started(self, number: int, step: Step) -> None: ...

    def step_moved(self, line: str) -> None: ...

    def step_ended(self, number: int, step: Step, outcome: Outcome, *, found: bool, seconds: float) -> None: ...

    def verifying(self) -> None: ...


def apply(
    plan: Plan,
    *,
    deployment: str,
    by: str,
    commit: str | None,
    resumes: bool,
    effects: Effects,
    journal: Journal,
    lease: Lease,
    observe_base: Callable[[], Observation],
    replan: Callable[[], Plan],
    listener: Listener,
    is_stopping: Callable[[], bool],
) -> Deployment:
    """Apply `plan` and return the deployment as the journal tells it.

    Args:
        deployment: the id to journal under; that of the unfinished deployment when `resumes`.
        observe_base: a cheap observation, for the base.
        replan: a full observation and plan of the same target, for the verification.

    Raises:
        Stale: the base moved since the plan was made; nothing was changed.
        Locked: the lease was lost; nothing more was changed.
        StepFailed: a step failed; the steps before it stand.
        VerificationFailed: what is observed in the end differs from the plan.
        Interrupted: a stop was asked for.

    Side effects: those of the steps, and the journal.
    """
    lease.check()
    _refuse_moved_base(plan, observe_base())
    facts = {"plan": plan.id, "purpose": plan.purpose, "release": plan.release, "version": plan.version}
    journal.append(
        deployment,
        "resumed" if resumes else "began",
        {**facts, "slot": plan.slot, "replaces": plan.replaces, "dags": list(plan.dag_ids), "by": by, "commit": commit},
    )
    try:
        for number, step in enumerate(plan.steps, start=1):
            if is_stopping():
                raise Interrupted(
                    f"stopped before step {number} of {len(plan.steps)}; the steps before it stand",
                    fix=f"invoke {plan.purpose} --env {plan.environment}",
                )
            lease.check()
            _take(number, step, deployment=deployment, effects=effects, journal=journal, listener=listener)
        journal.append(deployment, "verifying", {})
        listener.verifying()
        _verify(plan, replan())
    except Locked:
        raise  # whoever holds the environment now writes the journal
    except SlipwayError as error:
        journal.append(deployment, "failed", {"message": error.message, "error": type(error).__name__})
        raise
    journal.append(deployment, "succeeded", {})
    return next(one for one in fold(journal.events()) if one.id == deployment)


def _take(number: int, step: Step, *, deployment: str, effects: Effects, journal: Journal, listener: Listener) -> None:
    listener.step_started(number, step)
    journal.append(deployment, "step-started", {"kind": step.kind, "summary": summarise(step)})
    began = time.monotonic()
    try:
        found = is_done(step, effects)
        outcome = Outcome(summary="already so") if found else perform(step, effects, listener.step_moved)
    except Locked:
        raise
    except SlipwayError as error:
        journal.append(
            deployment, "step-failed", {"message": error.message, "duration_ms": _ms(time.monotonic() - began)}
        )
        raise
    seconds = time.monotonic() - began
    journal.append(
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
    listener.step_ended(number, step, outcome, found=found, seconds=seconds)


def is_done(step: Step, effects: Effects) -> bool:
    """Probe: return whether the system already is as the step would leave it. No side effects."""
    match step:
        case ApplyInfrastructure():
            return effects.infrastructure.is_applied(step)
        case UploadVersion():
            return effects.releases.is_uploaded(step)
        case MigrateWarehouse():
            return effects.migrations.are_applied(step)
        case BuildSlot():
            return not step.anew and effects.slots.is_built(step)
        case PublishSlot():
            return effects.slots.is_published(step)
        case FlipPointer():
            return effects.orchestrator.is_live(step)
        case _:
            assert_never(step)


def perform(step: Step, effects: Effects, progress: Progress) -> Outcome:
    """Cause the effect of one step. Side effects: exactly those the step names."""
    match step:
        case ApplyInfrastructure():
            return effects.infrastructure.apply(step, progress)
        case UploadVersion():
            return effects.releases.upload(step, progress)
        case MigrateWarehouse():
            return effects.migrations.migrate(step, progress)
        case BuildSlot():
            return effects.slots.build(step, progress)
        case PublishSlot():
            return effects.slots.publish(step, progress)
        case FlipPointer():
            return effects.orchestrator.flip(step, progress)
        case _:
            assert_never(step)


def _refuse_moved_base(plan: Plan, now: Observation) -> None:
    if said := moved(plan.base, now.base):
        raise Stale(
            f"{plan.environment} moved since the plan was made; nothing was changed:\n  " + "\n  ".join(said),
            fix=f"invoke plan --env {plan.environment}",
        )


def _verify(plan: Plan, again: Plan) -> None:
    if not again.is_empty:
        left: list[Any] = [f"  {summarise(step)}" for step in again.steps]
        raise VerificationFailed(
            "every step was done, and there is still something to do:\n" + "\n".join(left),
            fix=f"invoke plan --env {plan.environment}",
        )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
