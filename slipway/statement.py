"""Statements of a versioned migration script, and how far a run of them came. Pure.

Rules:
- A statement commits by itself, so a run can end between any two. What stands in one transaction is one unit, which is
  done whole or not at all. What commits by itself there too would break it in parts, and is refused: DDL, which
  TRUNCATE is not. https://docs.snowflake.com/en/sql-reference/transactions (DDL)
- What only changes the session (USE, SET, ALTER SESSION) is run again whenever a run goes on.
- A unit is written down before it runs and when it is done. One that was begun and not told of is in doubt: the
  warehouse is asked before it is run again.
- A run goes on behind what was done, as long as the script still begins with exactly that.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from slipway.errors import StepFailed

Word = Literal["began", "done", "failed", "applied", "undoing", "undone"]
_COMMENTS = re.compile(r"--[^\n]*|//[^\n]*|/\*.*?\*/", re.DOTALL)
_SESSION = re.compile(r"\s*(USE|SET|UNSET|ALTER\s+SESSION)\b", re.IGNORECASE)
_OPENS = re.compile(r"\s*(BEGIN\s+(TRANSACTION|WORK)|START\s+TRANSACTION)(\s+NAME\s+\S+)?\s*;?\s*$", re.IGNORECASE)
_BARE_BEGIN = re.compile(r"\s*BEGIN\s*(;|$)", re.IGNORECASE)  # schemachange takes it for a block, and cuts it nowhere
_COMMITS = re.compile(r"\s*COMMIT(\s+WORK)?\s*;?\s*$", re.IGNORECASE)
_CLOSES = re.compile(r"\s*(COMMIT|ROLLBACK)(\s+WORK)?\s*;?\s*$", re.IGNORECASE)
_COMMITTING = re.compile(  # in a block or a procedure it cannot be seen here
    r"\s*(CREATE|ALTER|DROP|UNDROP|GRANT|REVOKE|COMMENT|USE|EXECUTE\s+IMMEDIATE|CALL|DECLARE)\b", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """What of a script is done whole or not at all: a statement, or a transaction of several.

    Attributes:
        place: its number among the script's units that leave something behind, from 1; that of the one before for a
            statement that only changes the session.
    """

    statements: tuple[str, ...]
    place: int
    is_session: bool = False

    @property
    def sha256(self) -> str:
        """What tells it from other units: its words. Comments and the width of spaces are none."""
        return hashlib.sha256("\n;\n".join(map(_words, self.statements)).encode()).hexdigest()

    @property
    def headline(self) -> str:
        """Its first words, for people; of a value in it nothing is shown."""
        return re.split(r"['$=(]", _words(self.statements[0]), maxsplit=1)[0].strip()[:80]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """One line of the statement journal.

    Attributes:
        place: of the unit; 0 for what is said of the script as a whole: applied, undoing, undone.
        sha256: of the unit.
        tag: the query tag it ran under: what the warehouse knows its statements by.
    """

    place: int
    word: Word
    sha256: str = ""
    tag: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How far a script came.

    Attributes:
        done: digests of its units that were done, in order.
        doubt: the unit that was begun and not told of.
        is_undoing: its undo was begun and did not end.
    """

    done: tuple[str, ...] = ()
    doubt: Mark | None = None
    is_undoing: bool = False

    @property
    def is_half(self) -> bool:
        """Whether something of it may stand in the warehouse."""
        return bool(self.done) or self.doubt is not None or self.is_undoing


def units_of(statements: Iterable[str]) -> tuple[Unit, ...]:
    """Return the units that a script's statements make, in order.

    Raises:
        StepFailed: a transaction is begun and not ended, and the end of the session would take it back; or it is begun
            with BEGIN alone; or it holds what commits by itself, or may.
    """
    return tuple(_units(statements))


def _units(statements: Iterable[str]) -> Iterator[Unit]:
    place, inside = 0, list[str]()
    for statement in statements:
        bare = _COMMENTS.sub(" ", statement)
        if not bare.strip():  # what stands behind the last statement
            continue
        if _BARE_BEGIN.match(bare):
            raise StepFailed("BEGIN alone may be a transaction or a block", fix="write BEGIN TRANSACTION;")
        if inside:
            if said := commits_by_itself(statement):
                raise StepFailed(
                    f"a transaction holds what commits by itself, or may: {said}; ROLLBACK would not take back all",
                    fix=f"move {said} before BEGIN TRANSACTION; or behind COMMIT;",
                )
            inside.append(statement)
            if _CLOSES.match(bare):
                place += 1
                yield Unit(statements=tuple(inside), place=place)
                inside = []
        elif _OPENS.match(bare):
            inside = [statement]
        elif _SESSION.match(bare):
            yield Unit(statements=(statement,), place=place, is_session=True)
        else:
            place += 1
            yield Unit(statements=(statement,), place=place)
    if inside:
        raise StepFailed("the script begins a transaction and does not end it", fix="end it with COMMIT;")


def begins_transaction(statement: str) -> bool:
    """Return whether a statement begins a transaction of several."""
    return _OPENS.match(bare(statement)) is not None


def ends_transaction(statement: str) -> bool:
    """Return whether a statement commits a transaction or takes it back."""
    return _CLOSES.match(bare(statement)) is not None


def commits_by_itself(statement: str) -> str:
    """Return how a statement begins that commits whatever transaction it stands in, or may; nothing for others."""
    found = _COMMITTING.match(bare(statement))
    return " ".join(found[1].upper().split()) if found else ""


def bare(statement: str) -> str:
    """Return a statement without its comments."""
    return _COMMENTS.sub(" ", statement)


def _words(statement: str) -> str:
    """Return a statement without comments and with single spaces."""
    return " ".join(bare(statement).split())


def is_whole(succeeded: Collection[str], unit: Unit | None) -> bool:
    """Return whether what succeeded of a unit is all of it; the warehouse's history drops comments before a statement.

    Args:
        succeeded: the texts of what ran in its place and succeeded.
        unit: None when it is not known what it was: a transaction then, if one was begun, and it is whole once it was
            ended; any statement otherwise.
    """
    if unit is not None:
        return set(map(_words, unit.statements)) <= set(map(_words, succeeded))
    texts = [text for one in succeeded if not _SESSION.match(text := bare(one))]
    if any(_OPENS.match(text) for text in texts):
        return any(_COMMITS.match(text) for text in texts)
    return bool(texts)


def standing_of(marks: Iterable[Mark]) -> Standing:
    """Return how far a script came, by its marks in the order they were written."""
    done, doubt, is_undoing = list[str](), None, False
    for mark in marks:
        match mark.word:
            case "applied" | "undone":
                done, doubt, is_undoing = [], None, False
            case "undoing":
                is_undoing = True
            case "began":
                doubt = mark
            case "done":
                done, doubt = [*done, mark.sha256], None
            case "failed":
                doubt = None
    return Standing(done=tuple(done), doubt=doubt, is_undoing=is_undoing)


def rest_of(units: Sequence[Unit], done: Sequence[str]) -> tuple[Unit, ...]:
    """Return the units that are still to run, with those before that the session needs.

    Raises:
        StepFailed: the script does not begin with what was done.
    """
    effects = [unit.sha256 for unit in units if not unit.is_session]
    same = next((at for at, (one, now) in enumerate(zip(done, effects, strict=False)) if one != now), None)
    if same is None and len(done) > len(effects):
        same = len(effects)
    if same is not None:
        raise StepFailed(
            f"{len(done)} of its statements stand in the warehouse, and the script begins otherwise now: "
            f"statement {same + 1} is another",
            fix="bring back what stood there, or: invoke migrate.undo --env ENV",
        )
    return tuple(unit for unit in units if unit.is_session or unit.place > len(done))
