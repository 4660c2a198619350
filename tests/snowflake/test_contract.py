"""The contract: each case holds over the wire and in process."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from snowflake.connector.errors import DatabaseError

from .case import Case, Rows, Step
from .cases import CASES
from .conftest import Backend

MINIMUM = 230  # cases the contract has at least
QUIET = (  # cases about statements that must not fail, and answer nothing
    "ALTER IF EXISTS of a table there is not does nothing",
    "TRUNCATE IF EXISTS of what is not there does nothing",
    "BEGIN has three spellings",
    "COMMIT and ROLLBACK outside a transaction do nothing",
    "a temporary stage ends with its session",
)
ROWS_LOADED = 3  # the column of COPY's answer


class Sessions:
    """The sessions of one case, opened when a step first speaks in one."""

    def __init__(self, backend: Backend, database: str) -> None:
        self._backend, self._database = backend, database
        self._open: dict[str, Any] = {}

    def cursor(self, name: str, role: str = "") -> Any:
        if name not in self._open:
            self._open[name] = self._backend.session(role, self._database)
        return self._open[name].cursor()

    def close(self) -> None:
        for session in self._open.values():
            session.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_snowflake(
    case: Case, backend: Backend, number: int, files: Path, record_property: Any, request: pytest.FixtureRequest
) -> None:
    for key, fact in (("case", case.name), ("cites", case.cites), ("unsupported", bool(case.refusals))):
        record_property(key, fact)
    record_property("backend", request.node.callspec.id.removesuffix(f"-{case.name}"))
    names = {**backend.names(number, " ".join(step.sql for step in case.steps).upper()), "files": files}
    sessions = Sessions(backend, names["db"])
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


def test_every_case_cites_a_page_of_the_documentation_it_follows() -> None:
    assert len(CASES) >= MINIMUM
    for case in CASES:
        assert re.fullmatch(r"https://docs\.snowflake\.com/en/[a-z0-9_-]+(/[a-z0-9_-]+)*", case.cites), case


def test_no_two_cases_have_one_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_every_case_expects_something() -> None:
    for case in CASES:
        assert any(_expects(step) for step in case.steps) or case.name in QUIET, case.name


def _expects(step: Step) -> bool:
    wanted = (step.rows, step.holds, step.count, step.loaded, step.columns, step.errno)
    return any(one is not None for one in wanted)


def test_every_refusal_is_asserted_in_its_exact_words() -> None:
    refusals = [step for case in CASES for step in case.refusals]
    assert refusals
    for step in refusals:
        assert step.text.startswith("Unsupported by the embedded Snowflake: "), step
