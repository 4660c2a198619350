"""Migrations through the commands: half done and gone on with, half done and taken back, rehearsed, applied alone."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from tests.e2e.change import MODEL_TESTS
from tests.e2e.conftest import House

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(1800)]

TABLE = "{{ raw_database }}.CORE.RISK"
SIX = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} (ID NUMBER)",
    f"ALTER TABLE {TABLE} ADD COLUMN IF NOT EXISTS NOTE VARCHAR",
    f"INSERT INTO {TABLE} (ID, NOTE) SELECT 1, 'once' WHERE NOT EXISTS (SELECT 1 FROM {TABLE} WHERE ID = 1)",
    f"ALTER TABLE {TABLE} ADD COLUMN IF NOT EXISTS SCORE NUMBER",
    f"UPDATE {TABLE} SET SCORE = 7 WHERE SCORE IS NULL",
    f"COMMENT ON TABLE {TABLE} IS 'Risk'",
)
# Of a database that a rehearsal does not clone, so that it fails where it hurts
FAILS = "SELECT COUNT(*) AS N FROM {{ environment }}_ANALYTICS.NOWHERE.T"
POLICY = "config/policy.toml"
WANTED = f"""
[[comparison.acknowledgements]]
model = "risk_note"
what = "removed"
reason = "nobody reads it"
until = {date.today() + timedelta(days=2)}
"""
UNDO = f"DROP TABLE IF EXISTS {TABLE};\n"


@pytest.fixture(scope="module", autouse=True)
def _live(house: House) -> None:
    house.invoke("deploy", "--env", "staging")


def write(house: House, name: str, statements: tuple[str, ...]) -> None:
    house.write(f"snowflake_migrations/scripts/V{name}", ";\n".join(statements) + ";\n")
    house.write(f"snowflake_migrations/undo/U{name}", UNDO)
    house.commit(f"{name}: {len(statements)} statements")


def state(house: House, script: str) -> dict[str, Any]:
    found = house.invoke("migrate.status", "--env", "staging", "--json").json["scripts"]
    return next(one for one in found if one["script"] == script)


def test_a_script_that_failed_in_the_middle_is_mended_and_the_same_command_goes_on(house: House) -> None:
    script = "V9.1.0__risk.sql"
    write(house, script[1:], (*SIX[:3], FAILS, *SIX[4:]))
    said = house.invoke("deploy", "--env", "staging", expect=4)
    assert f"{script}: statement 4 of 6 failed" in said.err
    assert f"not {script}: it names STAGING_ANALYTICS, which is live" in said.err
    half = state(house, script)
    assert (half["state"], half["done"], half["statements"]) == ("half done", 3, 6)

    write(house, script[1:], SIX)
    house.invoke("deploy", "--env", "staging")
    assert house.rows("DEPLOYER", "SELECT ID, NOTE, SCORE FROM STAGING_RAW.CORE.RISK") == [(1, "once", 7)]
    whole = state(house, script)
    assert (whole["state"], whole["content"], whole["done"]) == ("applied", "same", None)
    refused = house.invoke("migrate.undo", "--env", "staging", "--script", script, "--yes", expect=3)
    assert "the release that is live in staging holds it" in refused.err


def test_a_script_that_failed_in_the_middle_is_taken_back_by_one_command(house: House) -> None:
    script, table = "V9.2.0__more_risk.sql", "{{ raw_database }}.CORE.MORE_RISK"
    statements = tuple(one.replace(TABLE, table) for one in SIX)
    house.write(f"snowflake_migrations/scripts/{script}", ";\n".join((*statements[:2], FAILS)) + ";\n")
    house.write(f"snowflake_migrations/undo/U{script[1:]}", UNDO.replace(TABLE, table))
    house.commit("More risk, which fails")
    house.invoke("deploy", "--env", "staging", expect=4)
    assert state(house, script)["done"] == 2
    refused = house.invoke("migrate.undo", "--env", "staging", "--script", script, expect=2)
    assert "there is no terminal to ask on; nothing was changed" in refused.err

    why = ("--reason", "the other team was first")
    house.invoke("migrate.undo", "--env", "staging", "--script", script, "--yes", *why)
    assert state(house, script)["done"] is None
    tables = house.rows("DEPLOYER", "SELECT TABLE_NAME FROM STAGING_RAW.INFORMATION_SCHEMA.TABLES")
    assert ("RISK",) in tables
    assert ("MORE_RISK",) not in tables
    notes = house.invoke("history", "--env", "staging", "--json").json["notes"]
    assert [(one["kind"], one["script"], one["reason"]) for one in notes[:2]] == [
        (kind, script, "the other team was first") for kind in ("script-undone", "script-undoing")
    ]
    assert house.invoke("audit.verify", "--env", "staging", "--json").json["holds"]

    house.git("revert", "--no-edit", "HEAD")
    planned = house.invoke("plan", "--env", "staging", "--json").json
    assert [step["kind"] for step in planned["steps"]] == ["rehearse", "migrate"], "R scripts, which may stand on it"
    house.invoke("deploy", "--env", "staging")
    assert "already live" in house.invoke("deploy", "--env", "staging").out


def test_a_commit_of_migrations_alone_is_rehearsed_and_applied_and_no_clone_stays(house: House) -> None:
    script = "V9.3.0__risk_owner.sql"
    write(house, script[1:], (f"ALTER TABLE {TABLE} ADD COLUMN IF NOT EXISTS OWNER VARCHAR",))
    house.write(f"snowflake_migrations/undo/U{script[1:]}", f"ALTER TABLE {TABLE} DROP COLUMN IF EXISTS OWNER;\n")
    house.commit("Its undo leads back")
    rehearsed = house.invoke("migrate.rehearse", "--env", "staging", "--json").json
    assert list(rehearsed["took_s"]) == [script]
    planned = house.invoke("plan", "--env", "staging", "--json").json
    forecast = {one["kind"]: one["forecast_s"] for one in planned["steps"]}
    assert forecast["migrate"] == pytest.approx(rehearsed["took_s"][script], abs=0.1)

    said = house.invoke("migrate.apply", "--env", "staging")
    assert "rehearse: already so" in said.err
    assert state(house, script)["state"] == "applied"
    databases = [str(row[1]) for row in house.rows("DEPLOYER", "SHOW DATABASES")]
    assert not [one for one in databases if "REHEARSAL" in one]


def test_migrations_are_not_applied_ahead_of_what_else_the_commit_brings(house: House) -> None:
    house.write("dbt/models/marts/finance/one_more.sql", "select 1 as one\n")
    write(house, "9.4.0__never.sql", (f"ALTER TABLE {TABLE} ADD COLUMN IF NOT EXISTS NEVER VARCHAR",))
    refused = house.invoke("migrate.apply", "--env", "staging", expect=3)
    assert "its plan would build, catchup, compare, publish too; nothing was changed" in refused.err
    house.git("reset", "-q", "--hard", "HEAD~1")


def test_a_contract_is_refused_while_a_release_needs_what_it_takes_and_ends_the_rollbacks_it_says(house: House) -> None:
    """A model reads a column; the release after it does not; then the column goes, and so does that rollback."""
    model, described = (f"dbt/models/marts/finance/{name}" for name in ("risk_note.sql", "_risk_note.yml"))
    table = "{{ raw_database }}.CORE.NOTED_RISK"
    house.write(
        "snowflake_migrations/scripts/V9.4.5__noted_risk.sql",
        f"CREATE TABLE IF NOT EXISTS {table} (ID NUMBER, NOTE VARCHAR);\n",
    )
    house.write("snowflake_migrations/undo/U9.4.5__noted_risk.sql", f"DROP TABLE IF EXISTS {table};\n")
    house.write(model, "select note from {{ env_var('SLIPWAY_RAW_DATABASE') }}.CORE.NOTED_RISK\n")
    house.write(described, MODEL_TESTS.replace("latest_change", "risk_note").replace("change_number", "note"))
    house.replace(described, "data_type: integer", "data_type: varchar")
    house.commit("A model that reads a column")
    house.invoke("deploy", "--env", "staging")
    script = "V9.5.0__drop_note.sql"
    drop, back = (
        f"ALTER TABLE {table} DROP COLUMN IF EXISTS NOTE;\n",
        f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS NOTE VARCHAR;\n",
    )
    house.write(f"snowflake_migrations/scripts/{script}", f"-- slipway: contract\n{drop}")
    house.write(f"snowflake_migrations/undo/U{script[1:]}", back)
    house.commit("A contract beside what needs it")
    blocked = house.invoke("plan", "--env", "staging", "--json", expect=3).json["blockers"]
    assert {one["id"] for one in blocked} == {"migration.contract"}
    assert any("the live release" in one["reason"] and "model risk_note" in one["reason"] for one in blocked)

    house.git("reset", "-q", "--hard", "HEAD~1")
    house.git("rm", "-q", model, described)
    house.write(POLICY, (house.root / POLICY).read_text() + WANTED)
    house.commit("The model is gone")
    house.invoke("deploy", "--env", "staging")
    house.write(f"snowflake_migrations/scripts/{script}", f"-- slipway: contract\n{drop}")
    house.write(f"snowflake_migrations/undo/U{script[1:]}", back)
    house.commit("A contract that a retained release needs")
    refused = house.invoke("plan", "--env", "staging", "--json", expect=3).json
    assert all("the retained release" in one["reason"] for one in refused["blockers"])

    said = f"-- slipway: contract\n-- slipway: ends rollbacks: nobody goes back there\n{drop}"
    house.write(f"snowflake_migrations/scripts/{script}", said)
    house.commit("A contract that ends rollbacks")
    planned = house.invoke("plan", "--env", "staging", "--json").json
    assert len(planned["ends_rollbacks"]) == 1
    house.invoke("deploy", "--env", "staging")
    house.invoke("rollback", "--env", "staging")  # to the release that does without
    ended = house.invoke("rollback", "--env", "staging", "--to", planned["ends_rollbacks"][0], expect=3)
    assert f"the rollback to {planned['ends_rollbacks'][0]} was ended: {script} took CORE.NOTED_RISK.NOTE" in ended.err
