"""A loader that dies at a chosen statement: a connection that passes everything on until then, and nothing after."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any


class Died(Exception):
    """The process is gone: whatever it meant to do next never reaches the warehouse."""


@dataclass(frozen=True)
class Point:
    """A moment of a load.

    Attributes:
        statement: pattern of the statement that it is about.
        arrives: True when the statement is still carried out.
    """

    name: str
    statement: str
    arrives: bool

    def __repr__(self) -> str:
        return self.name


_TABLE = r"\S+\.(FX_RATES|SETTLEMENTS|CARD_TRANSACTIONS|LEDGER_POSTINGS)"
POINTS = (
    Point("before the parts are copied", r"COPY INTO", False),
    Point("after the parts are copied", r"COPY INTO", True),
    Point("before the transaction", r"BEGIN", False),
    Point("after old rows are deleted", rf"DELETE FROM {_TABLE}", True),
    Point("after new rows are written", rf"(MERGE|INSERT) INTO {_TABLE}", True),
    Point("before the ledger", r"MERGE INTO \S+\.LOAD_LEDGER", False),
    Point("after the ledger", r"MERGE INTO \S+\.LOAD_LEDGER", True),
    Point("after an entry in the quarantine", r"MERGE INTO \S+\.QUARANTINE ", True),
    Point("before the commit", r"COMMIT", False),
    Point("after the commit", r"COMMIT", True),
)


@dataclass
class MortalConnection:
    """A connection to the warehouse whose owner dies at `point`."""

    connection: Any
    point: Point
    is_dead: bool = field(default=False, init=False)

    def cursor(self) -> MortalCursor:
        return MortalCursor(self, self.connection.cursor())


@dataclass
class MortalCursor:
    """A cursor of such a connection."""

    owner: MortalConnection
    cursor: Any

    def execute(self, statement: str, parameters: tuple[Any, ...] | None = None) -> Any:
        if self.owner.is_dead:
            raise Died(statement)
        meant = re.match(self.owner.point.statement, statement) is not None
        if meant and not self.owner.point.arrives:
            self.die(statement)
        result = self.cursor.execute(statement, parameters)
        if meant:
            self.die(statement)
        return result

    def die(self, statement: str) -> None:
        self.owner.is_dead = True
        raise Died(statement)

    def fetchall(self) -> Any:
        return self.cursor.fetchall()

    def fetchone(self) -> Any:
        return self.cursor.fetchone()

    @property
    def rowcount(self) -> int:
        return int(self.cursor.rowcount)

    def close(self) -> None:
        self.cursor.close()
