"""Which of a partner's files a run looks at, and in which order."""

from __future__ import annotations

from datetime import date

import pytest
from etl import catalog
from etl.files import pick, version_of

(RATES,) = catalog.FX_RATES.drop.series
DAY, NEXT = date(2026, 3, 1), date(2026, 3, 2)


def test_the_highest_version_of_a_day_comes_first_in_any_order_of_names() -> None:
    keys = ["fx/fx_rates_2026-03-01_v10.csv", "fx/fx_rates_2026-03-01_v9.csv", "fx/fx_rates_2026-03-01.csv"]
    for listed in (keys, keys[::-1]):
        (versions,) = pick(listed, series=RATES, since=None, until=NEXT).days
        assert [(file.day, file.version) for file in versions] == [(DAY, 10), (DAY, 9), (DAY, 1)]
        assert [file.key for file in versions] == keys


def test_days_outside_the_window_are_left_alone() -> None:
    keys = [f"fx/fx_rates_2026-03-0{n}.csv" for n in range(1, 6)]
    delivery = pick(keys, series=RATES, since=NEXT, until=date(2026, 3, 4))
    assert [file.key for (file,) in delivery.days] == keys[1:4]


@pytest.mark.parametrize(
    "key", ["fx/fx_rates_2026-13-01.csv", "fx/fx_rates_2026-03-01-v2.csv", "fx/fx_rates_2026-03-01.csv.bak"]
)
def test_a_name_that_cannot_be_read_is_not_passed_over(key: str) -> None:
    delivery = pick(["fx/fx_rates_2026-03-01.csv", key], series=RATES, since=None, until=NEXT)
    assert (len(delivery.days), delivery.unreadable) == (1, (key,))


def test_a_prefix_that_begins_with_another_s_is_a_misspelt_name_of_that_one() -> None:
    delivery = pick(["fx/fx_rates_2_2026-03-01.csv"], series=RATES, since=None, until=NEXT)
    assert delivery.unreadable == ("fx/fx_rates_2_2026-03-01.csv",)


def test_a_key_says_its_version() -> None:
    assert [version_of(f"fx/fx_rates_2026-03-01{v}.csv") for v in ("", "_v2", "_v11")] == [1, 2, 11]
