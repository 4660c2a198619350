"""The source database: schema `core`, filled in one transaction, extended when a later day has come."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal

import psycopg

from slipway.sandbox.sources import customer, ledger, transaction
from slipway.sandbox.sources.scale import Period
from slipway.sandbox.sources.summary import TableSummary

LOCK = 7_041_776  # advisory lock: one filling at a time
BEGINNING = date(1970, 1, 1)

# Beside the data, not in it: what was generated, so that the next start adds only what is missing.
_STATE = """
CREATE SCHEMA IF NOT EXISTS seeding;
CREATE TABLE IF NOT EXISTS seeding.period (held jsonb NOT NULL);
"""

_SUMMARIES = {
    "card_transactions": """
        SELECT count(*), count(DISTINCT transaction_id),
               (SELECT sum(amount) FROM (SELECT DISTINCT ON (transaction_id) amount FROM core.card_transactions
                                         ORDER BY transaction_id, updated_at DESC) AS newest)
        FROM core.card_transactions""",
    "customers": "SELECT count(*), count(DISTINCT customer_id), NULL FROM core.customers",
    "customer_changes": "SELECT count(*), count(DISTINCT change_id), NULL FROM core.customer_changes",
    "ledger_postings": "SELECT count(*), count(DISTINCT posting_id), sum(amount) FROM core.ledger_postings",
}


def held_period(connection: psycopg.Connection[tuple[object, ...]]) -> Period | None:
    """Return what the database holds, or None when it holds nothing of this generator."""
    found = connection.execute("SELECT to_regclass('seeding.period') IS NOT NULL").fetchone()
    if not found or not found[0]:
        return None
    row = connection.execute("SELECT held::text FROM seeding.period").fetchone()
    return Period.from_dict(json.loads(str(row[0]))) if row else None


def fill(dsn: str, *, period: Period, on_progress: Callable[[str], None]) -> Period:
    """Make the database at `dsn` hold `period` and return the period it holds afterwards.

    A database that holds the beginning of the period gets the days between; one that already reaches further is left
    as it is; anything else is made anew.

    Side effects: creates or replaces schema `core`, in one transaction: an interrupted fill leaves nothing behind.
    """
    with psycopg.connect(dsn) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        held = held_period(connection)
        if held is not None and held.extends(period):
            on_progress(f"core: holds {held.first_day} to {held.day0}, nothing to add")
            return held
        connection.execute("SET LOCAL work_mem = '128MB'; SET LOCAL synchronous_commit = off; SET LOCAL jit = off")
        connection.execute(_STATE)
        if held is not None and period.extends(held):
            on_progress(f"core: adding {held.day0} to {period.day0}")
            _add(connection, period=period, since=held.day0, on_progress=on_progress)
        else:
            on_progress(f"core: generating {period.first_day} to {period.day0}")
            _recreate(connection, period=period, on_progress=on_progress)
        connection.execute("DELETE FROM seeding.period")
        connection.execute("INSERT INTO seeding.period VALUES (%s)", [json.dumps(period.to_dict())])
    with psycopg.connect(dsn, autocommit=True) as connection:
        for table in _SUMMARIES:
            connection.execute(f"ANALYZE core.{table}")
    return period


def summarise(dsn: str) -> dict[str, TableSummary]:
    """Return rows, distinct keys and control total of each table in schema `core`."""
    with psycopg.connect(dsn) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        summaries = {}
        for table, query in _SUMMARIES.items():
            ((rows, keys, amount),) = connection.execute(query).fetchall()
            summaries[table] = TableSummary(rows=rows, keys=keys, amount=None if amount is None else Decimal(amount))
        return summaries


def _recreate(
    connection: psycopg.Connection[tuple[object, ...]], *, period: Period, on_progress: Callable[[str], None]
) -> None:
    connection.execute("DROP SCHEMA IF EXISTS core CASCADE; CREATE SCHEMA core")
    for statement in (transaction.TABLE, *customer.TABLES, ledger.TABLE):
        connection.execute(statement)
    _add(connection, period=period, since=BEGINNING, on_progress=on_progress)
    for statement in (transaction.INDEX, customer.INDEX, ledger.INDEX):
        connection.execute(statement)


def _add(
    connection: psycopg.Connection[tuple[object, ...]],
    *,
    period: Period,
    since: date,
    on_progress: Callable[[str], None],
) -> None:
    """Insert what the feeds brought from `since` up to the period's end; `core.customers` is rebuilt from its feed."""

    def run(statement: str) -> int:
        bounded = statement.replace(":since", _midnight(since)).replace(":until", _midnight(period.day0))
        return connection.execute(bounded).rowcount

    run(transaction.scratch(period))
    on_progress(f"core.card_transactions: {run(transaction.FILL):,} rows")
    on_progress(f"core.ledger_postings: {run(ledger.FILL):,} rows")
    on_progress(f"core.customer_changes: {run(customer.fill_changes(period)):,} rows")
    run("DELETE FROM core.customers")
    on_progress(f"core.customers: {run(customer.FILL_CURRENT):,} rows")


def _midnight(day: date) -> str:
    return f"timestamp '{datetime.combine(day, datetime.min.time()).isoformat(sep=' ')}'"
