"""What a block of Snowflake Scripting is made of, as the parser (`grammar`) builds it and the interpreter runs it.

https://docs.snowflake.com/en/developer-guide/snowflake-scripting/index
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A piece of SQL as it was written: an expression, a query or a statement."""

    sql: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Let:
    """A variable, with its type if one was said and its first value if it has one."""

    at: int  # offset into the text of the block
    name: str
    kind: str | None
    value: Text | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LetCursor:
    at: int
    name: str
    source: Text  # a query, or the name of a result set


@dataclass(frozen=True, kw_only=True, slots=True)
class LetResults:
    at: int
    name: str
    query: Text | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LetException:
    at: int
    name: str
    number: int
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Assign:
    at: int
    name: str
    value: Text


@dataclass(frozen=True, kw_only=True, slots=True)
class If:
    """Branches in order; the condition of ELSE is None. CASE becomes one of these."""

    at: int
    branches: tuple[tuple[Text | None, tuple[Statement, ...]], ...]
    subject: Text | None = None  # of a CASE that compares one value
    is_case: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """FOR i IN [REVERSE] first TO last."""

    at: int
    name: str
    first: Text
    last: Text
    reverse: bool
    body: tuple[Statement, ...]
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Each:
    """FOR row IN a cursor or result set."""

    at: int
    name: str
    source: str
    body: tuple[Statement, ...]
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Loop:
    """WHILE (a condition before), REPEAT (one after) and LOOP (none)."""

    at: int
    before: Text | None
    after: Text | None
    body: tuple[Statement, ...]
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Leave:
    """BREAK or, when `again`, CONTINUE."""

    at: int
    label: str
    again: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Return:
    at: int
    value: Text | None
    table: str = ""  # the result set of RETURN TABLE(..)


@dataclass(frozen=True, kw_only=True, slots=True)
class Raise:
    at: int
    name: str  # empty inside a handler: the exception it handles


@dataclass(frozen=True, kw_only=True, slots=True)
class Open:
    at: int
    name: str
    using: tuple[Text, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetch:
    at: int
    name: str
    into: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Close:
    at: int
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Nothing:
    """NULL as a statement."""

    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sql:
    """Any SQL statement; `into` are the variables its one row goes to."""

    at: int
    statement: Text
    into: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Immediate:
    """EXECUTE IMMEDIATE of an expression, with the values of its question marks."""

    at: int
    statement: Text
    using: tuple[Text, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Catch:
    """WHEN name OR name THEN: what is done about these exceptions."""

    names: tuple[str, ...]
    body: tuple[Statement, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    at: int
    declarations: tuple[Declaration, ...]
    body: tuple[Statement, ...]
    catches: tuple[Catch, ...]


Declaration = Let | LetCursor | LetResults | LetException
Statement = (
    Let
    | LetCursor
    | LetResults
    | Assign
    | If
    | Count
    | Each
    | Loop
    | Leave
    | Return
    | Raise
    | Open
    | Fetch
    | Close
    | Nothing
    | Sql
    | Immediate
    | Block
)
