"""What happened is what the events fold to; and where a rollback goes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.deployment import TRANSITIONS, Deployment, Event, EventKind, fold, median_durations_ms
from slipway.errors import Blocked, ConfigurationError, JournalError
from slipway.rollback import Live, earlier_successes, previous_deployment, rollback_target
from tests.ports.memory import MemoryJournal

FACTS: dict[str, Any] = {
    "plan": "p" * 64,
    "purpose": "deploy",
    "release": "r" * 64,
    "version": "r-s",
    "slot": "AAAAAAAA",
    "replaces": None,
    "by": "ann",
    "commit": None,
}
OUTCOME = {"summary": "ok", "found": False, "evidence": {}, "duration_ms": 1500, "outside_ms": 1000}


def told(*events: tuple[EventKind, dict[str, Any]]) -> Deployment:
    journal = MemoryJournal()
    for kind, data in events:
        journal.append("d-1", kind, data)
    (deployment,) = fold(journal.events())
    return deployment


STARTED: tuple[EventKind, dict[str, Any]] = ("step-started", {"kind": "build", "summary": "dbt build"})


def test_a_step_that_started_and_never_ended_is_unknown() -> None:
    deployment = told(("began", FACTS), STARTED)
    assert [step.state for step in deployment.steps] == ["unknown"]
    assert deployment.duration_ms is None


def test_a_resumed_deployment_is_one_deployment_with_the_whole_story() -> None:
    deployment = told(
        ("began", FACTS),
        STARTED,
        ("resumed", FACTS),
        STARTED,
        ("step-done", OUTCOME),
        ("verifying", {}),
        ("succeeded", {}),
    )
    assert deployment.state == "succeeded"
    assert [step.state for step in deployment.steps] == ["unknown", "done"]
    assert deployment.duration_ms == 5000  # one second an event; the first is heard of until its step began


def test_what_a_deployment_did_before_it_died_counts_as_time_it_took() -> None:
    deployment = told(
        ("began", FACTS),
        STARTED,
        ("step-done", {**OUTCOME, "duration_ms": 1000}),
        ("resumed", FACTS),
        ("verifying", {}),
        ("succeeded", {}),
    )
    assert deployment.duration_ms == 4000
    assert deployment.duration_ms >= sum(step.outside_ms for step in deployment.steps)


ALLOWED = {(before, kind) for before, kind in TRANSITIONS if before is not None}


@pytest.mark.parametrize("kind", sorted({kind for _, kind in TRANSITIONS} - {"began", "resumed"}))
def test_nothing_but_a_resumption_follows_an_end(kind: EventKind) -> None:
    journal = MemoryJournal()
    for name, data in (("began", FACTS), ("failed", {"message": "x"})):
        journal.append("d-1", name, data)  # type: ignore[arg-type]
    journal.append("d-1", kind, {**FACTS, **OUTCOME, "message": "x"})
    assert ("failed", kind) not in ALLOWED
    with pytest.raises(JournalError, match=f"{kind}' after 'failed'"):
        fold(journal.events())


@pytest.mark.parametrize(
    "events",
    [
        [("began", {})],
        [("began", {**FACTS, "purpose": None, "approvals": [1]})],
        [("began", {**FACTS, "approvals": [{"sha256": 1}]})],
        [("began", FACTS), ("step-started", {})],
        [("began", FACTS), ("step-started", {"kind": [], "summary": "x"}), ("step-done", {})],
        [("began", FACTS), STARTED, ("step-failed", {})],
        [("began", FACTS), ("failed", {})],
    ],
    ids=lambda events: f"{events[-1][0]}-{len(events[-1][1])}",
)
def test_an_event_that_says_what_no_deployment_writes_is_refused_by_its_number(
    events: list[tuple[EventKind, dict[str, Any]]],
) -> None:
    with pytest.raises(JournalError, match=f"event {len(events)} of d-1 says what no deployment writes") as refused:
        told(*events)
    assert (refused.value.fix or "").startswith("invoke audit.verify ")


def test_an_end_at_no_time_is_refused_too() -> None:
    journal = MemoryJournal()
    began = journal.append("d-1", "began", FACTS)
    ended = journal.append("d-1", "failed", {"message": "x"}).model_copy(update={"at": "some day"})
    with pytest.raises(JournalError, match="event 2 of d-1 says what no deployment writes"):
        fold([began, ended])


def test_a_forecast_is_the_median_of_what_was_really_done() -> None:
    journal = MemoryJournal()
    for number, duration in enumerate((1000, 9000, 2000)):
        name = f"d-{number}"
        journal.append(name, "began", FACTS)
        journal.append(name, *STARTED)
        journal.append(name, "step-done", {**OUTCOME, "duration_ms": duration})
        journal.append(name, *STARTED)
        journal.append(name, "step-done", {**OUTCOME, "found": True, "duration_ms": 1})
    assert median_durations_ms(fold(journal.events())) == {"build": 2000}


def test_an_event_reads_back_the_same() -> None:
    event = MemoryJournal().append("d-1", "began", FACTS)
    assert Event.from_bytes(event.to_bytes(), origin="memory") == event


def history(*entries: tuple[str, str]) -> tuple[Deployment, ...]:
    """Return successes of (purpose, version); a `!` after the version means it failed."""
    journal = MemoryJournal()
    for number, (purpose, version) in enumerate(entries):
        name = version.rstrip("!")
        facts = {**FACTS, "purpose": purpose, "version": name, "release": name * 64, "slot": name.upper() * 8}
        journal.append(f"d-{number}", "began", facts)
        if version.endswith("!"):
            journal.append(f"d-{number}", "failed", {"message": "x"})
        else:
            journal.append(f"d-{number}", "verifying", {})
            journal.append(f"d-{number}", "succeeded", {})
    return fold(journal.events())


NOTHING = Live(version=None, slot=None)


def whole(version: str) -> Live:
    return Live(version=version, slot=version.upper() * 8)


@pytest.mark.parametrize(
    ("entries", "live", "target"),
    [
        ([], NOTHING, None),
        ([("deploy", "a")], whole("a"), None),
        ([("deploy", "a"), ("deploy", "b")], whole("b"), "a"),
        ([("deploy", "a"), ("deploy", "b!")], whole("a"), None),
        ([("deploy", "a"), ("deploy", "b"), ("deploy", "c!")], whole("b"), "a"),
        ([("deploy", "a"), ("deploy", "b"), ("rollback", "a")], whole("a"), None),
        ([("deploy", "a"), ("deploy", "b"), ("deploy", "c"), ("rollback", "b")], whole("b"), "a"),
        ([("deploy", "a"), ("deploy", "b"), ("rollback", "a"), ("deploy", "c")], whole("c"), "a"),
        ([("deploy", "a"), ("deploy", "b"), ("deploy", "a")], whole("a"), "b"),
        ([("deploy", "a"), ("deploy", "b!")], whole("b"), "a"),
        ([("deploy", "a"), ("deploy", "b!")], Live(version="a", slot="B" * 8), "a"),
        ([("deploy", "a"), ("deploy", "b!")], Live(version="b", slot="B" * 8), "a"),
        ([("deploy", "a"), ("deploy", "b"), ("backfill", "b")], whole("b"), "a"),
        ([("deploy", "a"), ("deploy", "b"), ("backfill", "b!")], whole("b"), "a"),
        ([("deploy", "a"), ("backfill", "a")], whole("a"), None),
        ([("deploy", "a"), ("deploy", "b"), ("rollback", "a!"), ("backfill", "a")], whole("a"), "a"),
    ],
    ids=lambda value: (
        str(value) if not isinstance(value, list) else "-".join(version for _, version in value) or "none"
    ),
)
def test_a_rollback_goes_to_the_last_success_that_was_not_taken_back(
    entries: list[tuple[str, str]], live: Live, target: str | None
) -> None:
    found = previous_deployment(history(*entries), live)
    assert (found.version if found else None) == target


def test_rollbacks_one_after_the_other_go_back_through_what_succeeded() -> None:
    entries = history(("deploy", "a"), ("deploy", "b!"), ("deploy", "c"), ("deploy", "d"))
    assert [one.version for one in earlier_successes(entries, whole("d"))] == ["c", "a"]


@pytest.mark.parametrize("live", [whole("b"), Live(version="b", slot="A" * 8), whole("a")])
def test_a_rollback_that_did_not_end_is_gone_on_with(live: Live) -> None:
    found = previous_deployment(history(("deploy", "a"), ("deploy", "b"), ("rollback", "a!")), live)
    assert found is not None
    assert found.version == "a"


def test_without_an_earlier_success_a_rollback_is_refused() -> None:
    with pytest.raises(Blocked, match="nothing to roll back to"):
        rollback_target(history(("deploy", "a")), whole("a"), environment="staging")


STEPS = (("deploy", "a"), ("deploy", "b"), ("deploy", "c"), ("deploy", "d!"))


@pytest.mark.parametrize(("to", "target"), [("a", "a"), ("b", "b"), ("b" * 64, "b"), ("c", "c")])
def test_a_rollback_goes_as_far_back_as_it_is_told(to: str, target: str) -> None:
    assert rollback_target(history(*STEPS), whole("c"), environment="staging", to=to).version == target


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param(STEPS, id="a release that never succeeded"),
        pytest.param((("deploy", "a"), ("deploy", "d"), ("rollback", "a"), ("deploy", "c")), id="one that was left"),
    ],
)
def test_a_release_that_cannot_be_gone_back_to_is_refused_with_those_that_can(
    entries: tuple[tuple[str, str], ...],
) -> None:
    with pytest.raises(Blocked, match=r"d is no release that staging can go back to; those are: (b, )?a\n"):
        rollback_target(history(*entries), whole("c"), environment="staging", to="d")


def test_a_beginning_that_several_versions_share_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="ab may be any of abc, abd"):
        rollback_target(history(("deploy", "abc"), ("deploy", "abd")), whole("abd"), environment="staging", to="ab")


# Few values, so that two are often alike, and those among them that Python holds for equal.
_DATA = st.dictionaries(
    st.sampled_from("ab"),
    st.recursive(
        st.sampled_from([0, 1, False, True, None, "", "1", "'", "True"]), lambda one: st.lists(one, max_size=2)
    ),
    max_size=2,
)


EVENT = Event(seq=1, previous="0" * 64, at="2026-11-29T00:00:00.000Z", deployment="d", kind="began", data={})


@given(_DATA, _DATA)
def test_events_that_are_written_alike_have_one_digest(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = (EVENT.model_copy(update={"data": data}) for data in (one, other))
    assert first.is_written_as(first.model_copy())
    assert first.sha256 == second.sha256 or not first.is_written_as(second)
    if list(one) == sorted(one) and list(other) == sorted(other):  # as they are read from canonical bytes
        assert first.is_written_as(second) == (first.sha256 == second.sha256)


@pytest.mark.parametrize("name", sorted(Event.model_fields))
def test_no_field_of_an_event_is_left_out_when_two_are_held_against_each_other(name: str) -> None:
    other = {"seq": 2, "kind": "failed", "data": {"a": 1}}.get(name, "other")
    assert not EVENT.is_written_as(EVENT.model_copy(update={name: other}))
