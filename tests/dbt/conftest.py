"""The dbt project on an embedded Snowflake, its RAW filled by the pipelines' library from real, small sources.

The states follow one another, as in the life of a slot: built while RAW is empty, built again after the first loads,
and again after late and corrected data have come.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from slipway.adapters.snowflake import Session
from slipway.sandbox.postgres import PostgresEndpoint
from slipway.sandbox.sources import Scale
from tests.dbt.feed import DATABASE, Feed
from tests.dbt.project import Outcome, Project, project_on
from tests.dbt.warehouse import Server, serve
from tests.migrations.migration import REPEATABLE, VERSIONED, Migrated
from tests.sources.conftest import aws_endpoint, postgres, s3

__all__ = ["aws_endpoint", "postgres", "s3"]

DAY0 = date(2026, 3, 12)  # the rates of two days before it are corrected late
WITHOUT_UNIT_TESTS = ("--exclude-resource-type", "unit_test")


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory, aws_endpoint: str) -> Iterator[Server]:
    """A migrated staging account."""
    with serve(tmp_path_factory.mktemp("warehouse"), aws_endpoint=aws_endpoint) as server:
        with server.session(server.environment.warehouse.deployer) as session:
            Migrated(server.environment, server, session).apply(*VERSIONED, *REPEATABLE)
        yield server


@pytest.fixture(scope="package")
def project(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project_on(server, tmp_path_factory.mktemp("dbt")) as project:
        yield project


@pytest.fixture(scope="package")
def transformer(server: Server) -> Iterator[Session]:
    with server.session(server.environment.warehouse.transformer) as session:
        yield session


@pytest.fixture(scope="package")
def parsed(project: Project) -> Outcome:
    return project.run("parse")


@pytest.fixture(scope="package")
def built_empty(project: Project, parsed: Outcome) -> Outcome:
    """The build of a first deployment, before any pipeline ran."""
    return project.run("build", "--full-refresh")


@pytest.fixture(scope="package")
def manifest(project: Project, parsed: Outcome) -> dict[str, Any]:
    """The project as dbt knows it."""
    return project.manifest()


@pytest.fixture(scope="package")
def feed(server: Server, postgres: PostgresEndpoint, s3: Any) -> Feed:
    postgres.create_database(DATABASE)
    return Feed(
        server=server,
        dsn=postgres.dsn(DATABASE),
        s3=s3,
        scale=Scale(customers=300, transactions=2_000, days=20),
        day0=DAY0,
        first=DAY0 - timedelta(days=3),
    )


@pytest.fixture(scope="package")
def built_first(project: Project, built_empty: Outcome, feed: Feed) -> Outcome:
    """The build after the first logical dates, while the newest files have not come yet."""
    feed.seed(late_files=False)
    feed.load(feed.first)
    feed.load(feed.first + timedelta(days=1))
    return project.run("build", *WITHOUT_UNIT_TESTS)


@pytest.fixture(scope="package")
def built(project: Project, built_first: Outcome, feed: Feed) -> Outcome:
    """The build after corrections, late rows and late files came with the last logical date."""
    feed.seed()
    feed.load(feed.first + timedelta(days=2))
    return project.run("build", *WITHOUT_UNIT_TESTS)
