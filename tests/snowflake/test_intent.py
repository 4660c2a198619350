"""What was done in a database file and not yet told to the registry, when the process died between the two."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from slipway.sandbox.snowflake import relation
from slipway.sandbox.snowflake.instance import Instance
from slipway.sandbox.snowflake.intent import MARKS, Step, step

OLD, NEW = ("D", "PUBLIC", "T"), ("D", "PUBLIC", "U")
RENAMED = step("move", old=OLD, new=NEW, swap=False)


def opened(state: Path) -> Instance:
    """Open an account with a table T in which a role may read."""
    instance = Instance(state)
    cursor = instance.connect(role="ACCOUNTADMIN").cursor()
    for statement in (
        "CREATE ROLE READER",
        "CREATE DATABASE D",
        "CREATE TABLE T (A INT) COMMENT = 'kept'",
        "GRANT SELECT ON TABLE T TO ROLE READER",
    ):
        cursor.execute(statement)
    return instance


def die_after(instance: Instance, done: Step, *, marked: bool) -> None:
    """Intend a rename, do it in the file of the database when `marked`, and tell the registry nothing."""
    session = instance.connect(role="ACCOUNTADMIN", database="D")
    token = instance.registry.intents.begin("D", [done])

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute('ALTER TABLE "D"."PUBLIC"."T" RENAME TO "U"')
        connection.execute(f'INSERT INTO "D".{MARKS} VALUES (?)', [token])

    if marked:
        relation.atomically(session, work)
    instance.close()


@pytest.mark.parametrize(("marked", "name", "gone"), [(True, NEW, OLD), (False, OLD, NEW)])
def test_the_registry_follows_the_file_when_the_account_opens_again(
    tmp_path: Path, marked: bool, name: tuple[str, str, str], gone: tuple[str, str, str]
) -> None:
    die_after(opened(tmp_path), RENAMED, marked=marked)
    instance = Instance(tmp_path)
    try:
        assert instance.relation_kind(name) == "TABLE"
        assert instance.relation_kind(gone) is None
        held = {(grant.privilege, grant.grantee) for grant in instance.registry.grants_on("TABLE", name)}
        assert held == {("OWNERSHIP", "ACCOUNTADMIN"), ("SELECT", "READER")}
        assert not instance.registry.grants_on("TABLE", gone)
        assert instance.registry.query("SELECT COUNT(*) FROM _fs_global.slipway.intents") == [(0,)]
        assert instance.registry.query(f'SELECT COUNT(*) FROM "D".{MARKS}') == [(0,)]
    finally:
        instance.close()


def test_what_fails_in_the_file_leaves_no_intent(tmp_path: Path) -> None:
    instance = opened(tmp_path)
    session = instance.connect(role="ACCOUNTADMIN", database="D")

    def fail(connection: object) -> None:
        raise ValueError("out of luck")

    try:
        with pytest.raises(ValueError, match="out of luck"):
            relation.change(session, "D", fail, RENAMED)
        assert instance.registry.query("SELECT COUNT(*) FROM _fs_global.slipway.intents") == [(0,)]
        assert instance.registry.grants_on("TABLE", OLD)
    finally:
        instance.close()
