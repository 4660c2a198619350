"""Databases and schemas as wholes, and dropping: CREATE DATABASE, SCHEMA and TABLE .. CLONE, DROP and UNDROP.

A clone copies the grants on what it contains, not those on itself
(https://docs.snowflake.com/en/user-guide/object-clone#access-control-privileges-for-cloned-objects).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from slipway.sandbox.snowflake import error, relation
from slipway.sandbox.snowflake.access import MANAGED
from slipway.sandbox.snowflake.information import is_transient
from slipway.sandbox.snowflake.intent import step
from slipway.sandbox.snowflake.reader import Name, Reader, quote_name
from slipway.sandbox.snowflake.result import Result

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.cursor import Cursor
    from slipway.sandbox.snowflake.session import Session


# CREATE ------------------------------------------------------------------------------------------------------------


def handle_create(cursor: Cursor, reader: Reader) -> Result | None:
    """Run CREATE DATABASE, CREATE SCHEMA and CREATE TABLE .. CLONE; returns None for any other CREATE."""
    reader.expect("CREATE")
    replace = reader.take("OR", "REPLACE")
    adjectives = set[str]()
    while word := reader.take_any("TRANSIENT", "TEMPORARY", "TEMP", "LOCAL", "GLOBAL"):
        adjectives.add(word)
    kind = reader.take_any("DATABASE", "SCHEMA", "TABLE", "VIEW")
    if not kind or (kind == "DATABASE" and reader.peek() == "ROLE"):
        return None
    exists_ok = reader.take("IF", "NOT", "EXISTS")
    name = reader.name()
    like = kind == "TABLE" and reader.take("LIKE")
    source = reader.name() if like or reader.take("CLONE") else None
    if source and reader.peek() in ("AT", "BEFORE"):
        raise error.unsupported("time travel (CLONE .. AT | BEFORE)")
    session = cursor.session
    if kind == "DATABASE":
        return _create_database(
            session, name[0], source[0] if source else None, replace=replace, exists_ok=exists_ok, reader=reader
        )
    if kind == "SCHEMA":
        whole = session.schema_name(name, "CREATE SCHEMA")
        origin = session.schema_name(source, "CREATE SCHEMA") if source else None
        return _create_schema(session, whole, origin, replace=replace, exists_ok=exists_ok, reader=reader)
    if source is None:
        return None
    if kind == "VIEW":
        raise error.syntax("unexpected 'CLONE': a view cannot be cloned.")
    target, origin = session.object_name(name, "CREATE TABLE"), session.object_name(source, "CREATE TABLE")
    if adjectives & {"TEMPORARY", "TEMP"}:
        raise error.unsupported("CREATE TEMPORARY TABLE .. CLONE")
    return _clone_table(
        session,
        origin,
        target,
        replace=replace,
        exists_ok=exists_ok,
        keep="GRANTS" in reader.words,
        empty=like,
        transient="TRANSIENT" in adjectives,
    )


def _create_database(
    session: Session, name: str, source: str | None, *, replace: bool, exists_ok: bool, reader: Reader
) -> Result:
    instance, registry = session.instance, session.instance.registry
    instance.access.require_account(session, "CREATE DATABASE")
    if source is not None:
        relation.need_database(session, source)
        instance.access.require(session, "DATABASE", (source,), "USAGE")
    if name in registry.databases:
        if exists_ok:
            return Result.status(f"{name} already exists, statement succeeded.")
        if not replace:
            raise error.already_exists(name)
        instance.access.require(session, "DATABASE", (name,), "OWNERSHIP")
    with registry.changing():  # a database has its owner from the first moment
        file, old = registry.add_database(name, replace=replace)
        registry.created("DATABASE", (name,), session.role)
        registry.created("SCHEMA", (name, "PUBLIC"), session.role)
    if old is not None:
        instance.detach(name)
        instance.delete_file(old)
    instance.attach(name, file)
    if source is not None:
        _clone_database(session, source, name)
    _comment_container(session, (name,), reader)
    session.choose(name, None)
    return Result.status(f"Database {name} successfully created.")


def _clone_database(session: Session, source: str, target: str) -> None:
    def work(connection: duckdb.DuckDBPyConnection) -> None:
        for schema in session.instance.schemas(source):
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote_name((target, schema))}")
            relation.copy_tables(connection, (source, schema), (target, schema))
        for schema in session.instance.schemas(source):
            relation.make_views(
                connection, (target, schema), relation.views_as_written(session, connection, (source, schema))
            )

    relation.change(session, target, work, step("cloned", source=(source,), target=(target,), role=session.role))


def _create_schema(
    session: Session, name: Name, source: Name | None, *, replace: bool, exists_ok: bool, reader: Reader
) -> Result:
    instance = session.instance
    relation.need_database(session, name[0])
    instance.access.require_creation(session, "SCHEMA", name[:1])
    if source is not None:
        relation.need_schema(session, source)
        instance.access.require(session, "SCHEMA", source, "USAGE")
    if instance.has_schema(name):
        if exists_ok:
            return Result.status(f"{name[1]} already exists, statement succeeded.")
        if not replace:
            raise error.already_exists(".".join(name))
        instance.access.require(session, "SCHEMA", name, "OWNERSHIP")
    if source == name:
        raise error.syntax("A schema cannot be cloned onto itself.")

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        if replace:
            connection.execute(f"DROP SCHEMA IF EXISTS {quote_name(name)} CASCADE")
            relation.forget_loads(connection, name)
        connection.execute(f"CREATE SCHEMA {quote_name(name)}")
        if source is not None:
            relation.copy_tables(connection, source, name)
            relation.copy_views(connection, source, name)

    managed = MANAGED if reader.has("MANAGED", "ACCESS") else None
    steps = [step("forget", name=name)] if replace else []
    steps += [step("created", kind="SCHEMA", name=name, role=session.role, definition=managed)]
    if source is not None:
        steps += [step("cloned", source=source, target=name, role=session.role)]
    relation.change(session, name[0], work, *steps)
    _comment_container(session, name, reader)
    session.choose(*name)
    return Result.status(f"Schema {name[1]} successfully created.")


def _comment_container(session: Session, name: Name, reader: Reader) -> None:
    comment = reader.string_after("COMMENT")
    if comment is not None:
        session.instance.registry.set_comment(name, comment)


def _clone_table(
    session: Session,
    source: Name,
    target: Name,
    *,
    replace: bool,
    exists_ok: bool,
    keep: bool,
    empty: bool,
    transient: bool,
) -> Result:
    instance = session.instance
    instance.access.require(session, "TABLE", source, "SELECT")
    instance.access.require_creation(session, "TABLE", target[:2])
    relation.need_schema(session, target[:2])
    sql = relation.table_sql(session, source)
    kind = instance.relation_kind(target)
    if kind is not None:
        if exists_ok:
            return Result.status(f"{target[2]} already exists, statement succeeded.")
        if not replace or source == target or kind != "TABLE":
            raise error.already_exists(".".join(target))
        instance.access.require(session, "TABLE", target, "OWNERSHIP")
    if not (transient or empty) and is_transient(instance.registry.objects.get(("TABLE", source), "")):
        raise error.not_permanent()

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        if kind is not None:
            connection.execute(f"DROP TABLE {quote_name(target)}")
            relation.forget_loads(connection, target)
        relation.copy_table(connection, source, target, sql, empty=empty)

    written = f"CREATE {'TRANSIENT ' if transient else ''}TABLE {quote_name(target)}"
    steps = [step("created", kind="TABLE", name=target, role=session.role, definition=written)]
    steps += [step("copy_description", source=source, target=target)]
    if keep:
        steps += [step("copy_table_grants", source=source, target=target, grantor=session.role)]
    relation.change(session, target[0], work, *steps)
    return Result.status(f"Table {target[2]} successfully created.")


# DROP --------------------------------------------------------------------------------------------------------------


def handle_drop(cursor: Cursor, reader: Reader) -> Result | None:
    """Run DROP DATABASE, SCHEMA, TABLE and VIEW; returns None for any other DROP."""
    reader.expect("DROP")
    kind = reader.take_any("DATABASE", "SCHEMA", "TABLE", "VIEW", "MATERIALIZED VIEW", "DYNAMIC TABLE")
    if not kind or (kind == "DATABASE" and reader.peek() == "ROLE"):
        return None
    missing_ok = reader.take("IF", "EXISTS")
    name, session = reader.name(), cursor.session
    if kind == "DATABASE":
        return _drop_database(session, name[0], missing_ok=missing_ok)
    if kind == "SCHEMA":
        return _drop_schema(session, session.schema_name(name, "DROP SCHEMA"), missing_ok=missing_ok)
    word = "VIEW" if kind == "MATERIALIZED VIEW" else kind.split()[-1]
    return _drop_relation(session, word, session.object_name(name, f"DROP {word}"), missing_ok=missing_ok)


def _already_dropped(name: str) -> Result:
    return Result.status(f"Drop statement executed successfully ({name} already dropped).")


def _drop_database(session: Session, name: str, *, missing_ok: bool) -> Result:
    instance = session.instance
    if name not in instance.registry.databases:
        if missing_ok:
            return _already_dropped(name)
        raise error.missing("Database", name)
    instance.access.require(session, "DATABASE", (name,), "OWNERSHIP")
    if session.database == name:
        session.leave()
    file = instance.registry.remove_database(name)
    instance.detach(name)
    instance.delete_file(file)
    return Result.status(f"{name} successfully dropped.")


def _drop_schema(session: Session, name: Name, *, missing_ok: bool) -> Result:
    instance = session.instance
    if not instance.has_schema(name):
        if missing_ok and name[0] in instance.registry.databases:
            return _already_dropped(name[1])
        raise error.missing("Schema", ".".join(name))
    instance.access.require(session, "SCHEMA", name, "OWNERSHIP")

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(f"DROP SCHEMA {quote_name(name)} CASCADE")
        relation.forget_loads(connection, name)

    relation.change(session, name[0], work, step("forget", name=name))
    if (session.database, session.schema) == name:
        session._schema, session.schema_set = None, False
        session.point()
    return Result.status(f"{name[1]} successfully dropped.")


def _drop_relation(session: Session, kind: str, name: Name, *, missing_ok: bool) -> Result:
    if name in session.temporary:
        held = session.temporary[name]
        session._duck_conn.execute(f"DROP {held} {session.stored_name(name)}")
        del session.temporary[name]
        return Result.status(f"{name[2]} successfully dropped.")
    found = session.instance.relation_kind(name)
    if found is None:
        if missing_ok:
            return _already_dropped(name[2])
        raise error.missing(kind.capitalize(), ".".join(name))
    if found != kind:
        raise error.syntax(f"Object found is of type '{found}', not specified type '{kind}'.")
    session.instance.access.require(session, kind, name, "OWNERSHIP")

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(f"DROP {kind} {quote_name(name)}")
        if kind == "TABLE":
            relation.forget_loads(connection, name)

    relation.change(session, name[0], work, step("forget", name=name))
    return Result.status(f"{name[2]} successfully dropped.")


def handle_undrop(cursor: Cursor, reader: Reader) -> Result | None:
    """Refuse UNDROP."""
    raise error.unsupported("time travel (UNDROP)")
