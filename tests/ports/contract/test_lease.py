"""What every lease does, in memory and in DynamoDB."""

from __future__ import annotations

import pytest

from slipway.errors import ConfigurationError, Locked, Unavailable

from .conftest import Place


def test_one_holds_it_and_the_other_hears_who_and_since_when(place: Place) -> None:
    with place.lease("ann") as held:
        with pytest.raises(Locked, match=r"staging is held by ann since \d{4}-"), place.lease("bob"):
            pytest.fail("two held it")
        held.check()


def test_it_is_free_again_when_the_block_ends_however_it_ends(place: Place) -> None:
    with pytest.raises(RuntimeError), place.lease("ann"):
        raise RuntimeError
    with place.lease("bob") as held:
        held.check()


def test_it_is_checked_as_often_as_wanted(place: Place) -> None:
    with place.lease() as held:
        for _ in range(5):
            held.check()


def test_a_check_fails_for_who_never_took_it(place: Place) -> None:
    with place.lease("ann"), pytest.raises(Locked, match="lost its hold"):
        place.lease("bob").check()


def test_a_check_fails_once_another_took_it_and_for_good(place: Place) -> None:
    sleeper = place.lease("ann").__enter__()
    place.let_run_out()
    with place.lease("bob") as held:
        with pytest.raises(Locked, match="lost its hold"):
            sleeper.check()
        sleeper.__exit__(None, None, None)
        held.check()
    with pytest.raises(Locked, match="lost its hold"):
        sleeper.check()


def test_a_check_fails_after_it_was_given_back(place: Place) -> None:
    with place.lease() as held:
        pass
    with pytest.raises(Locked, match="lost its hold"):
        held.check()


def test_who_ran_out_and_was_not_followed_holds_it_on(place: Place) -> None:
    with place.lease("ann") as held:
        place.let_run_out()
        held.check()
        with pytest.raises(Locked, match="held by ann"), place.lease("bob"):
            pytest.fail("two held it")


def test_a_table_that_does_not_answer_means_it_is_not_taken(place: Place) -> None:
    place.refuse_next()
    with pytest.raises(Unavailable), place.lease("ann"):
        pytest.fail("held nothing")
    with place.lease("bob") as held:
        held.check()


def test_a_broken_hold_is_lost_recorded_and_free(place: Place) -> None:
    with place.lease("ann") as held:
        event = place.break_lease(held, " laptop stolen ")
        assert event is not None
        with pytest.raises(Locked, match="lost its hold"):
            held.check()
        with place.lease("bob") as next_one:
            next_one.check()
    assert (event.deployment, event.kind) == ("", "lock-broken")
    assert {**event.data, "since": ""} == {
        "by": "pat",
        "reason": "laptop stolen",
        "holder": "ann",
        "since": "",
        "token": 1,
    }
    assert place.journal().events() == (event,)


def test_it_is_not_broken_without_a_reason(place: Place) -> None:
    with place.lease() as held:
        with pytest.raises(ConfigurationError, match="for a reason"):
            place.break_lease(held, "  ")
        held.check()
    assert place.journal().events() == ()
