"""Backends for one contract: the server through the Snowflake connector, the same code in process, a real account."""

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

from . import outcome
from .account import ACCOUNT, TOKEN, runs_there
from .files import BUCKET, staged_files, write_local_files
from .server import Server

MEMORY = "/dev/shm"
CHANGING = re.compile("CREATE|ALTER|DROP|TRUNCATE|COMMENT|GRANT|INSERT|UPDATE|DELETE|MERGE|COPY|EXECUTE|CALL|BEGIN")
Connect = Callable[..., Any]
RESULT = Path(os.environ.get("SLIPWAY_CONTRACT_RESULT", ".build/contract.json"))
SUMMARY = pytest.StashKey[str]()
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
    """One of them, with databases made ready for cases: schema S with the table T, schema PUBLIC with nothing."""

    def __init__(
        self, connect: Connect, *, user: str = "EMBEDDED", role: str = "ACCOUNTADMIN", token: str = ""
    ) -> None:
        self.user, self.role = user, role
        self.connect, self._token = connect, token
        self._cursor = connect(user=user, role=role).cursor()
        self._used: str | None = None  # the database of the case before
        self._shared: str | None = None  # one that later cases may have too
        self._left = "CREATE"  # what the last case said to it
        self._pattern = f"{token}PATTERN"
        for statement in (
            f"CREATE DATABASE {self._pattern}",
            "CREATE SCHEMA S",
            "CREATE TABLE T (ID INT, V VARCHAR(20))",
            "INSERT INTO T VALUES (1, 'a'), (2, 'b')",
        ):
            self._cursor.execute(statement)

    def names(self, number: int, sql: str) -> dict[str, str]:
        """Return what the placeholders of a case stand for; its database is in its first state."""
        return {"db": self._prepare(number, sql), "n": f"{self._token}{number}", "user": self.user, "role": self.role}

    def session(self, role: str, database: str) -> Any:
        """Open a session of a case; on a real account a role has to be granted to its user first."""
        if self._token and role:
            self._cursor.execute(f"GRANT ROLE {role} TO USER {self.user}")
        return self.connect(user=self.user, role=role or self.role, database=database, schema="S")

    def close(self) -> None:
        """Drop whatever has the token of the run in its name."""
        for kind in ("DATABASE", "ROLE", "USER", "WAREHOUSE"):
            self._cursor.execute(f"SHOW {kind}S LIKE '%{self._token}%'")
            for name in [row[self._place("name")] for row in self._cursor.fetchall()]:
                self._cursor.execute(f'DROP {kind} IF EXISTS "{name}"')

    def _place(self, column: str) -> int:
        return [described.name for described in self._cursor.description].index(column)

    def _prepare(self, number: int, sql: str) -> str:
        """Return the database for a case of these statements.

        A case that does things to databases as wholes has one for itself; the others share one, which is put in order
        as far as the case before can have changed it.
        """
        if self._used is not None and self._used != self._shared:
            self._cursor.execute(f"DROP DATABASE IF EXISTS {self._used}")
        alone = "DATABASE" in sql
        if alone or self._shared is None:
            self._used = f"CASE_{self._token}{number}"
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
            self._cursor.execute(f"CREATE OR REPLACE SCHEMA {database}.S CLONE {self._pattern}.S")


@pytest.fixture(scope="package")
def over_the_wire(server: Server) -> Backend:
    return Backend(server.connect)


@pytest.fixture(scope="package")
def at_home(embedded: Connect) -> Backend:
    return Backend(embedded)


@pytest.fixture(scope="package")
def far_away() -> Iterator[Backend]:
    assert ACCOUNT is not None
    backend = Backend(ACCOUNT.connect, user=ACCOUNT.user, role=ACCOUNT.role, token=f"{TOKEN}_")
    yield backend
    backend.close()


BACKENDS = {"server": "over_the_wire", "in process": "at_home"} if ACCOUNT is None else {"account": "far_away"}


@pytest.fixture(params=BACKENDS.values(), ids=BACKENDS.keys())
def backend(request: pytest.FixtureRequest) -> Backend:
    """One backend after the other: the server and this process, or the real account alone."""
    found: Backend = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def number() -> int:
    """A number no other test has."""
    return next(_numbers)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a real account run the cases that can be tried there, and nothing else of this folder."""
    if ACCOUNT is None:
        return
    here = [item for item in items if item.path.parent == Path(__file__).parent]
    left_out = [item for item in here if not _runs_there(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _runs_there(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    return callspec is not None and "case" in callspec.params and runs_there(callspec.params["case"])


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how much of the contract holds, and keep it."""
    here = f"{Path(__file__).parent.relative_to(terminalreporter.config.rootpath).as_posix()}/"
    reports = [
        (how, report)
        for how in ("passed", "failed", "error")
        for report in terminalreporter.stats.get(how, ())
        if report.nodeid.startswith(here)
    ]
    if reports:
        told = outcome.summary(reports)
        outcome.keep(told, terminalreporter.config.rootpath / RESULT)
        terminalreporter.config.stash[SUMMARY] = told["summary"]


def pytest_unconfigure(config: pytest.Config) -> None:
    """End in one line."""
    if SUMMARY in config.stash:
        print(config.stash[SUMMARY])
