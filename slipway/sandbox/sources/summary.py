"""What a set of sources holds, in numbers to reconcile against."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class TableSummary:
    """Rows, distinct keys and sum of amounts of a table; a versioned row counts with its newest version."""

    rows: int
    keys: int
    amount: Decimal | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceSummary:
    """The sources after a load.

    Attributes:
        first_day, day0: the days the feeds cover; `day0` itself is not part of it.
        tables: by table name in schema `core`.
        files: objects in the sources bucket by folder (`fx`, `settlement`).
        generated: whether rows or files had to be made; False when everything was there.
        seconds: how long the load took.
    """

    first_day: date
    day0: date
    tables: dict[str, TableSummary]
    files: dict[str, int]
    generated: bool
    seconds: float
