"""Tables and views as DuckDB keeps them: reading their definitions, copying them, and doing so in one transaction.

Rules:
- DuckDB cannot move a table to another schema, so it is made there anew and its rows are copied;
- DuckDB leaves the name of a view's own database out of its text. Snowflake does not: where a view was written with
  that name, a clone or a swapped database goes on reading the database of that name;
- which files were loaded into a table is kept in its database, under the table's name, and follows it.
"""

from __future__ import annotations

import contextlib
import functools
import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import duckdb
import sqlglot
from sqlglot import exp

from slipway.sandbox.snowflake import error, resolution
from slipway.sandbox.snowflake.intent import MARKS, Step
from slipway.sandbox.snowflake.reader import Name, literal, quote, quote_name

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.session import Session

CONFLICT_TRIES = 20
_IDENTIFIER = r'(?:"(?:[^"]|"")+"|[^\s."(]+)'
_HEAD = re.compile(rf"CREATE (?:TABLE|VIEW) (?:{_IDENTIFIER}\.)*{_IDENTIFIER}\s*", re.IGNORECASE)


# needing -----------------------------------------------------------------------------------------------------------


def need_database(session: Session, name: str) -> None:
    if name not in session.instance.registry.databases:
        raise error.missing("Database", name)


def need_schema(session: Session, name: Name) -> None:
    if not session.instance.has_schema(name):
        raise error.missing("Schema", ".".join(name))


# transactions ------------------------------------------------------------------------------------------------------


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
            _roll_back(connection)
            if not error.is_conflict(failure) or attempt == CONFLICT_TRIES - 1:
                raise
        time.sleep(0.01 * (attempt + 1))


def _roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    """End the transaction, however often a timeout says to stop; a failed COMMIT has rolled back already."""
    with contextlib.suppress(duckdb.TransactionException):
        try:
            connection.execute("ROLLBACK")
        except duckdb.InterruptException:
            connection.execute("ROLLBACK")


def change(session: Session, database: str, work: Callable[[duckdb.DuckDBPyConnection], None], *steps: Step) -> None:
    """Run `work` in one transaction of a database, then the steps on the registry: both, or after a kill neither."""
    intents = session.instance.registry.intents
    token = intents.begin(database, steps)

    def marked(connection: duckdb.DuckDBPyConnection) -> None:
        work(connection)
        connection.execute(f"INSERT INTO {quote(database)}.{MARKS} VALUES (?)", [token])

    try:
        atomically(session, marked)
    except BaseException:
        intents.drop(token)
        raise
    intents.fulfil(token, steps)


def run(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Run one DuckDB statement, as work for `atomically`."""
    connection.execute(sql)


def databases_behind(session: Session, names: Sequence[Name]) -> set[str]:
    """Return the databases a statement over `names` reads, those behind views included."""
    return {name[0] for name in _behind(session, names)}


def tables_behind(session: Session, view: Name) -> set[Name]:
    """Return the tables a view reads, directly or through other views."""
    return {name for name in _behind(session, [view]) if session.instance.relation_kind(name) == "TABLE"}


def _behind(session: Session, names: Sequence[Name]) -> set[Name]:
    """Return `names` and what is behind those that are views."""
    seen: set[Name] = set()
    waiting = [name for name in names if name not in session.temporary]
    while waiting:
        name = waiting.pop()
        if name in seen or len(name) != 3:
            continue
        seen.add(name)
        if session.instance.relation_kind(name) == "VIEW":
            waiting += read_by(session, name)
    return seen


def read_by(session: Session, view: Name) -> tuple[Name, ...]:
    """Return the tables and views a view names."""
    registry = session.instance.registry

    def look_up(view: Name) -> tuple[Name, ...]:
        rows = registry.query(
            "SELECT sql FROM duckdb_views() WHERE database_name = ? AND schema_name = ? AND view_name = ?", view
        )
        return tuple(
            (table.catalog or view[0], table.db or view[1], table.name)
            for (sql,) in rows
            for table in sqlglot.parse_one(sql, read="duckdb").find_all(exp.Table)
        )

    return registry.inventory.read_by(view, look_up)


# copying -----------------------------------------------------------------------------------------------------------


def table_sql(session: Session, name: Name) -> str:
    rows = session.instance.registry.query(
        "SELECT sql FROM duckdb_tables() WHERE database_name = ? AND schema_name = ? AND table_name = ?", name
    )
    if not rows:
        raise error.missing("Table", ".".join(name))
    return str(rows[0][0])


def tables_of(connection: duckdb.DuckDBPyConnection, schema: Name) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = connection.execute(
        "SELECT table_name, sql FROM duckdb_tables() WHERE database_name = ? AND schema_name = ? ORDER BY table_oid",
        list(schema),
    ).fetchall()
    return found


def views_of(connection: duckdb.DuckDBPyConnection, schema: Name) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = connection.execute(
        "SELECT view_name, sql FROM duckdb_views() WHERE NOT internal AND database_name = ? AND schema_name = ? "
        "ORDER BY view_oid",
        list(schema),
    ).fetchall()
    return found


def copy_table(
    connection: duckdb.DuckDBPyConnection, source: Name, target: Name, sql: str, *, empty: bool = False
) -> None:
    """Create `target` with the columns, defaults and constraints of `source`, and (unless `empty`) its rows."""
    connection.execute(f"CREATE TABLE {quote_name(target)} {body_of(sql)}")
    if empty:
        return
    connection.execute(f"INSERT INTO {quote_name(target)} SELECT * FROM {quote_name(source)}")


def copy_tables(connection: duckdb.DuckDBPyConnection, source: Name, target: Name) -> None:
    for name, sql in tables_of(connection, source):
        copy_table(connection, (*source, name), (*target, name), sql)


def views_as_written(session: Session, connection: duckdb.DuckDBPyConnection, schema: Name) -> list[tuple[str, str]]:
    """Return the views of a schema; what they name with their own database keeps that name in a clone."""
    definitions = session.instance.registry.objects
    views = []
    for name, sql in views_of(connection, schema):
        definition = definitions.get(("VIEW", (*schema, name)), "")
        views.append((name, with_names(sql, definition, schema[0]) if names_itself(definition, schema[0]) else sql))
    return views


def copy_views(connection: duckdb.DuckDBPyConnection, source: Name, target: Name) -> None:
    make_views(connection, target, views_of(connection, source))


def make_views(connection: duckdb.DuckDBPyConnection, schema: Name, views: Sequence[tuple[str, str]]) -> None:
    """Create views in an order in which each finds what it reads; raises when one reads what is not there."""
    waiting = list(views)
    if waiting:  # DuckDB leaves out the name of a view's own database, and finds such names where the session stands
        connection.execute(f"SET schema = {literal(quote_name(schema))}")
    while waiting:
        ready = [
            view for view in waiting if not _reads(view[1], schema, [name for name, _ in waiting if name != view[0]])
        ]
        for name, sql in ready or waiting:
            connection.execute(f"CREATE VIEW {quote_name((*schema, name))} {body_of(sql)}")
        waiting = [view for view in waiting if view not in ready] if ready else []


def _reads(sql: str, schema: Name, names: Sequence[str]) -> bool:
    """Tell whether a view reads one of `names` in its own schema."""
    for table in sqlglot.parse_one(sql, read="duckdb").find_all(exp.Table):
        same = (not table.db or table.db == schema[1]) and (not table.catalog or table.catalog == schema[0])
        if same and table.name in names:
            return True
    return False


# the names in views ------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=2000)
def names_itself(definition: str, database: str) -> tuple[tuple[str, str], ...]:
    """Return (schema, name) of what a view reads in `database` and names with its database."""
    if database.upper() not in definition.upper():
        return ()
    parsed = resolution.normalize(sqlglot.parse_one(definition, read="snowflake"))
    target = resolution.target_of(parsed)
    return tuple(
        (table.db, table.name)
        for table in parsed.find_all(exp.Table)
        if table is not target and table.catalog == database
    )


def with_names(sql: str, definition: str, database: str) -> str:
    """Return a view's DuckDB text with the database written where its definition writes it."""
    parsed = sqlglot.parse_one(sql, read="duckdb")
    named = names_itself(definition, database)
    for table in parsed.find_all(exp.Table):
        if not table.catalog and (table.db, table.name) in named:
            table.set("catalog", exp.to_identifier(database, quoted=True))
    return parsed.sql(dialect="duckdb", identify=True)


def body_of(sql: str) -> str:
    """Return what follows the name in DuckDB's CREATE TABLE or CREATE VIEW."""
    head = _HEAD.match(sql)
    if head is None:
        raise error.unsupported(f"copying {sql[:80]}")
    return sql[head.end() :].rstrip(";")


# the memory of loads -----------------------------------------------------------------------------------------------


def forget_loads(connection: duckdb.DuckDBPyConnection, name: Name) -> None:
    """Forget which files were loaded into a table, or into the tables of a schema, that is dropped or replaced."""
    where = " AND ".join(f"{column} = ?" for column in ("schema_name", "table_name")[: len(name) - 1])
    connection.execute(f"DELETE FROM {_loads(name)} WHERE {where}", list(name[1:]))


def move_loads(connection: duckdb.DuckDBPyConnection, old: Name, new: Name, *, swap: bool) -> None:
    """Let the memory of loaded files follow a table or schema."""
    aside: Name = (*old[:-1], "\x01aside")
    columns = ("schema_name", "table_name")[: len(old) - 1]
    sets, tests = ", ".join(f"{c} = ?" for c in columns), " AND ".join(f"{c} = ?" for c in columns)
    for source, target in ((old, aside), (new, old), (aside, new)) if swap else ((old, new),):
        connection.execute(f"UPDATE {_loads(old)} SET {sets} WHERE {tests}", [*target[1:], *source[1:]])


def _loads(name: Name) -> str:
    return f"{quote(name[0])}._fs_information_schema._fs_load_history"
