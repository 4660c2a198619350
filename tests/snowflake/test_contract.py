"""The contract: each case holds over the wire and in process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from snowflake.connector.errors import DatabaseError

from .case import Case, Rows, Step
from .cases import CASES
from .conftest import Backend

ROWS_LOADED = 3  # the column of COPY's answer


class Sessions:
    """The sessions of one case, opened when a step first speaks in one."""

    def __init__(self, connect: Callable[..., Any], database: str) -> None:
        self._connect, self._database = connect, database
        self._open: dict[str, Any] = {}

    def cursor(self, name: str, role: str = "") -> Any:
        if name not in self._open:
            self._open[name] = self._connect(
                user="EMBEDDED", role=role or "ACCOUNTADMIN", database=self._database, schema="S"
            )
        return self._open[name].cursor()

    def close(self) -> None:
        for session in self._open.values():
            session.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_snowflake(case: Case, backend: Backend, number: int, files: Path) -> None:
    database = backend.prepare(number, " ".join(step.sql for step in case.steps).upper())
    names = {"db": database, "n": number, "files": files}
    sessions = Sessions(backend.connect, database)
    try:
        for step in case.steps:
            cursor = sessions.cursor(filled(step.session, names), filled(step.role, names))
            take(step, filled(step.sql, names), cursor, names)
    finally:
        sessions.close()


def take(step: Step, sql: str, cursor: Any, names: dict[str, Any]) -> None:
    """Run one step and compare its answer."""
    if step.errno is not None:
        with pytest.raises(DatabaseError) as raised:
            cursor.execute(sql)
        assert (raised.value.errno, filled(step.text, names) in str(raised.value)) == (step.errno, True), raised.value
        return
    cursor.execute(sql)
    if step.columns is not None:
        assert tuple(column.name for column in cursor.description)[: len(step.columns)] == step.columns
    if step.count is not None:
        assert cursor.rowcount == step.count, sql
    if step.rows is None and step.holds is None and step.loaded is None:
        return
    answered = [tuple(row) for row in cursor.fetchall()]
    if step.loaded is not None:
        assert sum(row[ROWS_LOADED] for row in answered) == step.loaded, answered
    if step.rows is not None:
        assert answered == filled_rows(step.rows, names), sql
    for row in filled_rows(step.holds or (), names):
        assert row in answered, sql


def filled(text: str, names: dict[str, Any]) -> str:
    """Return a text with the names of the case put in."""
    for name, given in names.items():
        text = text.replace(f"{{{name}}}", str(given))
    return text


def filled_rows(rows: Rows, names: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return rows with the names of the case put into their texts."""
    return [tuple(filled(cell, names) if isinstance(cell, str) else cell for cell in row) for row in rows]
