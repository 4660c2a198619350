"""Which of a partner's files count, and what is refused before anything is landed."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from etl import catalog
from etl.error import ExtractError
from etl.files import count, pick, version_of

(RATES,) = catalog.FX_RATES.drop.series
DAY, NEXT = date(2026, 3, 1), date(2026, 3, 2)
HEADER = catalog.SETTLEMENT_FILES.header
LINE = "visa,2026-03-01,VISA-1,T1,10.00,0.05,9.95,EUR"


def test_the_highest_version_of_a_day_counts_in_any_order_of_names() -> None:
    keys = ["fx/fx_rates_2026-03-01_v10.csv", "fx/fx_rates_2026-03-01.csv", "fx/fx_rates_2026-03-01_v9.csv"]
    for listed in (keys, keys[::-1]):
        (file,) = pick(listed, series=RATES, since=None, until=NEXT)
        assert (file.day, file.version, file.key) == (DAY, 10, keys[0])


def test_days_outside_the_window_are_left_alone() -> None:
    keys = [f"fx/fx_rates_2026-03-0{n}.csv" for n in range(1, 6)]
    picked = pick(keys, series=RATES, since=NEXT, until=date(2026, 3, 4))
    assert [file.key for file in picked] == keys[1:4]


@pytest.mark.parametrize(
    "key", ["fx/fx_rates_2026-13-01.csv", "fx/fx_rates_2026-03-01-v2.csv", "fx/fx_rates_2026-03-01.csv.bak"]
)
def test_a_name_that_cannot_be_read_is_not_passed_over(key: str) -> None:
    with pytest.raises(ExtractError, match=r"expected fx/fx_rates_YYYY-MM-DD\.csv"):
        pick(["fx/fx_rates_2026-03-01.csv", key], series=RATES, since=None, until=NEXT)


def test_a_key_says_its_version() -> None:
    assert [version_of(f"fx/fx_rates_2026-03-01{v}.csv") for v in ("", "_v2", "_v11")] == [1, 2, 11]


def test_repeated_lines_count_once_and_amounts_are_exact() -> None:
    content = "\n".join([HEADER, LINE, LINE, LINE.replace("T1,10.00", "T2,0.10"), ""]).encode()
    assert count(content, dataset=catalog.SETTLEMENT_FILES, name="f") == (2, Decimal("10.10"))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "found an empty file"),
        (b"a,b\n1,2\n", "expected the header .*, found a,b"),
        (f"{HEADER}\n{LINE},extra\n".encode(), "expected 8 fields, found 9"),
        (f"{HEADER}\n{LINE.replace('10.00', 'ten')}\n".encode(), "no amount in column 5"),
        (HEADER.encode() + b"\n\xff\xfe\n", "not a CSV file in UTF-8"),
    ],
)
def test_a_file_of_another_shape_is_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(ExtractError, match=complaint):
        count(content, dataset=catalog.SETTLEMENT_FILES, name="f")
