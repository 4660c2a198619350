"""The language contract cases are written in: a sentence, and steps with what each must answer.

In the SQL `{db}` is the database the case has (current, with the schema S and the table T of two rows), `{n}`
the number that makes account-wide names its own, and `{files}` the folder of local files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

DOCS = "https://docs.snowflake.com/en"
UNSUPPORTED = 391900  # the number of every refusal, which Snowflake does not use
Rows = Sequence[tuple[Any, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One statement. Without an expectation it must succeed."""

    sql: str
    rows: Rows | None = None  # all rows, in order
    holds: Rows | None = None  # rows that must be among those answered
    count: int | None = None  # rowcount
    loaded: int | None = None  # rows COPY says it loaded
    columns: tuple[str, ...] | None = None
    errno: int | None = None
    text: str = ""  # part of the error message
    session: str = "main"
    role: str = ""  # of that session


@dataclass(frozen=True, slots=True)
class Case:
    """One sentence about Snowflake and the steps that show it."""

    name: str
    steps: tuple[Step, ...]
    page: str  # of Snowflake's documentation, below DOCS

    @property
    def cites(self) -> str:
        """The address of the page the case follows."""
        return f"{DOCS}/{self.page}"

    @property
    def refusals(self) -> tuple[Step, ...]:
        """The steps Snowflake would run and the embedded one refuses: with any the case counts as unsupported."""
        return tuple(step for step in self.steps if step.errno == UNSUPPORTED)


def case(name: str, *steps: Step | str, page: str) -> Case:
    return Case(name, tuple(Step(sql=step) if isinstance(step, str) else step for step in steps), page)


def gives(sql: str, *rows: tuple[Any, ...]) -> Step:
    """The statement answers these rows and no others."""
    return Step(sql=sql, rows=rows)


def value(sql: str, *values: Any) -> Step:
    """The query answers one row with these values."""
    return Step(sql=sql, rows=(values,))


def lists(sql: str, *rows: tuple[Any, ...]) -> Step:
    """The statement answers these rows among others."""
    return Step(sql=sql, holds=rows)


def shows(sql: str, *columns: str) -> Step:
    """The answer has these columns, in this order, perhaps with others after them."""
    return Step(sql=sql, columns=columns)


def changes(sql: str, count: int, *rows: tuple[Any, ...]) -> Step:
    """The statement says it changed `count` rows, and answers these counts."""
    return Step(sql=sql, count=count, rows=rows or None)


def loads(sql: str, loaded: int, *rows: tuple[Any, ...]) -> Step:
    """The COPY says it loaded `loaded` rows, and answers these rows."""
    return Step(sql=sql, loaded=loaded, rows=rows or None)


def fails(sql: str, errno: int, text: str = "") -> Step:
    """The statement is refused with this number, and a message that contains `text`."""
    return Step(sql=sql, errno=errno, text=text)


def refused(sql: str, what: str) -> Step:
    """Snowflake can do this and the embedded one cannot: it must say so, in exactly these words."""
    return fails(sql, UNSUPPORTED, f"Unsupported by the embedded Snowflake: {what}. Nothing was done.")


def other(step: Step | str, *, session: str = "other") -> Step:
    """The step runs in another session with the same rights."""
    return replace(step if isinstance(step, Step) else Step(sql=step), session=session)


def as_role(role: str, step: Step | str) -> Step:
    """The step runs in a session of another role."""
    return replace(step if isinstance(step, Step) else Step(sql=step), session=role, role=role)
