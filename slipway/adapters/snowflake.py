"""The warehouse: one connection as the deployer, the facts it holds, and the publishing of a slot.

Publishing (docs/adr/0004-publish-by-database-swap.md): the published schemas stand in a database that holds thin views
only. The next one is made beside it, with the grants of the live one, and `ALTER DATABASE .. SWAP WITH` exchanges the
two at one instant, so that a reader joining two schemas never sees two releases.
https://docs.snowflake.com/en/sql-reference/sql/alter-database
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=r".*doesn't match a supported version")  # of its own requests
    import snowflake.connector
    import snowflake.connector.errors
from slipway.adapters.grant import (
    Contents,
    Grant,
    contents_of,
    future_grants,
    present_grants,
    quoted,
    those_within,
)
from slipway.adapters.private_key import private_key
from slipway.adapters.surroundings import is_loopback, reach_directly
from slipway.config import Principal, Warehouse
from slipway.errors import StepFailed, Unavailable
from slipway.observation import AppliedMigration, Published, WarehouseFacts
from slipway.ports import Outcome, Progress
from slipway.slot import MARKER_SCHEMA, MARKER_VIEW, PUBLISHED_LAYERS, schema_in, slots_among
from slipway.step import PublishSlot

logging.getLogger("snowflake.connector").setLevel(logging.CRITICAL)

OPS_SCHEMA = "SLIPWAY"  # in the ops database
HISTORY_TABLE = "CHANGE_HISTORY"  # schemachange's own
BOOTSTRAP_MARKER = "BOOTSTRAPPED"  # what bootstrap.sql makes last
_NO_OBJECT = 2003  # Snowflake: object does not exist or not authorized
_NO_DATABASE = 2043
# Snowflake: the user or its secret is not known, the token is not signed by its key, the role is not granted to it
_NO_LOGIN = (390100, 390144, 390186, 390189)


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
            LoginRefused: Snowflake does not let the principal in.
            Unavailable: the warehouse does not answer.
            ConfigurationError: there is no fit private key.
        """
        if self._connection is None:
            self._connection = self._connect()
        with _translated(statement, self._address), self._connection.cursor() as cursor:
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
        key = private_key(self._key_file, user=self._principal.user)
        host = self._address.host
        if host and is_loopback(host):
            reach_directly(host)
        try:
            return snowflake.connector.connect(
                account=self._warehouse.account,
                user=self._principal.user,
                role=self._principal.role,
                warehouse=self._warehouse.warehouse,
                private_key=key,
                authenticator="SNOWFLAKE_JWT",
                session_parameters={"QUERY_TAG": self._query_tag},
                login_timeout=10,  # seconds
                network_timeout=60,  # seconds
                platform_detection_timeout_seconds=0.0,  # it would look for a cloud around this process
                **self._address.parameters(),
            )
        except snowflake.connector.errors.Error as error:
            if error.errno in _NO_LOGIN:
                raise LoginRefused(self._principal, self._key_file, _first_line(error)) from error
            raise _no_answer(error, self._address) from error


class LoginRefused(Unavailable):
    """The warehouse answers and does not let the principal in: an unknown user, another key, a role not granted."""

    def __init__(self, principal: Principal, key_file: Path, reason: str) -> None:
        user, role = principal.user, principal.role
        super().__init__(
            f"the warehouse refuses {user} with role {role}: {reason}",
            fix=f"register the public key of {key_file} (ALTER USER {user} SET RSA_PUBLIC_KEY = '..'), "
            f"and GRANT ROLE {role} TO USER {user}",
        )
        self.principal = principal


class MissingObject(StepFailed):
    """Something a statement names is not there, or the role may not see it."""


class SnowflakeFacts:
    """Reads what the warehouse holds.

    Snowflake has one answer for what is absent and for what a role may not see. Nothing is taken for absent here unless
    the catalog that would list it was seen, and agrees with what else is there.
    """

    def __init__(self, session: Session, warehouse: Warehouse) -> None:
        self._session, self._warehouse = session, warehouse
        self._ops = f"{warehouse.ops_database}.{OPS_SCHEMA}"

    def is_bootstrapped(self) -> bool:
        """Return whether bootstrap.sql was run to its end.

        Raises:
            Unavailable: the warehouse does not answer. A refused login is an answer: the deployer was never made.
        """
        try:
            self._session.rows(f"SELECT 1 FROM {self._ops}.{BOOTSTRAP_MARKER}")
        except (MissingObject, LoginRefused):
            return False
        return True

    def read(self) -> WarehouseFacts:
        """Return migrations, slots and what is published; nothing is missing but what was never made.

        Raises:
            MissingObject: the deployer may not see something that was made.
        """
        slots = slots_among(self.schemas())
        own, published = self._own_tables(), self.published()
        if published and "SLOTS" not in own:
            raise _hidden(f"{self._ops}.SLOTS", f"slot {published.slot} is published")
        built = self._column("SLOT", "SLOTS") if "SLOTS" in own else frozenset()
        return WarehouseFacts(
            migrations=self.migrations(),
            slots=tuple(sorted(slots)),
            complete_slots=tuple(sorted(slots & built)),
            published=published,
        )

    def schemas(self) -> frozenset[str]:
        """Return the names of the schemas that slots are made of, all slots together."""
        analytics = self._warehouse.analytics_database
        rows = self._session.rows(f"SELECT SCHEMA_NAME FROM {analytics}.INFORMATION_SCHEMA.SCHEMATA")
        return frozenset(str(row[0]) for row in rows)

    def migrations(self) -> tuple[AppliedMigration, ...]:
        """Return the last word of the history on every script, by name."""
        if not self._has_history():
            return ()
        recorded = {
            str(name): str(sha)
            for name, sha in self._session.rows(f"SELECT SCRIPT, SHA256 FROM {self._ops}.SCRIPT_DIGESTS")
        }
        rows = self._session.rows(
            f"SELECT SCRIPT, STATUS FROM {self._ops}.{HISTORY_TABLE} "
            "QUALIFY ROW_NUMBER() OVER (PARTITION BY SCRIPT ORDER BY INSTALLED_ON DESC) = 1 ORDER BY SCRIPT"
        )
        return tuple(
            AppliedMigration(script=str(name), succeeded=str(status) == "Success", sha256=recorded.get(str(name)))
            for name, status in rows
        )

    def migration_runs(self) -> dict[str, int]:
        """Return how many times each script was run, well or not."""
        if not self._has_history():
            return {}
        rows = self._session.rows(f"SELECT SCRIPT, COUNT(*) FROM {self._ops}.{HISTORY_TABLE} GROUP BY SCRIPT")
        return {str(name): int(count) for name, count in rows}

    def published(self) -> Published | None:
        """Return what the marker among the published views says, or None before the first publishing."""
        live = self._warehouse.marts_database
        contents = contents_of(self._session.rows, live)
        if MARKER_VIEW not in contents.get(MARKER_SCHEMA, ()):
            if shown := [layer for layer in PUBLISHED_LAYERS if contents.get(layer)]:
                raise _hidden(f"{live}.{MARKER_SCHEMA}.{MARKER_VIEW}", f"{live}.{shown[0]} holds views")
            return None
        slot, release = self._session.rows(f"SELECT SLOT, RELEASE FROM {live}.{MARKER_SCHEMA}.{MARKER_VIEW}")[0]
        return Published(slot=str(slot), release=str(release))

    def _has_history(self) -> bool:
        """Return whether schemachange ever ran. It runs after Slipway's own tables were made."""
        own = self._own_tables()
        if HISTORY_TABLE not in own and "SCRIPT_DIGESTS" in own and self._column("SCRIPT", "SCRIPT_DIGESTS"):
            raise _hidden(f"{self._ops}.{HISTORY_TABLE}", f"{self._ops}.SCRIPT_DIGESTS names scripts that were run")
        if HISTORY_TABLE in own and "SCRIPT_DIGESTS" not in own:
            raise _hidden(f"{self._ops}.SCRIPT_DIGESTS", f"{self._ops}.{HISTORY_TABLE} is there")
        return HISTORY_TABLE in own

    def _own_tables(self) -> frozenset[str]:
        ops = self._warehouse.ops_database
        rows = self._session.rows(
            f"SELECT TABLE_NAME FROM {ops}.INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = %s", [OPS_SCHEMA]
        )
        own = frozenset(str(row[0]) for row in rows)
        if BOOTSTRAP_MARKER not in own:
            raise _hidden(f"{self._ops}.{BOOTSTRAP_MARKER}", "every environment is made with it")
        return own

    def _column(self, column: str, table: str) -> frozenset[str]:
        return frozenset(str(row[0]) for row in self._session.rows(f"SELECT {column} FROM {self._ops}.{table}"))


def _hidden(name: str, because: str) -> MissingObject:
    return MissingObject(
        f"{name} is not to be seen, and {because}: the role of the deployer may not see it, or somebody dropped it",
        fix=f"as ACCOUNTADMIN see who owns {name}, and give it back to the role of the deployer",
    )


class SlotPublisher:
    """Makes a slot what readers see."""

    def __init__(self, session: Session, warehouse: Warehouse, facts: SnowflakeFacts) -> None:
        self._session, self._warehouse, self._facts = session, warehouse, facts

    def is_published(self, step: PublishSlot) -> bool:
        """Probe of the publish step."""
        live = self._facts.published()
        return live is not None and live.slot == step.slot

    def publish(self, step: PublishSlot, progress: Progress) -> Outcome:
        """Make the next published database, grant on it what is granted on the live one, and swap it in.

        Raises:
            StepFailed: a published layer of the slot is empty, or a grant cannot be given again; readers see what they
                saw before.
        """
        live, following = self._warehouse.marts_database, f"{self._warehouse.marts_database}__NEXT"
        began = time.monotonic()
        views = {layer: self._relations(layer, step.slot) for layer in PUBLISHED_LAYERS}
        if empty := [schema_in(layer, step.slot) for layer, names in views.items() if not names]:
            raise StepFailed(
                f"{' and '.join(empty)}: nothing to publish, and readers would find nothing there",
                fix="see that dbt builds a model into it, commit, deploy again",
            )
        progress(f"making {following}")
        kept = self._grants_on(live)
        self._make(following, views, step, kept)
        wanted = those_within(kept, contents_of(self._session.rows, following))
        self._grant(following, wanted)
        self._require(wanted, following)
        progress(f"swapping {live} with {following}")
        swap = f"ALTER DATABASE {live} SWAP WITH {following}"
        self._session.run(swap)
        try:
            self._require(wanted, live)
        except StepFailed:
            self._session.run(swap)
            raise
        self._session.run(f"DROP DATABASE {following}")
        count = sum(map(len, views.values()))
        return Outcome(
            summary=f"{count} views of {', '.join(PUBLISHED_LAYERS)} swapped in at one instant",
            evidence={"slot": step.slot, "views": count, "grants": len(wanted), "replaces": step.replaces},
            outside_s=time.monotonic() - began,
        )

    def _relations(self, layer: str, slot: str) -> list[str]:
        rows = self._session.rows(
            f"SELECT TABLE_NAME FROM {self._warehouse.analytics_database}.INFORMATION_SCHEMA.TABLES "
            "WHERE TABLE_SCHEMA = %s ORDER BY TABLE_NAME",
            [schema_in(layer, slot)],
        )
        return [str(row[0]) for row in rows]

    def _make(self, database: str, views: Contents, step: PublishSlot, kept: frozenset[Grant]) -> None:
        """Make the database; future grants before what they are on, so that what is new gets them too."""
        run = self._session.run
        run(f"CREATE OR REPLACE DATABASE {database}")
        self._give((one for one in kept if one.is_future and not one.path), database)
        for schema in (*views, MARKER_SCHEMA):
            run(f"CREATE SCHEMA {database}.{schema}")
            self._give((one for one in kept if one.is_future and one.path == (schema,)), database)
        for layer, names in views.items():
            source = f"{self._warehouse.analytics_database}.{schema_in(layer, step.slot)}"
            for name in map(quoted, names):
                run(f"CREATE VIEW {database}.{layer}.{name} AS SELECT * FROM {source}.{name}")
        run(
            f"CREATE VIEW {database}.{MARKER_SCHEMA}.{MARKER_VIEW} AS "
            f"SELECT '{step.slot}' AS SLOT, '{step.release}' AS RELEASE"
        )

    def _grant(self, database: str, wanted: frozenset[Grant]) -> None:
        role = self._warehouse.reader_role
        self._session.run(f"GRANT USAGE ON DATABASE {database} TO ROLE {role}")
        for schema in (*PUBLISHED_LAYERS, MARKER_SCHEMA):
            self._session.run(
                f"GRANT USAGE ON SCHEMA {database}.{schema} TO ROLE {role}",
                f"GRANT SELECT ON ALL VIEWS IN SCHEMA {database}.{schema} TO ROLE {role}",
            )
        self._give(wanted - self._grants_on(database), database)

    def _give(self, grants: Iterable[Grant], database: str) -> None:
        for one in sorted(grants):
            try:
                self._session.run(one.statement(database))
            except StepFailed as error:
                raise StepFailed(
                    f"a grant on the published database cannot be given on the next one: {one}: {error.message}",
                    fix=f"revoke it and grant to roles on what is there, or GRANT MANAGE GRANTS ON ACCOUNT TO ROLE "
                    f"{self._warehouse.deployer.role}; then deploy again",
                ) from error

    def _require(self, wanted: frozenset[Grant], database: str) -> None:
        if missing := sorted(wanted - self._grants_on(database)):
            raise StepFailed(
                f"{len(missing)} grant(s) on the published database did not follow to the next one: {missing[0]}",
                fix="revoke it, or grant it anew after the deployment, and deploy again",
            )

    def _grants_on(self, database: str) -> frozenset[Grant]:
        rows, contents = self._session.rows, contents_of(self._session.rows, database)
        owner, reader = self._warehouse.deployer.role, self._warehouse.reader_role
        return present_grants(rows, database, contents, owner=owner) | future_grants(
            rows, database, contents, reader=reader
        )


def bookkeeping(ops_database: str) -> tuple[str, ...]:
    """Return the statements that make Slipway's own tables: which slots are complete, what scripts were applied."""
    schema = f"{ops_database}.{OPS_SCHEMA}"
    return (
        f"CREATE SCHEMA IF NOT EXISTS {schema}",
        f"CREATE TABLE IF NOT EXISTS {schema}.SLOTS (SLOT VARCHAR, RELEASE VARCHAR, BUILT_AT TIMESTAMP_NTZ)",
        f"ALTER TABLE {schema}.SLOTS ADD COLUMN IF NOT EXISTS PROJECT_SHA256 VARCHAR",
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
def _translated(statement: str, address: Address) -> Iterator[None]:
    try:
        yield
    except snowflake.connector.errors.ProgrammingError as error:
        kind = MissingObject if error.errno in (_NO_OBJECT, _NO_DATABASE) else StepFailed
        raise kind(f"Snowflake refused: {_first_line(error)} (query {error.sfqid}): {_shortened(statement)}") from error
    except snowflake.connector.errors.Error as error:
        raise _no_answer(error, address) from error


def _no_answer(error: Exception, address: Address) -> Unavailable:
    fix = "invoke sandbox.status" if address.host else "see that the account's name is right and the network reaches it"
    return Unavailable(f"the warehouse does not answer: {_first_line(error)}", fix=fix)


def _first_line(error: Exception) -> str:
    return " ".join(str(getattr(error, "msg", None) or error).split())[:300]


def _shortened(statement: str) -> str:
    return " ".join(statement.split())[:160]
