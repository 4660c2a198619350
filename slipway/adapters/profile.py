"""Profiles of relations and samples of their rows, each by one query that the warehouse answers by itself.

Rules:
- One SELECT per relation and side; rows are never fetched to be looked at here.
- A sample of rows is one SELECT over both sides, joined by the key, compared by hash and cut off by LIMIT.
- Values of personal columns do not leave the warehouse: neither their dates nor a value in a sample, nor a hash of one
  such column alone, only whether they differ.
https://docs.snowflake.com/en/sql-reference/functions/hash,
https://docs.snowflake.com/en/sql-reference/functions/hash_agg
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from slipway.adapters.grant import quoted
from slipway.dbt_project import Keys
from slipway.difference import ColumnProfile, Profile
from slipway.slot import layers_among, schema_in

UNCOUNTED = frozenset({"VARIANT", "OBJECT", "ARRAY", "GEOGRAPHY", "GEOMETRY", "VECTOR", "FILE", "MAP"})
# HASH_AGG takes no GEOGRAPHY and GEOMETRY; a floating-point number that was added up may end in other digits each time;
# of the others a table here has none, and they are left out until one does.
UNHASHED = frozenset({"FLOAT", "GEOGRAPHY", "GEOMETRY", "VECTOR", "FILE", "MAP"})
DATES = ("DATE", "TIMESTAMP_NTZ", "TIMESTAMP_LTZ", "TIMESTAMP_TZ")
NUMBERS = ("NUMBER", "FLOAT")
_DOUBLED = "doubled"
_FLOAT_DIGITS = 15  # that a double holds for certain
Rows = Callable[[str], list[tuple[Any, ...]]]  # runs one statement


@dataclass(frozen=True, kw_only=True)
class Relation:
    """One relation of a slot, as the catalog has it.

    Attributes:
        columns: name -> type, in their order.
        rows: as far as the catalog knows.
        altered_at: when its content or form was last changed; of a view only its form.
    """

    layer: str
    name: str
    is_view: bool
    columns: Mapping[str, str]
    rows: int | None
    altered_at: datetime | None

    @property
    def title(self) -> str:
        """LAYER.NAME, in every slot the same."""
        return f"{self.layer}.{self.name}"

    def place(self, database: str, slot: str) -> str:
        """Return its full name, as SQL says it."""
        return ".".join((database, quoted(schema_in(self.layer, slot)), quoted(self.name)))


def catalog(rows: Rows, database: str, slots: Sequence[str]) -> dict[str, dict[str, Relation]]:
    """Return the relations of slots, by slot and title; two queries, however many there are."""
    within = " OR ".join(f"ENDSWITH(TABLE_SCHEMA, '{schema_in('', slot)}')" for slot in slots)
    columns: dict[tuple[str, str], dict[str, str]] = {}
    for schema, name, column, kind, precision, scale in rows(
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE "
        f"FROM {database}.INFORMATION_SCHEMA.COLUMNS WHERE {within} ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
    ):
        columns.setdefault((schema, name), {})[str(column)] = _type(str(kind), precision, scale)
    found: dict[str, dict[str, Relation]] = {slot: {} for slot in slots}
    for schema, name, kind, count, altered_at in rows(
        "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ROW_COUNT, LAST_ALTERED "
        f"FROM {database}.INFORMATION_SCHEMA.TABLES WHERE {within}"
    ):
        for slot in slots:
            for layer in layers_among([schema], slot):
                one = Relation(
                    layer=layer,
                    name=str(name),
                    is_view="VIEW" in kind,
                    columns=columns.get((schema, name), {}),
                    rows=None if count is None else int(count),
                    altered_at=altered_at,
                )
                found[slot][one.title] = one
    return found


def profile(
    rows: Rows,
    relation: Relation,
    place: str,
    *,
    keys: Keys,
    personal: Collection[str],
    concealed: Collection[str],
    estimates: bool,
) -> Profile:
    """Return the profile of a relation; one query.

    Args:
        place: its full name.
        keys: that are declared; one with a column that is not there is left out.
        personal: columns whose sums and dates are not told.
        concealed: columns that are not hashed alone: the personal ones, and what is made from them.
        estimates: whether distinct values are estimated.
    """
    present = tuple(key for key in keys if set(key) <= set(relation.columns))
    measures = {
        column: tuple(_measures(column, kind, personal, concealed, estimates=estimates))
        for column, kind in relation.columns.items()
    }
    asked = ["COUNT(*)", _hash_of_rows(relation, concealed), *(_duplicates(place, key) for key in present)]
    asked += [text for found in measures.values() for _, text in found]
    values = iter(rows(f"SELECT {', '.join(asked)} FROM {place}")[0])
    count, content = int(next(values)), next(values)
    duplicates = {", ".join(key): int(next(values)) for key in present}
    columns = [
        ColumnProfile(
            name=column,
            type=relation.columns[column],
            **{measure: _told(measure, next(values), count) for measure, _ in found},
        )
        for column, found in measures.items()
    ]
    return Profile(
        relation=relation.title,
        rows=count,
        content=None if content is None else str(content),
        columns=tuple(columns),
        duplicates=duplicates,
        is_estimated=estimates,
    )


def _measures(
    column: str, kind: str, personal: Collection[str], concealed: Collection[str], *, estimates: bool
) -> Iterable[tuple[str, str]]:
    """Yield what is asked of a column, as the name of the measure and as SQL."""
    name, sort = quoted(column), kind.partition("(")[0]
    yield "nulls", f"COUNT({name})"
    if sort not in UNCOUNTED:
        yield "distinct", f"APPROX_COUNT_DISTINCT({name})" if estimates else f"COUNT(DISTINCT {name})"
    if sort in NUMBERS and column not in personal:
        yield "sum", f"SUM({name})"
        if sort == "FLOAT":
            yield "magnitude", f"SUM(ABS({name}))"
    if sort in DATES and column not in personal:
        yield "earliest", f"MIN({name})"
        yield "latest", f"MAX({name})"
    if sort not in UNHASHED and column not in concealed:
        yield "content", f"HASH_AGG({name})"


def _hash_of_rows(relation: Relation, concealed: Collection[str]) -> str:
    """Return the hash of all rows, as SQL; NULL where it would be one of concealed values alone."""
    hashed = [column for column, kind in relation.columns.items() if kind.partition("(")[0] not in UNHASHED]
    return f"HASH_AGG({', '.join(map(quoted, hashed))})" if set(hashed) - set(concealed) else "NULL"


def _told(measure: str, value: Any, rows: int) -> Any:
    """Return what a profile says of what the warehouse answered."""
    match measure:
        case "nulls":
            return rows - int(value)
        case "distinct":
            return int(value)
        case _:
            return None if value is None else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.{_FLOAT_DIGITS}g}"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):  # a datetime is one
        return value.isoformat()
    return str(value)


def _duplicates(place: str, key: Sequence[str]) -> str:
    names = ", ".join(map(quoted, key))
    return f"(SELECT COUNT(*) FROM (SELECT {names} FROM {place} GROUP BY {names} HAVING COUNT(*) > 1))"


def _type(kind: str, precision: Any, scale: Any) -> str:
    """Return a column's type. Of text without its length: a view has none, and a table's follows from its content."""
    return f"{kind}({int(precision)},{int(scale)})" if kind == "NUMBER" and precision is not None else kind


# ---- samples of rows -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One column of a row that differs; of a personal one only that it does."""

    column: str
    before: str | None
    after: str | None
    is_personal: bool


@dataclass(frozen=True, kw_only=True)
class Row:
    """One key whose rows differ.

    Attributes:
        key: column -> value; None where it is personal.
        side: "changed", "gone" from the built slot, or "new" in it.
    """

    key: Mapping[str, str | None]
    side: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Some of the rows of a relation that differ.

    Attributes:
        total: how many do; None where there is no key to tell rows by.
        doubled: how many keys several rows hold on either side; they are left out.
        note: why there is no key.
    """

    relation: str
    total: int | None
    doubled: int = 0
    note: str = ""
    rows: tuple[Row, ...] = ()


def sample(
    rows: Rows,
    old: Relation,
    new: Relation,
    places: tuple[str, str],
    *,
    key: Sequence[str],
    personal: Collection[str],
    limit: int,
) -> Sample:
    """Return the first rows that differ, by key; one query.

    Args:
        places: the full names of both.
        limit: how many at most.
    """
    shared = [name for name, kind in new.columns.items() if old.columns.get(name) == kind and name not in key]
    statement = _sample_statement(places, key, shared, personal, limit)
    found, total, doubled = [], 0, 0
    for told in rows(statement):
        values = iter(told)
        total, doubled, side = int(next(values)), int(next(values)), str(next(values))
        if side == _DOUBLED:
            continue
        names = {name: None if name in personal else str(next(values)) for name in key}
        cells = []
        for column in shared:
            differs = bool(next(values))
            before, after = (None, None) if column in personal else (next(values), next(values))
            if differs and side == "changed":
                cells.append(Cell(column=column, before=before, after=after, is_personal=column in personal))
        found.append(Row(key=names, side=side, cells=tuple(cells)))
    return Sample(relation=new.title, total=total, doubled=doubled, rows=tuple(found))


def common_key(old: Relation, new: Relation, keys: Keys) -> tuple[tuple[str, ...], str]:
    """Return the first key that tells rows of both apart; or none, and why. Of other types nothing is joined: what is
    no number would end the query."""
    for key in keys:
        if all(_sort(old.columns[name]) == _sort(new.columns[name]) for name in key):
            return key, ""
    if keys:
        return (), f"the type of its key changed ({', '.join(keys[0])}), so its rows cannot be told apart"
    return (), "no key is declared, so its rows cannot be told apart"


def _sort(kind: str) -> str:
    return kind.partition("(")[0]


def _sample_statement(
    places: tuple[str, str], key: Sequence[str], shared: Sequence[str], personal: Collection[str], limit: int
) -> str:
    keys, columns = [quoted(one) for one in key], [quoted(one) for one in shared]
    doubled = "GREATEST(COALESCE(A.TIMES_, 1), COALESCE(B.TIMES_, 1)) > 1"
    asked = [
        f"SUM(CASE WHEN {doubled} THEN 0 ELSE 1 END) OVER ()",
        f"SUM(CASE WHEN {doubled} THEN 1 ELSE 0 END) OVER ()",
        f"CASE WHEN {doubled} THEN '{_DOUBLED}' WHEN B.HERE_ IS NULL THEN 'gone' WHEN A.HERE_ IS NULL THEN 'new' "
        "ELSE 'changed' END",
    ]
    asked += [
        f"TO_VARCHAR(COALESCE(A.{name}, B.{name}))" for one, name in zip(key, keys, strict=True) if one not in personal
    ]
    for one, name in zip(shared, columns, strict=True):
        asked.append(f"HASH(A.{name}) <> HASH(B.{name})")
        if one not in personal:
            asked += [f"TO_VARCHAR(A.{name})", f"TO_VARCHAR(B.{name})"]
    hashes = [f"HASH({', '.join(f'{side}.{name}' for name in columns)})" for side in "AB"]
    differs = f" OR {hashes[0]} <> {hashes[1]}" if columns else ""
    whole = " AND ".join(f"{name} IS NOT NULL" for name in keys)
    within = f"OVER (PARTITION BY {', '.join(keys)}"
    sides = [
        f"(SELECT *, 1 AS HERE_, COUNT(*) {within}) AS TIMES_ FROM {place} WHERE {whole} "
        f"QUALIFY ROW_NUMBER() {within} ORDER BY {keys[0]}) = 1)"
        for place in places
    ]
    same = " AND ".join(f"A.{name} = B.{name}" for name in keys)
    order = ", ".join(f"COALESCE(A.{name}, B.{name})" for name in keys)
    return (
        f"SELECT {', '.join(asked)} FROM {sides[0]} A FULL OUTER JOIN {sides[1]} B ON {same} "
        f"WHERE A.HERE_ IS NULL OR B.HERE_ IS NULL OR {doubled}{differs} "
        f"ORDER BY CASE WHEN {doubled} THEN 1 ELSE 0 END, {order} LIMIT {int(limit)}"
    )
