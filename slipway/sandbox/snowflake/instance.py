"""One embedded Snowflake account: its state folder, its databases, its sessions.

A database is one DuckDB file under an invented name; the registry says which name means which file. Renaming or
swapping databases therefore changes two rows, in one transaction, and survives a kill at any point: starting attaches
every database by what the registry says. Files nobody names are left over from a killed CREATE or DROP and are removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb
from fakesnow import info_schema, macros
from fakesnow.transforms import show as fakesnow_show

from slipway.sandbox.snowflake import error, translation
from slipway.sandbox.snowflake.access import Access
from slipway.sandbox.snowflake.expansion import Expansions
from slipway.sandbox.snowflake.history import History
from slipway.sandbox.snowflake.information import creation_sql
from slipway.sandbox.snowflake.intent import MARKS
from slipway.sandbox.snowflake.key import KeyRing
from slipway.sandbox.snowflake.lock import FolderLock, Gate
from slipway.sandbox.snowflake.reader import Name, literal, quote
from slipway.sandbox.snowflake.registry import Registry
from slipway.sandbox.snowflake.session import Session
from slipway.sandbox.snowflake.storage import Storage
from slipway.sandbox.snowflake.store import GLOBAL

HIDDEN_SCHEMAS = ("main", "_fs_information_schema", "information_schema", "pg_catalog")
DETACH_PATIENCE = 60.0  # seconds a database operation waits for the transactions that use the database
MEMORY_LIMIT = "4GB"

# DuckDB's Arrow export is used on purpose: results travel as Arrow.
warnings.filterwarnings("ignore", message="Arrow output on a DB-API result")


class Instance:
    """The account. One per process and state folder."""

    def __init__(self, state: Path, *, keys: Path | None = None, s3: Any = None) -> None:
        """Open the account kept in `state`. Raises `FolderInUseError`.

        Side effects: creates the folder and its files; with `keys`, logins must be signed with the key that folder
        holds for the user (`<USER>.pub`) or that was registered for it by SQL. External stages are read through the
        boto3 client `s3`, by default one made from the environment.
        """
        self.state = state
        self._folder = FolderLock(state)
        self.files = state / "databases"
        self.files.mkdir(exist_ok=True)
        self.storage = Storage(state / "stages", s3)
        self.scratch = state / "scratch"  # files being loaded
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        self.gate = Gate()
        self.sessions: set[Session] = set()
        self._root = duckdb.connect(":memory:", config={"lambda_syntax": "ENABLE_SINGLE_ARROW"})
        for setting in ("TimeZone = 'UTC'", f"memory_limit = '{MEMORY_LIMIT}'", "ieee_floating_point_ops = false"):
            self._root.execute(f"SET GLOBAL {setting}")
        self._root.execute(macros.creation_sql("memory"))  # for sessions that chose no database
        self._root.execute(f"ATTACH {literal(state / 'global.duckdb')} AS {GLOBAL}")
        self._root.execute(info_schema.fs_global_creation_sql())
        self._root.execute(fakesnow_show.fs_global_creation_sql())
        self._root.execute(translation.creation_sql())
        self.registry = Registry(self._root.cursor())
        self._root.execute(creation_sql())
        self.history = History(self._root.cursor(), str(state / "history.duckdb"))
        self.access = Access(self.registry, strict_roles=keys is not None)
        self.expansions = Expansions()
        self.keys = KeyRing(self.registry, keys) if keys is not None else None
        self._attach_all()

    def _attach_all(self) -> None:
        known = set(self.registry.databases.values())
        for path in self.files.iterdir():
            if path.name.split(".")[0] not in known:
                path.unlink()
        for name, file in sorted(self.registry.databases.items()):
            self.attach(name, file)
        self.registry.intents.resume(self._is_marked)
        for name in self.registry.databases:
            if self.registry.query(f"SELECT 1 FROM {quote(name)}.{MARKS} LIMIT 1"):
                self._root.execute(f"DELETE FROM {quote(name)}.{MARKS}")
        self._take_inventory()

    def _is_marked(self, database: str, token: str) -> bool:
        return bool(self.registry.query(f"SELECT 1 FROM {quote(database)}.{MARKS} WHERE token = ?", [token]))

    def _take_inventory(self) -> None:
        hidden = f"({', '.join(map(literal, HIDDEN_SCHEMAS))})"
        where = f"schema_name NOT IN {hidden} AND list_contains(?, database_name)"
        ours = list(self.registry.databases)
        schemas = self.registry.query(f"SELECT database_name, schema_name FROM duckdb_schemas() WHERE {where}", [ours])
        tables = self.registry.query(
            f"SELECT database_name, schema_name, table_name FROM duckdb_tables() WHERE {where}", [ours]
        )
        views = self.registry.query(
            f"SELECT database_name, schema_name, view_name FROM duckdb_views() WHERE NOT internal AND {where}", [ours]
        )
        self.registry.inventory.load(
            schemas, [*(("TABLE", name) for name in tables), *(("VIEW", name) for name in views)]
        )

    # databases -----------------------------------------------------------------------------------------------------

    def attach(self, name: str, file: str) -> None:
        """Attach a database file under a name; a new file gets what fakesnow expects in every database."""
        path = self.files / f"{file}.duckdb"
        fresh = not path.exists()
        deadline = time.monotonic() + DETACH_PATIENCE
        while True:
            try:
                self._root.execute(f"ATTACH {literal(path)} AS {quote(name)}")
                break
            except duckdb.Error as failure:  # a transaction still holds the file under its former name
                if "already attached" not in str(failure) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        catalog = quote(name)
        self._root.execute(f"CREATE SCHEMA IF NOT EXISTS {catalog}._fs_information_schema")
        self._root.execute(info_schema.SQL_CREATE_LOAD_HISTORY_TABLE.substitute(catalog=catalog))
        history = f"{catalog}._fs_information_schema._fs_load_history"
        self._root.execute(f"ALTER TABLE {history} ADD COLUMN IF NOT EXISTS digest VARCHAR")
        self._root.execute(f"CREATE TABLE IF NOT EXISTS {catalog}.{MARKS} (token VARCHAR)")
        if fresh:
            self._root.execute(macros.creation_sql(catalog))
            self._root.execute(f"CREATE SCHEMA {catalog}.PUBLIC")

    def detach(self, name: str) -> None:
        """Detach a database; its sessions keep the name and find whatever is attached under it next."""
        self._root.execute(f"DETACH {quote(name)}")

    def delete_file(self, file: str) -> None:
        """Remove the file of a detached database."""
        for suffix in (".duckdb", ".duckdb.wal"):
            with contextlib.suppress(FileNotFoundError):
                (self.files / f"{file}{suffix}").unlink()

    @contextlib.contextmanager
    def alone_with(self, databases: Iterable[str], session: Session) -> Iterator[None]:
        """Hold the gate alone, with no transaction of another session open on `databases`.

        Raises error 625 after `DETACH_PATIENCE` seconds of waiting for such a transaction.
        """
        wanted, deadline = set(databases), time.monotonic() + DETACH_PATIENCE
        while True:
            with self.gate.exclusive():
                busy = [s for s in self.sessions if s is not session and s.transaction.touched & wanted]
                if not busy:
                    yield
                    return
            if time.monotonic() > deadline:
                raise error.locked(
                    f"session {busy[0].session_id} of {busy[0].user} has an open transaction on "
                    f"{', '.join(sorted(wanted))}"
                )
            time.sleep(0.02)

    # looking -------------------------------------------------------------------------------------------------------

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a new DuckDB connection to everything that is attached."""
        return self._root.cursor()

    def has_schema(self, name: Name) -> bool:
        """Tell whether `(database, schema)` exists."""
        return self.registry.inventory.has_schema(name)

    def schemas(self, database: str) -> tuple[str, ...]:
        """Return the schemas of a database, sorted."""
        return self.registry.inventory.schemas(database)

    def relations(self, container: Name) -> tuple[tuple[str, Name], ...]:
        """Return (kind, name) of the tables and views in a database or schema, sorted by name."""
        return self.registry.inventory.relations(container)

    def relation_kind(self, name: Name) -> str | None:
        """Return TABLE or VIEW for what exists under `name`, else None."""
        return self.registry.inventory.kind(name)

    def has_sequence(self, name: Name) -> bool:
        """Tell whether a sequence exists."""
        where = "database_name = ? AND schema_name = ? AND sequence_name = ?"
        return bool(self.registry.query(f"SELECT 1 FROM duckdb_sequences() WHERE {where}", name))

    # sessions ------------------------------------------------------------------------------------------------------

    def connect(
        self,
        *,
        user: str | None = None,
        role: str | None = None,
        database: str | None = None,
        schema: str | None = None,
        warehouse: str | None = None,
        session_parameters: dict[str, Any] | None = None,
        autocommit: bool = True,
        paramstyle: str = "pyformat",
        **_ignored: Any,
    ) -> Session:
        """Open a session with the arguments of `snowflake.connector.connect`; names are folded to upper case."""
        name = _fold(user) or "EMBEDDED"
        taken = self.access.assume(name, _fold(role) or self.access.default_role(name))
        with self.gate.shared():
            session = Session(
                self,
                user=name,
                role=taken,
                database=_fold(database),
                schema=_fold(schema),
                warehouse=_fold(warehouse),
                parameters=dict(session_parameters or {}),
                autocommit=autocommit,
                paramstyle=paramstyle,
            )
        self.sessions.add(session)
        return session

    def forget(self, session: Session) -> None:
        """Take a closed session off the list."""
        self.sessions.discard(session)

    def close(self) -> None:
        """Close every session, write everything down and release the state folder."""
        for session in list(self.sessions):
            with contextlib.suppress(duckdb.Error):
                session.close()
        self.history.flush()
        for name in [*self.registry.databases, GLOBAL, "_fs_history"]:
            with contextlib.suppress(duckdb.Error):
                self._root.execute(f"CHECKPOINT {quote(name)}")
        self._root.close()
        self._folder.release()

    @property
    def pid(self) -> int:
        return os.getpid()


def _fold(name: str | None) -> str | None:
    if not name:
        return None
    return name[1:-1] if name.startswith('"') and name.endswith('"') else name.upper()
