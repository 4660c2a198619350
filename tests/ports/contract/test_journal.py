"""What every journal does, in memory and in DynamoDB."""

from __future__ import annotations

import itertools

import pytest

from slipway.deployment import GENESIS
from slipway.errors import Locked, Unavailable

from .conftest import Place


def test_a_new_journal_is_empty(place: Place) -> None:
    assert place.journal().events() == ()


def test_events_are_numbered_from_one_and_chained(place: Place) -> None:
    journal = place.journal()
    written = [journal.append("d-1", "step-started", {"kind": "infra", "summary": str(n)}) for n in range(12)]
    assert [event.seq for event in written] == list(range(1, 13))
    assert written[0].previous == GENESIS
    assert all(after.previous == before.sha256 for before, after in itertools.pairwise(written))
    assert journal.events() == tuple(written)


def test_a_new_reader_reads_what_was_written(place: Place) -> None:
    data = {"dags": ("a", "b"), "evidence": {"ids": ("1",), "rows": 3, "nothing": None}, "found": False, "é": "ü"}
    written = place.journal().append("d-1", "step-done", data)
    assert place.journal().events() == (written,)
    assert place.journal().events()[0].sha256 == written.sha256


def test_a_reader_reads_on(place: Place) -> None:
    reader = place.journal()
    assert reader.events() == ()
    first = place.journal().append("d-1", "began", {})
    assert reader.events() == (first,)
    second = reader.append("d-1", "verifying", {})
    assert place.journal().events() == (first, second)


def test_of_two_writers_one_wins(place: Place) -> None:
    def late() -> str:
        place.journal().append("d-2", "began", {})  # after the first one has read
        return "2026-11-01T00:00:00.000+00:00"

    with pytest.raises(Locked, match="another deployment writes"):
        place.journal(late).append("d-1", "began", {})
    assert [event.deployment for event in place.journal().events()] == ["d-2"]


def test_a_float_is_refused_before_anything_is_written(place: Place) -> None:
    with pytest.raises(TypeError, match="float"):
        place.journal().append("d-1", "began", {"took": 1.5})
    assert place.journal().events() == ()


def test_a_holder_writes(place: Place) -> None:
    with place.lease() as held:
        event = place.journal().fenced_by(held).append("d-1", "began", {})
    assert place.journal().events() == (event,)


def test_who_lost_the_lease_writes_nothing(place: Place) -> None:
    sleeper = place.lease("ann").__enter__()
    journal = place.journal().fenced_by(sleeper)
    first = journal.append("d-1", "began", {})
    place.let_run_out()
    with place.lease("bob"):
        with pytest.raises(Locked, match="lost its hold"):
            journal.append("d-1", "verifying", {})
        sleeper.__exit__(None, None, None)
        with pytest.raises(Locked, match="lost its hold"):
            journal.append("d-1", "failed", {})
    assert place.journal().events() == (first,)


def test_who_gave_the_lease_back_writes_nothing(place: Place) -> None:
    with place.lease() as held:
        journal = place.journal().fenced_by(held)
    with pytest.raises(Locked, match="lost its hold"):
        journal.append("d-1", "began", {})
    assert place.journal().events() == ()


def test_who_was_broken_writes_nothing_after_the_record_of_it(place: Place) -> None:
    with place.lease() as held:
        journal = place.journal().fenced_by(held)
        journal.append("d-1", "began", {})
        place.break_lease(held, "gone")
        with pytest.raises(Locked, match="lost its hold"):
            journal.append("d-1", "verifying", {})
    assert [event.kind for event in place.journal().events()] == ["began", "lock-broken"]


def test_a_table_that_does_not_answer_is_unavailable(place: Place) -> None:
    journal = place.journal()
    place.refuse_next()
    with pytest.raises(Unavailable):
        journal.events()
    place.refuse_next()
    with pytest.raises(Unavailable):
        journal.append("d-1", "began", {})
    assert place.journal().events() == ()
    assert journal.append("d-1", "began", {}).seq == 1


def test_an_append_whose_answer_was_lost_is_there_once_and_the_next_one_follows(place: Place) -> None:
    journal = place.journal()
    place.lose_next()
    with pytest.raises(Unavailable):
        journal.append("d-1", "began", {})
    journal.append("d-1", "verifying", {})
    assert [(event.seq, event.kind) for event in place.journal().events()] == [(1, "began"), (2, "verifying")]
