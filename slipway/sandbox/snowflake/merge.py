"""MERGE on DuckDB's own MERGE INTO, with the check Snowflake makes: a target row matched twice is error 100090."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
from fakesnow.dialect import parse_one
from snowflake.connector.errors import ProgrammingError
from sqlglot import exp

from slipway.sandbox.snowflake import error, resolution, text
from slipway.sandbox.snowflake.reader import Reader
from slipway.sandbox.snowflake.result import Result

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.cursor import Cursor

_LABELS = {"INSERT": "inserted", "UPDATE": "updated", "DELETE": "deleted"}


def handle(cursor: Cursor, reader: Reader) -> Result | None:
    """Run MERGE and answer how many rows each of its actions changed."""
    merge = resolution.normalize(parse_one(reader.sql))
    if not isinstance(merge, exp.Merge):
        raise error.syntax("MERGE expected.")
    actions = [action for when in merge.find_all(exp.When) if (action := _action(when))]
    if not actions:
        raise error.syntax("MERGE needs at least one WHEN clause.")
    target = resolution.target_of(merge)
    if target is None:
        raise error.unsupported("MERGE into anything but a table")
    spoken = {target.alias_or_name, target.name}
    if not target.alias:
        target.set("alias", exp.TableAlias(this=exp.to_identifier(target.name, quoted=True)))
    references = resolution.resolve(cursor.session, merge)
    for reference in references:
        needed = tuple(dict.fromkeys(actions)) if reference.privileges != ("SELECT",) else ("SELECT",)
        for privilege in needed:
            cursor.authorize([resolution.Reference(name=reference.name, privileges=(privilege,))])
    text.enforce_lengths(cursor.session, merge)
    _unqualify(merge, spoken)
    sql = cursor.transform(merge).sql(dialect="duckdb")
    values = cursor._bindings() if merge.find(exp.Placeholder) else None
    try:
        rows = cursor.session.transaction.write(f"{sql} RETURNING merge_action", values)
    except duckdb.InvalidInputException as failure:
        if "more than once" not in str(failure):
            raise
        raise ProgrammingError(
            msg="Duplicate row detected during DML action", errno=100090, sqlstate="42P18"
        ) from failure
    counts = {_LABELS[k]: sum(1 for row in rows if row[0] == k) for k in _LABELS if k in actions}
    return Result.counts(sum(counts.values()), **counts)


def _action(when: exp.When) -> str:
    then = when.args.get("then")
    if isinstance(then, exp.Insert):
        return "INSERT"
    if isinstance(then, exp.Update):
        return "UPDATE"
    return then.name.upper() if isinstance(then, exp.Var) and then.name.upper() == "DELETE" else ""


def _unqualify(merge: exp.Merge, names: set[str]) -> None:
    """Take the target's name off the columns that are assigned: DuckDB allows none there."""
    for when in merge.find_all(exp.When):
        then = when.args.get("then")
        if isinstance(then, exp.Update):
            for assignment in then.args.get("expressions") or []:
                if isinstance(assignment, exp.EQ) and isinstance(assignment.this, exp.Column):
                    assignment.this.set("table", None)
        if isinstance(then, exp.Insert) and isinstance(then.this, exp.Tuple):
            for column in then.this.expressions:
                if isinstance(column, exp.Column) and column.table in names:
                    column.set("table", None)
