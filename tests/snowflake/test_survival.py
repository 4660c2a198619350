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
from pathlib import Path
from typing import Any

import pytest
from snowflake.connector.errors import Error

from .server import Server

KILLS = 3


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


def test_a_kill_during_swaps_leaves_one_whole_catalog(tmp_path: Path) -> None:
    """Databases and schemas change places in a loop; whenever the server dies, each name means one whole release."""
    with Server(tmp_path) as server:
        for name in ("BLUE", "GREEN"):
            run(
                server,
                f"CREATE DATABASE {name}",
                f"CREATE TABLE A AS SELECT '{name}' AS RELEASE",
                f"CREATE TABLE B AS SELECT '{name}' AS RELEASE",
                "CREATE SCHEMA M",
                f"CREATE VIEW V AS SELECT '{name}' AS RELEASE",
                "CREATE SCHEMA N",
                f"CREATE VIEW V AS SELECT '{name} next' AS RELEASE",
            )
        chance = random.Random(7)
        for _ in range(KILLS):
            swapping = threading.Thread(target=swap_until_it_ends, args=(server,))
            swapping.start()
            time.sleep(chance.uniform(0.1, 0.5))
            server.kill()
            swapping.join(20)
            assert not swapping.is_alive()
            server.start()
            found = {name: whole(server, name) for name in ("BLUE", "GREEN")}
            assert sorted(found.values()) == ["BLUE", "GREEN"]
            assert server.health()["databases"] == 2
            assert len(list((tmp_path / "state" / "databases").glob("*.duckdb"))) == 2


def swap_until_it_ends(server: Server) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):
        session = server.wire()
        while True:
            session.execute("ALTER DATABASE BLUE SWAP WITH GREEN")
            session.execute("ALTER SCHEMA BLUE.M SWAP WITH BLUE.N")
            session.execute("CREATE DATABASE OR_NOT")
            session.execute("DROP DATABASE OR_NOT")


def whole(server: Server, database: str) -> str:
    """Return the release a database holds; fails unless all of it is of one."""
    run(server, "DROP DATABASE IF EXISTS OR_NOT")
    tables = run(server, f"SELECT A.RELEASE, B.RELEASE FROM {database}.PUBLIC.A, {database}.PUBLIC.B")
    (m, n) = run(server, f"SELECT M.RELEASE, N.RELEASE FROM {database}.M.V AS M, {database}.N.V AS N")[0]
    release = str(tables[0][0])
    assert tables == [(release, release)]
    assert sorted((m, n)) == [release, f"{release} next"]
    return release


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
