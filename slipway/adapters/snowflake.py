"""The warehouse: one connection as the deployer, the facts it holds, and the publishing of a slot.

Publishing (docs/adr/0004-publish-by-database-swap.md): the published schemas stand in a database that holds thin views
only. The next one is made beside it, with its grants, and `ALTER DATABASE .. SWAP WITH` exchanges the two at one
instant, so that a reader joining two schemas never sees two releases.
https://docs.snowflake.com/en/sql-reference/sql/alter-database
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=r".*doesn't match a supported version")  # of its own requests
    import snowflake.connector
    import snowflake.connector.errors

from slipway.config import Principal, Warehouse
from slipway.errors import ConfigurationError, NotBootstrapped, StepFailed, Unavailable
from slipway.observation import AppliedMigration, Published, WarehouseFacts
from slipway.ports import Outcome, Progress
from slipway.slot import MARKER_SCHEMA, MARKER_VIEW, PUBLISHED_LAYERS, schema_in, slots_among
from slipway.step import PublishSlot

logging.getLogger("snowflake.connector").setLevel(logging.CRITICAL)

OPS_SCHEMA = "SLIPWAY"  # in the ops database
HISTORY_TABLE = "CHANGE_HISTORY"  # schemachange's own
_NO_OBJECT = 2003  # Snowflake: object does not exist or not authorized
_NO_DATABASE = 2043
_NO_LOGIN = (390144, 390189)  # the user or its key is not known, the role is not granted to it


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the warehouse answers. Empty for a Snowflake account, which its name locates."""

    host: str | None = None
    port: int | None = None
    protocol: str | None = None

    def parameters(self) -> dict[str, Any]:
        """Return the connection parameters of the connector."""
        return {key: value for key, value in vars(self).items() if value is not None}

    def variables(self) -> dict[str, str]:
        """Return the environment variables that dbt's profile and schemachange read."""
        return {f"SNOWFLAKE_{key.upper()}": str(value) for key, value in self.parameters().items()}


class Session:
    """One connection of one principal, opened when first used; statements are tagged with the deployment."""

    def __init__(
        self,
        warehouse: Warehouse,
        principal: Principal,
        *,
        address: Address,
        key_file: Path,
        query_tag: str = "slipway",
    ) -> None:
        self._warehouse, self._principal, self._address = warehouse, principal, address
        self._key_file, self._query_tag = key_file, query_tag
        self._connection: Any = None

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows.

        Raises:
            MissingObject: something it names is not there, or the role may not see it.
            StepFailed: Snowflake refused it.
            Unavailable: the warehouse does not answer.
        """
        with _translated(statement):
            if self._connection is None:
                self._connection = self._connect()
            with self._connection.cursor() as cursor:
                cursor.execute(statement, tuple(values) or None)
                return list(cursor.fetchall())

    def run(self, *statements: str) -> None:
        """Run statements one after the other."""
        for statement in statements:
            self.rows(statement)

    def close(self) -> None:
        """End the session on the server too."""
        if self._connection is not None:
            with suppress(Exception):
                self._connection.close()
            self._connection = None

    def _connect(self) -> Any:
        if not self._key_file.is_file():
            raise ConfigurationError(
                f"{self._key_file} does not exist: the private key of {self._principal.user}",
                fix="invoke sandbox.up, or put the key where the configuration's private_key points",
            )
        return snowflake.connector.connect(
            account=self._warehouse.account,
            user=self._principal.user,
            role=self._principal.role,
            warehouse=self._warehouse.warehouse,
            private_key_file=str(self._key_file),
            authenticator="SNOWFLAKE_JWT",
            session_parameters={"QUERY_TAG": self._query_tag},
            login_timeout=10,  # seconds
            network_timeout=60,  # seconds
            **self._address.parameters(),
        )


class MissingObject(StepFailed):
    """Something a statement names is not there, or the role may not see it."""


class SnowflakeFacts:
    """Reads what the warehouse holds."""

    def __init__(self, session: Session, warehouse: Warehouse) -> None:
        self._session, self._warehouse = session, warehouse
        self._ops = f"{warehouse.ops_database}.{OPS_SCHEMA}"

    def read(self) -> WarehouseFacts:
        """Return migrations, slots and what is published; nothing is missing but what was never made."""
        schemas = {
            str(row[0])
            for row in self._optional(
                f"SELECT SCHEMA_NAME FROM {self._warehouse.analytics_database}.INFORMATION_SCHEMA.SCHEMATA"
            )
        }
        slots = slots_among(schemas)
        built = {str(row[0]) for row in self._optional(f"SELECT SLOT FROM {self._ops}.SLOTS")}
        return WarehouseFacts(
            migrations=self.migrations(),
            slots=tuple(sorted(slots)),
            complete_slots=tuple(sorted(slots & built)),
            published=self.published(),
        )

    def migrations(self) -> tuple[AppliedMigration, ...]:
        """Return the last word of the history on every script, by name."""
        recorded = {
            str(name): str(sha)
            for name, sha in self._optional(f"SELECT SCRIPT, SHA256 FROM {self._ops}.SCRIPT_DIGESTS")
        }
        rows = self._optional(
            f"SELECT SCRIPT, STATUS FROM {self._ops}.{HISTORY_TABLE} "
            "QUALIFY ROW_NUMBER() OVER (PARTITION BY SCRIPT ORDER BY INSTALLED_ON DESC) = 1 ORDER BY SCRIPT"
        )
        return tuple(
            AppliedMigration(script=str(name), succeeded=str(status) == "Success", sha256=recorded.get(str(name)))
            for name, status in rows
        )

    def published(self) -> Published | None:
        """Return what the marker among the published views says, or None before the first publishing."""
        rows = self._optional(
            f"SELECT SLOT, RELEASE FROM {self._warehouse.marts_database}.{MARKER_SCHEMA}.{MARKER_VIEW}"
        )
        return Published(slot=str(rows[0][0]), release=str(rows[0][1])) if rows else None

    def _optional(self, statement: str) -> list[tuple[Any, ...]]:
        try:
            return self._session.rows(statement)
        except MissingObject:
            return []


class SlotPublisher:
    """Makes a slot what readers see."""

    def __init__(self, session: Session, warehouse: Warehouse, facts: SnowflakeFacts) -> None:
        self._session, self._warehouse, self._facts = session, warehouse, facts

    def is_published(self, step: PublishSlot) -> bool:
        """Probe of the publish step."""
        live = self._facts.published()
        return live is not None and live.slot == step.slot

    def publish(self, step: PublishSlot, progress: Progress) -> Outcome:
        """Make the next published database, grant on it, and swap it in."""
        live, following = self._warehouse.marts_database, f"{self._warehouse.marts_database}__NEXT"
        progress(f"making {following}")
        began = time.monotonic()
        self._session.run(f"CREATE OR REPLACE DATABASE {following}")
        count = 0
        for layer in PUBLISHED_LAYERS:
            count += self._make_views(following, layer, step.slot)
        self._session.run(
            f"CREATE SCHEMA {following}.{MARKER_SCHEMA}",
            f"CREATE VIEW {following}.{MARKER_SCHEMA}.{MARKER_VIEW} AS "
            f"SELECT '{step.slot}' AS SLOT, '{step.release}' AS RELEASE",
        )
        if not count:
            raise StepFailed(f"slot {step.slot} holds nothing to publish")
        self._grant(following)
        progress(f"swapping {live} with {following}")
        self._session.run(f"ALTER DATABASE {live} SWAP WITH {following}", f"DROP DATABASE {following}")
        return Outcome(
            summary=f"{count} views of {', '.join(PUBLISHED_LAYERS)} swapped in at one instant",
            evidence={"slot": step.slot, "views": count, "replaces": step.replaces},
            outside_s=time.monotonic() - began,
        )

    def _make_views(self, database: str, layer: str, slot: str) -> int:
        source = schema_in(layer, slot)
        analytics = self._warehouse.analytics_database
        rows = self._session.rows(
            f"SELECT TABLE_NAME FROM {analytics}.INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = %s ORDER BY TABLE_NAME",
            [source],
        )
        self._session.run(f"CREATE SCHEMA {database}.{layer}")
        for (name,) in rows:
            self._session.run(f"CREATE VIEW {database}.{layer}.{name} AS SELECT * FROM {analytics}.{source}.{name}")
        return len(rows)

    def _grant(self, database: str) -> None:
        role = self._warehouse.reader_role
        self._session.run(f"GRANT USAGE ON DATABASE {database} TO ROLE {role}")
        for schema in (*PUBLISHED_LAYERS, MARKER_SCHEMA):
            self._session.run(
                f"GRANT USAGE ON SCHEMA {database}.{schema} TO ROLE {role}",
                f"GRANT SELECT ON ALL VIEWS IN SCHEMA {database}.{schema} TO ROLE {role}",
            )


def bookkeeping(ops_database: str) -> tuple[str, ...]:
    """Return the statements that make Slipway's own tables: which slots are complete, what scripts were applied."""
    schema = f"{ops_database}.{OPS_SCHEMA}"
    return (
        f"CREATE SCHEMA IF NOT EXISTS {schema}",
        f"CREATE TABLE IF NOT EXISTS {schema}.SLOTS (SLOT VARCHAR, RELEASE VARCHAR, BUILT_AT TIMESTAMP_NTZ)",
        f"CREATE TABLE IF NOT EXISTS {schema}.SCRIPT_DIGESTS "
        "(SCRIPT VARCHAR, SHA256 VARCHAR, RELEASE VARCHAR, APPLIED_AT TIMESTAMP_NTZ)",
    )


def statements_in(script: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the statements of a plain SQL script with its `{{ name }}` filled in, without lines that are comments."""
    for name, value in variables.items():
        script = script.replace("{{ " + name + " }}", value)
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("--")]
    return tuple(text for part in "\n".join(lines).split(";") if (text := part.strip()))


@contextmanager
def _translated(statement: str) -> Iterator[None]:
    try:
        yield
    except snowflake.connector.errors.ProgrammingError as error:
        kind = MissingObject if error.errno in (_NO_OBJECT, _NO_DATABASE) else StepFailed
        raise kind(f"Snowflake refused: {_first_line(error)} (query {error.sfqid}): {_shortened(statement)}") from error
    except snowflake.connector.errors.Error as error:
        if error.errno in _NO_LOGIN:
            raise NotBootstrapped(
                f"the warehouse refuses the login: {_first_line(error)}", fix="invoke infra.bootstrap --env ENV"
            ) from error
        raise Unavailable(
            f"the warehouse does not answer: {_first_line(error)}", fix="invoke sandbox.status"
        ) from error


def _first_line(error: Exception) -> str:
    return " ".join(str(getattr(error, "msg", None) or error).split())[:300]


def _shortened(statement: str) -> str:
    return " ".join(statement.split())[:160]
