"""EXECUTE IMMEDIATE, anonymous blocks and CALL: where scripts come in, one statement each.

https://docs.snowflake.com/en/sql-reference/sql/execute-immediate
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.sandbox.snowflake import error, grammar, procedure
from slipway.sandbox.snowflake.interpreter import Interpreter
from slipway.sandbox.snowflake.reader import Reader, split_statements
from slipway.sandbox.snowflake.result import Result
from slipway.sandbox.snowflake.scope import Value, fill_marks

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.cursor import Cursor


def handle_execute(cursor: Cursor, reader: Reader) -> Result | None:
    """Run EXECUTE IMMEDIATE of a text or block, with the values of its question marks."""
    reader.expect("EXECUTE")
    if not reader.take("IMMEDIATE"):
        raise error.unsupported(f"EXECUTE {reader.peek()}")
    if reader.take("FROM"):
        raise error.unsupported("EXECUTE IMMEDIATE FROM a staged file")
    body = reader.string()
    if body is None:
        raise error.unsupported("EXECUTE IMMEDIATE of anything but one string or variable")
    if reader.take("USING"):
        body = fill_marks(body, _values(cursor, reader))
    if not reader.at_end:
        raise reader.unexpected()
    if not body.strip():
        raise error.syntax("Empty SQL statement.")
    if grammar.is_block(body):
        return _run(cursor, body)
    if len(split_statements(body)) > 1:
        raise error.syntax("EXECUTE IMMEDIATE runs one statement, or a block of several.")
    return cursor.session.cursor().execute(body).result


def _values(cursor: Cursor, reader: Reader) -> list[Value]:
    reader.expect("(")
    values = []
    while not reader.take(")"):
        result = cursor.session.cursor().compute(f"SELECT {reader.value()}")
        values.append(Value.of(result.rows()[0][0], result.columns[0][1]))
        reader.take(",")
    return values


def handle_block(cursor: Cursor, reader: Reader) -> Result:
    """Run a block that was sent as one statement."""
    return _run(cursor, reader.sql)


def handle_call(cursor: Cursor, reader: Reader) -> Result | None:
    """Run CALL of a procedure. SYSTEM$WAIT does nothing here; other system procedures are refused."""
    called = reader.peek(1)
    if called == "SYSTEM$WAIT":
        return Result.of([("SYSTEM$WAIT", "VARCHAR")], [("waited 0 seconds",)])
    if called.startswith("SYSTEM$"):
        raise error.unsupported(f"CALL {called}")
    return procedure.handle_call(cursor, reader)


def _run(cursor: Cursor, body: str) -> Result:
    return Interpreter(cursor.session, body).run(grammar.parse(body))
