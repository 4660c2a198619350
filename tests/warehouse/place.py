"""An environment in an embedded Snowflake, with what looks at it and what changes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from slipway.adapters.dependents import Dependents
from slipway.adapters.publisher import SlotPublisher
from slipway.adapters.snowflake import Session, SnowflakeFacts, bookkeeping
from slipway.config import Environment
from slipway.ports import Outcome
from slipway.step import PublishSlot
from tests.dbt.warehouse import Server

KINDS = ("RAW", "ANALYTICS", "MARTS", "OPS")


@dataclass(frozen=True)
class Place:
    """Databases of one environment; the users and roles are staging's."""

    server: Server
    environment: Environment
    deployer: Session
    admin: Session

    @property
    def facts(self) -> SnowflakeFacts:
        return SnowflakeFacts(self.deployer, self.environment.warehouse)

    @property
    def live_slot(self) -> str | None:
        """The slot that readers see."""
        live = self.facts.published()
        return live.slot if live else None

    @property
    def publisher(self) -> SlotPublisher:
        return SlotPublisher(self.deployer, self.environment.warehouse, self.facts, self.dependents)

    @property
    def dependents(self) -> Dependents:
        return Dependents(self.deployer, self.environment.warehouse, elsewhere={"PROD_RAW": "prod"})

    def database(self, kind: str) -> str:
        return str(getattr(self.environment.warehouse, f"{kind.lower()}_database"))

    def publish(self, slot: str, *, replaces: str | None = None) -> Outcome:
        return self.publisher.publish(PublishSlot(slot=slot, release=slot * 8, replaces=replaces), lambda line: None)

    def fill(self, slot: str, *tables: str) -> None:
        """Make tables `LAYER.NAME` in a slot."""
        for table in tables:
            layer, name = table.split(".")
            schema = f"{self.database('ANALYTICS')}.{layer}__{slot}"
            self.deployer.run(
                f"CREATE SCHEMA IF NOT EXISTS {schema}", f"CREATE TABLE {schema}.{name} AS SELECT '{slot}' AS MADE_IN"
            )

    def complete(self, slot: str) -> None:
        """Say that a slot was built to the end."""
        self.deployer.run(*bookkeeping(self.database("OPS")))
        self.deployer.run(f"INSERT INTO {self.database('OPS')}.SLIPWAY.SLOTS (SLOT) SELECT '{slot}'")


@contextmanager
def bare_place(server: Server, deployer: Session, admin: Session, name: str) -> Iterator[Place]:
    """Make the databases, with what the bootstrap grants in them; drop them at the end of the block."""
    names = {f"{kind.lower()}_database": f"{name}_{kind}" for kind in KINDS}
    warehouse = server.environment.warehouse.model_copy(update=names)
    environment = server.environment.model_copy(update={"warehouse": warehouse})
    deployer.run(*(f"CREATE DATABASE {database}" for database in names.values()))
    ops, analytics = warehouse.ops_database, warehouse.analytics_database
    deployer.run(
        f"CREATE SCHEMA {ops}.SLIPWAY",
        f"CREATE VIEW {ops}.SLIPWAY.BOOTSTRAPPED AS SELECT 1 AS ENVIRONMENT",
        f"GRANT USAGE, CREATE SCHEMA ON DATABASE {analytics} TO ROLE {warehouse.transformer.role}",
    )
    try:
        yield Place(server, environment, deployer, admin)
    finally:
        admin.run(*(f"DROP DATABASE {database}" for database in names.values()))
