"""How far a difference moved, and how far the policy lets it. Pure.

Rules:
- What was empty before has nothing to lose: that it was filled is told and not judged.
- Sums grow with the rows: a sum may move that much further away from 0, and no further towards it.
- That values are others is told and not judged: how many and which, a sample of rows tells.
- Of a relation that readers see, what it loses is over the thresholds by itself: the relation, a column, or its type.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import assert_never

from slipway.difference import Difference, number
from slipway.slot import PUBLISHED_LAYERS
from slipway.threshold import Thresholds

_WIDTH = re.compile(r"NUMBER\((?P<digits>\d+),(?P<scale>\d+)\)")


def held(one: Difference, limits: Thresholds) -> tuple[str, str, bool]:
    """Return how far a difference moved, how far it may, both in words, and whether it is over."""
    match one.measure:
        case "added":
            return ("new", "", False)
        case "removed":
            return ("gone", "as it was", True) if _is_published(one) else ("gone", "", False)
        case "type":
            return _of_type(one)
        case "duplicates":
            return _of_duplicates(one, limits)
        case "values":
            return ("changed", "", False)
        case _ if one.rows[0] == 0:
            return ("it was empty", "", False)
        case "rows":
            return _of_rows(one, limits)
        case "nulls":
            return _of_nulls(one, limits)
        case "distinct":
            return _of_distinct(one, limits)
        case "sum":
            return _of_sum(one, limits)
        case "earliest" | "latest":
            return _of_dates(one, limits)
        case _:
            assert_never(one.measure)


def _of_type(one: Difference) -> tuple[str, str, bool]:
    """A number that has room for more digits before its point holds every value that it held."""
    old, new = (_WIDTH.fullmatch(value or "") for value in (one.before, one.after))
    if old and new and old["scale"] == new["scale"] and int(old["digits"]) < int(new["digits"]):
        return ("wider", "", False)
    return ("other", "as it was", True) if _is_published(one) else ("other", "", False)


def _of_duplicates(one: Difference, limits: Thresholds) -> tuple[str, str, bool]:
    before, after = int(one.before or 0), int(one.after or 0)
    return (f"{after - before:+d}", str(limits.duplicate_keys), after > max(before, limits.duplicate_keys))


def _is_published(one: Difference) -> bool:
    return one.relation.partition(".")[0] in PUBLISHED_LAYERS


def _of_rows(one: Difference, limits: Thresholds) -> tuple[str, str, bool]:
    change = _change(one.rows[0], one.rows[1])
    limit = Fraction(limits.rows_percent) if change < 0 else Fraction(limits.growth_percent)
    return (_percent(change), _room(change, limit), abs(change) > limit)


def _of_nulls(one: Difference, limits: Thresholds) -> tuple[str, str, bool]:
    before, after = int(one.before or 0), int(one.after or 0)
    share = Fraction(100 * after, one.rows[1] or 1) - Fraction(100 * before, one.rows[0])
    limit = Fraction(limits.nulls_percent)
    return (f"{_plain(share, sign=True)} points", f"+{_plain(limit)} points", share > limit)


def _of_distinct(one: Difference, limits: Thresholds) -> tuple[str, str, bool]:
    before, after = int(one.before or 0), int(one.after or 0)
    if before == 0:
        return ("it had none", "", False)
    change = _change(before, after)
    limit = Fraction(limits.growth_percent) if change > 0 else Fraction(limits.distinct_percent)
    return (_percent(change), _room(change, limit), abs(change) > limit)


def _of_sum(one: Difference, limits: Thresholds) -> tuple[str, str, bool]:
    if not one.is_money:
        return ("", "", False)
    before, after = number(one.before or "0"), number(one.after or "0")
    if before is None or after is None:
        return ("no finite number", "as it was", True)
    if before == 0:
        return ("it was 0", "0", True)
    change = 100 * (after - before) / abs(before)
    grew = (after > before) == (before > 0)  # a sum of credits grows below 0
    room = Fraction(limits.sum_percent) + (_growth(one) if grew else 0)
    return (_percent(change), f"{_plain(room)} %", abs(change) > room)


def _of_dates(one: Difference, limits: Thresholds) -> tuple[str, str, bool]:
    hours = Fraction((_instant(one.after) - _instant(one.before)) // _SECOND, 3600)
    moved = _span(hours)
    if one.measure == "latest":
        return (moved, _span(Fraction(-limits.freshness_hours)), -hours > limits.freshness_hours)
    return (moved, _span(Fraction(24 * limits.history_days)), hours > 24 * limits.history_days)


_SECOND = datetime(2000, 1, 1, 0, 0, 1) - datetime(2000, 1, 1)


def _instant(text: str | None) -> datetime:
    return datetime.fromisoformat(text or "").replace(tzinfo=None)


def _span(hours: Fraction) -> str:
    days, unit = hours / 24, "days"
    if abs(days) < 2:
        days, unit = hours, "hours"
    return f"{_plain(days, sign=True)} {unit}"


def _growth(one: Difference) -> Fraction:
    """Return by how many percent the rows grew; 0 when they did not."""
    return max(Fraction(0), _change(one.rows[0], one.rows[1]))


def _change(before: int, after: int) -> Fraction:
    """Return by how many percent a number moved that was not 0."""
    return Fraction(100 * (after - before), before)


def _room(change: Fraction, limit: Fraction) -> str:
    """Return how far it may move the way that it did."""
    return _percent(-limit if change < 0 else limit)


def _percent(change: Fraction) -> str:
    return f"{_plain(change, sign=True)} %"


def _plain(number: Fraction, *, sign: bool = False) -> str:
    """Return a number with as many decimals as it takes to tell it from 0, two at least, none when it is whole."""
    for places in (2, 4, 8):
        shown = round(number, places)
        if shown or not number:
            break
    text = f"{Decimal(shown.numerator) / Decimal(shown.denominator):f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"+{text}" if sign and shown > 0 else text
