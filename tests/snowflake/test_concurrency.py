"""Readers see one release, whole, while releases change places under them."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from snowflake.connector.errors import Error

from .conftest import Backend
from .server import Server

READERS = 4
SWAPS = 50
RELATIONS = 5


class Readers:
    """Sessions that read every relation of what is published in one query, again and again."""

    def __init__(self, backend: Backend, query: str) -> None:
        self._query = query
        self._changed = threading.Condition()
        self._done = False
        self.seen: Counter[frozenset[str]] = Counter()
        self.failures: list[str] = []
        self._sessions = [backend.connect(role="ACCOUNTADMIN") for _ in range(READERS)]
        self._threads = [threading.Thread(target=self._read, args=(session,)) for session in self._sessions]

    def __enter__(self) -> Readers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done = True
        for thread in self._threads:
            thread.join(30)
        for session in self._sessions:
            session.close()

    def _read(self, session: Any) -> None:
        cursor = session.cursor()
        while not self._done:
            try:
                found = frozenset(row[0] for row in cursor.execute(self._query).fetchall())
            except Error as failure:
                self.failures.append(str(failure))
                continue
            with self._changed:
                self.seen[found] += 1
                self._changed.notify_all()

    def wait_for_another(self) -> None:
        """Return when one more read has ended."""
        with self._changed:
            before = self.seen.total()
            assert self._changed.wait_for(lambda: self.seen.total() > before, timeout=30), self.failures


def read_while(backend: Backend, cursor: Any, swap: str, schema: str) -> Readers:
    """Run `swap` again and again while readers read the relations of a schema."""
    query = " UNION ALL ".join(f"SELECT RELEASE FROM {schema}.V{i}" for i in range(RELATIONS))
    with Readers(backend, query) as readers:
        for _ in range(SWAPS):
            cursor.execute(swap)
            readers.wait_for_another()
    return readers


def test_no_read_fails_or_mixes_while_databases_are_swapped(backend: Backend) -> None:
    with backend.connect(role="ACCOUNTADMIN") as admin:
        cursor = admin.cursor()
        for name in ("LIVE", "NEXT"):
            cursor.execute(f"CREATE OR REPLACE DATABASE {name}")
            for i in range(RELATIONS):
                cursor.execute(f"CREATE TABLE T{i} AS SELECT '{name}' AS RELEASE")
                cursor.execute(f"CREATE VIEW V{i} AS SELECT RELEASE FROM T{i}")
        readers = read_while(backend, cursor, "ALTER DATABASE LIVE SWAP WITH NEXT", "LIVE.PUBLIC")
    assert readers.failures == []
    assert set(readers.seen) == {frozenset({"LIVE"}), frozenset({"NEXT"})}
    assert readers.seen.total() >= SWAPS


def test_no_read_fails_or_mixes_while_schemas_of_views_are_swapped(backend: Backend) -> None:
    with backend.connect(role="ACCOUNTADMIN") as admin:
        cursor = admin.cursor()
        cursor.execute("CREATE OR REPLACE DATABASE MARTS")
        for name in ("FINANCE", "FINANCE_NEXT"):
            cursor.execute(f"CREATE SCHEMA {name}")
            for i in range(RELATIONS):
                cursor.execute(f"CREATE VIEW V{i} AS SELECT '{name}' AS RELEASE")
        swap = "ALTER SCHEMA MARTS.FINANCE SWAP WITH MARTS.FINANCE_NEXT"
        readers = read_while(backend, cursor, swap, "MARTS.FINANCE")
    assert readers.failures == []
    assert set(readers.seen) == {frozenset({"FINANCE"}), frozenset({"FINANCE_NEXT"})}
    assert readers.seen.total() >= SWAPS


def test_writers_of_the_same_rows_wait_for_each_other(backend: Backend) -> None:
    admin = backend.connect(role="ACCOUNTADMIN")
    cursor = admin.cursor()
    cursor.execute("CREATE OR REPLACE DATABASE COUNTED")
    cursor.execute("CREATE TABLE N AS SELECT 0 AS N")
    writers = [threading.Thread(target=count_up, args=(backend, 10)) for _ in range(READERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert cursor.execute("SELECT N FROM COUNTED.PUBLIC.N").fetchone() == (READERS * 10,)
    admin.close()


def count_up(backend: Backend, times: int) -> None:
    with backend.connect(role="ACCOUNTADMIN") as session:
        cursor = session.cursor()
        for _ in range(times):
            cursor.execute("UPDATE COUNTED.PUBLIC.N SET N = N + 1")


def test_statements_of_one_session_have_an_answer_each(server: Server) -> None:
    session = server.wire()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: session.execute(f"SELECT {n} AS N{n}"), range(200)))
    assert [answer["data"] and answer["data"]["rowtype"][0]["name"] for answer in answers] == [
        f"N{n}" for n in range(200)
    ]


def test_a_request_sent_again_is_one_statement(server: Server) -> None:
    """The connector sends a request again that was not answered within a minute, under the same id."""
    session = server.wire()
    session.execute("CREATE OR REPLACE DATABASE AGAIN")
    session.execute("CREATE TABLE AGAIN.PUBLIC.T (N INT)")
    insert = "INSERT INTO AGAIN.PUBLIC.T VALUES (1)"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: session.execute(insert, request_id="first"), range(8)))
    answers.append(session.execute(insert, request_id="first"))
    other = session.execute(insert, request_id="second")
    assert len({answer["data"]["queryId"] for answer in answers}) == 1
    assert other["data"]["queryId"] != answers[0]["data"]["queryId"]
    with server.connect() as reader:
        assert reader.cursor().execute("SELECT COUNT(*) FROM AGAIN.PUBLIC.T").fetchone() == (2,)


@pytest.mark.parametrize(
    "statement",
    ["SELECT 'x'::INT", "SELECT * FROM NOWHERE.N.N", "SELEKT", 'SELECT "', "CREATE TASK K AS SELECT 1", "\x00"],
)
def test_a_failed_statement_is_answered_with_http_200_and_its_number(server: Server, statement: str) -> None:
    """The connector would take an HTTP 500 for a passing fault and repeat the statement for minutes."""
    session = server.wire()
    answer = session.execute(statement)
    assert answer["success"] is False
    assert int(answer["code"]) > 0
    assert answer["message"]
    assert session.execute("SELECT 1")["success"] is True
    assert "Traceback" not in server.log
