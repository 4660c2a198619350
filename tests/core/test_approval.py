"""Approvals: who counts and who does not, and what it takes to break the glass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.approval import (
    CLOCK_SKEW,
    Approval,
    Review,
    Signed,
    SignedReview,
    authors_of,
    is_glass_broken,
    is_reviewed,
    refuse_overtaken,
    tally,
    tally_break_glass,
)
from slipway.deployment import Deployment
from slipway.errors import Stale
from slipway.plan import Plan
from slipway.policy import LaneRule
from tests.ports.environment import MemoryEnvironment

from .conftest import NOW, PEOPLE, commit_by, policy_of, release_of, version_in_staging

ROLE = "arn:aws:sts::123456789012:assumed-role/finedge-staging-approver"
RULE = LaneRule(approvals=1)


def plan_by(*authors: str, more: Sequence[Sequence[str]] = ()) -> Plan:
    """Return a plan of one commit by `authors`, and of `more` commits."""
    release = release_of()
    commits = (commit_by(*authors), *(commit_by(*one) for one in more))
    return MemoryEnvironment().plan(release, version_in_staging(release), commits=commits)


PLAN = plan_by("Ana <ana@finedge.example>")


def signed_by(person: str, *, plan: Plan = PLAN, at: datetime = NOW, problem: str | None = None, **said: Any) -> Signed:
    facts: dict[str, Any] = {
        "kind": "approval",
        "plan": plan.id,
        "environment": plan.environment,
        "identity": f"{ROLE}/{person}",
        "user_id": f"AROA1:{person}",
        "reason": "read",
        "at": at.isoformat(timespec="milliseconds"),
    }
    approval = Approval.from_mapping({**facts, **said}, origin="approval")
    return Signed(approval=approval, sha256=approval.digest, problem=problem)


def people_who_count(*signed: Signed, plan: Plan = PLAN, rule: LaneRule = RULE, **changes: Any) -> tuple[str, ...]:
    return tally(signed, plan, policy_of(**changes), rule, now=NOW).people


def refusals(*signed: Signed, plan: Plan = PLAN, rule: LaneRule = RULE, **changes: Any) -> tuple[str, ...]:
    return tally(signed, plan, policy_of(**changes), rule, now=NOW).refused


def test_an_approval_and_a_review_read_back_the_same() -> None:
    approval = signed_by("ben").approval
    review = Review(deployment="d", environment="prod", identity="i", user_id="u", reason="ü", at="2026-11-02")

    assert Approval.from_bytes(approval.to_bytes(), origin="memory") == approval
    assert Review.from_bytes(review.to_bytes(), origin="memory") == review


def test_whoever_is_no_author_counts() -> None:
    assert people_who_count(signed_by("ben"), signed_by("pat")) == ("ben", "pat")


@pytest.mark.parametrize(
    "authors",
    [
        ("Ben <ben@finedge.example>",),
        ("Ana <ana@finedge.example>", "Ben <ben@finedge.example>"),  # as co-author or committer
        ("Somebody <BEN@finedge.example>",),
    ],
    ids=["author", "co-author or committer", "under another name"],
)
def test_whoever_wrote_a_part_of_it_does_not_count(authors: tuple[str, ...]) -> None:
    plan = plan_by(*authors)

    assert people_who_count(signed_by("ben", plan=plan), plan=plan) == ()
    assert refusals(signed_by("ben", plan=plan), plan=plan) == ("ben: wrote a part of what would be deployed",)


def test_the_author_of_any_commit_since_the_live_release_does_not_count() -> None:
    plan = plan_by(
        "Ana <ana@finedge.example>", more=[("Chris <chris@finedge.example>",), ("Ben <ben@finedge.example>",)]
    )

    assert people_who_count(*(signed_by(person, plan=plan) for person in PEOPLE), plan=plan) == ("pat",)


@pytest.mark.parametrize("asked_by", [f"{ROLE}/ben", "Ben <ben@finedge.example>"], ids=["known to AWS", "known to git"])
@pytest.mark.parametrize("purpose", ["backfill", "rollback"])
def test_whoever_asked_for_what_no_commit_brings_does_not_count(asked_by: str, purpose: str) -> None:
    plan = PLAN.model_copy(update={"commits": (), "purpose": purpose, "asked_by": asked_by})

    assert people_who_count(signed_by("ben", plan=plan), signed_by("pat", plan=plan), plan=plan) == ("pat",)
    assert refusals(signed_by("ben", plan=plan), plan=plan) == ("ben: asked for what would be deployed",)


def test_nobody_counts_while_it_is_not_known_who_asked() -> None:
    plan = PLAN.model_copy(update={"commits": (), "purpose": "backfill", "asked_by": "root@somewhere"})

    assert authors_of(plan, policy_of()) == (frozenset(), ("root@somewhere",))


def test_a_forges_own_address_is_nobody_and_an_unknown_one_is_a_stranger() -> None:
    plan = plan_by("Ana <ana@finedge.example>", "Forge <noreply@forge.example>", "Zoe <zoe@elsewhere.example>")

    assert authors_of(plan, policy_of()) == (frozenset({"ana"}), ("Zoe <zoe@elsewhere.example>",))


def test_a_stranger_is_named_once() -> None:
    plan = plan_by("Zoe <zoe@x>", more=[("Zoe <zoe@x>",)])

    assert authors_of(plan, policy_of())[1] == ("Zoe <zoe@x>",)


def test_one_person_counts_once_however_many_signatures_and_identities() -> None:
    people = {"ben": {"identities": ["ben", "ben.admin"], "emails": []}, "ana": {"emails": ["ana@finedge.example"]}}
    both = (signed_by("ben"), signed_by("ben.admin"), signed_by("ben", reason="again"))

    assert people_who_count(*both, people=people, environments={}) == ("ben",)


@pytest.mark.parametrize(
    ("signed", "why"),
    [
        (signed_by("zoe"), f"{ROLE}/zoe: is nobody in config/policy.toml"),
        (signed_by("ben", plan=plan_by("Pat <pat@finedge.example>")), "ben: signed another plan"),
        (signed_by("ben", environment="prod"), "ben: signed another plan"),
        (signed_by("ben", problem="was replaced after it was signed"), "ben: was replaced after it was signed"),
        (signed_by("ana", problem="stands where another may write"), "ana: stands where another may write"),
        (
            signed_by("ben", at=NOW - timedelta(hours=24, milliseconds=1)),
            "ben: the signature of 2026-11-01T11:59:59.999+00:00 is older than 24 h",
        ),
        (
            signed_by("ben", at=NOW + CLOCK_SKEW + timedelta(milliseconds=1)),
            "ben: signed with a clock that is ahead (2026-11-02T12:05:00.001+00:00)",
        ),
    ],
    ids=["unknown", "other plan", "other environment", "replaced", "misplaced", "expired", "clock ahead"],
)
def test_what_does_not_count_says_why(signed: Signed, why: str) -> None:
    assert people_who_count(signed) == ()
    assert refusals(signed) == (why,)


@pytest.mark.parametrize("age", [timedelta(hours=24), timedelta(0), -CLOCK_SKEW], ids=["just", "now", "a little ahead"])
def test_an_approval_counts_until_its_time_is_over(age: timedelta) -> None:
    assert people_who_count(signed_by("ben", at=NOW - age)) == ("ben",)


def test_only_the_lanes_approvers_count_when_it_names_them() -> None:
    rule = LaneRule(approvals=1, approvers=("ana", "pat"))

    assert people_who_count(*map(signed_by, PEOPLE), rule=rule) == ("pat",)
    assert "ben: may not approve this lane" in refusals(*map(signed_by, PEOPLE), rule=rule)


def test_breaking_the_glass_is_no_approval_and_an_approval_breaks_no_glass() -> None:
    broke, approved = signed_by("ben", kind="break-glass"), signed_by("pat")

    assert people_who_count(broke, approved) == ("pat",)
    assert tally_break_glass((broke, approved), PLAN, policy_of(), now=NOW).people == ("ben",)


@pytest.mark.parametrize(
    ("people", "minutes", "broken"),
    [
        (("ben",), 0, False),
        (("ben", "ben"), 0, False),
        (("ben", "chris"), 0, True),
        (("ana", "ben"), 0, True),  # one of them an author
        (("ana",), 0, False),
        (("ben", "zoe"), 0, False),
        (("ben", "chris"), 60, True),
        (("ben", "chris"), 61, False),
    ],
)
def test_the_glass_breaks_by_several_people_within_minutes(people: tuple[str, ...], minutes: int, broken: bool) -> None:
    at = NOW - timedelta(minutes=minutes)
    found = tally_break_glass([signed_by(one, kind="break-glass", at=at) for one in people], PLAN, policy_of(), now=NOW)

    assert is_glass_broken(found, PLAN, policy_of()) is broken


def test_authors_alone_do_not_break_the_glass() -> None:
    plan = plan_by("Ana <ana@finedge.example>", "Ben <ben@finedge.example>")
    signed = [signed_by(person, plan=plan, kind="break-glass") for person in ("ana", "ben", "chris")]
    two, three = (tally_break_glass(signed[:number], plan, policy_of(), now=NOW) for number in (2, 3))

    assert not is_glass_broken(two, plan, policy_of())
    assert is_glass_broken(three, plan, policy_of())


@pytest.mark.parametrize(
    ("reviewer", "changes", "problem", "good"),
    [
        ("pat", {}, None, True),
        ("ben", {}, None, False),
        ("zoe", {}, None, False),
        ("pat", {"deployment": "d-2"}, None, False),
        ("pat", {"environment": "staging"}, None, False),
        ("pat", {}, "was not signed by the key", False),
    ],
    ids=["another", "who broke it", "nobody", "other deployment", "other environment", "forged"],
)
def test_a_review_is_someone_elses(reviewer: str, changes: dict[str, str], problem: str | None, good: bool) -> None:
    facts = {
        "deployment": "d-1",
        "environment": "prod",
        "identity": f"{ROLE}/{reviewer}",
        "user_id": f"AROA1:{reviewer}",
        "reason": "closed",
        "at": "2026-11-02T12:00:00+00:00",
    }
    review = SignedReview(review=Review(**{**facts, **changes}), problem=problem)
    found = is_reviewed(
        [review], deployment="d-1", environment="prod", signers=("ben", "chris", "ana"), policy=policy_of()
    )

    assert found is good


@st.composite
def signatures(draw: st.DrawFn) -> list[Signed]:
    one = st.builds(
        signed_by,
        st.sampled_from([*PEOPLE, "zoe"]),
        at=st.integers(-30, 1).map(lambda hours: NOW + timedelta(hours=hours)),
        kind=st.sampled_from(["approval", "break-glass"]),
        problem=st.sampled_from([None, None, None, "was replaced after it was signed"]),
        environment=st.sampled_from(["staging", "staging", "prod"]),
    )
    return draw(st.lists(one, max_size=12))


@given(signed=signatures(), authors=st.sets(st.sampled_from(PEOPLE)), order=st.randoms())
def test_no_author_ever_counts_and_the_order_of_signatures_does_not_matter(
    signed: list[Signed], authors: set[str], order: Any
) -> None:
    plan = plan_by(*(f"X <{name}@finedge.example>" for name in sorted(authors)))
    signed = [
        Signed(approval=one.approval.model_copy(update={"plan": plan.id}), sha256=one.sha256, problem=one.problem)
        for one in signed
    ]
    shuffled = list(signed)
    order.shuffle(shuffled)
    found, again = (tally(one, plan, policy_of(), RULE, now=NOW) for one in (signed, shuffled))

    assert set(found.people) == set(again.people)
    assert not set(found.people) & authors
    assert len(found.people) == len(set(found.people))
    assert len(found.counted) + len(found.refused) <= len(signed)
    for one in found.counted:
        assert one.approval.environment == "staging"
        assert one.approval.kind == "approval"


@pytest.mark.parametrize("at", ["2026-11-02", "some day", "2026-11-02T12:00:00"])
def test_an_approval_without_a_good_time_does_not_count(at: str) -> None:
    vague = replace(signed_by("ben"), approval=signed_by("ben").approval.model_copy(update={"at": at}))
    found = tally([vague], PLAN, policy_of(), RULE, now=NOW)
    assert found.people == ()
    assert "carries" in found.refused[0]


def test_a_commit_of_automation_alone_was_written_by_somebody_who_may_be_anybody() -> None:
    assert authors_of(plan_by("Forge <noreply@forge.example>"), policy_of())[1] == ("Forge <noreply@forge.example>",)


def deployed(name: str, *, plan: str, state: str = "succeeded") -> Deployment:
    facts = {"release": "a" * 64, "version": "v", "slot": "S", "replaces": None, "by": "ci", "commit": None, "dags": ()}
    more = {"policy": None, "consents": (), "breaks_glass": False, "started_at": NOW.isoformat()}
    return Deployment(id=name, state=state, purpose="deploy", plan=plan, **facts, **more)  # type: ignore[arg-type]


AFTER = PLAN.model_copy(update={"after": "d-1"})


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (deployed("d-2", plan="other"), "was made before d-2"),
        (deployed("d-2", plan=AFTER.id), "was applied by d-2"),
    ],
)
def test_a_plan_that_was_overtaken_is_not_signed(last: Deployment, said: str) -> None:
    with pytest.raises(Stale, match=said):
        refuse_overtaken(AFTER, [deployed("d-1", plan="another"), last])


@pytest.mark.parametrize(
    "history",
    [(), (deployed("d-1", plan="another"),), (deployed("d-2", plan=AFTER.id, state="applying"),)],
    ids=["the first", "the next", "on its way"],
)
def test_a_plan_that_may_still_be_applied_is_signed(history: Sequence[Deployment]) -> None:
    refuse_overtaken(AFTER, history)
