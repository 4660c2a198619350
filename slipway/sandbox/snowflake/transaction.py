"""Transactions as Snowflake runs them, on an engine whose transactions end at the first error.

Rules (https://docs.snowflake.com/en/sql-reference/transactions):
- DDL commits the open transaction and runs in one of its own;
- BEGIN inside a transaction is ignored, COMMIT and ROLLBACK outside one do nothing;
- without autocommit the first DML statement opens a transaction;
- a failed statement leaves its transaction open with what came before. DuckDB rolls all of it back, so the earlier
  statements are run again; when they do not change the same number of rows as before, the transaction is marked
  as ended, and everything up to ROLLBACK, COMMIT included, is refused;
- two transactions that change the same rows wait for each other. DuckDB refuses the second: it is restored on the
  state the first left and its statement tried again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from slipway.sandbox.snowflake import error
from slipway.sandbox.snowflake.reader import Name

CONFLICT_PATIENCE = 30.0  # seconds a statement waits for another transaction before it fails


@dataclass(frozen=True, kw_only=True, slots=True)
class _Written:
    sql: str
    parameters: tuple[Any, ...]
    rows: int


class Transaction:
    """The transaction of one session. Used by one thread at a time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._written: list[_Written] = []
        self.is_open = False
        self._files: list[Path] = []
        self.touched: set[str] = set()
        self.changed: set[Name] = set()  # tables whose rows were written since the last commit
        self.cause = ""  # why the transaction was ended, empty while it is sound

    def begin(self) -> None:
        """Open a transaction unless one is open."""
        if self.cause:
            raise error.aborted(self.cause)
        if not self.is_open:
            self._connection.execute("BEGIN")
            self.is_open = True

    def commit(self) -> None:
        """Commit. Raises when an earlier error ended the transaction: nothing of it was kept."""
        cause, was_open = self.cause, self.is_open
        self._forget()
        if cause:
            raise error.aborted(cause)
        if was_open:
            self._connection.execute("COMMIT")

    def rollback(self) -> None:
        """Roll back, sound or not."""
        was_open = self.is_open and not self.cause
        self._forget()
        self.changed.clear()
        if was_open:
            self._connection.execute("ROLLBACK")

    def commit_before_ddl(self) -> None:
        """Commit what is open, as Snowflake does before DDL. Raises when the transaction was ended by an error."""
        if self.is_open:
            self.commit()

    def _forget(self) -> None:
        self.is_open, self.cause = False, ""
        self._written.clear()
        self.touched.clear()
        for path in self._files:
            path.unlink(missing_ok=True)
        self._files.clear()

    def check(self) -> None:
        """Refuse to go on in a transaction that an error has ended."""
        if self.cause:
            raise error.aborted(self.cause)

    def write(self, sql: str, parameters: Sequence[Any] | dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one DML statement and return its rows; waits up to `CONFLICT_PATIENCE` for other transactions.

        Side effects: remembered, while a transaction is open, so that a later error can be survived.
        """
        deadline, pause = time.monotonic() + CONFLICT_PATIENCE, 0.005
        while True:
            try:
                rows: list[tuple[Any, ...]] = self._connection.execute(sql, parameters).fetchall()
            except duckdb.TransactionException as failure:
                if not error.is_conflict(failure) or time.monotonic() > deadline:
                    raise
                if self.is_open:
                    self.restore(failure)
                    self.check()
                time.sleep(pause)
                pause = min(pause * 2, 0.2)
                continue
            if self.is_open:
                self._written.append(_Written(sql=sql, parameters=_frozen(parameters), rows=_changed(rows)))
            return rows

    def mark(self) -> int:
        """Return the point `restore` can come back to: where the transaction stands now."""
        return len(self._written)

    def keep_file(self, path: Path) -> None:
        """Take over a file that what was written reads: it is deleted when the transaction ends."""
        self._files.append(path)

    def restore(self, failure: BaseException, *, to: int | None = None) -> None:
        """Bring an open transaction back to a mark, else to where it stood before the failed statement.

        Side effects: the statements before that are run again; when they do not do the same, the transaction is ended.
        """
        if not self.is_open or self.cause:
            return
        if to is not None:
            del self._written[to:]
        self._connection.execute("ROLLBACK")
        self._connection.execute("BEGIN")
        try:
            for written in self._written:
                rows = self._connection.execute(written.sql, list(written.parameters)).fetchall()
                if _changed(rows) != written.rows:
                    raise duckdb.TransactionException("an earlier statement gave another result when repeated")
        except duckdb.Error as second:
            self._connection.execute("ROLLBACK")
            self.cause = f"{str(failure).splitlines()[0][:160]}; {str(second).splitlines()[0][:160]}"


def _frozen(parameters: Sequence[Any] | dict[str, Any] | None) -> tuple[Any, ...]:
    if isinstance(parameters, dict):
        raise error.unsupported("named bindings inside a transaction")
    return tuple(parameters or ())


def _changed(rows: list[tuple[Any, ...]]) -> int:
    single = len(rows) == 1 and len(rows[0]) == 1 and isinstance(rows[0][0], int)
    return int(rows[0][0]) if single else len(rows)
