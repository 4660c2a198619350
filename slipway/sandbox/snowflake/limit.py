"""STATEMENT_TIMEOUT_IN_SECONDS: what runs longer is ended, where DuckDB works for it.

https://docs.snowflake.com/en/sql-reference/parameters#statement-timeout-in-seconds
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

from slipway.sandbox.snowflake import error

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.session import Session

_LONGEST_S = 172_800  # that a statement may take: the parameter's default, and what 0 stands for
_AGAIN_S = 0.05  # between two interruptions: one that comes between two statements of DuckDB is forgotten


@contextmanager
def limited(session: Session) -> Iterator[None]:
    """Raise error 630 in the block once the session's limit is over."""
    limit = float(session.parameters.get("STATEMENT_TIMEOUT_IN_SECONDS", _LONGEST_S)) or _LONGEST_S
    if limit >= _LONGEST_S:
        yield
        return
    ended, connection = threading.Event(), session._duck_conn

    def watch() -> None:
        waiting = limit
        while not ended.wait(waiting):
            connection.interrupt()
            waiting = _AGAIN_S

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except duckdb.InterruptException as interrupted:
        raise error.timed_out(limit) from interrupted
    finally:
        ended.set()
        watcher.join()
