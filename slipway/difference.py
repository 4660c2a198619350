"""Profiles of relations, and everything in which two of them differ. Pure.

Rules:
- A profile holds what one query tells of a relation: rows, duplicate keys, and of each column its type, nulls, distinct
  values, sum, dates and a hash. Two profiles that are equal differ in nothing.
- Of what is empty on one side the columns' values say nothing more.
- That values changed is told where nothing else tells it: of a column, or of the relation when they only changed places
  between its rows, or are personal.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pydantic import Field

from slipway.documents import Document
from slipway.threshold import Measure

_ESTIMATE = Fraction(5, 100)  # two estimates of one number of distinct values may be that far apart
_NOISE = Fraction(1, 10**9)  # and two sums of the same floating-point numbers, added up in another order


class ColumnProfile(Document):
    """What is known of one column.

    Attributes:
        type: as the catalog says it, e.g. NUMBER(18,2); of text without its length.
        distinct: None where values of the type are not counted.
        sum: a decimal; None where there is nothing to add up. Of FLOAT it may be no finite number: inf, nan.
        magnitude: of FLOAT, the sum without signs, which says how exact the sum can be.
        earliest: ISO 8601; None for what is no date, or personal.
        content: a hash of all values in whatever order, for as long as they are compared: it is written nowhere. None
            for floating-point numbers, for what is personal, and for types that have none.
    """

    name: str
    type: str
    nulls: int = 0
    distinct: int | None = None
    sum: str | None = None
    magnitude: str | None = None
    earliest: str | None = None
    latest: str | None = None
    content: str | None = Field(default=None, exclude=True, repr=False)

    @property
    def is_money(self) -> bool:
        """Whether its sum is judged: numbers with decimals are amounts, those without are keys and counts."""
        return self.type == "FLOAT" or (self.type.startswith("NUMBER(") and not self.type.endswith(",0)"))


class Profile(Document):
    """What is known of one relation of a slot.

    Attributes:
        duplicates: declared key, its columns joined by ", " -> how many of its values more than one row holds.
        is_estimated: whether the distinct values were estimated.
        content: a hash of all rows in whatever order, with personal columns and without those that have no hash; it is
            written nowhere. None where it would be one of personal values alone.
    """

    relation: str  # LAYER.NAME
    rows: int
    content: str | None = Field(default=None, exclude=True, repr=False)
    columns: tuple[ColumnProfile, ...] = ()
    duplicates: dict[str, int] = Field(default_factory=dict)
    is_estimated: bool = False


class Difference(Document):
    """One thing that is not as it was. Between the same profiles the other way round, before and after change places.

    Attributes:
        column: of `duplicates` the key.
        rows: of the relation, before and after; what others are measured by.
        is_money: of `sum`, whether it is judged.
    """

    relation: str
    column: str | None
    measure: Measure
    before: str | None
    after: str | None
    rows: tuple[int, int]
    is_money: bool = False


def differences(before: Profile | None, after: Profile | None) -> tuple[Difference, ...]:
    """Return everything in which two profiles of a relation differ; None is one that is not there. No side effects."""
    if before is None or after is None:
        return tuple(_alone(before, after))
    found = tuple(_within(before, after))
    return found if found or not _have_other_rows(before, after) else (_of_rows(before, after),)


def _have_other_rows(before: Profile, after: Profile) -> bool:
    """Tell whether the same columns hold other rows, where both were hashed."""
    known = None not in (before.content, after.content)
    forms = [[(one.name, one.type) for one in profile.columns] for profile in (before, after)]
    return known and forms[0] == forms[1] and before.content != after.content


def _of_rows(before: Profile, after: Profile) -> Difference:
    return _difference(after.relation, None, "values", (None, None), (before.rows, after.rows))


def _alone(before: Profile | None, after: Profile | None) -> Iterator[Difference]:
    """Yield that a relation came or went, and which keys of one that came are not unique."""
    there = before or after
    if there is None:
        return
    rows = (before.rows if before else 0, after.rows if after else 0)
    said = (str(before.rows) if before else None, str(after.rows) if after else None)
    yield Difference(
        relation=there.relation,
        column=None,
        measure="removed" if after is None else "added",
        before=said[0],
        after=said[1],
        rows=rows,
    )
    for key, count in sorted(there.duplicates.items()):
        if count:
            values = (str(count), None) if after is None else (None, str(count))
            yield _difference(there.relation, key, "duplicates", values, rows)


def _within(before: Profile, after: Profile) -> Iterator[Difference]:
    name, rows = after.relation, (before.rows, after.rows)
    if before.rows != after.rows:
        yield _difference(name, None, "rows", (str(before.rows), str(after.rows)), rows)
    for key in sorted({*before.duplicates, *after.duplicates}):
        counts = before.duplicates.get(key, 0), after.duplicates.get(key, 0)
        if counts[0] != counts[1]:
            yield _difference(name, key, "duplicates", (str(counts[0]), str(counts[1])), rows)
    old, new = ({one.name: one for one in profile.columns} for profile in (before, after))
    is_estimated = before.is_estimated or after.is_estimated
    for column in dict.fromkeys((*old, *new)):
        if column not in new:
            yield _difference(name, column, "removed", (old[column].type, None), rows)
        elif column not in old:
            yield _difference(name, column, "added", (None, new[column].type), rows)
        else:
            yield from _of_column(name, old[column], new[column], rows, is_estimated=is_estimated)


def _of_column(
    relation: str, old: ColumnProfile, new: ColumnProfile, rows: tuple[int, int], *, is_estimated: bool
) -> Iterator[Difference]:
    found = list(_measured(relation, old, new, rows, is_estimated=is_estimated))
    yield from found
    known = old.type == new.type and None not in (old.content, new.content)
    if known and not found and rows[0] == rows[1] and old.content != new.content:
        yield _difference(relation, new.name, "values", (None, None), rows)


def _measured(
    relation: str, old: ColumnProfile, new: ColumnProfile, rows: tuple[int, int], *, is_estimated: bool
) -> Iterator[Difference]:
    measured: tuple[tuple[Measure, Any, Any], ...] = (
        ("type", old.type, new.type),
        ("nulls", old.nulls, new.nulls),
        ("distinct", old.distinct, new.distinct),
        ("sum", old.sum, new.sum),
        ("earliest", old.earliest, new.earliest),
        ("latest", old.latest, new.latest),
    )
    for measure, one, other in measured:
        if one == other or (measure != "type" and (None in (one, other) or 0 in rows)):
            continue
        if measure == "distinct" and is_estimated and _apart(one, other) <= _ESTIMATE:
            continue
        if measure == "sum" and _is_one_sum(old, new):
            continue
        is_money = measure == "sum" and (old.is_money or new.is_money)
        yield _difference(relation, new.name, measure, (str(one), str(other)), rows, is_money=is_money)


def _difference(
    relation: str,
    column: str | None,
    measure: Measure,
    values: tuple[str | None, str | None],
    rows: tuple[int, int],
    *,
    is_money: bool = False,
) -> Difference:
    return Difference(
        relation=relation,
        column=column,
        measure=measure,
        before=values[0],
        after=values[1],
        rows=rows,
        is_money=is_money,
    )


def number(text: str) -> Fraction | None:
    """Return a number as it is; None for one that is not finite. No side effects."""
    return Fraction(text) if Decimal(text).is_finite() else None


def _is_one_sum(old: ColumnProfile, new: ColumnProfile) -> bool:
    """Whether two sums that are written differently are one: of another scale, or added up in another order."""
    one, other = number(old.sum or "0"), number(new.sum or "0")
    if one is None or other is None:
        return False
    sizes = (number(text) or Fraction(0) for text in (old.magnitude, new.magnitude) if text)
    largest = max(abs(one), abs(other), *sizes)
    room = _NOISE * largest if "FLOAT" in (old.type, new.type) else Fraction(0)
    return abs(one - other) <= room


def _apart(one: Any, other: Any) -> Fraction:
    """Return how far two numbers are apart, as a share of the larger."""
    first, second = Fraction(str(one)), Fraction(str(other))
    return abs(first - second) / (max(abs(first), abs(second)) or 1)
