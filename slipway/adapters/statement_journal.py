"""The statement journal: which statements of a versioned script were begun and done, beside schemachange's history.

Only ever added to, by whoever holds the environment. https://docs.snowflake.com/en/sql-reference/functions/query_history
tells what became of a statement that was begun and not told of.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import get_args

from slipway.adapters.snowflake import OPS_SCHEMA, STATEMENT_TABLE, Session
from slipway.errors import JournalError, StepFailed
from slipway.statement import Mark, Unit, Word, is_whole

_UNDER_WAY = frozenset({"RUNNING", "QUEUED", "RESUMING_WAREHOUSE", "BLOCKED", "QUEUED_REPAIRING_WAREHOUSE"})
_MOST_QUERIES = 10_000  # the most QUERY_HISTORY gives, newest first
_LOOK_S = 2.0  # between two looks at a statement that still runs


class StatementJournal:
    """The marks of one environment's scripts."""

    def __init__(self, session: Session, ops_database: str) -> None:
        self._session, self._ops = session, ops_database
        self._table = f"{ops_database}.{OPS_SCHEMA}.{STATEMENT_TABLE}"

    def marks(self) -> Mapping[str, tuple[Mark, ...]]:
        """Return the marks of every script, by its name, in the order they were written.

        Raises:
            JournalError: a mark says what nobody writes.
        """
        found = defaultdict[str, list[Mark]](list)
        for script, place, word, sha256, tag in self._session.rows(
            f"SELECT SCRIPT, PLACE, WORD, SHA256, TAG FROM {self._table} ORDER BY SEQ"
        ):
            if word not in get_args(Word):
                raise JournalError(f"{self._table} says {word!r} of {script}", fix="find out who wrote that")
            found[script].append(Mark(place=int(place), word=word, sha256=sha256, tag=tag))
        return {script: tuple(marks) for script, marks in found.items()}

    def write(self, script: str, *marks: Mark) -> None:
        """Add marks, all or none."""
        values, rows = list[object](), list[str]()
        for at, mark in enumerate(marks, start=1):
            rows.append(f"SELECT {at} AS N, %s AS SCRIPT, %s AS PLACE, %s AS WORD, %s AS SHA256, %s AS TAG")
            values += [script, mark.place, mark.word, mark.sha256, mark.tag]
        self._session.change(
            f"INSERT INTO {self._table} (SEQ, SCRIPT, PLACE, WORD, SHA256, TAG, WRITTEN_AT) "
            f"SELECT (SELECT COALESCE(MAX(SEQ), 0) FROM {self._table}) + GIVEN.N, SCRIPT, PLACE, WORD, SHA256, TAG, "
            f"CURRENT_TIMESTAMP() FROM ({' UNION ALL '.join(rows)}) AS GIVEN",
            values,
        )

    def was_done(self, mark: Mark, unit: Unit | None, *, within_s: float, tell: Callable[[str], None]) -> bool:
        """Return whether a unit that was begun came to its end, as the warehouse tells it; wait while it still runs.

        Args:
            unit: None when the script does not hold it any more, and what it said is only known to the warehouse.

        Raises:
            StepFailed: it runs longer than `within_s`, or is so long ago that the warehouse does not tell any more.
        """
        deadline, name = time.monotonic() + within_s, unit.headline if unit else f"statement {mark.place}"
        while True:
            said = self._said(mark)
            if not any(status in _UNDER_WAY for _, status in said):
                return is_whole([text for text, status in said if status == "SUCCESS"], unit)
            if time.monotonic() > deadline:
                raise StepFailed(f"a statement of an earlier run still runs: {name}", fix="wait for it, or cancel it")
            tell(f"a statement of an earlier run still runs: {name}")
            time.sleep(_LOOK_S)

    def _said(self, mark: Mark) -> list[tuple[str, str]]:
        """Return text and status of the statements that ran under a mark's tag.

        A statement that was cancelled is told by its message alone, its status may be that of any other.
        """
        history = f"TABLE({self._ops}.INFORMATION_SCHEMA.QUERY_HISTORY(RESULT_LIMIT => {_MOST_QUERIES}))"
        rows = self._session.rows(
            "SELECT QUERY_TEXT, IFF(EXECUTION_STATUS = 'SUCCESS' AND ERROR_MESSAGE IS NOT NULL, 'CANCELLED', "
            f"EXECUTION_STATUS) FROM {history} WHERE QUERY_TAG = %s",
            [mark.tag],
        )
        if not rows:
            self._require_reach(mark, history)
        return [(str(text).rstrip().removesuffix(";"), str(status)) for text, status in rows]

    def _require_reach(self, mark: Mark, history: str) -> None:
        """Return when the history reaches back to a mark; raise `StepFailed` when it does not."""
        began = self._session.rows(
            f"SELECT WRITTEN_AT FROM {self._table} WHERE TAG = %s AND WORD = 'began'", [mark.tag]
        )[0][0]
        (reached,) = self._session.rows(f"SELECT MIN(START_TIME) FROM {history}")[0]
        if not isinstance(reached, datetime) or reached > began:  # the mark itself was written by a query before
            raise StepFailed(
                f"statement {mark.place} was begun at {began:%Y-%m-%d %H:%M} UTC, and the warehouse does not tell any "
                "more what became of it",
                fix="invoke migrate.undo --env ENV",
            )
