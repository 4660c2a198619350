"""Approvals: signed statements of people about a plan, and what they add up to. Pure.

Rules:
- An approval is for one plan id in one environment; a plan that changes has another id, and no approvals.
- A person counts once, however many identities or signatures they have.
- Whoever wrote, co-wrote or committed any of the plan's commits does not count, nor does who asked for a plan that no
  commit brings, a backfill or a rollback. An address that belongs to nobody in the policy may be anybody's, so nobody
  counts until it is named.
- An approval is good for the policy's time to live, and never before the time it names.
- Break-glass is a statement of its own kind: several people, one of them no author, within minutes. It lifts what can
  wait (`LIFTED`), never what keeps broken code out, and asks for a review before the next deployment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from slipway.deployment import Deployment
from slipway.documents import Document
from slipway.errors import Stale
from slipway.plan import Plan
from slipway.policy import GateId, LaneRule, Policy
from slipway.release import short

ApprovalKind = Literal["approval", "break-glass"]
LIFTED: frozenset[GateId] = frozenset({"stage", "window", "budget", "approvals"})
CLOCK_SKEW = timedelta(minutes=5)  # that two machines' clocks may differ by
TO_BEGIN = timedelta(minutes=5)  # that may pass between the gates and the beginning, parts that do not answer included
NO_TIME = timedelta()


class Approval(Document):
    """What a person signed.

    Attributes:
        identity: the ARN that AWS gave when asked who the caller is.
        user_id: AWS's id of the same caller; the only name under which S3 lets them keep a signature.
    """

    kind: ApprovalKind
    plan: str
    environment: str
    identity: str
    user_id: str
    reason: str
    at: str  # ISO 8601, UTC


class Review(Document):
    """What a person signed about a deployment that broke the glass, after it."""

    deployment: str
    environment: str
    identity: str
    user_id: str
    reason: str
    at: str  # ISO 8601, UTC


@dataclass(frozen=True, kw_only=True, slots=True)
class Signed:
    """An approval as it was found, with what is wrong with its signature or its place, if anything."""

    approval: Approval
    sha256: str  # of the envelope it came in
    problem: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedReview:
    """A review as it was found, with what is wrong with its signature or its place, if anything."""

    review: Review
    problem: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """One person whose approval counts."""

    person: str
    approval: Approval
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """What approvals add up to: who counts, who does not and why."""

    counted: tuple[Counted, ...] = ()
    refused: tuple[str, ...] = ()  # sentences

    @property
    def people(self) -> tuple[str, ...]:
        """The people who count, in the order they signed."""
        return tuple(one.person for one in self.counted)


def authors_of(plan: Plan, policy: Policy) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the people whose change the plan is, and those who belong to nobody: the authors of its commits, and who
    asked for it."""
    people, strangers = set(), []
    for commit in plan.commits:
        written_by = [author for author in commit.authors if not policy.is_automation(author)]
        for author in written_by or commit.authors:  # automation writes nothing by itself: somebody used its name
            person = policy.person_of_author(author)
            if person is not None:
                people.add(person)
            elif author not in strangers:
                strangers.append(author)
    if plan.asked_by is not None:
        person = policy.person_of_identity(plan.asked_by) or policy.person_of_author(plan.asked_by)
        if person is not None:
            people.add(person)
        else:
            strangers.append(plan.asked_by)
    return frozenset(people), tuple(strangers)


def share_in(plan: Plan) -> str:
    """Return what somebody did whose change the plan is, as a sentence has it."""
    return "asked for" if plan.asked_by is not None else "wrote a part of"


def refuse_overtaken(plan: Plan, history: Sequence[Deployment]) -> None:
    """Raise `Stale` when another deployment came after the plan was made, or it is applied: no signature helps it.

    Args:
        history: deployments, oldest first.
    """
    last = history[-1] if history else None
    if last is None or last.id == plan.after or (last.plan == plan.id and last.state != "succeeded"):
        return
    said = "was applied by" if last.plan == plan.id else "was made before"
    raise Stale(
        f"plan {short(plan.id)} {said} {last.id}, and is not applied any more; nothing was signed",
        fix=f"invoke plan --env {plan.environment}, and approve the plan that it names",
    )


def tally(
    signed: Iterable[Signed], plan: Plan, policy: Policy, rule: LaneRule, *, now: datetime, ahead: timedelta = NO_TIME
) -> Tally:
    """Return what the approvals of `plan` add up to under `rule`. No side effects.

    Args:
        ahead: for how long they must be good still: what is judged now begins a little later, which an audit asks for.
    """
    authors, _ = authors_of(plan, policy)
    return _count(
        [one for one in signed if one.approval.kind == "approval"],
        plan,
        policy,
        allowed=frozenset(rule.approvers or policy.people) - authors,
        authors=authors,
        good_for=timedelta(hours=policy.approvals.ttl_hours),
        now=now,
        ahead=ahead,
    )


def tally_break_glass(
    signed: Iterable[Signed], plan: Plan, policy: Policy, *, now: datetime, ahead: timedelta = NO_TIME
) -> Tally:
    """Return what the break-glass statements about `plan` add up to. No side effects. Args: as `tally`."""
    return _count(
        [one for one in signed if one.approval.kind == "break-glass"],
        plan,
        policy,
        allowed=frozenset(policy.people),
        authors=frozenset(),
        good_for=timedelta(minutes=policy.break_glass.minutes),
        now=now,
        ahead=ahead,
    )


def is_glass_broken(found: Tally, plan: Plan, policy: Policy) -> bool:
    """Return whether enough people said so, one of them no author of the change."""
    authors, _ = authors_of(plan, policy)
    return len(found.people) >= policy.break_glass.people and not set(found.people) <= authors


def lacking(
    signed: Sequence[Signed], plan: Plan, policy: Policy, *, breaks_glass: bool, now: datetime
) -> tuple[str, ...]:
    """Return what the approvals of a plan lack, lane by lane; empty when they are enough. No side effects."""
    if breaks_glass and is_glass_broken(tally_break_glass(signed, plan, policy, now=now), plan, policy):
        return ()
    _, strangers = authors_of(plan, policy)
    said = []
    for lane, rule in policy.asks(plan.environment, purpose=plan.purpose, lanes=plan.lanes):
        if rule.approvals == 0:
            continue
        said += [f"{lane}: {stranger} {share_in(plan)} it, and may be anybody" for stranger in strangers]
        people = tally(signed, plan, policy, rule, now=now).people
        if len(people) < rule.approvals:
            said.append(f"{lane}: {len(people)} of {rule.approvals} approvals")
    return tuple(said)


def is_reviewed(
    reviews: Iterable[SignedReview], *, deployment: str, environment: str, signers: Sequence[str], policy: Policy
) -> bool:
    """Return whether someone who did not break the glass reviewed the deployment.

    Args:
        signers: the people who broke it, and the authors of what was deployed.
    """
    for one in reviews:
        review, person = one.review, policy.person_of_identity(one.review.identity)
        about_it = (review.deployment, review.environment) == (deployment, environment)
        if about_it and one.problem is None and person is not None and person not in signers:
            return True
    return False


def _count(
    signed: Sequence[Signed],
    plan: Plan,
    policy: Policy,
    *,
    allowed: frozenset[str],
    authors: frozenset[str],
    good_for: timedelta,
    now: datetime,
    ahead: timedelta,
) -> Tally:
    counted: dict[str, Counted] = {}
    refused: list[str] = []
    for one in sorted(signed, key=lambda one: one.approval.at):
        person = policy.person_of_identity(one.approval.identity)
        why = one.problem or _refusal(one.approval, plan, person, allowed=allowed, authors=authors)
        why = why or _untimely(one.approval, good_for=good_for, now=now, ahead=ahead)
        if why or person is None:
            refused.append(f"{person or one.approval.identity}: {why}")
        else:
            counted.setdefault(person, Counted(person=person, approval=one.approval, sha256=one.sha256))
    return Tally(counted=tuple(counted.values()), refused=tuple(refused))


def _refusal(
    approval: Approval, plan: Plan, person: str | None, *, allowed: frozenset[str], authors: frozenset[str]
) -> str | None:
    if (approval.plan, approval.environment) != (plan.id, plan.environment):
        return "signed another plan"
    if person is None:
        return "is nobody in config/policy.toml"
    if person in authors:
        return f"{share_in(plan)} what would be deployed"
    if person not in allowed:
        return "may not approve this lane"
    return None


def _untimely(approval: Approval, *, good_for: timedelta, now: datetime, ahead: timedelta) -> str | None:
    try:
        at = datetime.fromisoformat(approval.at)
    except ValueError:
        return f"carries no time: {approval.at}"
    if at.tzinfo is None:
        return f"carries a time without a zone: {approval.at}"
    if at > now + CLOCK_SKEW:
        return f"signed with a clock that is ahead ({approval.at})"
    if now - at > good_for:
        return f"the signature of {approval.at} is older than {_span(good_for)}"
    if now + ahead - at > good_for:
        return f"the signature of {approval.at} is good for {_span(good_for)}, which are over before it would begin"
    return None


def _span(of: timedelta) -> str:
    minutes = int(of.total_seconds() // 60)
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"
