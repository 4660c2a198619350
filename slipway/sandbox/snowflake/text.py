"""The declared lengths of text columns, which DuckDB does not keep: a longer text is error 100078, as in Snowflake.

INSERT, UPDATE and MERGE are rewritten so that every text for a column with a length is checked as it is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sqlglot import exp

from slipway.sandbox.snowflake import error, resolution
from slipway.sandbox.snowflake.description import UNLIMITED
from slipway.sandbox.snowflake.reader import Name, quote_name

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.session import Session

_SHOWN = 50  # characters of a text that is too long


def enforce_lengths(session: Session, statement: exp.Expr) -> None:
    """Add the checks to a resolved statement. Changes it in place."""
    target = resolution.target_of(statement)
    if target is None:
        return
    name: Name = (target.catalog, target.db, target.name)
    if name[:2] == ("temp", "main"):
        lengths = session.temporary_lengths.get(name[2], {})
    else:
        lengths = session.instance.registry.lengths.get(name, {})
    limited = {column: length for column, length in lengths.items() if length < UNLIMITED}
    if not limited:
        return
    if isinstance(statement, exp.Insert):
        _check_insert(session, statement, name, limited)
    elif isinstance(statement, exp.Update):
        _check_assignments(statement.expressions, limited)
    elif isinstance(statement, exp.Merge):
        columns = _columns(session, name)
        for when in statement.find_all(exp.When):
            _check_action(when.args.get("then"), limited, columns)


def _columns(session: Session, name: Name) -> list[str]:
    described = session._duck_conn.execute(f"SELECT * FROM {quote_name(name)} LIMIT 0").description or []
    return [str(column[0]) for column in described]


def _checked(value: exp.Expr, length: int) -> exp.Expr:
    if isinstance(value, exp.Literal):
        if len(value.name) > length:
            raise error.too_long(value.name)
        return value
    if isinstance(value, (exp.Null, exp.Placeholder, exp.Var)):
        return value  # NULL and DEFAULT; bound values are checked nowhere
    text = exp.cast(value.copy(), "TEXT")
    shown = exp.func("LEFT", text.copy(), exp.Literal.number(_SHOWN))
    message = exp.DPipe(
        this=exp.DPipe(this=exp.Literal.string("String '"), expression=shown),
        expression=exp.Literal.string("' is too long and would be truncated"),
    )
    too_long = exp.GT(this=exp.Length(this=text), expression=exp.Literal.number(length))
    return exp.Case(
        ifs=[exp.If(this=too_long, true=exp.Anonymous(this="error", expressions=[message]))], default=value.copy()
    )


def _check_insert(session: Session, insert: exp.Insert, name: Name, limited: Mapping[str, int]) -> None:
    schema = insert.this
    columns = [c.name for c in schema.expressions] if isinstance(schema, exp.Schema) else _columns(session, name)
    query = insert.expression
    if isinstance(query, exp.Values):
        for row in query.expressions:
            if isinstance(row, exp.Tuple):
                _check_values(row.expressions, columns, limited)
        return
    if not isinstance(query, exp.Query):
        return
    names = [exp.to_identifier(f"c{i}", quoted=True) for i in range(1, len(columns) + 1)]
    values: list[exp.Expr] = [
        _checked(exp.column(name_.copy()), limited[column]) if column in limited else exp.column(name_.copy())
        for name_, column in zip(names, columns, strict=True)
    ]
    alias = exp.TableAlias(this=exp.to_identifier("written", quoted=True), columns=names)
    source = exp.Subquery(this=query, alias=alias)
    insert.set("expression", exp.select(*values).from_(source))


def _check_values(values: Sequence[exp.Expr], columns: Sequence[str], limited: Mapping[str, int]) -> None:
    for value, column in zip(list(values), columns, strict=False):
        if column in limited and (checked := _checked(value, limited[column])) is not value:
            value.replace(checked)


def _check_assignments(assignments: Sequence[exp.Expr], limited: Mapping[str, int]) -> None:
    for assignment in assignments:
        if isinstance(assignment, exp.EQ) and assignment.this.name in limited:
            value = assignment.expression
            if (checked := _checked(value, limited[assignment.this.name])) is not value:
                assignment.set("expression", checked)


def _check_action(action: exp.Expr | None, limited: Mapping[str, int], columns: Sequence[str]) -> None:
    if isinstance(action, exp.Update):
        _check_assignments(action.expressions, limited)
    elif isinstance(action, exp.Insert) and isinstance(action.expression, exp.Tuple):
        written = [c.name for c in action.this.expressions] if isinstance(action.this, exp.Tuple) else columns
        _check_values(action.expression.expressions, written, limited)
