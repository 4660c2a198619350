"""EXECUTE IMMEDIATE and BEGIN .. END blocks of plain statements; anything that needs an interpreter is refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slipway.sandbox.snowflake import error
from slipway.sandbox.snowflake.reader import Reader, split_statements
from slipway.sandbox.snowflake.result import Result

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.cursor import Cursor

_INTERPRETED = re.compile(r"(?i)^(let|declare|if|for|while|loop|case|exception|return\s+(?!'|\d))\b|:=")
_RETURN = re.compile(r"(?is)^return\s+('(?P<text>[^']*)'|(?P<number>\d+))$")


def handle_execute_immediate(cursor: Cursor, reader: Reader) -> Result | None:
    """Run EXECUTE IMMEDIATE '<statement or block>'."""
    reader.expect("EXECUTE")
    if not reader.take("IMMEDIATE"):
        raise error.unsupported(f"EXECUTE {reader.peek()}")
    body = reader.string()
    if body is None or not reader.at_end:
        raise error.unsupported("EXECUTE IMMEDIATE of anything but one string")
    return _run(cursor, body.strip())


def handle_block(cursor: Cursor, reader: Reader) -> Result:
    """Run BEGIN .. END sent as one statement."""
    return _run(cursor, reader.sql.strip())


def handle_call(cursor: Cursor, reader: Reader) -> Result | None:
    """Run CALL SYSTEM$WAIT(..), which does nothing here; procedures are refused."""
    if re.match(r"(?i)\s*call\s+system\$wait\s*\(", reader.sql):
        return Result.of([("SYSTEM$WAIT", "VARCHAR")], [("waited 0 seconds",)])
    raise error.unsupported("stored procedures (CALL)")


def _run(cursor: Cursor, body: str) -> Result:
    block = re.match(r"(?is)^begin\b(?P<inner>.*)\bend\s*;?$", body)
    statements = split_statements(block["inner"] if block else body)
    for statement in statements:
        if _INTERPRETED.search(statement):
            raise error.unsupported("Snowflake Scripting beyond a list of plain statements")
    result = Result.status()
    for statement in statements:
        if returned := _RETURN.match(statement):
            value = returned["text"] if returned["text"] is not None else returned["number"]
            return Result.of([("anonymous block", "VARCHAR")], [(value,)])
        result = cursor.execute(statement).result
    return result
