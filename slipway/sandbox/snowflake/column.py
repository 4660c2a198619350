"""What ALTER TABLE may change in a column, and the refusal of the rest.

https://docs.snowflake.com/en/sql-reference/sql/alter-table-column
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from slipway.sandbox.snowflake import error
from slipway.sandbox.snowflake.describe import snowflake_type
from slipway.sandbox.snowflake.description import UNLIMITED
from slipway.sandbox.snowflake.reader import Name, quote

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.session import Session

Type = exp.DataType.Type
_TEXTS = (Type.VARCHAR, Type.TEXT, Type.NVARCHAR)
_LETTERS = (Type.CHAR, Type.NCHAR)  # of one character when no length is written
_NUMBERS = (Type.DECIMAL, Type.INT, Type.BIGINT, Type.SMALLINT, Type.TINYINT)
_OTHERS = {  # that DuckDB calls otherwise than it describes them
    Type.TIMESTAMPTZ: "TIMESTAMP_TZ(9)",
    Type.TIMESTAMPLTZ: "TIMESTAMP_TZ(9)",
    Type.FLOAT: "FLOAT",
    Type.VARIANT: "VARIANT",
    Type.OBJECT: "VARIANT",
}


def refuse_change(session: Session, table: Name, action: exp.AlterColumn) -> None:
    """Raise for a change of a column that Snowflake does not make: of type, length, scale or default."""
    if action.args.get("default") is not None and "NEXTVAL" not in action.args["default"].sql().upper():
        raise error.no_such_feature("Alter Column Set Default")
    wanted = action.args.get("dtype")
    column = action.this.name
    current = _current(session, table, column)
    if wanted is None or current is None:  # the second is refused when it is run
        return
    new = _written(wanted)
    if _family(current) != _family(new):
        raise error.not_convertible(column, current, new)
    if current.startswith("VARCHAR") and _sizes(new) < _sizes(current):
        raise error.not_shortened(column, current, new)
    if current.startswith("NUMBER"):
        _check_number(session, table, column, current, new)


def _check_number(session: Session, table: Name, column: str, current: str, new: str) -> None:
    (old_digits, old_scale), (digits, scale) = _sizes(current), _sizes(new)
    if scale != old_scale:
        raise error.not_rescaled(column, current, new)
    if digits >= old_digits:
        return
    stored, held = session.stored_name(table), quote(column)
    found = session._duck_conn.execute(
        f"SELECT count({held}) > count(TRY_CAST({held} AS DECIMAL({digits}, {scale}))) FROM {stored}"
    ).fetchone()
    if found and found[0]:
        raise error.not_narrowed(column, current, new)


def _current(session: Session, table: Name, column: str) -> str | None:
    """Return the type of a column in the words of DESCRIBE, None when there is no such column."""
    described = session._duck_conn.execute(f"DESCRIBE {session.stored_name(table)}").fetchall()
    if table in session.temporary:
        lengths = session.temporary_lengths.get(".".join(table), {})
    else:
        lengths = session.instance.registry.lengths.get(table, {})
    return next((snowflake_type(row[1], lengths.get(column)) for row in described if row[0] == column), None)


def _written(wanted: exp.DataType) -> str:
    """Return a type in the words of DESCRIBE."""
    sizes = [int(size.name) for size in wanted.expressions]
    if wanted.this in _TEXTS:
        return f"VARCHAR({sizes[0] if sizes else UNLIMITED})"
    if wanted.this in _LETTERS:
        return f"VARCHAR({sizes[0] if sizes else 1})"
    if wanted.this in _NUMBERS:
        digits, scale = (*sizes, *(38, 0)[len(sizes) :])
        return f"NUMBER({digits},{scale})"
    if wanted.this in _OTHERS:
        return _OTHERS[wanted.this]
    return snowflake_type(wanted.sql(dialect="duckdb"), None)


def _family(kind: str) -> str:
    return kind.partition("(")[0]


def _sizes(kind: str) -> tuple[int, ...]:
    return tuple(int(size) for size in re.findall(r"\d+", kind))
