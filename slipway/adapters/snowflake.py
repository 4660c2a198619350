"""The warehouse: one connection as the deployer, and the facts it holds."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=r".*doesn't match a supported version")  # of its own requests
    import snowflake.connector
    import snowflake.connector.cursor
from slipway.adapters.grant import contents_of
from slipway.adapters.private_key import private_key
from slipway.adapters.query import Queries
from slipway.adapters.snowflake_failure import (
    LoginRefused,
    MissingObject,
    SessionEnded,
    TimedOut,
    translated,
    translated_login,
    waits,
)
from slipway.adapters.surroundings import is_loopback, reach_directly
from slipway.config import Principal, Warehouse
from slipway.errors import SlipwayError, Unavailable
from slipway.migration import ScriptRun, SetOut, applied_migrations
from slipway.observation import AppliedMigration, Published, WarehouseFacts
from slipway.slot import MARKER_SCHEMA, MARKER_VIEW, PUBLISHED_LAYERS, slots_among

logging.getLogger("snowflake.connector").setLevel(logging.CRITICAL)

OPS_SCHEMA = "SLIPWAY"  # in the ops database
HISTORY_TABLE = "CHANGE_HISTORY"  # schemachange's own
DIGEST_TABLE = "SCRIPT_DIGESTS"  # with which content a script is run since when; only ever added to
STATEMENT_TABLE = "SCRIPT_STATEMENTS"  # how far scripts came, statement by statement; only ever added to
REHEARSAL_TABLE = "REHEARSALS"  # what passed one, by the digest of all that it depended on; only ever added to
MOMENT_TABLE = "SLOT_MOMENTS"  # since when what changed in the live slot may be missing in another; the last counts
QUARANTINE_TABLE = "QUARANTINE"  # what nothing needs any more, and since when, in seconds since 1970
BOOTSTRAP_MARKER = "BOOTSTRAPPED"  # what bootstrap.sql makes last
STATEMENT_S = 1800  # seconds one statement may take; then the connector cancels it


def _keep_signals() -> None:
    """Have a handler of SIGINT stay in place while a statement runs.

    The connector puts its own there, which ends the command at the first signal, in the middle of a step; but none in
    the place of one that it takes for the one it exits by. Python's own handler is left to it.
    """
    handler = signal.getsignal(signal.SIGINT)
    if handler is not signal.default_int_handler:
        snowflake.connector.cursor.exit_handler = handler


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
    """One connection of one principal, opened when first used; statements are tagged with the environment.

    A connection that was lost is not used again: the statement it was lost in may have been run or not, so it is not
    repeated here, and the next one opens another.

    Attributes:
        query_tag: what QUERY_HISTORY knows its statements by.
        guard: asked before what changes the warehouse, and while a tool changes it; what it raises stops that.
    """

    guard: Callable[[], None] = staticmethod(lambda: None)

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
        self._key_file, self.query_tag = key_file, query_tag
        self._connection: Any = None
        self._noting: list[Queries] = []

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows.

        Raises:
            MissingObject: something it names is not there, or the role may not see it.
            StepFailed: Snowflake refused it.
            LoginRefused: Snowflake does not let the principal in.
            Unavailable: the warehouse does not answer, or ended the session. Whether it ran the statement is unknown.
            ConfigurationError: there is no fit private key.
        """
        return self._ask(statement, values, note=self._note)

    def _note(self, query: str | None) -> None:
        for queries in self._noting:
            queries.note([query])

    def require_answer(self) -> None:
        """Return when the warehouse answers now, over another connection if this one was lost, and the guard allows.

        Raises:
            Unavailable: it does not.
            Locked: the guard does not.

        What is asked for this is not noted.
        """
        self.guard()
        try:
            self._ask("SELECT 1")
        except SessionEnded:
            self._ask("SELECT 1")

    def _ask(
        self, statement: str, values: Sequence[Any] = (), *, note: Callable[[str | None], None] = lambda query: None
    ) -> list[tuple[Any, ...]]:
        """Return the rows of a statement; `note` is given its id, also when it is refused."""
        if self._connection is None:
            self._connection = self._connect()
        _keep_signals()
        try:
            with translated(statement, host=self._address.host), self._connection.cursor() as cursor:
                try:
                    cursor.execute(statement, tuple(values) or None)
                except KeyboardInterrupt:
                    self._cancel(cursor, statement)
                    raise
                finally:
                    note(cursor.sfqid)
                return list(cursor.fetchall())
        except Unavailable:
            self._connection = None  # the connector ends its session when this process ends, if it can
            raise

    def _cancel(self, cursor: Any, statement: str) -> None:
        """Cancel a statement that runs, as the connector would, and end the session; if the warehouse can be told."""
        connection, self._connection = self._connection, None
        with suppress(Exception):
            connection._cancel_query(cursor.query or statement, cursor._request_id)
        with suppress(Exception):
            connection.close(retry=False)

    def run(self, *statements: str) -> None:
        """Run statements that change something, one after the other; the guard is asked before each."""
        for statement in statements:
            self.change(statement)

    def change(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Run one statement that changes something; the guard is asked before it."""
        self.guard()
        self.rows(statement, values)

    def clone(self, statement: str, *, seconds: int) -> None:
        """Run one statement that clones; the warehouse ends it when it takes longer than `seconds`.

        A clone copies what the warehouse knows of every partition, which may take longer than a deployment has.
        https://docs.snowflake.com/en/sql-reference/parameters#statement-timeout-in-seconds

        Raises:
            TimedOut: it took longer, and left nothing.
        """
        unlimited = "ALTER SESSION UNSET STATEMENT_TIMEOUT_IN_SECONDS"  # but for what the account says
        self.rows(f"ALTER SESSION SET STATEMENT_TIMEOUT_IN_SECONDS = {seconds}")
        try:
            self.change(statement)
        except Unavailable:
            raise  # its session is over, and the limit with it
        except SlipwayError as error:
            with suppress(Unavailable):
                self.rows(unlimited)
            if isinstance(error, TimedOut):
                error.fix = "give the same command again, or allow more: clone_s under [timeouts] in config/ENV.toml"
            raise
        self.rows(unlimited)

    @contextmanager
    def noting(self) -> Iterator[Queries]:
        """Give what notes the ids of the statements that are run until the end of the block, refused ones too.

        What is raised out of it takes them along as evidence.
        """
        queries = Queries(tag=self.query_tag)
        self._noting.append(queries)
        try:
            yield queries
        except SlipwayError as error:
            error.evidence = {**error.evidence, "session": queries.evidence()}  # of an inner block, these are more
            raise
        finally:
            self._noting.remove(queries)

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
        with translated_login(self._principal, self._key_file, host=host):
            return snowflake.connector.connect(
                account=self._warehouse.account,
                user=self._principal.user,
                role=self._principal.role,
                warehouse=self._warehouse.warehouse,
                private_key=key,
                authenticator="SNOWFLAKE_JWT",
                session_parameters={"QUERY_TAG": self.query_tag},
                login_timeout=10,  # seconds
                network_timeout=STATEMENT_S,
                backoff_policy=waits,
                platform_detection_timeout_seconds=0.0,  # it would look for a cloud around this process
                **self._address.parameters(),
            )


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
        return applied_migrations(*self.script_record())

    def script_record(self) -> tuple[tuple[ScriptRun, ...], tuple[SetOut, ...]]:
        """Return the last run of every script, and with which contents runs set out."""
        own = self._own_tables()
        if not self._has_history(own):
            return (), ()
        set_out = (
            self._session.rows(f"SELECT SCRIPT, SHA256, SINCE, RELEASE FROM {self._ops}.{DIGEST_TABLE}")
            if DIGEST_TABLE in own
            else []
        )
        # The last word on a V script is its success: schemachange runs it no more, and what failed later was too late.
        last_runs = self._session.rows(
            f"SELECT SCRIPT, STATUS, INSTALLED_ON, CHECKSUM FROM {self._ops}.{HISTORY_TABLE} "
            "QUALIFY ROW_NUMBER() OVER (PARTITION BY SCRIPT "
            "ORDER BY IFF(SCRIPT_TYPE = 'V' AND STATUS = 'Success', 0, 1), INSTALLED_ON DESC) = 1"
        )
        return tuple(
            ScriptRun(script=name, succeeded=status == "Success", at=at, status=status, checksum=checksum)
            for name, status, at, checksum in last_runs
        ), tuple(
            SetOut(script=name, sha256=sha256, since=since, release=release) for name, sha256, since, release in set_out
        )

    def has_own_table(self, name: str) -> bool:
        """Return whether one of Slipway's own tables was made."""
        return name in self._own_tables()

    def rehearsals(self, content: str) -> tuple[int | None, ...]:
        """Return how many milliseconds scripts took in each rehearsal that they passed, newest first; None for one that
        left some of them out.

        Args:
            content: the digest of all that the rehearsal depends on.
        """
        if not self.has_own_table(REHEARSAL_TABLE):
            return ()
        rows = self._session.rows(
            f"SELECT DURATION_MS FROM {self._ops}.{REHEARSAL_TABLE} WHERE CONTENT = %s ORDER BY PASSED_AT DESC",
            [content],
        )
        return tuple(None if took is None else int(took) for (took,) in rows)

    def migration_runs(self) -> dict[str, int]:
        """Return how many times each script was run, well or not."""
        if not self._has_history(self._own_tables()):
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

    def _has_history(self, own: Collection[str]) -> bool:
        """Return whether schemachange may have run, be it before Slipway did.

        Slipway's tables are made in an order, see `bookkeeping`: a later one is not there without the one before.
        """
        if DIGEST_TABLE not in own and "SLOTS" in own:
            raise _hidden(f"{self._ops}.{DIGEST_TABLE}", f"{self._ops}.SLOTS is there")
        if HISTORY_TABLE not in own and DIGEST_TABLE in own and self._column("SCRIPT", DIGEST_TABLE):
            raise _hidden(f"{self._ops}.{HISTORY_TABLE}", f"{self._ops}.{DIGEST_TABLE} names scripts that were run")
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


def bookkeeping(ops_database: str) -> tuple[str, ...]:
    """Return the statements that make the tables beside the data: what scripts were applied, which slots are complete.

    Their order counts: digests are there before slots, and the history before anything is set out for. It is made as
    schemachange would make it.
    """
    schema = f"{ops_database}.{OPS_SCHEMA}"
    return (
        f"CREATE SCHEMA IF NOT EXISTS {schema}",
        f"CREATE TABLE IF NOT EXISTS {schema}.{DIGEST_TABLE} "
        "(SCRIPT VARCHAR, SHA256 VARCHAR, RELEASE VARCHAR, SINCE TIMESTAMP_LTZ)",
        f"CREATE TABLE IF NOT EXISTS {schema}.{HISTORY_TABLE} "
        "(VERSION VARCHAR, DESCRIPTION VARCHAR, SCRIPT VARCHAR, SCRIPT_TYPE VARCHAR, CHECKSUM VARCHAR, "
        "EXECUTION_TIME NUMBER, STATUS VARCHAR, INSTALLED_BY VARCHAR, INSTALLED_ON TIMESTAMP_LTZ)",
        f"CREATE TABLE IF NOT EXISTS {schema}.{STATEMENT_TABLE} "
        "(SEQ NUMBER, SCRIPT VARCHAR, PLACE NUMBER, WORD VARCHAR, SHA256 VARCHAR, TAG VARCHAR, "
        "WRITTEN_AT TIMESTAMP_LTZ)",
        f"CREATE TABLE IF NOT EXISTS {schema}.{REHEARSAL_TABLE} "
        "(CONTENT VARCHAR, RELEASE VARCHAR, DURATION_MS NUMBER, PASSED_AT TIMESTAMP_LTZ)",
        f"CREATE TABLE IF NOT EXISTS {schema}.SLOTS (SLOT VARCHAR, RELEASE VARCHAR, BUILT_AT TIMESTAMP_NTZ)",
        f"ALTER TABLE {schema}.SLOTS ADD COLUMN IF NOT EXISTS PROJECT_SHA256 VARCHAR",
        f"CREATE TABLE IF NOT EXISTS {schema}.BACKFILLS "
        "(MARK VARCHAR, MODEL VARCHAR, SLOT VARCHAR, ADOPTED_AT TIMESTAMP_NTZ)",
        f"CREATE TABLE IF NOT EXISTS {schema}.{MOMENT_TABLE} (SLOT VARCHAR, SINCE TIMESTAMP_LTZ)",
        f"CREATE TABLE IF NOT EXISTS {schema}.{QUARANTINE_TABLE} (NAME VARCHAR, EPOCH_S NUMBER)",
    )


def statements_in(script: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the statements of a plain SQL script with its `{{ name }}` filled in, without lines that are comments."""
    for name, value in variables.items():
        script = script.replace("{{ " + name + " }}", value)
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("--")]
    return tuple(text for part in "\n".join(lines).split(";") if (text := part.strip()))
