"""The load ledger: one row per (pipeline, logical date, part), written in the transaction of the load it records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

TABLE = "OPS.LOAD_LEDGER"  # in the RAW database
COLUMNS = (
    "PIPELINE", "LOGICAL_DATE", "PART", "SOURCE", "CONTENT_SHA256", "SOURCE_ROWS", "SOURCE_AMOUNT", "LOADED_ROWS",
    "RELEASE", "LOADED_AT",
)  # fmt: skip
_KEY = COLUMNS[:3]
_CASTS = {
    "LOGICAL_DATE": "DATE",
    "SOURCE_ROWS": "NUMBER(38,0)",
    "SOURCE_AMOUNT": "NUMBER(38,2)",
    "LOADED_ROWS": "NUMBER(38,0)",
    "LOADED_AT": "TIMESTAMP_NTZ",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One row of the ledger; `loaded_at` is UTC."""

    pipeline: str
    logical_date: date
    part: str
    source: str | None
    content_sha256: str
    source_rows: int
    source_amount: Decimal | None
    loaded_rows: int
    release: str
    loaded_at: datetime

    @property
    def key(self) -> tuple[date, str]:
        return self.logical_date, self.part

    def values(self) -> tuple[Any, ...]:
        """The row in the order of COLUMNS, dates and numbers as text that the statement casts."""
        return (
            self.pipeline,
            self.logical_date.isoformat(),
            self.part,
            self.source,
            self.content_sha256,
            self.source_rows,
            None if self.source_amount is None else str(self.source_amount),
            self.loaded_rows,
            self.release,
            self.loaded_at.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds"),
        )


def read(
    cursor: Any, *, database: str, pipeline: str, since: date | None = None, until: date | None = None
) -> dict[tuple[date, str], Entry]:
    """Return the pipeline's entries by (logical date, part), both bounds included."""
    conditions, values = ["PIPELINE = %s"], [pipeline]
    if since is not None:
        conditions.append("LOGICAL_DATE >= %s::DATE")
        values.append(since.isoformat())
    if until is not None:
        conditions.append("LOGICAL_DATE <= %s::DATE")
        values.append(until.isoformat())
    cursor.execute(
        f"SELECT {', '.join(COLUMNS)} FROM {database}.{TABLE} WHERE {' AND '.join(conditions)}", tuple(values)
    )
    entries = (_entry(row) for row in cursor.fetchall())
    return {entry.key: entry for entry in entries}


def write(cursor: Any, *, database: str, entries: Sequence[Entry]) -> None:
    """Insert or replace the entries; belongs inside the transaction of the load."""
    if not entries:
        return
    row = ", ".join(f"column{n}::{_CASTS.get(name, 'VARCHAR')} AS {name}" for n, name in enumerate(COLUMNS, start=1))
    places = ", ".join([f"({', '.join(['%s'] * len(COLUMNS))})"] * len(entries))
    updated = ", ".join(f"{name} = s.{name}" for name in COLUMNS if name not in _KEY)
    cursor.execute(
        f"MERGE INTO {database}.{TABLE} t USING (SELECT {row} FROM VALUES {places}) s "
        f"ON {' AND '.join(f't.{name} = s.{name}' for name in _KEY)} "
        f"WHEN MATCHED THEN UPDATE SET {updated} "
        f"WHEN NOT MATCHED THEN INSERT ({', '.join(COLUMNS)}) VALUES ({', '.join(f's.{n}' for n in COLUMNS)})",
        tuple(value for entry in entries for value in entry.values()),
    )


def forget(cursor: Any, *, database: str, pipeline: str, logical_date: date, parts: Iterable[str]) -> None:
    """Delete entries of parts that a replaced batch no longer has; belongs inside the transaction of the load."""
    names = tuple(parts)
    if names:
        cursor.execute(
            f"DELETE FROM {database}.{TABLE} WHERE PIPELINE = %s AND LOGICAL_DATE = %s::DATE "
            f"AND PART IN ({', '.join('%s' for _ in names)})",
            (pipeline, logical_date.isoformat(), *names),
        )


def reopen(cursor: Any, *, database: str, pipeline: str, before: date) -> None:
    """Delete the entries of all dates before `before`: those loads have to be run again, and checks will say so."""
    cursor.execute(
        f"DELETE FROM {database}.{TABLE} WHERE PIPELINE = %s AND LOGICAL_DATE < %s::DATE",
        (pipeline, before.isoformat()),
    )


def pipelines_loaded(cursor: Any, *, database: str, logical_date: date) -> frozenset[str]:
    """Return the pipelines that have an entry for the logical date."""
    cursor.execute(
        f"SELECT DISTINCT PIPELINE FROM {database}.{TABLE} WHERE LOGICAL_DATE = %s::DATE", (logical_date.isoformat(),)
    )
    return frozenset(row[0] for row in cursor.fetchall())


def _entry(row: Sequence[Any]) -> Entry:
    values: Mapping[str, Any] = dict(zip(COLUMNS, row, strict=True))
    amount = values["SOURCE_AMOUNT"]
    return Entry(
        pipeline=values["PIPELINE"],
        logical_date=values["LOGICAL_DATE"],
        part=values["PART"],
        source=values["SOURCE"],
        content_sha256=values["CONTENT_SHA256"],
        source_rows=int(values["SOURCE_ROWS"]),
        source_amount=None if amount is None else Decimal(amount),
        loaded_rows=int(values["LOADED_ROWS"]),
        release=values["RELEASE"],
        loaded_at=values["LOADED_AT"],
    )
