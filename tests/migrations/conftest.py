"""One embedded Snowflake for all tests of migrations; each test has databases of its own in it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from tests.dbt.warehouse import Server, serve
from tests.migrations.migration import Migrated


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("migrations")) as server:
        yield server


@pytest.fixture(scope="package")
def staging(server: Server) -> Iterator[Migrated]:
    """Staging as the bootstrap leaves it, and then as the tests that follow one another leave it."""
    with server.session(server.environment.warehouse.deployer) as session:
        yield Migrated(server.environment, server, session)


_numbers = count(1)


@pytest.fixture
def fresh(server: Server) -> Iterator[Migrated]:
    """Databases that no script has touched, dropped at the end."""
    raw, ops = (f"T{number}_{kind}" for number in [next(_numbers)] for kind in ("RAW", "OPS"))
    warehouse = server.environment.warehouse.model_copy(update={"raw_database": raw, "ops_database": ops})
    environment = server.environment.model_copy(update={"warehouse": warehouse})
    with server.session(warehouse.deployer) as session:
        session.run(f"CREATE DATABASE {raw}", f"CREATE DATABASE {ops}")
        yield Migrated(environment, server, session)
        session.run(f"DROP DATABASE {raw}", f"DROP DATABASE {ops}")
