"""Two backends for one contract: the server process through the Snowflake connector, and the same code in process."""

from __future__ import annotations

import itertools
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from slipway.sandbox.aws.environment import REGION, python_environment
from slipway.sandbox.aws.instance import running
from slipway.sandbox.snowflake import in_process

from .files import BUCKET, staged_files, write_local_files
from .server import Server

MEMORY = "/dev/shm"
CHANGING = re.compile("CREATE|ALTER|DROP|TRUNCATE|COMMENT|GRANT|INSERT|UPDATE|DELETE|MERGE|COPY|EXECUTE|CALL|BEGIN")
Connect = Callable[..., Any]
_numbers = itertools.count(1)


@pytest.fixture(scope="package")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An embedded AWS whose bucket holds the files to load; gives the variables its clients need."""
    with running(tmp_path_factory.mktemp("aws")) as instance:
        client = s3_client(python_environment(instance.port))
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        for key, content in staged_files().items():
            client.put_object(Bucket=BUCKET, Key=key, Body=content)
        yield python_environment(instance.port)


def s3_client(variables: dict[str, str]) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=REGION,
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.fixture(scope="package")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Local files that PUT takes."""
    folder = tmp_path_factory.mktemp("files")
    write_local_files(folder)
    return folder


@pytest.fixture(scope="package")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on no disk where there is one: the contract waits for no platter. Survival is tested on a disk."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path_factory.mktemp("memory")
        return
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="contract-") as folder:
        yield Path(folder)


@pytest.fixture(scope="package")
def server(memory: Path, aws: dict[str, str]) -> Iterator[Server]:
    with Server(memory / "server", variables=aws) as started:
        yield started


@pytest.fixture(scope="package")
def embedded(memory: Path, aws: dict[str, str]) -> Iterator[Connect]:
    with in_process(memory / "embedded", s3=s3_client(aws)) as connect:
        yield connect


class Backend:
    """One of the two, with databases made ready for cases: schema S with the table T, schema PUBLIC with nothing."""

    def __init__(self, connect: Connect) -> None:
        self.connect = connect
        self._cursor = connect(user="EMBEDDED", role="ACCOUNTADMIN").cursor()
        self._used: str | None = None  # the database of the case before
        self._shared: str | None = None  # one that later cases may have too
        self._left = "CREATE"  # what the last case said to it
        for statement in (
            "CREATE DATABASE PATTERN",
            "CREATE SCHEMA S",
            "CREATE TABLE T (ID INT, V VARCHAR(20))",
            "INSERT INTO T VALUES (1, 'a'), (2, 'b')",
        ):
            self._cursor.execute(statement)

    def prepare(self, number: int, sql: str) -> str:
        """Return a database in its first state, for a case of these statements.

        A case that does things to databases as wholes has one for itself; the others share one, which is put in order
        as far as the case before can have changed it.
        """
        if self._used is not None and self._used != self._shared:
            self._cursor.execute(f"DROP DATABASE IF EXISTS {self._used}")
        alone = "DATABASE" in sql
        if alone or self._shared is None:
            self._used = f"CASE_{number}"
            self._cursor.execute(f"CREATE DATABASE {self._used}")
            self._shared = self._shared if alone else self._used
            self._tidy(self._used, "CREATE")
        else:
            self._used = self._shared
            self._tidy(self._used, self._left)
        if not alone:
            self._left = sql
        return self._used

    def _tidy(self, database: str, sql: str) -> None:
        if "SCHEMA" in sql:
            self._cursor.execute(f"SHOW TERSE SCHEMAS IN DATABASE {database}")
            for _, schema, *_ in self._cursor.fetchall():
                if schema not in ("S", "PUBLIC", "INFORMATION_SCHEMA"):
                    self._cursor.execute(f'DROP SCHEMA {database}."{schema}"')
        if "PUBLIC" in sql:
            self._cursor.execute(f"CREATE OR REPLACE SCHEMA {database}.PUBLIC")
        if CHANGING.search(sql):
            self._cursor.execute(f"CREATE OR REPLACE SCHEMA {database}.S CLONE PATTERN.S")


@pytest.fixture(scope="package")
def over_the_wire(server: Server) -> Backend:
    return Backend(server.connect)


@pytest.fixture(scope="package")
def at_home(embedded: Connect) -> Backend:
    return Backend(embedded)


@pytest.fixture(params=["over_the_wire", "at_home"], ids=["server", "in process"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """One backend, then the other."""
    found: Backend = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def number() -> int:
    """A number no other test has."""
    return next(_numbers)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how much of the contract holds."""
    here = f"{Path(__file__).parent.relative_to(terminalreporter.config.rootpath).as_posix()}/"
    ours = {
        outcome: {r.nodeid for r in terminalreporter.stats.get(outcome, ()) if r.nodeid.startswith(here)}
        for outcome in ("passed", "failed", "error")
    }
    wrong = ours["failed"] | ours["error"]
    total = len(ours["passed"] | wrong)
    if total:
        terminalreporter.write_line(f"CONTRACT: {len(ours['passed'] - wrong)}/{total}")
