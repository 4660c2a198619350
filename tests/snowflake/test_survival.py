"""What is on disk: it outlives an orderly end, a kill at any moment, and belongs to one process at a time."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from snowflake.connector.errors import Error

from .server import Server

SEEDS, KILLS = 2, 12  # of each seed
DATABASES = 3
Rows = Callable[[str], list[tuple[Any, ...]]]


QUIET = {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "ignore"}  # other packages warn of each other


def run(server: Server, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements in a session of their own and return the rows of the last."""
    with server.connect() as session:
        cursor = session.cursor()
        for statement in statements:
            cursor.execute(statement)
        return [tuple(row) for row in cursor.fetchall()]


def test_everything_outlives_an_orderly_end(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        run(
            server,
            "CREATE DATABASE D",
            "CREATE SCHEMA S COMMENT = 'kept'",
            "CREATE TABLE T (ID INT NOT NULL, V VARCHAR(3))",
            "INSERT INTO T VALUES (1, 'a')",
            "CREATE VIEW W AS SELECT ID FROM T",
            "CREATE SEQUENCE SEQ",
            "CREATE STAGE ST URL = 's3://bucket/'",
            "CREATE ROLE R",
            "GRANT SELECT ON TABLE T TO ROLE R",
            "GRANT SELECT ON FUTURE TABLES IN SCHEMA S TO ROLE R",
            "CREATE DATABASE E",
            "ALTER DATABASE D SWAP WITH E",
            "ALTER SESSION SET QUERY_TAG = 'before'",
            "SELECT 1",
        )
        assert server.stop() == 0
        assert not (tmp_path / "ready").exists()
        server.start()
        assert run(server, "SELECT * FROM E.S.W") == [(1,)]
        assert run(server, "SELECT E.S.SEQ.NEXTVAL") == [(1,)]
        assert run(server, "SELECT COMMENT FROM E.INFORMATION_SCHEMA.SCHEMATA WHERE SCHEMA_NAME = 'S'") == [("kept",)]
        held = run(server, "SHOW GRANTS TO ROLE R")
        assert [(row[1], row[3]) for row in held] == [("SELECT", "E.S.T")]
        assert len(run(server, "SHOW FUTURE GRANTS IN SCHEMA E.S")) == 1
        assert [row[4] for row in run(server, "SHOW STAGES IN SCHEMA E.S")] == ["s3://bucket/"]
        with pytest.raises(Error, match="too long"):
            run(server, "INSERT INTO E.S.T VALUES (2, 'long')")
        tagged = "SELECT QUERY_TEXT FROM TABLE(E.INFORMATION_SCHEMA.QUERY_HISTORY()) WHERE QUERY_TAG = 'before'"
        assert ("SELECT 1",) in run(server, "USE DATABASE E", tagged)


def test_what_was_committed_outlives_a_kill_and_what_was_not_does_not(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        run(server, "CREATE DATABASE D", "CREATE TABLE T (ID INT)", "INSERT INTO T VALUES (1)")
        session = server.connect(database="D", schema="PUBLIC")
        session.cursor().execute("BEGIN")
        session.cursor().execute("INSERT INTO T VALUES (2)")
        server.kill()
        server.start()
        assert run(server, "SELECT ID FROM D.PUBLIC.T") == [(1,)]


RELEASES = ("BLUE", "GREEN", "BLUE_NEXT", "GREEN_NEXT")
CHANGES = (
    "ALTER DATABASE BLUE SWAP WITH GREEN",
    "ALTER SCHEMA BLUE.M SWAP WITH BLUE.N",
    "ALTER TABLE BLUE.M.T SWAP WITH BLUE.N.T",
    "ALTER SCHEMA GREEN.M RENAME TO GREEN.MOVED",
    "ALTER SCHEMA GREEN.MOVED RENAME TO GREEN.M",
    "ALTER TABLE BLUE.PUBLIC.R RENAME TO BLUE.PUBLIC.RENAMED",
    "ALTER TABLE BLUE.PUBLIC.RENAMED RENAME TO BLUE.PUBLIC.R",
    "CREATE OR REPLACE SCHEMA BLUE.CLONED CLONE BLUE.M",
    "DROP SCHEMA BLUE.CLONED",
    "CREATE OR REPLACE TABLE WORK.PUBLIC.MADE AS SELECT 1 AS A, 'whole' AS B",
    "DROP TABLE WORK.PUBLIC.MADE",
    "CREATE DATABASE OR_NOT",
    "DROP DATABASE OR_NOT",
)
TRANSACTION = (
    "BEGIN",
    "INSERT INTO WORK.PUBLIC.P VALUES (1)",
    "INSERT INTO WORK.PUBLIC.Q VALUES (1)",
    "COMMIT",
)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_kill_at_any_moment_leaves_one_of_the_two_states_grants_included(tmp_path: Path, seed: int) -> None:
    """Everything changes places in a loop. Whenever the server dies, each name means one whole thing, or nothing.

    Which release a table is of stands in its rows, in its comment and in the role that may read it.
    """
    with Server(tmp_path) as server:
        fill(server)
        chance = random.Random(seed)
        for _ in range(KILLS):
            order = chance.sample(CHANGES, len(CHANGES))
            working = threading.Thread(target=work_until_it_ends, args=(server, order))
            working.start()
            time.sleep(chance.uniform(0.02, 0.5))
            server.kill()
            working.join(20)
            assert not working.is_alive()
            server.start()
            examine(server)


def fill(server: Server) -> None:
    """Make two databases of two schemas, each with its own release in rows, comments and grants."""
    run(server, *(f"CREATE ROLE {release}" for release in RELEASES))
    for database in ("BLUE", "GREEN"):
        run(server, f"CREATE DATABASE {database}", f"CREATE TABLE R AS SELECT '{database}' AS RELEASE")
        for schema, release in (("M", database), ("N", f"{database}_NEXT")):
            run(
                server,
                f"CREATE SCHEMA {database}.{schema} COMMENT = '{release}'",
                f"CREATE TABLE T COMMENT = '{release}' AS SELECT '{release}' AS RELEASE",
                f"CREATE VIEW V AS SELECT '{release}' AS RELEASE",
                f"GRANT SELECT ON TABLE T TO ROLE {release}",
                f"GRANT SELECT ON VIEW V TO ROLE {release}",
            )
    run(
        server,
        "CREATE DATABASE WORK",
        "CREATE TABLE P (A INT)",
        "CREATE TABLE Q (A INT)",
        "GRANT SELECT ON FUTURE TABLES IN SCHEMA PUBLIC TO ROLE BLUE",
    )


def work_until_it_ends(server: Server, order: list[str]) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):
        session = server.wire()
        while True:
            for statement in (*order, *TRANSACTION):
                session.execute(statement)  # what is not there when its turn comes is refused, which is no matter


def examine(server: Server) -> None:
    """Fail unless every name means one whole thing; puts the names back where the next round expects them."""
    with server.connect() as session:
        cursor = session.cursor()

        def rows(sql: str) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in cursor.execute(sql).fetchall()]

        found = {(database, schema) for database in ("BLUE", "GREEN") for schema in schemas(rows, database)}
        tables = {}
        for database, schema in sorted(found - {(d, "CLONED") for d in ("BLUE", "GREEN")}):
            tables[(database, schema)] = examined(rows, f"{database}.{schema}")
        assert sorted(tables.values()) == sorted(RELEASES)
        for database in ("BLUE", "GREEN"):
            if (database, "CLONED") in found:
                assert examined(rows, f"{database}.CLONED") in RELEASES
            assert len(relations(rows, f"{database}.PUBLIC")) == 1
            if (database, "MOVED") in found:
                cursor.execute(f"ALTER SCHEMA {database}.MOVED RENAME TO {database}.M")
            (name,) = relations(rows, f"{database}.PUBLIC")
            assert rows(f"SELECT COUNT(*) FROM {database}.PUBLIC.{name}") == [(1,)]
            if name != "R":
                cursor.execute(f"ALTER TABLE {database}.PUBLIC.{name} RENAME TO {database}.PUBLIC.R")
        assert rows("SELECT (SELECT COUNT(*) FROM WORK.PUBLIC.P) = (SELECT COUNT(*) FROM WORK.PUBLIC.Q)") == [(True,)]
        if "MADE" in relations(rows, "WORK.PUBLIC"):
            assert rows("SELECT * FROM WORK.PUBLIC.MADE") == [(1, "whole")]
            assert holders(rows, "TABLE WORK.PUBLIC.MADE") == {("OWNERSHIP", "ACCOUNTADMIN"), ("SELECT", "BLUE")}
        cursor.execute("DROP DATABASE IF EXISTS OR_NOT")
    files = list((server.folder / "state" / "databases").glob("*.duckdb"))
    assert len(files) == server.health()["databases"] == DATABASES


def examined(rows: Rows, schema: str) -> str:
    """Return the release of a schema's table; fails unless its comment and grants, and its view, are of one each."""
    ((release,),) = rows(f"SELECT RELEASE FROM {schema}.T")
    database, name = schema.split(".")
    told = rows(
        f"SELECT COMMENT, TABLE_OWNER FROM {database}.INFORMATION_SCHEMA.TABLES "
        f"WHERE TABLE_SCHEMA = '{name}' AND TABLE_NAME = 'T'"
    )
    assert told == [(release, "ACCOUNTADMIN")]
    assert holders(rows, f"TABLE {schema}.T") == {("OWNERSHIP", "ACCOUNTADMIN"), ("SELECT", release)}
    ((viewed,),) = rows(f"SELECT RELEASE FROM {schema}.V")
    assert holders(rows, f"VIEW {schema}.V") == {("OWNERSHIP", "ACCOUNTADMIN"), ("SELECT", viewed)}
    return str(release)


def holders(rows: Rows, named: str) -> set[tuple[str, str]]:
    return {(row[1], row[5]) for row in rows(f"SHOW GRANTS ON {named}")}


def relations(rows: Rows, schema: str) -> list[str]:
    return [row[1] for row in rows(f"SHOW TERSE OBJECTS IN SCHEMA {schema}")]


def schemas(rows: Rows, database: str) -> list[str]:
    found = [row[1] for row in rows(f"SHOW TERSE SCHEMAS IN DATABASE {database}")]
    return [name for name in found if name not in ("PUBLIC", "INFORMATION_SCHEMA")]


def test_a_state_folder_belongs_to_one_process(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        pid = server.health()["pid"]
        command = [sys.executable, "-m", "slipway.sandbox.snowflake", "serve", "--state", str(tmp_path / "state")]
        second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=QUIET)
        assert second.returncode == 1
        assert f"is in use by process {pid}" in second.stderr
        assert second.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        command = [sys.executable, "-m", "slipway.sandbox.snowflake", "serve", "--state", str(tmp_path / "other")]
        second = subprocess.run(
            [*command, "--port", str(server.port)], capture_output=True, text=True, timeout=30, check=False, env=QUIET
        )
        assert second.returncode == 1
        assert "Address already in use" in second.stderr
        assert second.stderr.count("\n") == 1
