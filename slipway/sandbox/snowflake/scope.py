"""What names mean inside a block of Snowflake Scripting, and how their values get into SQL.

Rules (https://docs.snowflake.com/en/developer-guide/snowflake-scripting/variables):
- inside a SQL statement a variable is written `:name`; a name without a colon is a column;
- in an expression outside of SQL a variable is written `name`, but not inside a query in brackets;
- an inner block sees the variables of the outer ones, and may hide them.
"""

from __future__ import annotations

import datetime
import decimal
from dataclasses import dataclass, field
from typing import Any

from snowflake.connector.errors import ProgrammingError
from sqlglot.tokenizer_core import Token, TokenType

from slipway.sandbox.snowflake import error
from slipway.sandbox.snowflake.block import Text
from slipway.sandbox.snowflake.reader import tokenize
from slipway.sandbox.snowflake.result import Result

_NO_WORDS = (TokenType.STRING, TokenType.RAW_STRING, TokenType.NUMBER)


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """What a variable holds: as Python has it, and as SQL is told it."""

    python: Any
    sql: str
    kind: str | None = None  # the declared type, to which what is assigned is cast

    @classmethod
    def of(cls, python: Any, engine_kind: str = "", kind: str | None = None) -> Value:
        return cls(python=python, sql=literal_of(python, engine_kind), kind=kind)


@dataclass(kw_only=True, slots=True)
class Rows:
    """A cursor or a result set: the query it is over, and the rows once it was opened."""

    source: Text | None
    is_cursor: bool
    result: Result | None = None
    fetched: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """The row a FOR loop stands at."""

    columns: dict[str, Value]


@dataclass(frozen=True, kw_only=True, slots=True)
class Declared:
    """An exception of the block's own."""

    number: int
    message: str


Entry = Value | Rows | Row | Declared


def literal_of(value: Any, engine_kind: str = "") -> str:
    """Return the SQL that means a Python value; `engine_kind` is the DuckDB type it came as."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int() | decimal.Decimal():
            written = str(value) if isinstance(value, int) else format(value, "f")
            return f"({written})" if written.startswith("-") else written
        case float():
            return f"({value!r}::FLOAT)"
        case datetime.datetime():
            zone = "TZ" if value.tzinfo else "NTZ"
            return f"('{value.isoformat(sep=' ')}'::TIMESTAMP_{zone})"
        case datetime.date():
            return f"('{value.isoformat()}'::DATE)"
        case datetime.time():
            return f"('{value.isoformat()}'::TIME)"
        case bytes() | bytearray():
            return f"TO_BINARY('{value.hex()}', 'HEX')"
    quoted = "'" + str(value).replace("\\", "\\\\").replace("'", "''") + "'"
    return f"PARSE_JSON({quoted})" if engine_kind == "JSON" else quoted


@dataclass(kw_only=True)
class Scope:
    """The names of one block, and of those around it."""

    outer: Scope | None = None
    names: dict[str, Entry] = field(default_factory=dict)

    def find(self, name: str) -> Entry | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        return None

    def need(self, name: str) -> Entry:
        """Return what a name means; raises 904 for one there is not."""
        found = self.find(name)
        if found is None:
            raise unknown(name)
        return found

    def assign(self, name: str, value: Value) -> None:
        """Give a variable, wherever it was declared, a new value."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                scope.names[name] = value
                return
            scope = scope.outer
        raise unknown(name)

    def root(self) -> Scope:
        """Return the outermost scope."""
        scope = self
        while scope.outer is not None:
            scope = scope.outer
        return scope


def unknown(name: str) -> ProgrammingError:
    """Return the error for a name that no block around declares."""
    return ProgrammingError(msg=f"SQL compilation error:\ninvalid identifier '{name}'", errno=904, sqlstate="42000")


def fill_expression(text: Text, scope: Scope) -> str:
    """Return an expression with the values of its variables; no side effects."""
    return _fill(text.sql, scope, bare=True)


def fill_statement(text: Text, scope: Scope) -> str:
    """Return a SQL statement with the values of its `:variables`; no side effects."""
    return _fill(text.sql, scope, bare=False)


def fill_marks(sql: str, values: list[Value]) -> str:
    """Return a statement whose question marks are values. Raises when their numbers differ."""
    tokens = [token for token in tokenize(sql) if token.token_type == TokenType.PLACEHOLDER]
    if len(tokens) != len(values):
        raise error.syntax(f"{len(tokens)} bind variables expected, {len(values)} given.")
    for token, value in reversed(list(zip(tokens, values, strict=True))):
        sql = sql[: token.start] + value.sql + sql[token.end + 1 :]
    return sql


def _fill(sql: str, scope: Scope, *, bare: bool) -> str:
    tokens = tokenize(sql)
    pieces: list[str] = []
    queries: list[bool] = []  # for each open bracket, whether it holds a query
    done = index = 0
    while index < len(tokens):
        token = tokens[index]
        if token.text == "(":
            queries.append(_is_query(tokens, index + 1))
        elif token.text == ")" and queries:
            queries.pop()
        used = _variable(tokens, index, scope, bare=bare and not any(queries))
        if used is None:
            index += 1
            continue
        value, length = used
        pieces += [sql[done : token.start], value.sql]
        done = tokens[index + length - 1].end + 1
        index += length
    return "".join([*pieces, sql[done:]])


def _is_query(tokens: list[Token], index: int) -> bool:
    return index < len(tokens) and tokens[index].text.upper() in ("SELECT", "WITH")


def _variable(tokens: list[Token], index: int, scope: Scope, *, bare: bool) -> tuple[Value, int] | None:
    """Return the value of the variable that stands at a token and how many tokens it takes, or None."""
    token, before = tokens[index], tokens[index - 1] if index else None
    if token.token_type == TokenType.COLON and not _continues(before, token):
        name = tokens[index + 1] if index + 1 < len(tokens) else None
        if name is None or name.token_type in _NO_WORDS or name.start != token.end + 1:
            return None
        value, length = _value(tokens, index + 1, scope)
        return value, length + 1
    if not bare or token.token_type in _NO_WORDS or (before is not None and before.text in (".", "::", ":")):
        return None
    after = tokens[index + 1].text if index + 1 < len(tokens) else ""
    if after in ("(", "=>") or not isinstance(scope.find(_name(token)), (Value, Row)):
        return None
    return _value(tokens, index, scope)


def _continues(before: Token | None, colon: Token) -> bool:
    """Tell whether a colon is that of a path into a value, which stands right behind a name or a bracket."""
    if before is None or before.end + 1 != colon.start:
        return False
    return before.text in (")", "]") or before.text[:1].isalnum() or before.text[:1] in ("_", '"')


def _name(token: Token) -> str:
    return token.text if token.token_type == TokenType.IDENTIFIER else token.text.upper()


def _value(tokens: list[Token], index: int, scope: Scope) -> tuple[Value, int]:
    found = scope.need(_name(tokens[index]))
    if isinstance(found, Value):
        return found, 1
    if isinstance(found, Row) and index + 2 < len(tokens) and tokens[index + 1].text == ".":
        column = _name(tokens[index + 2])
        if column not in found.columns:
            raise unknown(f"{_name(tokens[index])}.{column}")
        return found.columns[column], 3
    raise error.unsupported(f"the use of {_name(tokens[index])} as a value")
