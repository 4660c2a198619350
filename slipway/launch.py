"""The way of a deployment, from an open environment to what is live: lease, examine, gates, apply, verify.

`deploy` and `rollback` walk it alike; they differ in the release and in the purpose of the plan.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

from slipway import engine, gate
from slipway.deployment import Deployment, fold
from slipway.errors import Blocked
from slipway.gate import CheckReport
from slipway.plan import Plan
from slipway.ports import Journal, Lease
from slipway.wiring import Operation, Site


class Listener(engine.Listener, Protocol):
    """Is told what happens, phase by phase and step by step."""

    def examining(self) -> None: ...

    def examined(self, plan: Plan) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What came of it: the plan, and the deployment unless there was nothing to do."""

    plan: Plan
    checks: CheckReport
    deployment: Deployment | None


def launch(
    site: Site,
    choose: Callable[[], Operation],
    *,
    purpose: Literal["deploy", "rollback"],
    listener: Listener,
    is_stopping: Callable[[], bool],
) -> Launch:
    """Make the chosen operation's version live and return what was done.

    Args:
        choose: called once the environment is held, so that nothing it looks at moves before it is used.

    Raises:
        Blocked: a gate refuses, or another deployment holds the environment; nothing was changed.
        SlipwayError: see `engine.apply`.

    Side effects: those of the plan's steps; the lease is held meanwhile.
    """
    with site.lease() as lease:
        listener.examining()
        operation = choose()
        report, seen, plan = operation.examine(purpose)
        listener.examined(plan)
        blockers = gate.evaluate(plan, operation.release, report, seen)
        if blockers:
            raise Blocked(
                f"{len(blockers)} gate(s) refuse release {operation.release.short_id}; nothing was changed",
                blockers=[(one.id, one.reason, one.fix) for one in blockers],
            )
        journal = site.journal.fenced_by(lease)
        unfinished = _settle(journal, plan)
        if plan.is_empty and unfinished is None:
            return Launch(plan=plan, checks=report, deployment=None)
        site.bucket.put_plan(plan)
        deployment = _apply(site, operation, plan, report, lease, journal, unfinished, listener, is_stopping)
        return Launch(plan=plan, checks=report, deployment=deployment)


def _apply(
    site: Site,
    operation: Operation,
    plan: Plan,
    report: CheckReport,
    lease: Lease,
    journal: Journal,
    unfinished: str | None,
    listener: Listener,
    is_stopping: Callable[[], bool],
) -> Deployment:
    touches_infrastructure = any(step.kind == "infra" for step in plan.steps)

    def replan() -> Plan:
        seen = operation.observer.observe(infrastructure=touches_infrastructure)
        return operation.plan_on(seen, report, plan.purpose)

    return engine.apply(
        plan,
        deployment=unfinished or new_id(),
        by=site.who(),
        commit=operation.release.provenance.commit,
        resumes=unfinished is not None,
        effects=operation.effects(),
        journal=journal,
        lease=lease,
        observe_base=lambda: operation.observer.observe(infrastructure=False),
        replan=replan,
        listener=listener,
        is_stopping=is_stopping,
    )


def _settle(journal: Journal, plan: Plan) -> str | None:
    """Return the id of the last deployment when it did not end well and this plan goes on with it, or None.

    It may have nothing left to do: a process that was killed after the last step has only not said so.

    Side effects: an unfinished deployment of something else is journalled as abandoned.
    """
    last = next(reversed(fold(journal.events())), None)
    if last is None or last.state == "succeeded":
        return None
    if (last.version, last.purpose) == (plan.version, plan.purpose):
        return last.id
    if last.state != "failed":
        journal.append(last.id, "abandoned", {"message": f"superseded by a deployment of {plan.version}"})
    return None


def new_id() -> str:
    """Return a new deployment's id: when, and six digits that make it one of a kind."""
    return f"d-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
