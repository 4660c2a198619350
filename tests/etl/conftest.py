"""The shared library on real servers: PostgreSQL, S3 and the embedded Snowflake, filled with a small set of sources.

The warehouse is bootstrapped and migrated by the repository's own SQL, and loads log in as the loader does: a grant
that production would miss is missed here.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import jinja2
import psycopg
import pytest
import snowflake.connector
from etl import catalog, checks, extract, files, ledger, load, quarantine, statement
from etl.batch import Batch
from etl.connection import warehouse_parameters
from etl.dataset import Dataset, Drop
from etl.load import LoadResult
from etl.window import Window

from slipway.adapters.snowflake import statements_in
from slipway.sandbox.postgres import PostgresEndpoint
from slipway.sandbox.sources import Scale
from slipway.sandbox.sources import load as load_sources
from tests.dbt.warehouse import ADMIN, ENVIRONMENT, PROJECT, Server, serve
from tests.sources.conftest import aws_endpoint, postgres, s3

__all__ = ["aws_endpoint", "postgres", "s3"]

DAY0 = date(2026, 3, 2)
FIRST = date(2026, 2, 27)  # the first logical date: three days of runs, and history before them
HISTORY_DAYS = 10  # that the sources hold before DAY0
SOURCES, LANDING = "etl-sources", "etl-landing"
RAW = f"{ENVIRONMENT}_RAW"


@pytest.fixture(scope="package")
def server(aws_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("snowflake"), aws_endpoint=aws_endpoint) as server:
        with server.session(server.environment.warehouse.deployer) as session:
            session.run(*_migrations())
        yield server


def _migrations() -> Iterator[str]:
    """Every statement of the V scripts in order, then of the A scripts."""
    variables = {"environment": ENVIRONMENT, "raw_database": RAW, "landing_bucket": LANDING}
    folder = PROJECT / "snowflake_migrations" / "scripts"
    for script in [*sorted(folder.glob("V*.sql")), *sorted(folder.glob("A*.sql"))]:
        yield from statements_in(jinja2.Template(script.read_text()).render(variables), {})


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A connection as Airflow stores it."""

    login: str
    extra_dejson: dict[str, Any]
    conn_id: str = "warehouse_loader"
    host: str | None = None
    password: str | None = None
    schema: str | None = None
    port: int | None = None


@pytest.fixture(scope="package")
def loader(server: Server) -> Stored:
    """The loader's connection, as the embedded platform hands it to Airflow."""
    loader = server.environment.warehouse.loader
    return Stored(
        login=loader.user,
        extra_dejson={
            "account": "embedded",
            "warehouse": f"{ENVIRONMENT}_WH",
            "database": RAW,
            "role": loader.role,
            "private_key_file": str(server.key_of(loader)),
            "host": "127.0.0.1",
            "port": server.port,
            "protocol": "http",
        },
    )


@pytest.fixture(scope="package")
def source_dsn(postgres: PostgresEndpoint, s3: Any) -> str:
    postgres.create_database("etl")
    dsn = postgres.dsn("etl")
    load_sources(
        postgres_dsn=dsn,
        s3=s3,
        bucket=SOURCES,
        day0=DAY0,
        scale=Scale(customers=300, transactions=2_000, days=HISTORY_DAYS),
    )
    s3.create_bucket(Bucket=LANDING, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return dsn


@dataclass
class Platform:
    """Empty RAW tables for each test, over sources that all tests share and must leave as they are."""

    server: Server
    warehouse: Any
    source: psycopg.Connection[Any]
    s3: Any
    raw: str = field(default=RAW, init=False)
    release: str = "r1"

    def extract(self, dataset: Dataset, day: date, *, part_rows: int = 700) -> Batch:
        window = Window.of_day(day, first=FIRST)
        if isinstance(dataset.source, Drop):
            return files.extract(
                self.s3, dataset=dataset, window=window, sources_bucket=SOURCES, landing_bucket=LANDING
            )
        return extract.extract(
            self.source,
            self.s3,
            dataset=dataset,
            window=window,
            source_schema="core",
            bucket=LANDING,
            part_rows=part_rows,
        )

    def load(self, dataset: Dataset, batch: Batch) -> LoadResult:
        return load.load(self.warehouse, dataset=dataset, batch=batch, database=self.raw, release=self.release)

    def run(self, dataset: Dataset, day: date) -> LoadResult:
        return self.load(dataset, self.extract(dataset, day))

    def check(self, dataset: Dataset, day: date) -> dict[str, Any]:
        window = Window.of_day(day, first=FIRST)
        if isinstance(dataset.source, Drop):
            return checks.check_files(self.warehouse, dataset=dataset, window=window, database=self.raw)
        return checks.check_feed(
            self.warehouse,
            dataset=dataset,
            window=window,
            first=FIRST,
            database=self.raw,
            source_totals=lambda: extract.source_totals(
                self.source, dataset=dataset, source_schema="core", until=window.until
            ),
        )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with self.warehouse.cursor() as cursor:
            rows: list[tuple[Any, ...]] = cursor.execute(sql).fetchall()
        return rows

    def rows(self, dataset: Dataset) -> list[tuple[Any, ...]]:
        """The whole table, when it was loaded left out."""
        names = ", ".join(name for name in statement.columns(dataset) if name != "_LOADED_AT")
        return sorted(self.query(f"SELECT {names} FROM {statement.target(dataset, self.raw)}"), key=repr)

    def entries(self, dataset: Dataset) -> dict[tuple[date, str], ledger.Entry]:
        with self.warehouse.cursor() as cursor:
            return ledger.read(cursor, database=self.raw, pipeline=dataset.pipeline)

    @contextmanager
    def without(self, privileges: str, relation: str) -> Iterator[None]:
        """Take privileges on a relation from the loader for as long as the block runs."""
        with self.server.session(ADMIN) as admin:
            admin.run(f"REVOKE {privileges} ON TABLE {relation} FROM ROLE {ENVIRONMENT}_LOADER")
            try:
                yield
            finally:
                admin.run(f"GRANT {privileges} ON TABLE {relation} TO ROLE {ENVIRONMENT}_LOADER")


@pytest.fixture(scope="package")
def warehouse(loader: Stored) -> Iterator[Any]:
    parameters = warehouse_parameters(loader, query_tag="slipway/r1/test")
    with closing(snowflake.connector.connect(**parameters, login_timeout=10)) as connection:
        yield connection


@pytest.fixture
def platform(server: Server, warehouse: Any, source_dsn: str, s3: Any) -> Iterator[Platform]:
    with psycopg.connect(source_dsn) as source:
        platform = Platform(server, warehouse, source, s3)
        yield platform
    loaded = {pipeline for (pipeline,) in platform.query(f"SELECT DISTINCT PIPELINE FROM {RAW}.{ledger.TABLE}")}
    for dataset in catalog.LOADED:
        if dataset.pipeline in loaded:
            platform.query(f"DELETE FROM {statement.target(dataset, RAW)}")
    for table in (ledger.TABLE, quarantine.TABLE, quarantine.LINES):
        platform.query(f"DELETE FROM {RAW}.{table}")


@contextmanager
def delivered(platform: Platform, key: str, body: bytes) -> Iterator[None]:
    """Put a partner's file in place of the one there, if any, and put things back afterwards."""
    s3 = platform.s3
    try:
        before = s3.get_object(Bucket=SOURCES, Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        before = None
    s3.put_object(Bucket=SOURCES, Key=key, Body=body)
    try:
        yield
    finally:
        if before is None:
            s3.delete_object(Bucket=SOURCES, Key=key)
        else:
            s3.put_object(Bucket=SOURCES, Key=key, Body=before)


@contextmanager
def withheld(platform: Platform, *keys: str) -> Iterator[None]:
    """Take partner's files away, as if they had not come yet."""
    bodies = {key: platform.s3.get_object(Bucket=SOURCES, Key=key)["Body"].read() for key in keys}
    for key in keys:
        platform.s3.delete_object(Bucket=SOURCES, Key=key)
    try:
        yield
    finally:
        for key, body in bodies.items():
            platform.s3.put_object(Bucket=SOURCES, Key=key, Body=body)


@contextmanager
def changed_source(platform: Platform, change: str) -> Iterator[None]:
    """Change the source database for a while."""
    with platform.source.transaction():
        table = next(word for word in change.split() if word.startswith("core."))
        platform.source.execute(f"CREATE TABLE kept AS TABLE {table}")
        platform.source.execute(change)
    try:
        yield
    finally:
        with platform.source.transaction():
            platform.source.execute(f"TRUNCATE {table}")
            platform.source.execute(f"INSERT INTO {table} TABLE kept")
            platform.source.execute("DROP TABLE kept")


def body(platform: Platform, key: str) -> bytes:
    content: bytes = platform.s3.get_object(Bucket=SOURCES, Key=key)["Body"].read()
    return content


def changed_file(platform: Platform, key: str, change: Callable[[list[str]], list[str]]) -> bytes:
    """The file with its lines changed, packed as it was."""
    packed = key.endswith(".gz")
    content = body(platform, key)
    lines = (gzip.decompress(content) if packed else content).decode().splitlines()
    text = ("\n".join(change(lines)) + "\n").encode()
    return gzip.compress(text, mtime=0) if packed else text
