"""The scripts as a deployment runs them: by schemachange, as the deployer, on what the bootstrap left."""

from __future__ import annotations

from itertools import product

import pytest

from slipway.adapters.catalog import catalog_of
from slipway.adapters.snowflake import MissingObject, Session
from slipway.config import Principal
from slipway.errors import StepFailed, Unavailable
from tests.dbt.warehouse import READER, Server
from tests.migrations.migration import REPEATABLE, VERSIONED, Migrated

FEEDS = ("CORE.CARD_TRANSACTIONS", "CORE.CUSTOMER_CHANGES", "CORE.LEDGER_POSTINGS")
LOADED = (*FEEDS, "MARKET.FX_RATES", "CARDS.SETTLEMENTS")
TABLES = (*LOADED, "OPS.LOAD_LEDGER", "OPS.QUARANTINE", "OPS.QUARANTINE_LINE")


@pytest.fixture(scope="module")
def told() -> list[str]:
    """What was told while every script was applied, once that was done."""
    return []


@pytest.fixture(scope="module")
def migrated(staging: Migrated, told: list[str]) -> Migrated:
    """Staging with every script applied."""
    staging.migrate(told.append)
    return staging


def test_everything_is_applied_from_nothing_in_order(migrated: Migrated) -> None:
    assert [script for script, _ in migrated.history()] == [*VERSIONED, *REPEATABLE]
    assert {status for _, status in migrated.history()} == {"Success"}
    assert migrated.pending == ()


def test_every_script_is_told_of_and_no_line_is_empty(migrated: Migrated, told: list[str]) -> None:
    assert all(any(script in line for line in told) for script, _ in migrated.history())
    assert all(line.strip() for line in told)


def test_the_tables_the_pipelines_load_are_there_with_their_marks(migrated: Migrated) -> None:
    catalog = migrated.catalog()
    marks = {("_BATCH", "TEXT"), ("_LOGICAL_DATE", "DATE"), ("_LOADED_AT", "TIMESTAMP_NTZ")}
    for name in LOADED:
        schema, table = name.split(".")
        assert marks <= {row[4:6] for row in catalog if row[:3] == ("column", schema, table)}, name


def test_amounts_are_exact_numbers(migrated: Migrated) -> None:
    columns = [row for row in migrated.catalog() if row[0] == "column"]
    amounts = [row for row in columns if row[4].endswith("AMOUNT")]
    assert len(amounts) >= 7
    assert {(row[5], row[8]) for row in amounts} == {("NUMBER", "2")}
    assert [row for row in columns if row[5] == "FLOAT"] == []


def test_a_second_run_applies_nothing_but_what_is_meant_for_every_run(migrated: Migrated) -> None:
    history, catalog = migrated.history(), migrated.catalog()
    assert migrated.migrate() == ()
    again = migrated.history()[len(history) :]
    assert [script for script, _ in again if not script.startswith("A__")] == []
    assert migrated.catalog() == catalog


def test_the_loader_writes_every_raw_table_and_makes_nothing_that_lasts(migrated: Migrated) -> None:
    with migrated.server.session(migrated.environment.warehouse.loader) as loader:
        for table in TABLES:
            loader.run(f"DELETE FROM {migrated.raw}.{table} WHERE FALSE")
            _refuses(loader, f"DROP TABLE {migrated.raw}.{table}")
        loader.run(f"CREATE TEMPORARY TABLE {migrated.raw}.OPS.STAGED (N NUMBER)")
        _refuses(loader, f"CREATE TABLE {migrated.raw}.OPS.LASTING (N NUMBER)")
        _refuses(loader, f"CREATE SCHEMA {migrated.raw}.MINE")


def test_the_transformer_reads_every_raw_table_and_writes_none(migrated: Migrated) -> None:
    with migrated.server.session(migrated.environment.warehouse.transformer) as transformer:
        for table in (*TABLES, "OPS.V_LOAD_SUMMARY", "OPS.V_PIPELINE_FRESHNESS", "OPS.V_OPEN_QUARANTINE"):
            transformer.rows(f"SELECT COUNT(*) FROM {migrated.raw}.{table}")
        for table in TABLES:
            _refuses(transformer, f"DELETE FROM {migrated.raw}.{table} WHERE FALSE")


def test_the_reader_sees_nothing_of_the_raw_tables(migrated: Migrated) -> None:
    with migrated.server.session(READER) as reader:
        for table in TABLES:
            _refuses(reader, f"SELECT COUNT(*) FROM {migrated.raw}.{table}")


def test_the_bootstrap_may_be_repeated_at_any_time(migrated: Migrated, server: Server) -> None:
    warehouse = server.environment.warehouse
    databases = (warehouse.raw_database, warehouse.analytics_database, warehouse.marts_database)
    before = [catalog_of(migrated.session, database) for database in databases]
    server.bootstrap()
    assert [catalog_of(migrated.session, database) for database in databases] == before


def test_no_service_can_take_the_role_of_another(server: Server) -> None:
    warehouse = server.environment.warehouse
    services = (warehouse.loader, warehouse.transformer, READER)
    for one, other in product(services, services):
        if one != other:
            with server.session(Principal(user=one.user, role=other.role, private_key="file:unused")) as session:
                _cannot_connect(session)


def test_the_views_on_the_load_ledger_count_loads_and_name_the_missing_days(migrated: Migrated) -> None:
    values = ", ".join(
        f"('p', '2026-01-0{day}', '{part}', 's', 'd', 10, 1.10, 9, '2026-01-09 00:00:00', '{release}')"
        for day, part, release in ((1, "000", "r1"), (1, "001", "r2"), (4, "000", "r2"))
    )
    migrated.session.run(f"INSERT INTO {migrated.raw}.OPS.LOAD_LEDGER VALUES {values}")
    summary = migrated.session.rows(
        "SELECT LOGICAL_DATE::VARCHAR, PARTS, SOURCE_ROWS, LOADED_ROWS, SOURCE_AMOUNT::VARCHAR, RELEASES "
        f"FROM {migrated.raw}.OPS.V_LOAD_SUMMARY WHERE PIPELINE = 'p' ORDER BY 1"
    )
    assert summary == [("2026-01-01", 2, 20, 18, "2.20", 2), ("2026-01-04", 1, 10, 9, "1.10", 1)]
    freshness = migrated.session.rows(
        f"SELECT LAST_LOGICAL_DATE::VARCHAR, MISSING_DAYS FROM {migrated.raw}.OPS.V_PIPELINE_FRESHNESS"
    )
    assert freshness == [("2026-01-04", 2)]


def _refuses(session: Session, statement: str) -> None:
    with pytest.raises((StepFailed, MissingObject), match=r"Snowflake refused.*(not authorized|privileges)"):
        session.run(statement)


def _cannot_connect(session: Session) -> None:
    with pytest.raises(Unavailable, match="not granted to this user"):
        session.run("SELECT 1")
