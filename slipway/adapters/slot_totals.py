"""The comparison of a model that was built aside with what readers see: rows, and sums of money.

One function, so that it is replaced in one place by a comparison that knows more.
"""

from __future__ import annotations

from typing import Any

from slipway.adapters.grant import quoted
from slipway.adapters.snowflake import Session
from slipway.errors import StepFailed
from slipway.slot import schema_in
from slipway.step import AdoptModel

LEAST_PERCENT = 90  # of the rows that a table has, which the new one must have


def compare_totals(session: Session, database: str, step: AdoptModel) -> dict[str, Any]:
    """Return rows and sums of money of every table before and after.

    Raises:
        StepFailed: a table has lost more rows than may be. Readers see what they saw.
    """
    found = {
        one: (_totals(session, database, one, step.slot), _totals(session, database, one, step.aside))
        for one in step.relations
    }
    lost = [
        f"  {name}: {before['rows']} rows before, {after['rows']} after"
        for name, (before, after) in found.items()
        if after["rows"] * 100 < before["rows"] * LEAST_PERCENT
    ]
    if lost:
        raise StepFailed(
            f"{step.request.model} was built aside and {len(lost)} table(s) lost rows; readers see what they saw:\n"
            + "\n".join(lost),
            fix=f"look at {step.aside}; invoke backfill.cancel --env ENV gives it up",
        )
    return {name: {"before": before, "after": after} for name, (before, after) in found.items()}


def _totals(session: Session, database: str, relation: str, slot: str) -> dict[str, Any]:
    layer, name = relation.split(".")
    schema = schema_in(layer, slot)
    columns = session.rows(
        f"SELECT COLUMN_NAME FROM {database}.INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s "
        "AND NUMERIC_SCALE = 2 ORDER BY ORDINAL_POSITION",
        [schema, name],
    )
    money = [str(row[0]) for row in columns]
    sums = "".join(f", SUM({quoted(one)})" for one in money)
    rows = session.rows(f"SELECT COUNT(*){sums} FROM {database}.{quoted(schema)}.{quoted(name)}")
    count, *values = rows[0] if rows else (0,)
    return {"rows": int(count), "sums": {one: str(value) for one, value in zip(money, values, strict=True)}}
