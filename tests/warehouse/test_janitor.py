"""The clean-up of slots: in two phases, only what has a slot's name, never what readers see or somebody hangs on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from slipway.adapters.janitor import Janitor
from slipway.errors import Locked, StepFailed
from tests.warehouse.place import Place

LIVE, OLD, OLDER = "AAAA0003", "AAAA0002", "AAAA0001"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def filled(place: Place) -> Place:
    for slot in (OLDER, OLD, LIVE):
        place.fill(slot, "STAGING.S", "FINANCE.F", "CUSTOMER.C")
        place.complete(slot)
    place.publish(LIVE)
    place.deployer.run(f"CREATE SCHEMA {place.database('ANALYTICS')}.REPORTS")
    return place


def janitor(place: Place) -> Janitor:
    return Janitor(place.deployer, place.environment.warehouse, place.facts, place.dependents)


def test_a_slot_in_quarantine_is_untouched_and_a_dropped_one_leaves_nothing(filled: Place) -> None:
    hand = janitor(filled)
    assert sorted(hand.holdings().slots) == [OLDER, OLD, LIVE]
    hand.quarantine([OLDER], now=NOW)
    assert hand.holdings().quarantined == {OLDER: NOW}
    assert OLDER in filled.facts.read().complete_slots
    assert hand.drop(OLDER) == 3
    found = hand.holdings()
    assert (sorted(found.slots), found.quarantined) == ([OLD, LIVE], {})
    assert OLDER not in filled.facts.read().complete_slots
    assert "REPORTS" in filled.facts.schemas()


def test_what_readers_see_and_what_has_no_slots_name_is_never_dropped(filled: Place) -> None:
    hand = janitor(filled)
    others = [LIVE, "REPORTS", "aaaa0001", "AAAA000", filled.database("MARTS"), filled.database("RAW"), ""]
    hand.quarantine(others, now=NOW)
    before = filled.facts.schemas()
    for name in others:
        with pytest.raises(StepFailed, match="is not dropped"):
            hand.drop(name)
    assert filled.facts.schemas() == before
    with pytest.raises(StepFailed, match="not in quarantine"):
        hand.drop(OLD)


def test_a_slot_that_somebody_hangs_on_stays_and_says_who(filled: Place) -> None:
    analytics, hand = filled.database("ANALYTICS"), janitor(filled)
    filled.deployer.run(
        f"CREATE VIEW {analytics}.REPORTS.R AS SELECT * FROM {analytics}.FINANCE__{OLD}.F",
        f"CREATE STREAM {analytics}.REPORTS.ST ON TABLE {analytics}.FINANCE__{OLDER}.F",
    )
    hand.quarantine([OLD, OLDER], now=NOW)
    with pytest.raises(StepFailed, match=r"REPORTS\.R names"):
        hand.drop(OLD)
    with pytest.raises(StepFailed, match=r"REPORTS\.ST follows"):
        hand.drop(OLDER)
    assert {OLD, OLDER} <= set(filled.facts.read().complete_slots)


def test_a_drop_that_was_interrupted_is_ended_and_half_a_slot_is_never_complete(filled: Place) -> None:
    hand, left = janitor(filled), 4  # statements: two rows, two schemas

    def guard() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Locked("lost")

    hand.quarantine([OLD], now=NOW)
    filled.deployer.guard = guard
    try:
        with pytest.raises(Locked):
            hand.drop(OLD)
    finally:
        filled.deployer.guard = lambda: None
    found = filled.facts.read()
    assert OLD in found.slots
    assert OLD not in found.complete_slots
    assert hand.drop(OLD) == 1


def test_databases_that_a_publishing_left_are_known_by_their_names(filled: Place) -> None:
    marts, hand = filled.database("MARTS"), janitor(filled)
    filled.deployer.run(f"CREATE DATABASE {marts}__NEXT", f"CREATE DATABASE {marts}__MINE")
    try:
        assert hand.holdings().databases == (f"{marts}__NEXT",)
        hand.quarantine([f"{marts}__NEXT", f"{marts}__MINE"], now=NOW)
        assert hand.drop(f"{marts}__NEXT") == 1
        with pytest.raises(StepFailed, match="neither a slot nor"):
            hand.drop(f"{marts}__MINE")
    finally:
        filled.admin.run(f"DROP DATABASE IF EXISTS {marts}__NEXT", f"DROP DATABASE {marts}__MINE")
