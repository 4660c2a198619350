"""The way of a deployment, from an open environment to what is live and signed: lease, examine, gates, apply, seal.

`deploy`, `rollback` and `backfill` walk it alike; they differ in the release and in the purpose of the plan.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from slipway import engine, gate
from slipway.deployment import Deployment, fold
from slipway.documents import digest_of
from slipway.errors import Blocked, ConfigurationError, Locked, NotBootstrapped, SlipwayError, Stale
from slipway.evidence import ended
from slipway.gate import Verdict
from slipway.lineage import Contraction
from slipway.observation import Observation
from slipway.operation import Operation
from slipway.patience import Patience
from slipway.plan import Plan, Purpose, is_compared_anew, moved_by_others
from slipway.ports import Journal, Lease
from slipway.record import Record
from slipway.release import short
from slipway.rollback import live_in
from slipway.site import Site
from slipway.step import StepKind

SAME_ROLLBACK = timedelta(minutes=15)  # within which a rollback given again, without a target, is the same one


class Listener(engine.Listener, Protocol):
    """Is told what happens, phase by phase and step by step."""

    def examining(self) -> None: ...

    def examined(self, plan: Plan) -> None: ...

    def resuming(self, plan: Plan, deployment: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Order:
    """What was asked for.

    Attributes:
        choose: gives the operation; called once the environment is held, so that nothing it looks at moves before it is
            used.
        plan: the plan that was reviewed and nothing else; None lets the plan follow from what is there.
        only: the kinds of steps that the plan may hold; None for any.
        breaks_glass: whether gates may be lifted by those who broke the glass for this plan.
        names_target: whether a rollback was told where to; without, given again soon it is the same one.
    """

    purpose: Purpose
    choose: Callable[[], Operation]
    plan: Plan | None = None
    only: Collection[StepKind] | None = None
    breaks_glass: bool = False
    names_target: bool = False


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What came of it: the plan, and the deployment unless there was nothing to do.

    Attributes:
        reason: why there was nothing to do.
    """

    plan: Plan
    deployment: Deployment | None = None
    reason: str = ""


def launch(site: Site, order: Order, *, listener: Listener, is_stopping: Callable[[], bool]) -> Launch:
    """Make the chosen operation's version live and return what was done.

    Raises:
        Blocked: a gate refuses, or another deployment holds the environment; nothing was changed.
        Stale: the plan that was asked for is not what would be done now.
        SlipwayError: see `engine.apply`.

    Side effects: those of the plan's steps; the lease is held meanwhile; the end is signed.
    """
    record = Record(site)
    with site.lease(tell=listener.waiting) as lease:
        journal = site.journal = site.journal.fenced_by(lease)  # whoever reads it now is as patient as who writes it
        record.require_anchored(journal.events())  # nothing is done, or signed, on top of a journal that was bent
        _seal(record, journal, listener)
        is_relative = order.purpose == "rollback" and not order.names_target
        if is_relative and (same := given_again(journal)):
            return Launch(
                plan=site.bucket.plan(same.plan),
                reason=f"{same.id} went back to {same.version} at {(same.ended_at or same.started_at)[11:16]} UTC; "
                f"further back: invoke rollback --env {site.environment.name} --to RELEASE",
            )
        if order.plan is not None and (before := _applied(site, journal, order.plan)):
            return Launch(plan=order.plan, reason=f"plan {short(order.plan.id)} was applied as {before.id}")
        listener.examining()
        operation = order.choose()
        work = _resumption(record, operation, order, listener) or _new_work(record, operation, journal, order, listener)
        if isinstance(work, Launch):
            return work
        try:
            deployment = _apply(record, operation, work, lease, journal, listener, is_stopping)
        except Locked:
            raise  # whoever holds the environment now signs what ended
        except SlipwayError:
            with suppress(SlipwayError):  # the next command seals it
                _seal(record, journal, listener)
            raise
        Patience(tell=listener.waiting).ask(lambda: _seal(record, journal, listener))
        return Launch(plan=work.plan, deployment=deployment)


def judge(
    record: Record, operation: Operation, plan: Plan, seen: Observation, *, breaks_glass: bool = False
) -> Verdict:
    """Return what the gates say of a plan as things stand. No side effects."""
    manifest, expected = operation.release.manifest, record.forecast(plan)
    case = gate.Case(
        plan=plan,
        release=operation.release,
        checks=operation.checks(),
        seen=seen,
        policy=record.site.policy,
        now=datetime.now(UTC),
        signed=record.approvals_of(plan),
        forecast_ms=expected.ms,
        never_done=expected.never_done,
        staged=record.staged(plan, {name: manifest.component_digest(name) for name in manifest.components}),
        unreviewed=record.unreviewed(),
        breaks_glass=breaks_glass,
        contraction=operation.contraction(seen) if plan.purpose == "deploy" else Contraction(),
    )
    return gate.judge(case, record.live_policy)


def _applied(site: Site, journal: Journal, plan: Plan) -> Deployment | None:
    """Return the last deployment when it applied this very plan, and what it made is live."""
    last = next(reversed(fold(journal.events())), None)
    if last is None or last.plan != plan.id or last.state != "succeeded":
        return None
    return last if live_in(site.observe_live()).is_all_of(last) else None


def given_again(journal: Journal) -> Deployment | None:
    """Return the last deployment when it is a rollback that succeeded a moment ago.

    Whoever gives the command again may not have heard of its end, a process that died or a runner that tries again for
    one; going back once more would be another rollback.
    """
    last = next(reversed(fold(journal.events())), None)
    if last is None or (last.purpose, last.state) != ("rollback", "succeeded"):
        return None
    was_lately = datetime.now(UTC) - datetime.fromisoformat(last.ended_at or last.started_at) < SAME_ROLLBACK
    return last if was_lately else None


def _resumption(record: Record, operation: Operation, order: Order, listener: Listener) -> engine.Assignment | None:
    """Return how to go on with the last deployment, by its own plan, when it did not end well and this is its target.

    What allowed it when it began is looked at again; what others moved meanwhile makes a new plan necessary.
    """
    last = next(reversed(record.site.history()), None)
    if last is None or last.state == "succeeded":
        return None
    if (last.version, last.purpose) != (operation.version.version, order.purpose):
        return None
    if order.plan is not None and order.plan.id != last.plan:
        return None
    try:
        plan = record.site.bucket.plan(last.plan)
    except ConfigurationError:  # another Slipway made it, or nobody kept it
        return None
    if not operation.goes_on_with(plan) or not record.may_go_on(last, plan):
        return None
    if is_compared_anew(plan, refused_by=last.error, rules=record.site.policy.comparison.digest):
        return None
    if moved_by_others(plan, operation.observer.observe(infrastructure=False).base, begun=last.begun):
        return None
    refuse_more(plan, order.only)
    listener.resuming(plan, last.id)
    return engine.Assignment(
        plan=plan,
        deployment=last.id,
        by=record.site.who(),
        resumes=True,
        begun=last.begun,
        done=last.done,
        permission={
            "approvals": [one.model_dump(mode="json") for one in last.consents],
            "breaks_glass": last.breaks_glass,
            "gates": [],
            "slipway": own_digest(),
        },
    )


def _new_work(
    record: Record, operation: Operation, journal: Journal, order: Order, listener: Listener
) -> engine.Assignment | Launch:
    """Return what is to be applied, once every gate is open; or that there is nothing to do.

    Side effects: the plan is kept; an unfinished deployment of something else is journalled as abandoned.
    """
    seen, plan = operation.examine(order.purpose, reviewed=order.plan)
    listener.examined(plan)
    if order.plan is not None:
        refuse_other_plan(order.plan, plan)
    refuse_more(plan, order.only)
    verdict = Verdict(results=())
    if not plan.is_empty:
        verdict = judge(record, operation, plan, seen, breaks_glass=order.breaks_glass)
        record.keep_plan(operation, plan)  # when people must approve it, they find it
        if not verdict.is_open:
            raise blocked(verdict, plan)
    is_settled = settle(journal)
    if plan.is_empty:
        if is_settled:
            _seal(record, journal, listener)  # no end of this one comes that would
        return Launch(plan=plan, reason=plan.reason)
    return engine.Assignment(plan=plan, deployment=new_id(), by=record.site.who(), permission=permission_of(verdict))


def _apply(
    record: Record,
    operation: Operation,
    work: engine.Assignment,
    lease: Lease,
    journal: Journal,
    listener: Listener,
    is_stopping: Callable[[], bool],
) -> Deployment:
    plan = work.plan
    record.site.session.guard = lease.check  # inside steps too, not only before them
    return engine.apply(
        work,
        engine.Surroundings(
            effects=operation.effects(),
            journal=record.anchored(journal, Patience(tell=listener.waiting)),
            lease=lease,
            observe_base=lambda: operation.observer.observe(infrastructure=False),
            look_again=lambda: operation.look_again(plan),
            listener=listener,
            is_stopping=is_stopping,
        ),
    )


def _seal(record: Record, journal: Journal, listener: Listener) -> None:
    """Seal what ended and is not sealed.

    An environment that has no evidence bucket yet gets one by its next plan.
    """
    events = journal.events()
    try:
        record.seal_what_ended(events)
    except NotBootstrapped as error:
        if ended(events):
            listener.waiting(f"{error.message}: what ended is sealed once it is there")


def refuse_more(plan: Plan, only: Collection[StepKind] | None) -> None:
    """Raise `Blocked` when a plan holds other kinds of steps than it may."""
    more = [step.kind for step in plan.steps if only is not None and step.kind not in only]
    if more:
        raise Blocked(
            f"the commit brings more than migrations: its plan would {', '.join(more)} too; nothing was changed",
            fix=f"invoke deploy --env {plan.environment}, or commit the migrations by themselves",
        )


def refuse_other_plan(reviewed: Plan, now: Plan) -> None:
    """Raise `Stale` unless what would be done now is exactly what was reviewed; say what moved."""
    if now.id == reviewed.id:
        return
    said = list(moved_by_others(reviewed, now.base))
    said += [
        f"{name}: {before} -> {after}"
        for name, before, after in (
            ("version", reviewed.version, now.version),
            ("policy", reviewed.policy[:12], now.policy[:12]),
            ("configuration", reviewed.configuration[:12], now.configuration[:12]),
            ("deployment before", reviewed.after, now.after),
            ("commits", len(reviewed.commits), len(now.commits)),
            ("steps", ", ".join(one.kind for one in reviewed.steps), ", ".join(one.kind for one in now.steps)),
        )
        if before != after
    ]
    raise Stale(
        f"plan {short(reviewed.id)} is not what would be done now; nothing was changed:\n  "
        + "\n  ".join(said or ["what its steps say"]),
        fix=f"invoke {'backfill.plan' if reviewed.purpose == 'backfill' else 'plan'} --env {reviewed.environment}, and "
        "have that one approved",
    )


def blocked(verdict: Verdict, plan: Plan) -> Blocked:
    """Return the error that names every gate that is not open."""
    return Blocked(
        f"{len(verdict.obstacles)} gate(s) refuse plan {short(plan.id)} of release {short(plan.release)}; "
        "nothing was changed",
        blockers=[(one.id, one.reason, one.fix or "") for one in verdict.obstacles],
    )


def permission_of(verdict: Verdict) -> dict[str, Any]:
    """Return what the journal says of who and what allowed a plan."""
    return {
        "approvals": [
            {"sha256": one.sha256, "person": one.person, "kind": one.approval.kind, "reason": one.approval.reason}
            for one in verdict.counted
        ],
        "breaks_glass": verdict.glass_broken,
        "gates": [{"id": one.id, "state": one.state, "reason": one.reason} for one in verdict.results],
        "slipway": own_digest(),
    }


def own_digest() -> str:
    """Return the digest of the Slipway that judges: every file of its package."""
    package = Path(__file__).parent
    return digest_of(
        {
            str(path.relative_to(package)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(package.rglob("*.py"))
        }
    )


def settle(journal: Journal) -> bool:
    """Return whether the last deployment did not end. Side effects: it is journalled as abandoned then."""
    last = next(reversed(fold(journal.events())), None)
    if last is not None and last.state not in ("succeeded", "failed"):
        journal.append(last.id, "abandoned", {"message": "the next command did not go on with it"})
        return True
    return False


def new_id() -> str:
    """Return a new deployment's id: when, and six digits that make it one of a kind."""
    return f"d-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
