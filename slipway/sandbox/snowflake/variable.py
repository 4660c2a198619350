"""Session variables: SET, UNSET, and `$name` in statements.

Rules (https://docs.snowflake.com/en/sql-reference/session-variables):
- SET evaluates its expression once; `$name` stands for that value, not for the text of the expression;
- `$name` inside a string or a block in dollar signs is text; `$1` is a column.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from snowflake.connector.errors import ProgrammingError
from sqlglot.tokenizer_core import TokenType

from slipway.sandbox.snowflake import error
from slipway.sandbox.snowflake.reader import Reader, tokenize
from slipway.sandbox.snowflake.result import Result
from slipway.sandbox.snowflake.scope import Value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.sandbox.snowflake.cursor import Cursor

_LONGEST = 256  # bytes a text variable may have


def handle(cursor: Cursor, reader: Reader) -> Result:
    """Run SET name = expression, SET (a, b) = (expressions or a query) and UNSET name."""
    variables = cursor.session.session_variables
    setting = reader.take("SET")
    if not setting:
        reader.expect("UNSET")
    names = _names(reader)
    if not setting:
        for name in names:
            variables.pop(name, None)
        return Result.status()
    reader.expect("=")
    values = _values(cursor, reader.rest().strip(), several=len(names) > 1)
    if len(values) != len(names):
        raise error.syntax(f"{len(names)} variables are set to {len(values)} values.")
    variables.update(zip(names, values, strict=True))
    return Result.status()


def _names(reader: Reader) -> list[str]:
    bracket = reader.take("(")
    names = [reader.name()[0]]
    while bracket and reader.take(","):
        names.append(reader.name()[0])
    if bracket:
        reader.expect(")")
    return names


def _values(cursor: Cursor, text: str, *, several: bool) -> list[Value]:
    inner = text[1:-1].strip() if several and text.startswith("(") and text.endswith(")") else text
    query = inner if inner[:6].upper() in ("SELECT", "WITH") and several else f"SELECT {inner}"
    result = cursor.session.cursor().compute(query)
    rows = result.rows()
    if len(rows) != 1:
        raise error.syntax(f"a variable is set to one value, and the query gives {len(rows)} rows.")
    for value in rows[0]:
        if isinstance(value, str) and len(value.encode()) > _LONGEST:
            raise error.syntax(f"a variable holds at most {_LONGEST} bytes.")
    return [Value.of(value, kind) for value, (_, kind) in zip(rows[0], result.columns, strict=True)]


def fill(sql: str, variables: Mapping[str, Value]) -> str:
    """Return a statement with the values of its session variables. Raises for one that is not set."""
    pieces, done = [], 0
    tokens = tokenize(sql)
    for sign, token in itertools.pairwise(tokens):
        if sign.token_type != TokenType.PARAMETER or sign.text != "$" or token.start != sign.end + 1:
            continue
        if token.token_type == TokenType.NUMBER:
            continue
        name = token.text.upper()
        if name not in variables:
            raise ProgrammingError(
                msg=f"SQL compilation error:\nSession variable '${name}' does not exist", errno=2211, sqlstate="02000"
            )
        pieces += [sql[done : sign.start], variables[name].sql]
        done = token.end + 1
    return "".join([*pieces, sql[done:]])
