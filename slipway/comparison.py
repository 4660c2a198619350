"""The comparison of a built slot with the live one: what differs, what explains it, and whether it may be published.

Rules:
- A profile holds what one query tells of a relation: rows, duplicate keys, and of each column its type, nulls, distinct
  values, sum and dates. Two profiles that are equal differ in nothing.
- What was empty before has nothing to lose: that it was filled is told and not judged. Of what is empty on one side the
  columns' values say nothing more.
- Sums and distinct values grow with the rows; they are judged by what they moved beyond them.
- Of a relation that readers see, what it loses is over the thresholds by itself: the relation, a column, or its type.
- An acknowledged difference is told with its reason, and passes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, assert_never

from pydantic import Field

from slipway.documents import Document, canonical, digest_of
from slipway.slot import PUBLISHED_LAYERS
from slipway.threshold import ComparisonRules, Measure, Thresholds

EVIDENCE_BYTES = 150_000  # an event of the journal holds it, which may have 400 kB
EVIDENCE_FINDINGS = 200
NAMED = 5  # findings in an error
_WIDTH = re.compile(r"NUMBER\((?P<digits>\d+),(?P<scale>\d+)\)")
_ESTIMATE = Fraction(5, 100)  # two estimates of one number of distinct values may be that far apart
_NOISE = Fraction(1, 10**9)  # and two sums of the same floating-point numbers, added up in another order


class ColumnProfile(Document):
    """What is known of one column.

    Attributes:
        type: as the catalog says it, e.g. NUMBER(18,2); of text without its length.
        distinct: None where values of the type are not counted.
        sum: a decimal; None where there is nothing to add up.
        earliest: ISO 8601; None for what is no date, or personal.
    """

    name: str
    type: str
    nulls: int = 0
    distinct: int | None = None
    sum: str | None = None
    earliest: str | None = None
    latest: str | None = None

    @property
    def is_money(self) -> bool:
        """Whether its sum is judged: numbers with decimals are amounts, those without are keys and counts."""
        return self.type == "FLOAT" or (self.type.startswith("NUMBER(") and not self.type.endswith(",0)"))


class Profile(Document):
    """What is known of one relation of a slot.

    Attributes:
        duplicates: declared key, its columns joined by ", " -> how many of its values more than one row holds.
        is_estimated: whether the distinct values were estimated.
    """

    relation: str  # LAYER.NAME
    rows: int
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


class Finding(Document):
    """A difference, and what the policy says of it.

    Attributes:
        moved: how far, in words.
        allowed: how far it may move, in words; empty when it is not judged.
        acknowledged: the reason why it passes although it is over.
    """

    difference: Difference
    moved: str
    allowed: str
    is_over: bool
    acknowledged: str | None = None

    @property
    def stops(self) -> bool:
        """Whether it keeps the slot from being published."""
        return self.is_over and self.acknowledged is None

    @property
    def place(self) -> str:
        """The relation, and the column if it is one's."""
        one = self.difference
        return f"{one.relation}.{one.column}" if one.column else one.relation

    def sentence(self) -> str:
        """Return what differs, from what to what, and what is allowed."""
        one, limit = self.difference, f", allowed {self.allowed}" if self.allowed else ""
        said = f"{self.place} {one.measure}: {_shown(one.before)} -> {_shown(one.after)}"
        return f"{said} ({self.moved}{limit})" if self.moved or limit else said


class RelationComparison(Document):
    """One relation on both sides.

    Attributes:
        model: its name in the dbt project.
        because: the changed models among it and what it is made from; empty when nothing explains a difference.
        note: what is known besides of a difference that nothing explains.
    """

    relation: str
    model: str
    because: tuple[str, ...] = ()
    note: str = ""
    before: Profile | None
    after: Profile | None
    findings: tuple[Finding, ...] = ()

    @property
    def rows(self) -> tuple[int | None, int | None]:
        """How many rows it had and has; None where it is not."""
        return (self.before.rows if self.before else None, self.after.rows if self.after else None)


class Comparison(Document):
    """A built slot held against the live one.

    Attributes:
        unread: relations that were left out: views nobody reads but through those that were compared.
    """

    slot: str
    against: str
    relations: tuple[RelationComparison, ...]
    unread: int = 0

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding, those that stop first."""
        found = (one for relation in self.relations for one in relation.findings)
        return tuple(sorted(found, key=lambda one: (not one.stops, not one.is_over)))

    @property
    def stopping(self) -> tuple[Finding, ...]:
        """The findings that keep the slot from being published."""
        return tuple(one for one in self.findings if one.stops)

    @property
    def differing(self) -> tuple[RelationComparison, ...]:
        """The relations in which something differs."""
        return tuple(one for one in self.relations if one.findings)

    def relation(self, name: str) -> RelationComparison:
        """Return the comparison of one relation."""
        return next(one for one in self.relations if one.relation == name)

    def summary(self) -> str:
        """Return one line for people."""
        alike = len(self.relations) - len(self.differing)
        said = f"{alike} of {len(self.relations)} relations as in {self.against}"
        accepted = sum(one.acknowledged is not None for one in self.findings)
        over = f", {len(self.stopping)} over the thresholds" if self.stopping else ""
        return f"{said}, {len(self.findings)} differences{over}" + (f", {accepted} acknowledged" if accepted else "")

    def evidence(self) -> dict[str, Any]:
        """Return it as plain data without floats, small enough for an event of the journal.

        Everything, profiles included, as long as it is; then the profiles of what differs, then the findings alone, and
        of those the first. `sha256` is of everything.
        """
        everything = self.model_dump(mode="json")
        whole = {"sha256": digest_of(everything), **everything}
        if len(canonical(whole)) <= EVIDENCE_BYTES:
            return {**whole, "left_out": ""}
        alike = {one.relation for one in self.relations} - {one.relation for one in self.differing}
        told = [
            {**one, "before": None, "after": None} if one["relation"] in alike else one
            for one in everything["relations"]
        ]
        shorter = {**whole, "relations": told, "left_out": "profiles of relations in which nothing differs"}
        if len(canonical(shorter)) <= EVIDENCE_BYTES:
            return shorter
        findings = [one.model_dump(mode="json") for one in self.findings[:EVIDENCE_FINDINGS]]
        left = f"profiles, and {max(0, len(self.findings) - EVIDENCE_FINDINGS)} of the findings"
        return {**whole, "relations": [], "findings": findings, "left_out": left}


def differences(before: Profile | None, after: Profile | None) -> tuple[Difference, ...]:
    """Return everything in which two profiles of a relation differ; None is one that is not there. No side effects."""
    if before is None or after is None:
        return tuple(_alone(before, after))
    return tuple(_within(before, after))


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
        if measure == "sum" and "FLOAT" in (old.type, new.type) and _apart(one, other) <= _NOISE:
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


def judge(
    one: Difference,
    rules: ComparisonRules,
    *,
    model: str,
    is_explained: bool,
    slot: str,
    today: date,
) -> Finding:
    """Return what the policy says of a difference. No side effects."""
    moved, allowed, is_over = _held(one, rules.thresholds(model, is_explained=is_explained))
    found = (
        rules.acknowledged(model=model, column=one.column, what=one.measure, slot=slot, today=today)
        if is_over
        else None
    )
    return Finding(
        difference=one,
        moved=moved,
        allowed=allowed,
        is_over=is_over,
        acknowledged=found.reason if found else None,
    )


def compare(
    before: Mapping[str, Profile],
    after: Mapping[str, Profile],
    rules: ComparisonRules,
    *,
    slot: str,
    against: str,
    today: date,
    models: Mapping[str, str],
    because: Mapping[str, tuple[str, ...]],
    notes: Mapping[str, str],
    unread: int = 0,
) -> Comparison:
    """Return the comparison of the profiles of two slots, by relation. No side effects.

    Args:
        models: relation -> the name of its model.
        because: relation -> the changed models that explain its differences.
        notes: relation -> what is said besides when nothing explains them.
    """
    relations = []
    for name in sorted({*before, *after}):
        model, reasons = models.get(name, name.rpartition(".")[2].lower()), because.get(name, ())
        findings = tuple(
            judge(one, rules, model=model, is_explained=bool(reasons), slot=slot, today=today)
            for one in differences(before.get(name), after.get(name))
        )
        relations.append(
            RelationComparison(
                relation=name,
                model=model,
                because=reasons,
                note=notes.get(name, "") if findings and not reasons else "",
                before=before.get(name),
                after=after.get(name),
                findings=findings,
            )
        )
    return Comparison(slot=slot, against=against, relations=tuple(relations), unread=unread)


def refusal(comparison: Comparison) -> str:
    """Return what keeps the slot from being published, in lines for people."""
    stopping = comparison.stopping
    places = f"{len(stopping)} place{'s' if len(stopping) > 1 else ''}"
    lines = [f"slot {comparison.slot} differs from {comparison.against}, which is live, beyond the policy in {places}:"]
    for one in stopping[:NAMED]:
        relation = comparison.relation(one.difference.relation)
        why = f"explained by {', '.join(relation.because)}" if relation.because else "explained by no changed model"
        lines.append(f"  {one.sentence()}; {why}" + (f"; {relation.note}" if relation.note else ""))
    if len(stopping) > NAMED:
        lines.append(f"  and {len(stopping) - NAMED} more")
    lines.append("live data was not touched, and the slot stays")
    return "\n".join(lines)


def acknowledgement_lines(comparison: Comparison, *, most: int | None = None) -> tuple[str, ...]:
    """Return what to add to config/policy.toml so that what stops may pass, one line each.

    Args:
        most: for how many findings; for all without.
    """
    lines: list[str] = []
    for one in comparison.stopping[:most]:
        lines += ["[[comparison.acknowledgements]]", f'model = "{comparison.relation(one.difference.relation).model}"']
        if one.difference.column and one.difference.measure != "duplicates":
            lines.append(f'column = "{one.difference.column.lower()}"')
        lines += [f'what = "{one.difference.measure}"', 'reason = "WHY"', f'slot = "{comparison.slot}"']
    return tuple(lines)


# ---- what may move how far -------------------------------------------------------------------------------------


def _held(one: Difference, limits: Thresholds) -> tuple[str, str, bool]:
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
    before, after, limit = int(one.before or 0), int(one.after or 0), Fraction(limits.distinct_percent)
    if before == 0:
        return ("it had none", "", False)
    change = _change(before, after)
    room = limit + _growth(one) if change > 0 else limit
    return (_percent(change), _room(change, room), abs(change) > room)


def _of_sum(one: Difference, limits: Thresholds) -> tuple[str, str, bool]:
    if not one.is_money:
        return ("", "", False)
    before, after = Fraction(one.before or "0"), Fraction(one.after or "0")
    room = Fraction(limits.sum_percent) + _growth(one)
    if before == 0:
        return ("it was 0", "0", True)
    change = 100 * (after - before) / abs(before)
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


def _apart(one: Any, other: Any) -> Fraction:
    """Return how far two numbers are apart, as a share of the larger."""
    first, second = Fraction(str(one)), Fraction(str(other))
    return abs(first - second) / (max(abs(first), abs(second)) or 1)


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


def _shown(value: str | None) -> str:
    return "nothing" if value is None else value


def count_alike(relations: Iterable[RelationComparison]) -> tuple[int, int]:
    """Return how many relations are as they were, and how many rows those hold."""
    alike = [one for one in relations if not one.findings]
    return len(alike), sum(one.after.rows for one in alike if one.after)
