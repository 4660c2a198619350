"""One embedded Snowflake for these tests; each test has databases of its own in it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from slipway.adapters.snowflake import Session
from tests.dbt.warehouse import ADMIN, Server, serve
from tests.warehouse.place import Place, bare_place

_numbers = count(1)


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("warehouse")) as server:
        yield server


@pytest.fixture(scope="package")
def deployer(server: Server) -> Iterator[Session]:
    with server.session(server.environment.warehouse.deployer) as session:
        yield session


@pytest.fixture(scope="package")
def admin(server: Server) -> Iterator[Session]:
    with server.session(ADMIN) as session:
        yield session


@pytest.fixture
def place(server: Server, deployer: Session, admin: Session) -> Iterator[Place]:
    """An environment as the bootstrap leaves it, under names of its own."""
    with bare_place(server, deployer, admin, f"T{next(_numbers)}") as made:
        yield made
