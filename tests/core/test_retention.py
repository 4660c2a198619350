"""Retention: over any history, what a rollback needs is never dropped, and nothing is dropped unannounced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.deployment import Deployment
from slipway.errors import ConfigurationError
from slipway.retention import Holdings, RetentionRules, Use, retain
from slipway.rollback import Live, previous_deployment
from tests.core.conftest import policy_of

START = datetime(2026, 11, 1, tzinfo=UTC)
RULES = RetentionRules(slots=2, days=0, quarantine_days=3)


def deployment(number: int, slot: str, *, at: datetime, **facts: object) -> Deployment:
    one = Deployment(
        id=f"d-{number}",
        state="succeeded",
        purpose="deploy",
        plan="p",
        release="r",
        version=f"v-{slot}",
        slot=slot,
        replaces=None,
        by="ann",
        commit=None,
        dags=(),
        policy=None,
        consents=(),
        breaks_glass=False,
        started_at=at.isoformat(),
        ended_at=at.isoformat(),
    )
    return replace(one, **facts)  # type: ignore[arg-type]


def line(*slots: str) -> tuple[Deployment, ...]:
    """Return a history of successes, a day apart."""
    before = (None, *(f"v-{slot}" for slot in slots))
    return tuple(
        deployment(number, slot, at=START + timedelta(days=number), replaces=before[number])
        for number, slot in enumerate(slots)
    )


def live_on(slot: str) -> Live:
    return Live(version=f"v-{slot}", slot=slot)


def test_the_live_slot_and_those_rollbacks_reach_are_kept_and_the_others_go_in_two_phases() -> None:
    use = Use(history=line("A", "B", "C", "D"), live=live_on("D"))
    now = START + timedelta(days=9)
    first = retain(Holdings(slots="ABCD"), use, RULES, now=now)
    assert first.kept == {"B": "rollback 2 goes there", "C": "rollback 1 goes there", "D": "readers see it"}
    assert (first.quarantine, first.drop) == (("A",), ())
    named = Holdings(slots="ABCD", quarantined={"A": now})
    assert retain(named, use, RULES, now=now + timedelta(days=2)).waiting == {"A": now + timedelta(days=3)}
    assert retain(named, use, RULES, now=now + timedelta(days=3)).drop == ("A",)


def test_what_is_needed_again_leaves_quarantine() -> None:
    back = deployment(9, "A", at=START, purpose="rollback")
    use = Use(history=(*line("A", "B"), back), live=live_on("A"))
    found = retain(Holdings(slots="AB", quarantined={"A": START, "GONE": START}), use, RULES, now=START)
    assert found.release == ("A", "GONE")
    assert found.drop == ()


@pytest.mark.parametrize("state", ["applying", "verifying", "failed"])
def test_what_an_unfinished_deployment_names_is_kept(state: str) -> None:
    last = deployment(9, "E", at=START, state=state, replaces="v-A")
    use = Use(history=(*line("A", "B", "C", "D"), last), live=live_on("D"))
    holdings = Holdings(slots="ABCDE", databases=["M__NEXT"], quarantined=dict.fromkeys("AE", START))
    found = retain(holdings, use, RULES, now=START + timedelta(days=90))
    assert {"A", "E", "M__NEXT"} <= set(found.kept)


def test_what_an_unfinished_backfill_builds_aside_is_kept_and_goes_when_it_is_over() -> None:
    last = deployment(9, "D", at=START, state="failed", purpose="backfill")
    use = Use(history=(*line("A", "D"), last), live=live_on("D"), asides={"d-9": ("X",)})
    assert "d-9 builds it aside" in retain(Holdings(slots="ADX"), use, RULES, now=START).kept["X"]
    over = replace(use, history=(*line("A", "D"), replace(last, state="succeeded")))
    assert retain(Holdings(slots="ADX"), over, RULES, now=START).quarantine == ("X",)


def test_what_only_looks_like_a_slot_is_left_alone() -> None:
    use = Use(history=line("A", "B"), live=live_on("B"))
    found = retain(Holdings(slots=["A", "B", "20261101"]), use, RULES, now=START + timedelta(days=90))
    assert "20261101" not in {*found.kept, *found.quarantine, *found.drop}


def test_an_open_run_keeps_the_slot_it_builds() -> None:
    use = Use(history=line("A", "B", "C", "D"), live=live_on("D"), pinned=["v-A"])
    assert "pinned to v-A" in retain(Holdings(slots="ABCD"), use, RULES, now=START + timedelta(days=90)).kept["A"]


def test_what_was_in_use_lately_stays_whatever_the_number() -> None:
    use = Use(history=line("A", "B", "C", "D", "E"), live=live_on("E"))
    rules = RULES.model_copy(update={"slots": 1, "days": 7})
    assert set(retain(Holdings(slots="ABCDE"), use, rules, now=START + timedelta(days=5)).kept) == set("ABCDE")
    assert set(retain(Holdings(slots="ABCDE"), use, rules, now=START + timedelta(days=9)).kept) == set("CDE")


def test_the_policy_names_what_is_kept_and_refuses_what_cannot_be() -> None:
    assert policy_of(retention={"slots": 5}).retention.slots == 5
    with pytest.raises(ConfigurationError, match=r"retention\.slots"):
        policy_of(retention={"slots": 0})


@given(st.lists(st.sampled_from(["deploy", "fail", "rollback", "clean", "wait"]), max_size=40), st.data())
def test_over_any_history_a_rollback_finds_its_slot(events: Sequence[str], data: st.DataObject) -> None:
    """Each event at a time of its own; a clean-up does what `slots.clean` does."""
    history: list[Deployment] = []
    present: set[str] = set()
    quarantined: dict[str, datetime] = {}
    live, now = Live(version=None, slot=None), START
    for number, event in enumerate(events):
        now += timedelta(hours=1)
        target = previous_deployment(history, live)
        if event == "wait":
            now += timedelta(days=data.draw(st.integers(1, 9)))
        elif event in ("deploy", "fail"):
            slot = data.draw(st.sampled_from([f"{letter}" for letter in "ABCDEFGH"]))
            state = "succeeded" if event == "deploy" else "failed"
            history.append(deployment(number, slot, at=now, state=state, replaces=live.version))
            present.add(slot)
            live = live_on(slot) if event == "deploy" else live
        elif event == "rollback" and target is not None:
            present.add(target.slot)  # one beyond the window is built again
            history.append(deployment(number, target.slot, at=now, purpose="rollback", replaces=live.version))
            live = live_on(target.slot)
        elif event == "clean":
            found = retain(
                Holdings(slots=present, quarantined=quarantined), Use(history=history, live=live), RULES, now=now
            )
            assert set(found.drop) <= {name for name, at in quarantined.items() if now - at >= timedelta(days=3)}
            assert not (targets(history, live) | {live.slot}) & set(found.drop)
            present -= set(found.drop)
            for name in (*found.release, *found.drop):
                quarantined.pop(name, None)
            quarantined |= dict.fromkeys(found.quarantine, now)


def targets(history: Sequence[Deployment], live: Live) -> set[str]:
    """Return the slots of as many rollbacks, one after the other, as the rules promise."""
    told, found = list(history), set[str]()
    for number in range(RULES.slots):
        target = previous_deployment(told, live)
        if target is None:
            break
        found.add(target.slot)
        told.append(deployment(100 + number, target.slot, at=START, purpose="rollback", replaces=live.version))
        live = live_on(target.slot)
    return found
