"""Which stretch of time a run is answerable for, however it was started."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

from etl.window import Window

FIRST, DAY = date(2026, 3, 1), date(2026, 3, 5)
MIDNIGHT = datetime(2026, 3, 5, tzinfo=UTC)


def test_a_day_is_half_open_and_without_zone() -> None:
    window = Window.of_day(DAY, first=FIRST)
    assert window == Window(logical_date=DAY, since=datetime(2026, 3, 5), until=datetime(2026, 3, 6))


def test_the_first_day_reaches_back_to_the_beginning() -> None:
    assert Window.of_day(FIRST, first=FIRST) == Window(logical_date=FIRST, since=None, until=datetime(2026, 3, 2))


def test_days_side_by_side_share_no_moment_and_leave_none_out() -> None:
    days = [Window.of_day(FIRST + timedelta(days=n), first=FIRST) for n in range(40)]
    assert all(one.until == following.since for one, following in pairwise(days))


def test_a_scheduled_run_covers_the_day_of_its_logical_date() -> None:
    assert Window.of_run(MIDNIGHT, MIDNIGHT + timedelta(days=1), first=FIRST).logical_date == DAY


def test_a_run_triggered_by_hand_for_a_date_covers_that_date_too() -> None:
    assert Window.of_run(MIDNIGHT, MIDNIGHT, first=FIRST).logical_date == DAY  # Airflow: the interval before


def test_a_run_triggered_at_some_moment_covers_the_last_whole_day() -> None:
    window = Window.of_run(MIDNIGHT + timedelta(hours=13), MIDNIGHT, first=FIRST)
    assert window.logical_date == DAY - timedelta(days=1)


def test_a_logical_date_in_another_zone_counts_in_utc() -> None:
    moment = datetime(2026, 3, 5, 1, tzinfo=timezone(timedelta(hours=1)))
    assert Window.of_run(moment, moment, first=FIRST).logical_date == DAY
