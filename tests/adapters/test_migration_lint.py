"""What migration scripts are refused for, rule by rule, and what they may do."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from slipway.adapters.migration_lint import lint

PROJECT = Path(__file__).parents[2]
VARIABLES = {"raw_database": "RAW", "environment": "STAGING", "landing_bucket": "landing"}
NAME = "V9.0.0__it.sql"
T = "{{ raw_database }}.CORE.T"
Lint = Callable[..., list[tuple[int, str]]]


@pytest.fixture
def found(tmp_path: Path) -> Lint:
    """Return line and rule of what is found in one script; its undo is fit."""
    for folder in ("scripts", "undo"):
        (tmp_path / folder).mkdir()

    def look(script: str, *, name: str = NAME, undo: str = f"DROP TABLE IF EXISTS {T};") -> list[tuple[int, str]]:
        (tmp_path / "scripts" / name).write_text(script)
        if undo and name.startswith("V"):
            (tmp_path / "undo" / f"U{name[1:]}").write_text(undo)
        return [(one.line, one.rule) for one in lint(tmp_path, VARIABLES)]

    return look


@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        ("destructive", f"DROP TABLE IF EXISTS {T}", f"CREATE TABLE IF NOT EXISTS {T} (A NUMBER)"),
        ("destructive", f"ALTER TABLE {T} DROP COLUMN IF EXISTS A", f"ALTER TABLE {T} ADD COLUMN IF NOT EXISTS A INT"),
        ("destructive", f"ALTER TABLE {T} RENAME COLUMN A TO B", f"ALTER TABLE {T} SET COMMENT = 'a'"),
        ("destructive", f"ALTER TABLE {T} RENAME TO {T}2", f"COMMENT ON TABLE {T} IS 'a'"),
        ("destructive", f"TRUNCATE TABLE {T}", f"DELETE FROM {T} WHERE A = 1"),
        ("destructive", f"DELETE FROM {T}", f"DELETE FROM {T} WHERE A = 1"),
        ("destructive", f"CREATE OR REPLACE TABLE {T} (A NUMBER)", f"CREATE OR REPLACE VIEW {T} AS SELECT 1 AS A"),
        ("repeat", f"CREATE TABLE {T} (A NUMBER)", f"CREATE TABLE IF NOT EXISTS {T} (A NUMBER)"),
        ("repeat", f"CREATE SEQUENCE {T}", f"CREATE SEQUENCE IF NOT EXISTS {T}"),
        ("repeat", f"ALTER TABLE {T} ADD COLUMN A NUMBER", f"ALTER TABLE {T} ADD COLUMN IF NOT EXISTS A NUMBER"),
        (
            "repeat",
            f"INSERT INTO {T} (A) VALUES (1)",
            f"INSERT INTO {T} (A) SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM {T} WHERE A = 1)",
        ),
        ("repeat", f"UPDATE {T} SET A = A + 1 WHERE A > 0", f"UPDATE {T} SET A = 1 WHERE A IS NULL"),
        ("rewrite", f"UPDATE {T} SET A = 1", f"UPDATE {T} SET A = 1 WHERE A IS NULL"),
        ("rewrite", f"ALTER TABLE {T} ALTER COLUMN A SET DATA TYPE VARCHAR(20)", f"ALTER TABLE {T} SET COMMENT = 'a'"),
        ("rewrite", f"ALTER TABLE {T} CLUSTER BY (A)", f"ALTER TABLE {T} SET COMMENT = 'a'"),
        ("unqualified", "COMMENT ON TABLE CORE.T IS 'a'", f"COMMENT ON TABLE {T} IS 'a'"),
        (
            "unqualified",
            f"MERGE INTO {T} USING OTHER ON OTHER.A = T.A WHEN MATCHED THEN DELETE",
            f"MERGE INTO {T} USING (WITH OTHER AS (SELECT 1 AS A) SELECT A FROM OTHER) AS S ON S.A = T.A "
            "WHEN MATCHED THEN DELETE",
        ),
        ("unread", "CALL RAW.CORE.P()", "GRANT USAGE ON ALL SCHEMAS IN DATABASE RAW TO ROLE R"),
        ("syntax", "CREATE TABLE (", f"CREATE TABLE IF NOT EXISTS {T} (A NUMBER)"),
        ("syntax", "SELECT {{ unknown }}", "SELECT 1"),
        (
            "secret",
            f"CREATE STAGE IF NOT EXISTS {T} URL = 's3://a/' CREDENTIALS = (AWS_KEY_ID = 'x' AWS_SECRET_KEY = 'y')",
            f"CREATE STAGE IF NOT EXISTS {T} URL = 's3://a/' STORAGE_INTEGRATION = LANDING",
        ),
        ("secret", "SELECT 'AKIAIOSFODNN7EXAMPLE'", "SELECT 'AKIA'"),
    ],
)
def test_a_rule_finds_what_it_is_for_and_nothing_else(found: Lint, rule: str, bad: str, good: str) -> None:
    assert rule in [one for _, one in found(f"-- a comment\n{bad};\n")]
    assert found(f"{good};\n") == []


def test_what_is_found_is_found_in_its_line(found: Lint) -> None:
    script = (
        f"-- two statements\nCREATE TABLE IF NOT EXISTS {T} (\n  A NUMBER\n);\n\nALTER TABLE {T} ADD COLUMN B NUMBER;\n"
    )
    assert found(script) == [(6, "repeat")]


def test_a_script_lets_itself_off_a_rule_by_saying_why(found: Lint) -> None:
    script = f"UPDATE {T} SET A = 1;"
    assert found(f"-- slipway: allow rewrite: 4 rows\n{script}") == []
    assert found(f"-- slipway: allow rewrite:\n{script}") == [(2, "rewrite")]
    assert found(f"-- slipway: allow repeat: no reason\n{script}") == [(2, "rewrite")]


def test_nothing_lets_a_script_off_a_secret(found: Lint) -> None:
    assert found("-- slipway: allow secret: it is old\nSELECT 'AKIAIOSFODNN7EXAMPLE';") == [(2, "secret")]


def test_what_commits_by_itself_does_not_stand_in_a_transaction(found: Lint) -> None:
    add, fill = f"ALTER TABLE {T} ADD COLUMN IF NOT EXISTS B NUMBER;", f"DELETE FROM {T} WHERE A = 1;"
    assert found(f"BEGIN TRANSACTION;\n{fill}\n{fill}\nCOMMIT;\n{add}") == []
    assert found(f"{add}\nSTART TRANSACTION;\n{fill}\n{add}\n{fill}\nCOMMIT;") == [(4, "transaction")]
    allowed = "-- slipway: allow transaction: it is short"
    assert found(f"{allowed}\nBEGIN WORK;\n{add}\nCOMMIT;") == [(3, "transaction")]


def test_a_contract_migration_may_take_away_and_adds_nothing(found: Lint) -> None:
    drop, add = f"ALTER TABLE {T} DROP COLUMN IF EXISTS A;", f"ALTER TABLE {T} ADD COLUMN IF NOT EXISTS B NUMBER;"
    assert found(f"-- slipway: contract\n{drop}") == []
    assert found(f"-- slipway: contract\n{add}\n{drop}") == [(3, "mixed")]
    assert found(f"{drop}") == [(1, "destructive")]


def test_a_versioned_script_has_an_undo_that_can_be_repeated(found: Lint) -> None:
    make = f"CREATE TABLE IF NOT EXISTS {T} (A NUMBER);"
    assert found(make, undo=f"DROP TABLE {T};") == [(1, "repeat")]
    assert found(make, name="V9.0.1__other.sql", undo="") == [(1, "repeat"), (1, "undo")]


def test_the_scripts_of_this_project_are_fit() -> None:
    assert [f"{one.file} {one}" for one in lint(PROJECT / "snowflake_migrations", VARIABLES)] == []


with (Path(__file__).parent / "statements.csv").open(newline="") as table:
    STATEMENTS = [(row["statement"], row["rules"].split()) for row in csv.DictReader(table)]


def test_the_table_of_statements_holds_good_ones_and_bad_ones() -> None:
    good = [statement for statement, rules in STATEMENTS if not rules]
    assert len(good) >= 40
    assert len(STATEMENTS) - len(good) >= 30


@pytest.mark.parametrize(("statement", "rules"), STATEMENTS, ids=[statement[:60] for statement, _ in STATEMENTS])
def test_each_statement_of_the_table_breaks_the_rules_it_says_and_no_other(
    found: Lint, statement: str, rules: list[str]
) -> None:
    assert sorted({rule for _, rule in found(f"{statement};\n")}) == rules
