"""Evidence: what a bundle says, that it reads back the same, and that it contradicts itself when it was bent."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.deployment import Event
from slipway.documents import canonical, digest_of
from slipway.errors import StepFailed
from slipway.evidence import (
    STATEMENT_TYPE,
    Bundle,
    Checkpoint,
    Copy,
    Head,
    approvals_named,
    bundle_of,
    copies_in,
    ended,
    problems_of,
    statement_of,
)
from slipway.plan import Plan
from tests.ports.environment import MemoryEnvironment
from tests.ports.memory import MemoryJournal, MemoryTable

from .conftest import commit_by, policy_of, release_of, version_in_staging
from .test_engine import deploy

POLICY = policy_of()
ENVELOPES: tuple[dict[str, Any], ...] = ({"payload": "one"}, {"payload": "two"})


@dataclass(frozen=True)
class Told:
    """A deployment, told."""

    events: tuple[Event, ...]
    plan: Plan

    def bundle(self, *, ending: int = -1, **changes: Any) -> Bundle:
        facts: dict[str, Any] = {
            "environment": "staging",
            "ending": self.events[ending],
            "plan": self.plan.model_dump(mode="json"),
            "policy": POLICY.model_dump(mode="json"),
            "approvals": ENVELOPES,
            "approvals_key": "PEM",
            "checkpoints": [{"payload": "head"}],
            "copies": [Copy(key="plans/x.json", version="v1", sha256=self.plan.id)],
            "components": {"dags": "0" * 64},
        }
        return bundle_of(self.events, **{**facts, **changes})


@cache
def told(*, fails_at: str | None = None) -> Told:
    """Return a deployment that two approvals allowed; one that fails at a step is resumed."""
    environment, journal, release = MemoryEnvironment(fails_at=fails_at), MemoryJournal(), release_of()
    version = version_in_staging(release)
    plan = environment.plan(release, version, policy=POLICY.digest, commits=(commit_by("Ana <ana@finedge.example>"),))
    consents = [
        {"sha256": digest_of(one), "person": person, "kind": "approval", "reason": "read"}
        for one, person in zip(ENVELOPES, ("ben", "pat"), strict=True)
    ]
    facts = {"approvals": consents, "breaks_glass": False, "gates": []}
    began = _Permitting(journal, facts)
    if fails_at is not None:
        with pytest.raises(StepFailed):
            deploy(environment, began, release, version, plan=plan)
        environment.fails_at = None
    empty = plan.model_copy(update={"steps": ()})
    deploy(environment, began, release, version, plan=plan, found_after=empty)
    return Told(events=journal.events(), plan=plan)


class _Permitting:
    """A journal whose beginnings say who allowed them, as `launch` has them say."""

    def __init__(self, journal: MemoryJournal, facts: dict[str, Any]) -> None:
        self._journal, self._facts = journal, facts

    def events(self) -> tuple[Event, ...]:
        return self._journal.events()

    def append(self, deployment: str, kind: Any, data: Any) -> Event:
        begins = kind in ("began", "resumed")
        return self._journal.append(deployment, kind, {**data, **(self._facts if begins else {})})


def statement(bundle: Bundle) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(statement_of(bundle))
    return found


def problems(bundle: Bundle) -> tuple[str, ...]:
    return problems_of(statement(bundle), bundle)


def test_a_bundle_reads_back_the_same_and_contradicts_nothing() -> None:
    bundle = told().bundle()

    assert Bundle.from_mapping(statement(bundle)["predicate"], origin="memory") == bundle
    assert Bundle.from_bytes(bundle.to_bytes(), origin="memory") == bundle
    assert problems(bundle) == ()


@given(seq=st.integers(0, 10**9), sha256=st.text(alphabet="0123456789abcdef", min_size=64, max_size=64), name=st.text())
def test_a_checkpoint_reads_back_the_same(seq: int, sha256: str, name: str) -> None:
    checkpoint = Checkpoint(environment=name, head=Head(seq=seq, sha256=sha256))

    assert Checkpoint.from_bytes(checkpoint.to_bytes(), origin="memory") == checkpoint


def test_a_statement_is_about_the_release_and_is_canonical() -> None:
    bundle = told().bundle()
    content = statement_of(bundle)

    assert canonical(json.loads(content)) == content
    assert json.loads(content)["_type"] == STATEMENT_TYPE
    assert json.loads(content)["subject"] == [{"name": "release", "digest": {"sha256": bundle.plan["release"]}}]


def test_the_same_journal_makes_the_same_bundle_whatever_came_after() -> None:
    found = told()
    journal = MemoryJournal(MemoryTable(events=list(found.events)))
    journal.append("d-2", "began", found.events[0].data)

    assert Told(events=journal.events(), plan=found.plan).bundle(ending=-2) == found.bundle()


def test_every_end_of_a_deployment_is_one_to_be_sealed() -> None:
    found = told(fails_at="build")
    failed = next(event.seq for event in found.events if event.kind == "failed")

    assert ended(found.events) == {"d-1": [failed, found.events[-1].seq]}
    assert [found.bundle(ending=seq - 1).outcome for seq in (failed, found.events[-1].seq)] == ["failed", "succeeded"]
    assert problems(found.bundle(ending=failed - 1)) == problems(found.bundle()) == ()


def test_notes_about_the_environment_may_stand_among_the_events_of_a_deployment() -> None:
    found, journal = told(), MemoryJournal()
    for event in found.events:
        if event.kind == "verifying":
            journal.append("", "lock-broken", {"by": "pat", "holder": "ana", "reason": "gone"})
        journal.append(event.deployment, event.kind, event.data)
    bundle = Told(events=journal.events(), plan=found.plan).bundle()

    assert len(bundle.events) == len(found.events)
    assert problems(bundle) == ()


def _reordered(bundle: Bundle) -> dict[str, Any]:
    events = bundle.events
    return {"events": (*events[:2], events[3], events[2], *events[4:])}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: {"outcome": "failed"}, "does not end as its events do"),
        (lambda one: {"events": ()}, "does not end as its events do"),
        (lambda one: {"events": one.events[:-1]}, "does not end as its events do"),
        (lambda one: {"head": Head(seq=1, sha256=one.head.sha256)}, "names another head than its last event"),
        (lambda one: {"head": Head(seq=one.head.seq, sha256="0" * 64)}, "names another head than its last event"),
        (_reordered, "event 3 comes after event 4"),
        (
            lambda one: {"events": (one.events[0].model_copy(update={"at": "2020"}), *one.events[1:])},
            "event 2 does not follow from event 1",
        ),
        (lambda one: {"deployment": "d-2"}, "holds events of another deployment"),
        (lambda one: {"plan": {**one.plan, "dag_ids": []}}, "holds another plan than its events name"),
        (lambda one: {"plan": {**one.plan, "release": "0" * 64}}, "holds another plan than its events name"),
        (lambda one: {"plan": {}}, "holds another plan than its events name"),
        (lambda one: {"policy": None}, "holds another policy than its plan and its events name"),
        (
            lambda one: {"policy": {**(one.policy or {}), "timezone": "UTC+1"}},
            "holds another policy than its plan and its events name",
        ),
        (
            lambda one: {"copies": (Copy(key="plans/x.json", version="v1", sha256="0" * 64),)},
            "names a copy that it does not hold",
        ),
        (lambda one: {"approvals": one.approvals[:1]}, "lacks an approval that counted"),
        (lambda one: {"approvals": (one.approvals[0], {"payload": "else"})}, "lacks an approval that counted"),
        (lambda one: {"approvals": (*one.approvals, {"payload": "else"})}, "holds an approval that did not count"),
        (lambda one: {"approvals": (*one.approvals, one.approvals[0])}, "holds an approval that did not count"),
    ],
)
def test_a_bundle_that_was_bent_says_so(change: Callable[[Bundle], dict[str, Any]], said: str) -> None:
    bundle = told().bundle()

    assert said in problems(bundle.model_copy(update=change(bundle)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"_type": "else"}, "is not a statement about a deployment"),
        ({"predicateType": "else"}, "is not a statement about a deployment"),
        ({"subject": []}, "is about another release than its plan"),
    ],
)
def test_a_statement_about_something_else_says_so(changes: dict[str, Any], said: str) -> None:
    bundle = told().bundle()

    assert problems_of({**statement(bundle), **changes}, bundle) == (said,)


def test_a_bundle_tells_what_it_holds_a_copy_of_and_of_nothing_else() -> None:
    found = told()
    copy = Copy(key="plans/x.json", version="v1", sha256=found.plan.id)
    other = copy.model_copy(update={"key": "other", "sha256": "0" * 64})
    unversioned = copy.model_copy(update={"version": ""})
    statement = json.loads(statement_of(found.bundle(copies=(copy, other, unversioned))))

    assert copies_in(statement) == {("plans/x.json", "v1"): found.plan.to_bytes()}
    for bent in ({}, {"predicate": []}, {"predicate": {"copies": 1}}, {"predicate": {"copies": [1], "approvals": 2}}):
        assert copies_in(bent) == {}


def test_a_bundle_whose_plan_was_lost_can_be_signed_all_the_same() -> None:
    bundle = told().bundle(plan={}, copies=())

    assert bundle.release == ""
    assert problems(bundle) == (
        "holds another plan than its events name",
        "holds another policy than its plan and its events name",
    )


@pytest.mark.parametrize("named", [None, 1, "x", [], [1], [{"person": "ben"}]])
def test_approvals_that_an_event_names_in_no_known_way_are_none_that_anyone_gave(named: object) -> None:
    event = told().events[0].model_copy(update={"data": {"approvals": named}})

    assert set(approvals_named(event)) <= {"None"}
    bundle = told().bundle()
    assert "holds an approval that did not count" in problems(
        bundle.model_copy(update={"events": (event, *bundle.events[1:])})
    )


@given(st.data())
def test_any_event_left_out_but_the_first_is_missed_by_the_journal_or_the_chain(data: st.DataObject) -> None:
    bundle = told().bundle()
    kept = data.draw(
        st.lists(st.sampled_from(bundle.events), unique_by=lambda one: one.seq, max_size=len(bundle.events))
    )
    bent = bundle.model_copy(update={"events": tuple(kept)})

    if problems(bent) == ():  # what stands in between may be a note of others: the journal tells (test_audit.py)
        assert [one.seq for one in kept] == sorted(one.seq for one in kept)
        assert kept[-1] == bundle.events[-1]
        assert kept[0].kind == "began"
