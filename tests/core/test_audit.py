"""Audits: records held against each other, and a deployment told as a story. tests/tamper bends real storage."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.approval import Approval, Review
from slipway.audit import (
    Finding,
    JournalItem,
    Kept,
    Records,
    approval_key,
    bundle_key,
    checkpoint_key,
    is_writers_own,
    read_journal,
    review_key,
    verify,
)
from slipway.deployment import Event
from slipway.documents import Document, digest_of
from slipway.evidence import Bundle, Checkpoint, Copy, Head, statement_of
from slipway.plan import Plan
from slipway.policy import LANES, Policy
from slipway.story import story
from tests.ports.memory import MemoryJournal, MemoryTable

from .conftest import policy_of
from .test_approval import signed_by
from .test_evidence import ENVELOPES, Told, told


def kept(key: str, said: Document | dict[str, Any], *, sha256: str = "") -> Kept:
    """Return a signed object as it is found when nothing is wrong with it."""
    statement = said.model_dump(mode="json") if isinstance(said, Document) else said
    return Kept(key=key, versions=1, statement=statement, problem=None, sha256=sha256)


def items(events: tuple[Event, ...]) -> tuple[JournalItem, ...]:
    return tuple(JournalItem(seq=one.seq, sha256=one.sha256, text=one.to_bytes().decode()) for one in events)


def sealed(bundle: Bundle) -> Kept:
    return kept(bundle_key(bundle.deployment, bundle.head.seq), json.loads(statement_of(bundle)))


@cache
def records() -> Records:
    """Return the records of one deployment that failed, was resumed and succeeded."""
    found = told(fails_at="build")
    beginnings = [event for event in found.events if event.kind in ("began", "resumed")]
    failed = next(event.seq for event in found.events if event.kind == "failed")
    given_by = [signed_by(person, plan=found.plan).approval for person in ("ben", "pat")]
    review = Review(
        deployment="d-1", environment="staging", identity="arn:x/pat", user_id="AROA1:pat", reason="seen", at="2026"
    )
    return Records(
        environment="staging",
        journal=items(found.events),
        bundles=tuple(sealed(found.bundle(ending=seq - 1)) for seq in (failed, found.events[-1].seq)),
        checkpoints=tuple(_checkpoint(event) for event in beginnings),
        approvals=tuple(
            kept(approval_key(one), one, sha256=digest_of(envelope))
            for one, envelope in zip(given_by, ENVELOPES, strict=True)
        ),
        reviews=(kept(review_key(review), review),),
        plans={found.plan.id: found.plan.id},
        policies={found.plan.policy: found.plan.policy},
        approvals_key="PEM",
    )


def _checkpoint(event: Event) -> Kept:
    head = Head(seq=event.seq, sha256=event.sha256)
    return kept(checkpoint_key(event.seq), Checkpoint(environment="staging", head=head))


def findings(**changes: Any) -> tuple[Finding, ...]:
    return verify(replace(records(), **changes)).findings


def test_what_a_bundle_holds_a_copy_of_and_is_kept_no_more_is_told() -> None:
    copies = [Copy(key=checkpoint_key(1), version="v", sha256="0" * 64), Copy(key="plans/x", version="v", sha256="0")]
    bundle = sealed(told().bundle(copies=copies))

    assert [one for one in findings(bundles=(bundle,), checkpoints=()) if one.what.startswith("is gone")] == [
        Finding(where=checkpoint_key(1), what="is gone, and the bundle of d-1 holds a copy of it")
    ]


def test_records_that_agree_hold() -> None:
    found = verify(records())

    assert found.findings == ()
    assert found.holds
    assert (found.events, found.deployments, found.signatures) == (len(told(fails_at="build").events), 1, 7)


def test_records_of_nothing_hold() -> None:
    empty = Records(
        environment="staging",
        journal=(),
        bundles=(),
        checkpoints=(),
        approvals=(),
        reviews=(),
        plans={},
        policies={},
        approvals_key="PEM",
    )

    assert verify(empty).holds


# ---- the journal -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no event"),
        ("{", "is no event"),
        ("[]", "is no event"),
        ("null", "is no event"),
        ("{}", "is no event"),
        ("[" * 100_000, "is no event"),
        ('{"at":"x","data":{"a":1.5},"deployment":"d","kind":"began","previous":"","seq":3}', "is no event"),
        ('{"at":"x","data":{},"deployment":"d","kind":"exploded","previous":"","seq":3}', "is no event"),
        ('{"at":"x","data":{},"deployment":"d","extra":1,"kind":"began","previous":"","seq":3}', "is no event"),
        ('{"at":"x","data":{},"deployment":"\\ud800","kind":"began","previous":"","seq":3}', "is no event"),
        ('{"at":"x","data":{},"deployment":"d","kind":"began","previous":"","seq":3} ', "was changed"),
        ('{"seq":3,"at":"x","data":{},"deployment":"d","kind":"began","previous":""}', "was changed"),
        ('{"at":"x","data":{},"deployment":"d","kind":"began","previous":"","seq":"3"}', "was changed"),
        ('{"at":"x","at":"x","data":{},"deployment":"d","kind":"began","previous":"","seq":3}', "was changed"),
    ],
    ids=lambda value: value[:40] or "nothing",
)
def test_what_is_no_event_or_spelt_otherwise_is_found_even_with_a_digest_of_its_own(text: str, said: str) -> None:
    journal = list(records().journal)
    try:
        sha256 = digest_of(json.loads(text))
    except (ValueError, TypeError, RecursionError):
        sha256 = "0" * 64
    journal[2] = JournalItem(seq=3, sha256=sha256, text=text)

    assert any(one.where == "journal #3" and one.what.startswith(said) for one in findings(journal=tuple(journal)))


@pytest.mark.parametrize(
    ("numbers", "where"),
    [
        ([2, 3, 4], ["journal #1"]),
        ([1, 3, 4], ["journal #2"]),
        ([1, 4], ["journal #2 to 3"]),
        ([1, 2, 2, 3], ["journal #2"]),
        ([0, 1, 2], ["journal #0"]),
        ([-5, 1, 2], ["journal #-5"]),
    ],
)
def test_numbers_that_are_missing_or_too_many_are_named(numbers: list[int], where: list[str]) -> None:
    journal = records().journal
    found = read_journal([replace(journal[max(number - 1, 0)], seq=number) for number in numbers])[1]

    said = ("is missing", "has a number that no event can have here")
    assert [one.where for one in found if one.what in said] == where


@pytest.mark.parametrize("kind", ["began", "step-started", "step-done", "succeeded"])
@pytest.mark.parametrize("data", [{}, {"approvals": 1}, {"approvals": [1]}, {"plan": ["x"]}, {"kind": {}}], ids=str)
def test_an_event_that_no_deployment_writes_is_a_finding_and_not_the_end_of_the_audit(
    kind: str, data: dict[str, Any]
) -> None:
    events = told(fails_at="build").events
    first = next(event for event in events if event.kind == kind)
    bent = first.model_copy(update={"data": data})
    journal = MemoryJournal(MemoryTable(events=list(events[: first.seq - 1])))
    for event in (bent, *events[first.seq :]):
        journal.append(event.deployment, event.kind, event.data)

    assert not verify(replace(records(), journal=items(journal.events()))).holds


def test_a_time_that_is_none_is_a_finding_and_not_the_end_of_the_audit() -> None:
    events = told(fails_at="build").events
    bent = events[-1].model_copy(update={"at": "some day"})
    found = findings(journal=items((*events[:-1], bent)))

    assert any(one.where == "journal" for one in found)


def test_a_deployment_that_runs_is_no_finding_until_its_beginning_is_cut_off() -> None:
    events = told(fails_at="build").events
    journal = MemoryJournal(MemoryTable(events=list(events)))
    began = journal.append("d-2", "began", events[0].data)
    checkpoints = (*records().checkpoints, _checkpoint(began))

    assert findings(journal=items(journal.events()), checkpoints=checkpoints) == ()
    (one,) = findings(checkpoints=checkpoints)
    assert (one.where, "its tail was cut" in one.what) == (checkpoint_key(began.seq), True)


# ---- bundles and checkpoints ---------------------------------------------------------------------------------------


def _bundle(change: Callable[[Told], Bundle]) -> tuple[Kept, ...]:
    return (records().bundles[0], sealed(change(told(fails_at="build"))))


def test_an_end_that_nobody_sealed_is_named() -> None:
    (found,) = findings(bundles=records().bundles[:1])

    assert found.where == f"d-1 #{told(fails_at='build').events[-1].seq}"
    assert "ended without a bundle" in found.what


def test_a_bundle_that_leaves_out_an_event_between_two_notes_is_held_against_the_journal() -> None:
    """Its own chain cannot tell: what stands between two events may be a note that is not of this deployment."""
    bundle = told(fails_at="build").bundle()
    bent = bundle.model_copy(update={"events": (*bundle.events[:4], *bundle.events[5:])})
    found = findings(bundles=(records().bundles[0], sealed(bent)))

    assert [one.what for one in found] == ["does not know event 5 of the journal"]


def test_what_python_holds_for_equal_is_not_the_same_in_a_bundle() -> None:
    bundle = told(fails_at="build").bundle()
    (place, event), *_ = ((place, one) for place, one in enumerate(bundle.events) if one.data.get("found") is False)
    other = event.model_copy(update={"data": {**event.data, "found": 0}})
    assert other == event
    bent = bundle.model_copy(update={"events": (*bundle.events[:place], other, *bundle.events[place + 1 :])})
    found = findings(bundles=(records().bundles[0], sealed(bent)))

    assert f"tells event {event.seq} otherwise than the journal" in [one.what for one in found]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: one.bundle(environment="prod"), "is the bundle of d-1"),
        (lambda one: one.bundle(approvals=ENVELOPES[:1]), "lacks an approval that counted"),
        (lambda one: one.bundle(policy=None), "holds another policy than its plan"),
        (lambda one: one.bundle(plan={}), "holds another plan than its events name"),
    ],
)
def test_a_bundle_that_contradicts_itself_is_named(change: Callable[[Told], Bundle], said: str) -> None:
    found = findings(bundles=_bundle(change))

    assert {one.where for one in found} == {records().bundles[1].key}
    assert any(one.what.startswith(said) for one in found)


def test_a_bundle_that_names_another_key_than_the_approvers_is_named() -> None:
    """Whoever signs bundles could sign approvals too, and name the key that verifies them."""
    found = findings(bundles=_bundle(lambda one: one.bundle(approvals_key="PEM of the deployer's own")))

    assert found == (Finding(where=records().bundles[1].key, what="names another key than the approvers'"),)


@pytest.mark.parametrize("statement", [{}, {"predicate": 1}, {"predicate": {}}, {"predicate": {"head": []}}], ids=str)
def test_what_was_signed_and_is_no_bundle_is_a_finding(statement: dict[str, Any]) -> None:
    bent = replace(records().bundles[1], statement=statement)
    found = findings(bundles=(records().bundles[0], bent))

    assert any(one.where == bent.key and one.what.startswith("is no bundle: ") for one in found)


@pytest.mark.parametrize("part", ["checkpoints", "approvals", "reviews"])
def test_what_was_signed_and_is_no_such_document_is_a_finding(part: str) -> None:
    found: tuple[Kept, ...] = getattr(records(), part)
    bent = replace(found[0], statement={"x": 1})

    assert any(
        one.where == bent.key and f"is no {part[:-1]}: " in one.what for one in findings(**{part: (bent, *found[1:])})
    )


@pytest.mark.parametrize("part", ["bundles", "checkpoints", "approvals", "reviews"])
def test_a_second_version_and_a_bad_signature_are_findings_wherever_they_are(part: str) -> None:
    first, *rest = getattr(records(), part)
    again = findings(**{part: (replace(first, versions=2), *rest)})
    unsigned = findings(**{part: (replace(first, statement=None, problem="was not signed by the key"), *rest)})

    assert Finding(where=first.key, what="has 2 versions: it was replaced or removed after it was signed") in again
    assert Finding(where=first.key, what="was not signed by the key") in unsigned


@pytest.mark.parametrize(
    ("checkpoint", "said"),
    [
        (Checkpoint(environment="staging", head=Head(seq=2, sha256="0" * 64)), "names another event 2"),
        (Checkpoint(environment="prod", head=Head(seq=2, sha256="0" * 64)), "is the checkpoint of event 2"),
        (Checkpoint(environment="staging", head=Head(seq=3, sha256="0" * 64)), "is the checkpoint of event 3"),
    ],
)
def test_a_checkpoint_is_held_against_its_name_and_the_journal(checkpoint: Checkpoint, said: str) -> None:
    found = findings(checkpoints=(*records().checkpoints, kept(checkpoint_key(2), checkpoint)))

    assert [one.what for one in found] == [said]


# ---- approvals, reviews and plans -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{"plan": "0" * 64}, {"environment": "prod"}, {"user_id": "AROA1:chris"}, {"kind": "break-glass"}],
    ids=lambda one: next(iter(one)),
)
def test_an_approval_that_says_something_else_than_its_place_was_moved(changes: dict[str, str]) -> None:
    first, second = records().approvals
    bent = replace(first, statement={**(first.statement or {}), **changes})

    assert any(one.where == first.key and "it was moved" in one.what for one in findings(approvals=(bent, second)))


@pytest.mark.parametrize(
    ("identity", "user_id", "own"),
    [
        ("arn:aws:sts::1:assumed-role/approver/ben", "AROA1:ben", True),
        ("arn:aws:sts::1:assumed-role/approver/ben", "AROA1:chris", False),
        ("arn:aws:sts::1:assumed-role/approver/ben", "AIDA1", False),
        ("arn:aws:iam::1:user/ben", "AIDA1", False),
        ("", "", False),
        ("", "AROA1:", False),
    ],
)
def test_whoever_wrote_an_approval_is_who_it_says(identity: str, user_id: str, own: bool) -> None:
    approval = signed_by("ben", identity=identity, user_id=user_id).approval
    review = Review(deployment="d", environment="e", identity=identity, user_id=user_id, reason="r", at="2026")

    assert is_writers_own(approval) is is_writers_own(review) is own


def test_an_approval_and_a_review_in_anothers_name_are_findings() -> None:
    plan = told(fails_at="build").plan
    lie: Approval = signed_by("ben", plan=plan, user_id="AROA1:chris").approval
    review = Review(deployment="d", environment="staging", identity="arn/ben", user_id="A:chris", reason="r", at="2026")
    found = findings(
        approvals=(*records().approvals, kept(approval_key(lie), lie)),
        reviews=(kept(review_key(review), review),),
    )

    assert [one.where for one in found] == [approval_key(lie), review_key(review)]
    assert all("chris wrote it" in one.what for one in found)


def test_a_deployment_that_names_an_approval_nobody_gave_is_named() -> None:
    began, resumed = [one for one in told(fails_at="build").events if one.kind in ("began", "resumed")]
    found = findings(approvals=records().approvals[:1])

    assert {one.where for one in found} == {f"journal #{began.seq}", f"journal #{resumed.seq}"}
    assert all("that nobody gave for its plan" in one.what for one in found)


@pytest.mark.parametrize("digest", [None, "0" * 64], ids=["gone", "another"])
def test_a_plan_that_is_not_kept_as_it_was_is_named(digest: str | None) -> None:
    plan = told(fails_at="build").plan.id
    (found,) = findings(plans={plan: digest} if digest else {})

    assert found == Finding(where=f"plans/{plan}.json", what="is not the plan that was applied, or is gone")


# ---- any of it -----------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 60)))
def test_no_journal_but_the_whole_one_holds(order: list[int]) -> None:
    journal = records().journal
    bent = tuple(replace(journal[number % len(journal)], seq=seq) for seq, number in enumerate(order, start=1))

    assert bent == journal or findings(journal=bent)


@settings(max_examples=40)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_whatever_a_signed_object_says_the_audit_goes_on(said: Any) -> None:
    statement = said if isinstance(said, dict) else {"predicate": said, "plan": said, "head": said}
    bent = Kept(key="x", versions=1, statement=statement, problem=None, sha256="")
    for part in ("bundles", "checkpoints", "approvals", "reviews"):
        assert findings(**{part: (*getattr(records(), part), bent)})


# ---- the story -----------------------------------------------------------------------------------------------------


def test_a_story_tells_who_allowed_it_what_was_done_and_how_it_ended() -> None:
    found = told(fails_at="build")
    lines = [line.split("  ", 1)[1] for line in story(found.bundle())]

    assert lines[0].startswith("ann began the deploy of version ")
    assert "  ben had approved it: read" in lines
    assert any(line.startswith("  failed after ") and "build refused" in line for line in lines)
    assert any(line.startswith("ann went on with the deploy of version ") for line in lines)
    assert lines[-1] == "succeeded: there was nothing left to do"
    assert all(line[:4] == "2026" for line in story(found.bundle()))


def test_a_story_tells_of_a_lock_that_was_broken_meanwhile() -> None:
    bundle = told().bundle()
    facts = {"by": "pat", "reason": "the machine is gone", "holder": "ann", "since": "2026-01-01", "token": 1}
    middle, after = (
        bundle.events[at].model_copy(update={"kind": "lock-broken", "data": facts, "deployment": ""}) for at in (2, -1)
    )
    others = [after.model_copy(update={"seq": after.seq + 1}), *bundle.events]
    assert story(bundle, others) == story(bundle), "what came later is of another time"
    said = story(bundle, [middle, *others])
    assert [line.split("  ", 1)[1] for line in said if line not in story(bundle)] == [
        "pat broke the lock of ann: the machine is gone"
    ]


# ---- what was allowed, judged again ----------------------------------------------------------------------------------


def judged_by(policy: Policy, bundle: Bundle, **began: Any) -> Bundle:
    """Return a bundle that tells the same under another policy, and of its beginnings something else.

    What the journal says is another matter: its own findings stand beside the one these tests are about.
    """
    plan = {**bundle.plan, "policy": policy.digest}
    events = tuple(
        event.model_copy(update={"data": {**event.data, "plan": digest_of(plan), "policy": policy.digest, **began}})
        if event.kind in ("began", "resumed")
        else event
        for event in bundle.events
    )
    return bundle.model_copy(update={"plan": plan, "policy": policy.model_dump(mode="json"), "events": events})


def needing(approvals: int) -> Policy:
    """Return a policy in which staging asks for so many approvals."""
    return policy_of(environments={"staging": {"lanes": {lane: {"approvals": approvals} for lane in LANES}}})


def leave_said(**changes: Any) -> set[str]:
    """Return the findings about leave."""
    return {one.what for one in findings(**changes) if one.what.startswith("went ahead without leave")}


def test_a_deployment_that_went_ahead_without_the_approvals_it_needed_is_found() -> None:
    bundle = told(fails_at="build").bundle()
    (said,) = leave_said(bundles=(sealed(judged_by(needing(3), bundle)),))

    assert "dbt: 0 of 3 approvals" in said
    assert leave_said(bundles=(sealed(judged_by(needing(0), bundle)),)) == set()


def test_approvals_that_were_given_in_time_are_leave_enough_and_no_more_than_they_are() -> None:
    bundle = told(fails_at="build").bundle()
    for needed, said in ((2, set()), (3, {"2 of 3 approvals"})):
        bent = judged_by(needing(needed), bundle)
        plan = Plan.from_mapping(bent.plan, origin="memory")
        at = datetime.fromisoformat(bundle.events[0].at)
        given_by = [signed_by(person, plan=plan, at=at).approval for person in ("ben", "pat")]
        kept_approvals = tuple(
            kept(approval_key(one), one, sha256=digest_of(envelope))
            for one, envelope in zip(given_by, ENVELOPES, strict=True)
        )
        found = leave_said(bundles=(sealed(bent),), approvals=kept_approvals)
        assert all(any(one in what for what in found) for one in said)
        assert bool(found) is bool(said)


def test_a_policy_made_weaker_does_not_give_leave_by_itself() -> None:
    """The deployment that brings it is asked by the one before as well."""
    bundle = told(fails_at="build").bundle()
    before = judged_by(needing(2), bundle).model_copy(
        update={"deployment": "d-0", "head": Head(seq=1, sha256="0" * 64), "events": bundle.events[-1:]}
    )
    weaker = judged_by(needing(0), bundle)

    (said,) = leave_said(bundles=(sealed(before), sealed(weaker)))
    assert "dbt: 0 of 2 approvals" in said


@pytest.mark.parametrize(
    "change", [{"plan": {"purpose": "deploy"}}, {"policy": None}, {"policy": {"people": {}}}], ids=str
)
def test_a_plan_or_a_policy_that_cannot_be_judged_again_is_a_finding(change: dict[str, Any]) -> None:
    bent = told(fails_at="build").bundle().model_copy(update=change)
    found = findings(bundles=(sealed(bent),))

    assert Finding(where=records().bundles[1].key, what="holds a plan or a policy that cannot be judged again") in found


@pytest.mark.parametrize("at", ["some day", "2026-11-01T00:00:01"])
def test_a_beginning_without_a_time_gives_no_leave_and_does_not_end_the_audit(at: str) -> None:
    """Whoever signs bundles may sign one that says so."""
    bundle = judged_by(needing(1), told(fails_at="build").bundle())
    plan = Plan.from_mapping(bundle.plan, origin="memory")
    one = signed_by("ben", plan=plan).approval
    bent = bundle.model_copy(update={"events": (bundle.events[0].model_copy(update={"at": at}), *bundle.events[1:])})
    found = findings(bundles=(sealed(bent),), approvals=(kept(approval_key(one), one, sha256=digest_of(ENVELOPES[0])),))

    assert bundle_key(bundle.deployment, bundle.head.seq) in [one.where for one in found]


def test_a_bundle_whose_policy_is_not_the_one_its_plan_names_is_a_finding() -> None:
    """The people who approved read the plan: what it was judged by must be what the plan says."""
    bundle = judged_by(needing(3), told(fails_at="build").bundle())
    weak = needing(0)
    events = tuple(
        event.model_copy(update={"data": {**event.data, "policy": weak.digest}})
        if event.kind in ("began", "resumed")
        else event
        for event in bundle.events
    )
    bent = bundle.model_copy(update={"policy": weak.model_dump(mode="json"), "events": events})
    whats = [one.what for one in findings(bundles=(sealed(bent),))]

    assert any("policy" in what or "leave" in what for what in whats), whats
