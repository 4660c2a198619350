"""What the embedded Snowflake knows beside the tables themselves: databases, grants, roles, users, other objects.

Kept in memory for reading and in the schema `slipway` of the global database for ever: every change is one transaction
there, so a killed process leaves either the old state or the new one. Names are tuples: () is the account,
(database,), (database, schema), (database, schema, object); account objects such as roles are (name,).
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import duckdb

from slipway.sandbox.snowflake import dependent
from slipway.sandbox.snowflake.description import Descriptions
from slipway.sandbox.snowflake.intent import TABLE as INTENTS
from slipway.sandbox.snowflake.intent import Intents
from slipway.sandbox.snowflake.inventory import Inventory
from slipway.sandbox.snowflake.privilege import RELATION_KINDS, SYSTEM_ROLES, Grant
from slipway.sandbox.snowflake.reader import Name
from slipway.sandbox.snowflake.store import STORE

_TABLES = (
    "databases(name varchar primary key, file varchar not null, created_on timestamptz, comment varchar)",
    "objects(kind varchar, name varchar[], definition varchar, comment varchar, created_on timestamptz)",
    "grants(privilege varchar, kind varchar, name varchar[], grantee_kind varchar, grantee varchar,"
    " grantor varchar, grant_option boolean, future boolean, created_on timestamptz)",
    "changes(name varchar[], changed_on timestamptz)",
    "user_keys(user_name varchar, slot integer, public_key varchar)",
    INTENTS,
)


class Registry:
    """The durable metadata of one account. Thread safe."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Load the registry. Side effects: creates its tables when they are missing."""
        self._connection = connection
        self._mutex = threading.RLock()
        self._depth = 0
        self.intents = Intents(self)
        self.databases: dict[str, str] = {}
        self.objects: dict[tuple[str, Name], str] = {}
        self.user_keys: dict[str, tuple[str, ...]] = {}
        self.descriptions = Descriptions()
        self.inventory = Inventory()
        self.version = 0  # grows with every change of grants, for caches
        self._grants: dict[tuple[str, Name], set[Grant]] = {}
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {STORE}")
        for table in _TABLES:
            connection.execute(f"CREATE TABLE IF NOT EXISTS {STORE}.{table}")
        for role in SYSTEM_ROLES:
            connection.execute(
                f"INSERT INTO {STORE}.objects SELECT 'ROLE', [?], '', '', now() WHERE NOT EXISTS "
                f"(SELECT 1 FROM {STORE}.objects WHERE kind = 'ROLE' AND name = [?])",
                [role, role],
            )
        self._load()

    def _load(self) -> None:
        self.version += 1
        rows = self._connection.execute
        self.databases = dict(rows(f"SELECT name, file FROM {STORE}.databases").fetchall())
        self.objects = {
            (kind, tuple(name)): definition or ""
            for kind, name, definition in rows(f"SELECT kind, name, definition FROM {STORE}.objects").fetchall()
        }
        keys: dict[str, list[str]] = {}
        for user, key in rows(f"SELECT user_name, public_key FROM {STORE}.user_keys ORDER BY slot").fetchall():
            keys.setdefault(user, []).append(key)
        self.user_keys = {user: tuple(found) for user, found in keys.items()}
        self.descriptions.load(self._connection)
        self._grants = {}
        for privilege, kind, name, grantee_kind, grantee, future in rows(
            f"SELECT privilege, kind, name, grantee_kind, grantee, future FROM {STORE}.grants"
        ).fetchall():
            self._remember(
                Grant(
                    privilege=privilege,
                    kind=kind,
                    name=tuple(name),
                    grantee=grantee,
                    grantee_kind=grantee_kind,
                    future=future,
                )
            )

    @property
    def lengths(self) -> dict[Name, dict[str, int]]:
        """The declared lengths of text columns, by table."""
        return self.descriptions.lengths

    def _remember(self, grant: Grant) -> None:
        self._grants.setdefault(grant.lookup, set()).add(grant)

    @contextlib.contextmanager
    def changing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give the connection inside a transaction; changes made inside of another join it."""
        with self._mutex:
            if self._depth:
                yield self._connection
                return
            self._connection.execute("BEGIN")
            self._depth = 1
            try:
                yield self._connection
            except BaseException:
                self._depth = 0
                self._connection.execute("ROLLBACK")
                self._load()
                raise
            self._depth = 0
            self._connection.execute("COMMIT")

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query over the whole instance; sees only what has been committed."""
        with self._mutex:
            rows: list[tuple[Any, ...]] = self._connection.execute(sql, list(parameters)).fetchall()
            return rows

    # databases -----------------------------------------------------------------------------------------------------

    def add_database(self, name: str, *, replace: bool = False) -> tuple[str, str | None]:
        """Give `name` a new file and return (file, the file it had before or None)."""
        file = f"db_{uuid.uuid4().hex[:16]}"
        with self.changing() as connection:
            old = self.databases.get(name) if replace else None
            connection.execute(f"DELETE FROM {STORE}.databases WHERE name = ?", [name])
            connection.execute(f"INSERT INTO {STORE}.databases VALUES (?, ?, now(), '')", [name, file])
            if old:
                self._forget_below(connection, (name,))
        self.databases[name] = file
        return file, old

    def remove_database(self, name: str) -> str:
        """Forget a database and everything granted in it; returns the file it was kept in."""
        with self.changing() as connection:
            connection.execute(f"DELETE FROM {STORE}.databases WHERE name = ?", [name])
            self._forget_below(connection, (name,))
        return self.databases.pop(name)

    def move(self, old: Name, new: Name, *, swap: bool) -> None:
        """Let names, grants, comments and lengths follow an object that was renamed, or two that were swapped.

        For databases this is the rename itself: one transaction, so a crash leaves both names right.
        """
        aside: Name = (*old[:-1], "\x01aside")
        hops = ((old, aside), (new, old), (aside, new)) if swap else ((old, new),)
        with self.changing() as connection:
            self._redefine(connection, dependent.moved(self.objects, dependent.renaming(old, new, swap=swap)))
            for source, target in hops:
                self._move_names(connection, source, target)
        self.inventory.move(old, new, swap=swap)
        with self._mutex:
            self._load()

    def _move_names(self, connection: duckdb.DuckDBPyConnection, old: Name, new: Name) -> None:
        depth = len(old)
        if depth == 1:
            connection.execute(f"UPDATE {STORE}.databases SET name = ? WHERE name = ?", [new[0], old[0]])
        scope = "(kind = 'DATABASE' OR kind = 'SCHEMA' OR len(name) = 3 OR future)" if depth == 1 else "len(name) > 1"
        for table in ("grants", "objects"):
            condition = scope if table == "grants" else "len(name) > 1"
            connection.execute(
                f"UPDATE {STORE}.{table} SET name = list_concat(?, name[{depth + 1}:]) "
                f"WHERE name[1:{depth}] = ? AND {condition}",
                [list(new), list(old)],
            )
        connection.execute(
            f"UPDATE {STORE}.changes SET name = list_concat(?, name[{depth + 1}:]) WHERE name[1:{depth}] = ?",
            [list(new), list(old)],
        )
        self.descriptions.move(connection, old, new)

    def _forget_below(self, connection: duckdb.DuckDBPyConnection, name: Name) -> None:
        depth = len(name)
        scope = "(kind IN ('DATABASE', 'SCHEMA') OR len(name) = 3 OR future)" if depth == 1 else "len(name) > 1"
        granted = [key for key in self._grants if dependent.is_below(key, name)]
        self._redefine(connection, dependent.orphaned(self.objects, name))
        objects = [known for known in self.objects if len(known[1]) > 1 and known[1][:depth] == name]
        if granted:
            connection.execute(f"DELETE FROM {STORE}.grants WHERE name[1:{depth}] = ? AND {scope}", [list(name)])
        if objects:
            connection.execute(f"DELETE FROM {STORE}.objects WHERE name[1:{depth}] = ? AND len(name) > 1", [list(name)])
        self.descriptions.forget(connection, name)
        self.inventory.forget(name)
        self.version += 1
        for key in granted:
            del self._grants[key]
        for known in objects:
            del self.objects[known]

    def forget(self, name: Name) -> None:
        """Forget the grants, comments, stages and formats of a dropped schema or object, and of what it contained."""
        with self.changing() as connection:
            self._forget_below(connection, name)

    # grants --------------------------------------------------------------------------------------------------------

    def grants_on(self, kind: str, name: Name, *, future: bool = False) -> tuple[Grant, ...]:
        """Return what is granted on one object (or on the future objects of a container), in a stable order."""
        key = kind if future else ("RELATION" if kind in RELATION_KINDS else kind)
        found = (grant for grant in self._grants.get((key, name), ()) if grant.future == future)
        return tuple(sorted(found, key=lambda grant: (grant.privilege, grant.grantee)))

    def all_grants(self) -> tuple[Grant, ...]:
        """Return every grant, in a stable order."""
        with self._mutex:
            found = [grant for grants in self._grants.values() for grant in grants]
        return tuple(sorted(found, key=lambda grant: (grant.name, grant.kind, grant.privilege, grant.grantee)))

    def add_grants(self, grants: Iterable[Grant], *, grantor: str) -> None:
        """Add privileges; those already held stay as they are."""
        with self.changing() as connection:
            self._insert_grants(connection, grants, grantor)

    def remove_grants(self, grants: Iterable[Grant]) -> None:
        """Take privileges away; those not held are ignored."""
        with self.changing() as connection:
            self._delete_grants(connection, grants)

    def _insert_grants(self, connection: duckdb.DuckDBPyConnection, grants: Iterable[Grant], grantor: str) -> None:
        fresh = [grant for grant in dict.fromkeys(grants) if grant not in self._grants.get(grant.lookup, ())]
        if fresh:
            rows = [(g.privilege, g.kind, list(g.name), g.grantee_kind, g.grantee, grantor, g.future) for g in fresh]
            marks = ", ".join(["(?, ?, ?, ?, ?, ?, false, ?, now())"] * len(rows))
            connection.execute(f"INSERT INTO {STORE}.grants VALUES {marks}", [value for row in rows for value in row])
        for grant in fresh:
            self._remember(grant)
        self.version += 1

    def _delete_grants(self, connection: duckdb.DuckDBPyConnection, grants: Iterable[Grant]) -> None:
        for grant in list(grants):
            connection.execute(
                f"DELETE FROM {STORE}.grants WHERE privilege = ? AND kind = ? AND name = ? AND grantee = ? "
                "AND grantee_kind = ? AND future = ?",
                [grant.privilege, grant.kind, list(grant.name), grant.grantee, grant.grantee_kind, grant.future],
            )
            self._grants.get(grant.lookup, set()).discard(grant)
        self.version += 1

    def held_by(self, grantee: str, grantee_kind: str = "ROLE") -> tuple[Grant, ...]:
        """Return everything granted directly to one role or user."""
        return tuple(g for g in self.all_grants() if g.grantee == grantee and g.grantee_kind == grantee_kind)

    def owner(self, kind: str, name: Name) -> str:
        """Return the role that owns an object; what nobody created through a role belongs to ACCOUNTADMIN."""
        owners = [grant.grantee for grant in self.grants_on(kind, name) if grant.privilege == "OWNERSHIP"]
        return owners[0] if owners else "ACCOUNTADMIN"

    def set_owner(self, kind: str, name: Name, role: str) -> None:
        """Make `role` the one owner of an object."""
        held = [g for g in self.grants_on(kind, name) if g.privilege == "OWNERSHIP" and g.grantee != role]
        with self.changing() as connection:
            self._delete_grants(connection, held)
            owner = Grant(privilege="OWNERSHIP", kind=kind, name=name, grantee=role)
            self._insert_grants(connection, [owner], role)

    def created(
        self,
        kind: str,
        name: Name,
        role: str,
        *,
        keep_grants: bool = False,
        definition: str | None = None,
        comment: str | None = None,
        lengths: Sequence[tuple[str, int]] = (),
    ) -> None:
        """Record in one transaction that `role` created an object: it owns it, and future grants apply.

        The grants of an object of that name which it replaced go, unless `keep_grants` (COPY GRANTS).
        """
        held = self.grants_on(kind, name)
        grants = [Grant(privilege="OWNERSHIP", kind=kind, name=name, grantee=role)]
        if not (keep_grants and held):
            grants += self.future_grants(kind, name)
        with self.changing() as connection:
            if kind in RELATION_KINDS and self.inventory.kind(name) is not None:  # it is replaced
                self._redefine(connection, dependent.orphaned(self.objects, name))
            self._delete_grants(connection, (g for g in held if not keep_grants or g.privilege == "OWNERSHIP"))
            self._insert_grants(connection, grants, role)
            if definition is not None:
                self._put_object(connection, kind, name, definition)
            self.inventory.add(kind, name)
            if len(name) == 3:
                self.descriptions.write(connection, name, comment=comment, lengths=lengths)

    def changed(self, names: Iterable[Name]) -> None:
        """Record that the rows of tables changed now: INFORMATION_SCHEMA.TABLES shows it as LAST_ALTERED."""
        with self.changing() as connection:
            for name in names:
                connection.execute(f"DELETE FROM {STORE}.changes WHERE name = ?", [list(name)])
                connection.execute(f"INSERT INTO {STORE}.changes VALUES (?, now())", [list(name)])

    def set_comment(self, name: Name, comment: str) -> None:
        """Set the comment of a table, view, schema or database."""
        with self.changing() as connection:
            self.descriptions.set_comment(connection, name, comment)

    def set_lengths(self, name: Name, lengths: Sequence[tuple[str, int]]) -> None:
        """Record the declared lengths of text columns."""
        with self.changing() as connection:
            self.descriptions.set_lengths(connection, name, lengths)

    def copy_description(self, source: Name, target: Name) -> None:
        """Give a cloned table the comment and text lengths of its source."""
        with self.changing() as connection:
            self.descriptions.copy(connection, source, target)

    def copy_table_grants(self, source: Name, target: Name, *, grantor: str) -> None:
        """Give one table the grants another has, but for its ownership."""
        held = (grant for grant in self.grants_on("TABLE", source) if grant.privilege != "OWNERSHIP")
        self.add_grants([replace(grant, name=target) for grant in held], grantor=grantor)

    def cloned(self, source: Name, target: Name, role: str) -> None:
        """Copy what is known of the objects inside a cloned database or schema: grants, views, comments, lengths.

        Internal stages are not cloned with their schema, external ones and file formats are.
        """
        depth = len(source)
        inside = [(kind, name) for kind, name in self.objects if name[:depth] == source and len(name) > depth]
        kept = {key for key in inside if key[0] in RELATION_KINDS or dependent.is_cloned(key[0], self.objects[key])}
        grants = [
            replace(grant, name=(*target, *grant.name[depth:]))
            for grant in self.all_grants()
            if grant.name[:depth] == source
            and len(grant.name) > depth
            and (grant.kind in (*RELATION_KINDS, "SCHEMA") or (grant.kind, grant.name) in kept)
        ]
        replaced = [grant for grant in self.all_grants() if grant.name[:depth] == target and len(grant.name) > depth]
        with self.changing() as connection:
            self._delete_grants(connection, replaced)
            self._insert_grants(connection, grants, role)
            for kind, name in sorted(kept):
                copied = dependent.cloned(kind, self.objects[(kind, name)], dependent.renaming(source, target))
                self._put_object(connection, kind, (*target, *name[depth:]), copied)
            self.descriptions.copy(connection, source, target)
        self.inventory.copy(source, target)

    def future_grants(self, kind: str, name: Name) -> list[Grant]:
        """Return the grants a new object gets: those of its schema, or of its database when the schema has none."""
        for depth in range(len(name) - 1, 0, -1):
            found = self.grants_on(kind, name[:depth], future=True)
            if found:
                return [
                    Grant(privilege=g.privilege, kind=kind, name=name, grantee=g.grantee, grantee_kind=g.grantee_kind)
                    for g in found
                ]
        return []

    # other objects -------------------------------------------------------------------------------------------------

    def put_object(self, kind: str, name: Name, definition: str) -> None:
        """Record an object that has no table behind it (role, user, warehouse, integration, task ...)."""
        with self.changing() as connection:
            self._put_object(connection, kind, name, definition)

    def redefine(self, definitions: Mapping[tuple[str, Name], str]) -> None:
        """Change what is recorded of objects; their owners, grants and times stay."""
        with self.changing() as connection:
            self._redefine(connection, definitions)

    def _redefine(self, connection: duckdb.DuckDBPyConnection, definitions: Mapping[tuple[str, Name], str]) -> None:
        for (kind, name), definition in definitions.items():
            connection.execute(
                f"UPDATE {STORE}.objects SET definition = ? WHERE kind = ? AND name = ?", [definition, kind, list(name)]
            )
            self.objects[(kind, name)] = definition

    def drop_definition(self, kind: str, name: Name) -> None:
        """Forget what was recorded of an object that stays, and nothing granted on it."""
        with self.changing() as connection:
            connection.execute(f"DELETE FROM {STORE}.objects WHERE kind = ? AND name = ?", [kind, list(name)])
            self.objects.pop((kind, name), None)

    def _put_object(self, connection: duckdb.DuckDBPyConnection, kind: str, name: Name, definition: str) -> None:
        if (kind, name) in self.objects:
            connection.execute(f"DELETE FROM {STORE}.objects WHERE kind = ? AND name = ?", [kind, list(name)])
        connection.execute(f"INSERT INTO {STORE}.objects VALUES (?, ?, ?, '', now())", [kind, list(name), definition])
        self.objects[(kind, name)] = definition

    def drop_object(self, kind: str, name: Name) -> None:
        """Forget such an object, what was granted on it and, for a role or user, what it held."""
        with self.changing() as connection:
            connection.execute(f"DELETE FROM {STORE}.objects WHERE kind = ? AND name = ?", [kind, list(name)])
            connection.execute(f"DELETE FROM {STORE}.grants WHERE kind = ? AND name = ?", [kind, list(name)])
            if kind in ("ROLE", "USER"):
                connection.execute(
                    f"DELETE FROM {STORE}.grants WHERE grantee_kind = ? AND grantee = ?", [kind, name[0]]
                )
            if kind == "USER":
                connection.execute(f"DELETE FROM {STORE}.user_keys WHERE user_name = ?", [name[0]])
        with self._mutex:
            self._load()

    def set_user_key(self, user: str, slot: int, public_key: str | None) -> None:
        """Register (or with None remove) one of a user's two public keys, as base64 of the DER bytes."""
        with self.changing() as connection:
            connection.execute(f"DELETE FROM {STORE}.user_keys WHERE user_name = ? AND slot = ?", [user, slot])
            if public_key is not None:
                connection.execute(f"INSERT INTO {STORE}.user_keys VALUES (?, ?, ?)", [user, slot, public_key])
        with self._mutex:
            self._load()
