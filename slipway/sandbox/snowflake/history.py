"""The query history: what every session ran, under which role and query tag, and how it ended.

Rows are buffered and written in batches, because one synchronous write per statement would cost more than most
statements. A killed process loses at most the newest `BATCH` rows; reading the history writes the buffer first.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import duckdb

BATCH = 100  # rows
TABLE = "_fs_history.main.query_history"
_COLUMNS = (
    "query_id varchar, query_text varchar, database_name varchar, schema_name varchar, query_type varchar,"
    " session_id bigint, user_name varchar, role_name varchar, warehouse_name varchar, query_tag varchar,"
    " execution_status varchar, error_code varchar, error_message varchar, start_time timestamptz,"
    " end_time timestamptz, total_elapsed_time bigint, rows_produced bigint"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One statement; times are seconds since the epoch."""

    query_id: str
    text: str
    database: str | None
    schema: str | None
    verb: str
    session_id: int
    user: str
    role: str
    warehouse: str | None
    tag: str
    error_code: str | None
    error_message: str | None
    started: float
    ended: float
    rows: int | None


class History:
    """Appends entries to a database of its own. Thread safe."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: str) -> None:
        """Open the history kept at `path`. Side effects: attaches it as `_fs_history`."""
        self._connection = connection
        self._mutex = threading.Lock()
        self._buffer: list[tuple[Any, ...]] = []
        connection.execute(f"ATTACH '{path}' AS _fs_history")
        connection.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} ({_COLUMNS})")

    def record(self, entry: Entry) -> None:
        """Add one entry."""
        row = (
            entry.query_id,
            entry.text,
            entry.database,
            entry.schema,
            entry.verb,
            entry.session_id,
            entry.user,
            entry.role,
            entry.warehouse,
            entry.tag,
            "FAILED_WITH_ERROR" if entry.error_code else "SUCCESS",
            entry.error_code,
            entry.error_message,
            entry.started,
            entry.ended,
            int((entry.ended - entry.started) * 1000),
            entry.rows,
        )
        with self._mutex:
            self._buffer.append(row)
            if len(self._buffer) >= BATCH:
                self._write()

    def flush(self) -> None:
        """Write what is buffered."""
        with self._mutex:
            self._write()

    def _write(self) -> None:
        if not self._buffer:
            return
        marks = ", ".join(["?"] * 13 + ["to_timestamp(?)", "to_timestamp(?)", "?", "?"])
        self._connection.execute("BEGIN")
        self._connection.executemany(f"INSERT INTO {TABLE} VALUES ({marks})", self._buffer)
        self._connection.execute("COMMIT")
        self._buffer.clear()
