"""SWAP WITH and RENAME TO of databases, schemas, tables and views.

Rules:
- what detaches a database or moves a schema waits for running statements and holds the gate alone;
- a swap or rename of databases is one update of the registry; of schemas and tables one DuckDB transaction;
- names, grants, comments, lengths and the memory of loads follow.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import duckdb

from slipway.sandbox.snowflake import error, relation
from slipway.sandbox.snowflake.intent import step
from slipway.sandbox.snowflake.reader import Name, Reader, quote, quote_name
from slipway.sandbox.snowflake.result import Result

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.cursor import Cursor
    from slipway.sandbox.snowflake.session import Session

_SWAP_SCHEMA = "_FS_SWAP"


# who may run together ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def holding(session: Session, reader: Reader) -> Iterator[None]:
    """Hold the gate alone for a statement that detaches a database or moves a schema, else together with others."""
    instance, databases = session.instance, _moved_databases(session, reader)
    if databases is None:
        with instance.gate.shared():
            yield
    else:
        with instance.alone_with(databases, session):
            yield


def _moved_databases(session: Session, reader: Reader) -> tuple[str, ...] | None:
    scan = Reader(reader.sql)
    if scan.take("DROP", "DATABASE") and scan.peek() != "ROLE":
        scan.take("IF", "EXISTS")
        return scan.name()[:1]
    if scan.take("CREATE", "OR", "REPLACE"):
        scan.take("TRANSIENT")
        return scan.name()[:1] if scan.take("DATABASE") and scan.peek() != "ROLE" else None
    if not scan.take("ALTER"):
        return None
    kind = scan.take_any("DATABASE", "SCHEMA", "TABLE")
    if not kind or scan.peek() == "ROLE":
        return None
    scan.take("IF", "EXISTS")
    first = scan.name()
    if not scan.take_any("SWAP WITH", "RENAME TO"):
        return None
    second = scan.name()
    if kind == "DATABASE":
        return (first[0], second[0])
    whole = session.schema_name if kind == "SCHEMA" else session.object_name
    return tuple({whole(first)[0], whole(second)[0]})


# ALTER .. SWAP WITH, ALTER .. RENAME TO ----------------------------------------------------------------------------


def handle_alter(cursor: Cursor, reader: Reader) -> Result | None:
    """Run SWAP WITH and RENAME TO; returns None for any other ALTER."""
    reader.expect("ALTER")
    kind = reader.take_any("DATABASE", "SCHEMA", "TABLE", "VIEW")
    if not kind or (kind == "DATABASE" and reader.peek() == "ROLE"):
        return None
    missing_ok = reader.take("IF", "EXISTS")
    first = reader.name()
    action = reader.take_any("SWAP WITH", "RENAME TO")
    if not action:
        return None
    second, session = reader.name(), cursor.session
    if kind == "DATABASE":
        return _move_database(session, first[0], second[0], swap=action == "SWAP WITH")
    if kind == "SCHEMA":
        names = session.schema_name(first, "ALTER SCHEMA"), session.schema_name(second, "ALTER SCHEMA")
        return _move_schema(session, *names, swap=action == "SWAP WITH")
    old, new = session.object_name(first, f"ALTER {kind}"), session.object_name(second, f"ALTER {kind}")
    if session.instance.relation_kind(old) is None and missing_ok:
        return Result.status("Statement executed successfully.")
    if action == "SWAP WITH":
        if kind == "VIEW":
            raise error.syntax("unexpected 'SWAP': views cannot be swapped.")
        return _swap_tables(session, old, new)
    return _rename_relation(session, kind, old, new)


def _move_database(session: Session, old: str, new: str, *, swap: bool) -> Result:
    instance, registry = session.instance, session.instance.registry
    relation.need_database(session, old)
    instance.access.require(session, "DATABASE", (old,), "OWNERSHIP")
    if swap:
        relation.need_database(session, new)
        instance.access.require(session, "DATABASE", (new,), "OWNERSHIP")
    elif new in registry.databases:
        raise error.already_exists(new)
    if old == new:
        raise error.syntax("A database cannot be swapped with itself.")
    instance.detach(old)
    if swap:
        instance.detach(new)
    try:
        registry.move((old,), (new,), swap=swap)
    finally:
        for name in (old, new):
            if name in registry.databases:
                instance.attach(name, registry.databases[name])
    for name, former in ((new, old), (old, new)):
        if name in registry.databases:
            _keep_names(session, name, former)
    if not swap:
        for other in list(instance.sessions):
            if other.database == old:
                other.database = new
                other.point()
    return Result.status()


def _keep_names(session: Session, name: str, former: str) -> None:
    """Make the views of a database that was called `former` read what they name, now that another has that name."""
    definitions = session.instance.registry.objects
    for kind, view in session.instance.relations((name,)):
        if kind == "VIEW" and relation.names_itself(definitions.get(("VIEW", view), ""), former):
            rows = session.instance.registry.query(
                "SELECT sql FROM duckdb_views() WHERE database_name = ? AND schema_name = ? AND view_name = ?", view
            )
            sql = relation.with_names(str(rows[0][0]), definitions[("VIEW", view)], former)
            statement = f"CREATE OR REPLACE VIEW {quote_name(view)} {relation.body_of(sql)}"
            relation.atomically(session, functools.partial(relation.run, sql=statement))
            session.instance.registry.inventory.redefined(view)


def _move_schema(session: Session, old: Name, new: Name, *, swap: bool) -> Result:
    relation.need_schema(session, old)
    session.instance.access.require(session, "SCHEMA", old, "OWNERSHIP")
    if swap:
        relation.need_schema(session, new)
        session.instance.access.require(session, "SCHEMA", new, "OWNERSHIP")
    elif session.instance.has_schema(new):
        raise error.already_exists(".".join(new))
    if old[0] != new[0]:
        raise error.unsupported("moving a schema to another database")
    if old == new:
        raise error.syntax("A schema cannot be swapped with itself.")
    work = functools.partial(_exchange, old=old, new=new, swap=swap)
    relation.change(session, old[0], work, step("move", old=old, new=new, swap=swap))
    if not swap and (session.database, session.schema) == old:
        session.choose(*new)
    return Result.status()


def _exchange(connection: duckdb.DuckDBPyConnection, old: Name, new: Name, *, swap: bool) -> None:
    aside = (old[0], _SWAP_SCHEMA)
    if not swap:
        connection.execute(f"CREATE SCHEMA {quote_name(new)}")
    views = {old: relation.views_of(connection, old), new: relation.views_of(connection, new)}
    for schema, held in views.items():
        for name, _ in held:
            connection.execute(f"DROP VIEW {quote_name((*schema, name))}")
    tables = {old: relation.tables_of(connection, old), new: relation.tables_of(connection, new)}
    if tables[old] and tables[new]:
        connection.execute(f"CREATE SCHEMA {quote_name(aside)}")
        _move_tables(connection, new, aside, tables[new])
        _move_tables(connection, old, new, tables[old])
        _move_tables(connection, aside, old, tables[new])
        connection.execute(f"DROP SCHEMA {quote_name(aside)}")
    else:
        _move_tables(connection, old, new, tables[old])
        _move_tables(connection, new, old, tables[new])
    relation.make_views(connection, new, views[old])
    relation.make_views(connection, old, views[new])
    relation.move_loads(connection, old, new, swap=swap)
    if not swap:
        connection.execute(f"DROP SCHEMA {quote_name(old)}")


def _move_tables(
    connection: duckdb.DuckDBPyConnection, source: Name, target: Name, tables: Sequence[tuple[str, str]]
) -> None:
    for name, sql in tables:
        relation.copy_table(connection, (*source, name), (*target, name), sql)
        connection.execute(f"DROP TABLE {quote_name((*source, name))}")


def _swap_tables(session: Session, old: Name, new: Name) -> Result:
    definitions = {name: relation.table_sql(session, name) for name in (old, new)}
    for name in (old, new):
        session.instance.access.require(session, "TABLE", name, "OWNERSHIP")
    aside = (*old[:2], "_FS_SWAP")

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        if old[0] == new[0]:
            relation.move_loads(connection, old, new, swap=True)
        if old[:2] == new[:2]:
            for source, target in ((old, aside), (new, old), (aside, new)):
                connection.execute(f"ALTER TABLE {quote_name(source)} RENAME TO {quote(target[2])}")
            return
        for source, target, sql in (
            (old, aside, definitions[old]),
            (new, old, definitions[new]),
            (aside, new, definitions[old]),
        ):
            relation.copy_table(connection, source, target, sql)
            connection.execute(f"DROP TABLE {quote_name(source)}")

    if old[0] != new[0]:  # two files: the one transaction DuckDB has over both is not marked
        relation.atomically(session, work)
        session.instance.registry.move(old, new, swap=True)
    else:
        relation.change(session, old[0], work, step("move", old=old, new=new, swap=True))
    return Result.status()


def _rename_relation(session: Session, kind: str, old: Name, new: Name) -> Result:
    instance = session.instance
    found = instance.relation_kind(old)
    if found is None:
        raise error.missing("Object", ".".join(old))
    instance.access.require(session, found, old, "OWNERSHIP")
    relation.need_schema(session, new[:2])
    if instance.relation_kind(new) is not None:
        raise error.already_exists(".".join(new))

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        if old[0] == new[0]:
            relation.move_loads(connection, old, new, swap=False)
        if old[:2] == new[:2]:
            connection.execute(f"ALTER {found} {quote_name(old)} RENAME TO {quote(new[2])}")
        elif found == "TABLE":
            relation.copy_table(connection, old, new, relation.table_sql(session, old))
            connection.execute(f"DROP TABLE {quote_name(old)}")
        else:
            moved = [(new[2], sql) for name, sql in relation.views_of(connection, old[:2]) if name == old[2]]
            connection.execute(f"DROP VIEW {quote_name(old)}")
            relation.make_views(connection, new[:2], moved)

    relation.change(session, new[0], work, step("move", old=old, new=new, swap=False))
    return Result.status()
