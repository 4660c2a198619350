"""Databases and schemas as wholes, and moving tables: create, clone, swap, rename and drop.

Rules:
- what detaches a database (drop, swap, rename, replace) waits for running statements and holds the gate alone;
- a swap or rename of databases is one update of the registry; of schemas and tables one DuckDB transaction;
- names, grants, comments and lengths follow swaps and renames; a clone copies the grants on what it contains, not those on
  itself (https://docs.snowflake.com/en/user-guide/object-clone#access-control-privileges-for-cloned-objects).
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import duckdb
import sqlglot
from sqlglot import exp

from slipway.sandbox.snowflake import error
from slipway.sandbox.snowflake.reader import Name, Reader, literal, quote, quote_name
from slipway.sandbox.snowflake.result import Result

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.cursor import Cursor
    from slipway.sandbox.snowflake.session import Session

CONFLICT_TRIES = 20
_SWAP_SCHEMA = "_FS_SWAP"
_IDENTIFIER = r'(?:"(?:[^"]|"")+"|[^\s."(]+)'
_HEAD = re.compile(rf"CREATE (?:TABLE|VIEW) (?:{_IDENTIFIER}\.)*{_IDENTIFIER}\s*", re.IGNORECASE)


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


def databases_behind(session: Session, names: Sequence[Name]) -> set[str]:
    """Return the databases a statement over `names` reads, those behind views included."""
    found, seen, waiting = set(), set(), [name for name in names if name not in session.temporary]
    while waiting:
        name = waiting.pop()
        if name in seen or len(name) != 3:
            continue
        seen.add(name)
        found.add(name[0])
        rows = session.instance.registry.query(
            "SELECT sql FROM duckdb_views() WHERE database_name = ? AND schema_name = ? AND view_name = ?", name
        )
        for (sql,) in rows:
            for table in sqlglot.parse_one(sql, read="duckdb").find_all(exp.Table):
                waiting.append((table.catalog or name[0], table.db or name[1], table.name))
    return found


def atomically(session: Session, work: Callable[[duckdb.DuckDBPyConnection], None]) -> None:
    """Run `work` in one DuckDB transaction; tried again when another transaction changed the same names first."""
    connection = session._duck_conn
    for attempt in range(CONFLICT_TRIES):
        connection.execute("BEGIN")
        try:
            work(connection)
            connection.execute("COMMIT")
            session.point()
            return
        except BaseException as failure:
            with contextlib.suppress(duckdb.TransactionException):  # a failed COMMIT has rolled back
                connection.execute("ROLLBACK")
            if not error.is_conflict(failure) or attempt == CONFLICT_TRIES - 1:
                raise
        time.sleep(0.01 * (attempt + 1))


# CREATE ------------------------------------------------------------------------------------------------------------


def handle_create(cursor: Cursor, reader: Reader) -> Result | None:
    """Run CREATE DATABASE, CREATE SCHEMA and CREATE TABLE .. CLONE; returns None for any other CREATE."""
    reader.expect("CREATE")
    replace = reader.take("OR", "REPLACE")
    while reader.take_any("TRANSIENT", "TEMPORARY", "TEMP", "LOCAL", "GLOBAL"):
        pass
    kind = reader.take_any("DATABASE", "SCHEMA", "TABLE", "VIEW")
    if not kind or (kind == "DATABASE" and reader.peek() == "ROLE"):
        return None
    exists_ok = reader.take("IF", "NOT", "EXISTS")
    name = reader.name()
    source = reader.name() if reader.take("CLONE") else None
    if source and reader.peek() in ("AT", "BEFORE"):
        raise error.unsupported("time travel (CLONE .. AT | BEFORE)")
    session = cursor.session
    if kind == "DATABASE":
        return _create_database(session, name[0], source and source[0], replace=replace, exists_ok=exists_ok, reader=reader)
    if kind == "SCHEMA":
        whole = session.schema_name(name, "CREATE SCHEMA")
        origin = session.schema_name(source, "CREATE SCHEMA") if source else None
        return _create_schema(session, whole, origin, replace=replace, exists_ok=exists_ok, reader=reader)
    if source is None:
        return None
    if kind == "VIEW":
        raise error.syntax("unexpected 'CLONE': a view cannot be cloned.")
    target, origin = session.object_name(name, "CREATE TABLE"), session.object_name(source, "CREATE TABLE")
    temporary = any(word in ("TEMPORARY", "TEMP") for word in reader.words[:5])
    if temporary:
        raise error.unsupported("CREATE TEMPORARY TABLE .. CLONE")
    return _clone_table(session, origin, target, replace=replace, exists_ok=exists_ok, keep="GRANTS" in reader.words)


def _create_database(
    session: Session, name: str, source: str | None, *, replace: bool, exists_ok: bool, reader: Reader
) -> Result:
    instance, registry = session.instance, session.instance.registry
    instance.access.require_account(session, "CREATE DATABASE")
    if source is not None:
        _need_database(session, source)
        instance.access.require(session, "DATABASE", (source,), "USAGE")
    if name in registry.databases:
        if exists_ok:
            return Result.status(f"{name} already exists, statement succeeded.")
        if not replace:
            raise error.already_exists(name)
        instance.access.require(session, "DATABASE", (name,), "OWNERSHIP")
    file, old = registry.add_database(name, replace=replace)
    if old is not None:
        instance.detach(name)
        instance.delete_file(old)
    instance.attach(name, file)
    registry.created("DATABASE", (name,), session.role)
    registry.created("SCHEMA", (name, "PUBLIC"), session.role)
    if source is not None:
        _clone_database(session, source, name)
    _comment_container(session, (name,), reader)
    session.choose(name, None)
    return Result.status(f"Database {name} successfully created.")


def _clone_database(session: Session, source: str, target: str) -> None:
    def work(connection: duckdb.DuckDBPyConnection) -> None:
        for schema in session.instance.schemas(source):
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote_name((target, schema))}")
            _copy_tables(connection, (source, schema), (target, schema))
        for schema in session.instance.schemas(source):
            _copy_views(connection, (source, schema), (target, schema))

    atomically(session, work)
    session.instance.registry.cloned((source,), (target,))


def _create_schema(
    session: Session, name: Name, source: Name | None, *, replace: bool, exists_ok: bool, reader: Reader
) -> Result:
    instance = session.instance
    _need_database(session, name[0])
    instance.access.require_creation(session, "SCHEMA", name[:1])
    if source is not None:
        _need_schema(session, source)
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
        connection.execute(f"CREATE SCHEMA {quote_name(name)}")
        if source is not None:
            _copy_tables(connection, source, name)
            _copy_views(connection, source, name)

    atomically(session, work)
    if replace:
        instance.registry.forget(name)
    instance.registry.created("SCHEMA", name, session.role)
    if source is not None:
        instance.registry.cloned(source, name)
    _comment_container(session, name, reader)
    session.choose(*name)
    return Result.status(f"Schema {name[1]} successfully created.")


def _comment_container(session: Session, name: Name, reader: Reader) -> None:
    comment = reader.string_after("COMMENT")
    if comment is not None:
        session.instance.registry.set_comment(name, comment)


def _clone_table(
    session: Session, source: Name, target: Name, *, replace: bool, exists_ok: bool, keep: bool
) -> Result:
    instance = session.instance
    instance.access.require(session, "TABLE", source, "SELECT")
    instance.access.require_creation(session, "TABLE", target[:2])
    _need_schema(session, target[:2])
    sql = _table_sql(session, source)
    kind = instance.relation_kind(target)
    if kind is not None:
        if exists_ok:
            return Result.status(f"{target[2]} already exists, statement succeeded.")
        if not replace or source == target or kind != "TABLE":
            raise error.already_exists(".".join(target))
        instance.access.require(session, "TABLE", target, "OWNERSHIP")

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        if kind is not None:
            connection.execute(f"DROP TABLE {quote_name(target)}")
        _copy_table(connection, source, target, sql)

    atomically(session, work)
    instance.registry.created("TABLE", target, session.role)
    instance.registry.copy_description(source, target)
    if keep:
        copied = [g for g in instance.registry.grants_on("TABLE", source) if g.privilege != "OWNERSHIP"]
        instance.registry.copy_grants(copied, target, grantor=session.role)
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
    atomically(session, lambda connection: _run(connection, f"DROP SCHEMA {quote_name(name)} CASCADE"))
    instance.registry.forget(name)
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
    atomically(session, lambda connection: _run(connection, f"DROP {kind} {quote_name(name)}"))
    session.instance.registry.forget(name)
    return Result.status(f"{name[2]} successfully dropped.")


def handle_undrop(cursor: Cursor, reader: Reader) -> Result | None:
    """Refuse UNDROP."""
    raise error.unsupported("time travel (UNDROP)")


def _run(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    connection.execute(sql)


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
    _need_database(session, old)
    instance.access.require(session, "DATABASE", (old,), "OWNERSHIP")
    if swap:
        _need_database(session, new)
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
    if not swap:
        for other in list(instance.sessions):
            if other.database == old:
                other.database = new
                other.point()
    return Result.status()


def _move_schema(session: Session, old: Name, new: Name, *, swap: bool) -> Result:
    _need_schema(session, old)
    session.instance.access.require(session, "SCHEMA", old, "OWNERSHIP")
    if swap:
        _need_schema(session, new)
        session.instance.access.require(session, "SCHEMA", new, "OWNERSHIP")
    elif session.instance.has_schema(new):
        raise error.already_exists(".".join(new))
    if old[0] != new[0]:
        raise error.unsupported("moving a schema to another database")
    if old == new:
        raise error.syntax("A schema cannot be swapped with itself.")
    atomically(session, lambda connection: _exchange(connection, old, new, swap=swap))
    session.instance.registry.move(old, new, swap=swap)
    if not swap and (session.database, session.schema) == old:
        session.choose(*new)
    return Result.status()


def _exchange(connection: duckdb.DuckDBPyConnection, old: Name, new: Name, *, swap: bool) -> None:
    aside = (old[0], _SWAP_SCHEMA)
    if not swap:
        connection.execute(f"CREATE SCHEMA {quote_name(new)}")
    views = {old: _views(connection, old), new: _views(connection, new)}
    for schema, held in views.items():
        for name, _ in held:
            connection.execute(f"DROP VIEW {quote_name((*schema, name))}")
    tables = {old: _tables(connection, old), new: _tables(connection, new)}
    if tables[old] and tables[new]:
        connection.execute(f"CREATE SCHEMA {quote_name(aside)}")
        _move_tables(connection, new, aside, tables[new])
        _move_tables(connection, old, new, tables[old])
        _move_tables(connection, aside, old, tables[new])
        connection.execute(f"DROP SCHEMA {quote_name(aside)}")
    else:
        _move_tables(connection, old, new, tables[old])
        _move_tables(connection, new, old, tables[new])
    _make_views(connection, new, views[old])
    _make_views(connection, old, views[new])
    if not swap:
        connection.execute(f"DROP SCHEMA {quote_name(old)}")


def _move_tables(
    connection: duckdb.DuckDBPyConnection, source: Name, target: Name, tables: Sequence[tuple[str, str]]
) -> None:
    for name, sql in tables:
        _copy_table(connection, (*source, name), (*target, name), sql)
        connection.execute(f"DROP TABLE {quote_name((*source, name))}")


def _swap_tables(session: Session, old: Name, new: Name) -> Result:
    definitions = {name: _table_sql(session, name) for name in (old, new)}
    for name in (old, new):
        session.instance.access.require(session, "TABLE", name, "OWNERSHIP")
    aside = (*old[:2], "_FS_SWAP")

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        if old[:2] == new[:2]:
            for source, target in ((old, aside), (new, old), (aside, new)):
                connection.execute(f"ALTER TABLE {quote_name(source)} RENAME TO {quote(target[2])}")
            return
        for source, target, sql in ((old, aside, definitions[old]), (new, old, definitions[new]), (aside, new, definitions[old])):
            _copy_table(connection, source, target, sql)
            connection.execute(f"DROP TABLE {quote_name(source)}")

    atomically(session, work)
    session.instance.registry.move(old, new, swap=True)
    return Result.status()


def _rename_relation(session: Session, kind: str, old: Name, new: Name) -> Result:
    instance = session.instance
    found = instance.relation_kind(old)
    if found is None:
        raise error.missing("Object", ".".join(old))
    instance.access.require(session, found, old, "OWNERSHIP")
    _need_schema(session, new[:2])
    if instance.relation_kind(new) is not None:
        raise error.already_exists(".".join(new))

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        if old[:2] == new[:2]:
            connection.execute(f"ALTER {found} {quote_name(old)} RENAME TO {quote(new[2])}")
        elif found == "TABLE":
            _copy_table(connection, old, new, _table_sql(session, old))
            connection.execute(f"DROP TABLE {quote_name(old)}")
        else:
            moved = [(new[2], sql) for name, sql in _views(connection, old[:2]) if name == old[2]]
            connection.execute(f"DROP VIEW {quote_name(old)}")
            _make_views(connection, new[:2], moved)

    atomically(session, work)
    instance.registry.move(old, new, swap=False)
    return Result.status()


# copying -----------------------------------------------------------------------------------------------------------


def _need_database(session: Session, name: str) -> None:
    if name not in session.instance.registry.databases:
        raise error.missing("Database", name)


def _need_schema(session: Session, name: Name) -> None:
    if not session.instance.has_schema(name):
        raise error.missing("Schema", ".".join(name))


def _table_sql(session: Session, name: Name) -> str:
    rows = session.instance.registry.query(
        "SELECT sql FROM duckdb_tables() WHERE database_name = ? AND schema_name = ? AND table_name = ?", name
    )
    if not rows:
        raise error.missing("Table", ".".join(name))
    return str(rows[0][0])


def _tables(connection: duckdb.DuckDBPyConnection, schema: Name) -> list[tuple[str, str]]:
    return connection.execute(
        "SELECT table_name, sql FROM duckdb_tables() WHERE database_name = ? AND schema_name = ? ORDER BY table_oid",
        list(schema),
    ).fetchall()


def _views(connection: duckdb.DuckDBPyConnection, schema: Name) -> list[tuple[str, str]]:
    return connection.execute(
        "SELECT view_name, sql FROM duckdb_views() WHERE NOT internal AND database_name = ? AND schema_name = ? "
        "ORDER BY view_oid",
        list(schema),
    ).fetchall()


def _copy_table(connection: duckdb.DuckDBPyConnection, source: Name, target: Name, sql: str) -> None:
    """Create `target` with the columns, defaults and constraints of `source`, and its rows."""
    head = _HEAD.match(sql)
    assert head is not None, sql
    connection.execute(f"CREATE TABLE {quote_name(target)} {sql[head.end() :]}")
    connection.execute(f"INSERT INTO {quote_name(target)} SELECT * FROM {quote_name(source)}")


def _copy_tables(connection: duckdb.DuckDBPyConnection, source: Name, target: Name) -> None:
    for name, sql in _tables(connection, source):
        _copy_table(connection, (*source, name), (*target, name), sql)


def _copy_views(connection: duckdb.DuckDBPyConnection, source: Name, target: Name) -> None:
    _make_views(connection, target, _views(connection, source))


def _make_views(connection: duckdb.DuckDBPyConnection, schema: Name, views: Sequence[tuple[str, str]]) -> None:
    """Create views in an order in which each finds what it reads; raises when one reads what is not there."""
    waiting = list(views)
    if waiting:  # DuckDB leaves out the name of a view's own database, and finds such names where the session stands
        connection.execute(f"SET schema = {literal(quote_name(schema))}")
    while waiting:
        ready = [view for view in waiting if not _reads(view[1], schema, [name for name, _ in waiting if name != view[0]])]
        for name, sql in ready or waiting:
            head = _HEAD.match(sql)
            assert head is not None, sql
            connection.execute(f"CREATE VIEW {quote_name((*schema, name))} {sql[head.end() :].rstrip(';')}")
        waiting = [view for view in waiting if view not in ready] if ready else []


def _reads(sql: str, schema: Name, names: Sequence[str]) -> bool:
    """Tell whether a view reads one of `names` in its own schema."""
    for table in sqlglot.parse_one(sql, read="duckdb").find_all(exp.Table):
        same = (not table.db or table.db == schema[1]) and (not table.catalog or table.catalog == schema[0])
        if same and table.name in names:
            return True
    return False
