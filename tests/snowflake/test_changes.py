"""LAST_ALTERED moves with every committed change of rows, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from slipway.sandbox.snowflake import in_process

CHANGES = (
    "INSERT INTO T VALUES (3)",
    "UPDATE T SET A = 4",
    "DELETE FROM T",
    "MERGE INTO T USING (SELECT 1 AS A) S ON T.A = S.A WHEN MATCHED THEN UPDATE SET A = 2",
    "TRUNCATE TABLE T",
    "CREATE OR REPLACE TABLE T (A INT)",
)
NO_CHANGES = ("SELECT * FROM T", "CREATE OR REPLACE TABLE OTHER CLONE T", "INSERT INTO U SELECT A FROM T")


@pytest.fixture
def account() -> Any:
    with in_process() as connect, connect(role="ACCOUNTADMIN") as connection:
        cursor = connection.cursor()
        for statement in ("CREATE DATABASE D", "CREATE SCHEMA D.S", "USE SCHEMA D.S"):
            cursor.execute(statement)
        for statement in ("CREATE TABLE T (A INT)", "CREATE TABLE U (A INT)", "INSERT INTO T VALUES (1), (2)"):
            cursor.execute(statement)
        yield cursor


def altered(cursor: Any, name: str = "T", schema: str = "S") -> Any:
    query = f"SELECT LAST_ALTERED FROM D.INFORMATION_SCHEMA.TABLES WHERE TABLE_NAME = '{name}'"
    return cursor.execute(f"{query} AND TABLE_SCHEMA = '{schema}'").fetchone()[0]


@pytest.mark.parametrize("statement", CHANGES)
def test_a_change_of_rows_moves_it(account: Any, statement: str) -> None:
    before = altered(account)
    account.execute(statement)
    assert altered(account) > before


@pytest.mark.parametrize("statement", NO_CHANGES)
def test_who_only_reads_a_table_does_not_move_it(account: Any, statement: str) -> None:
    before = altered(account)
    account.execute(statement)
    assert altered(account) == before


def test_a_transaction_moves_it_when_it_is_committed_and_only_then(account: Any) -> None:
    steps: tuple[tuple[str, Callable[[Any, Any], bool]], ...] = (
        ("ROLLBACK", lambda now, before: now == before),
        ("COMMIT", lambda now, before: now > before),
    )
    for ending, holds in steps:
        before = altered(account)
        for statement in ("BEGIN", "INSERT INTO T VALUES (9)"):
            account.execute(statement)
        assert altered(account) == before
        account.execute(ending)
        assert holds(altered(account), before)


def test_it_follows_a_table_through_a_rename_of_its_schema(account: Any) -> None:
    account.execute("INSERT INTO T VALUES (3)")
    before = altered(account)
    account.execute("ALTER SCHEMA D.S RENAME TO D.R")
    assert altered(account, schema="R") == before
