"""DESCRIBE TABLE, VIEW, SCHEMA, DATABASE, USER, STREAM and TASK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.sandbox.snowflake import error, procedure, stream, task
from slipway.sandbox.snowflake.listing import table
from slipway.sandbox.snowflake.reader import Name, Reader
from slipway.sandbox.snowflake.result import Result
from slipway.sandbox.snowflake.store import GLOBAL

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.cursor import Cursor
    from slipway.sandbox.snowflake.session import Session


def handle_describe(cursor: Cursor, reader: Reader) -> Result | None:
    """Run DESCRIBE of an object; returns None for the description of a query."""
    reader.position = 1
    kind = reader.take_any("TABLE", "VIEW", "SCHEMA", "DATABASE", "USER", "STREAM", "TASK", "PROCEDURE")
    session, instance = cursor.session, cursor.session.instance
    if kind in ("SCHEMA", "DATABASE"):
        return _describe_container(session, kind, reader.name())
    if kind == "USER":
        return _describe_user(session, reader.name()[0])
    if kind == "PROCEDURE":
        return procedure.describe(session, reader)
    if kind in ("STREAM", "TASK"):
        name = session.object_name(reader.name(), "DESCRIBE")
        return stream.describe(session, name) if kind == "STREAM" else task.describe(session, name)
    if not kind and reader.peek() in ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "("):
        return None
    name = session.object_name(reader.name(), "DESCRIBE")
    if not reader.at_end:
        raise error.unsupported(f"DESCRIBE {' '.join(reader.words[1:])}"[:80])
    if name[1] == "INFORMATION_SCHEMA":
        raise error.unsupported("DESCRIBE of an INFORMATION_SCHEMA view")
    if name not in session.temporary and instance.relation_kind(name) is None:
        raise error.missing(kind.capitalize() or "Table", ".".join(name))
    instance.access.require(session, "TABLE", name)
    rows = _described(cursor, name)
    return table(
        "name|type|kind|null?|default|primary key|unique key|check|expression|comment|policy name|privacy domain", rows
    )


def _described(cursor: Cursor, name: Name) -> list[tuple[Any, ...]]:
    session = cursor.session
    stored: Name = ("temp", "main", ".".join(name)) if name in session.temporary else name
    rows = session._duck_conn.execute(
        "SELECT c.column_name, c.data_type, c.is_nullable, c.column_default, c.comment, x.ext_character_maximum_length "
        f"FROM duckdb_columns() c LEFT JOIN {GLOBAL}._fs_information_schema._fs_columns_ext x "
        "ON x.ext_table_catalog = c.database_name AND x.ext_table_schema = c.schema_name "
        "AND x.ext_table_name = c.table_name AND x.ext_column_name = c.column_name "
        "WHERE c.database_name = ? AND c.schema_name = ? AND c.table_name = ? ORDER BY c.column_index",
        list(stored),
    ).fetchall()
    return [
        (r[0], snowflake_type(r[1], r[5]), "COLUMN", "Y" if r[2] else "N", r[3], "N", "N", None, None, r[4], None, None)
        for r in rows
    ]


def snowflake_type(kind: str, length: int | None) -> str:
    """Return the Snowflake spelling of a DuckDB column type."""
    if kind.startswith("DECIMAL"):
        return kind.replace("DECIMAL", "NUMBER")
    if kind == "VARCHAR":
        return f"VARCHAR({length or 16777216})"
    if kind in ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "HUGEINT", "UBIGINT", "UINTEGER"):
        return "NUMBER(38,0)"
    if kind in ("DOUBLE", "FLOAT"):
        return "FLOAT"
    if kind.startswith("TIMESTAMP"):
        return "TIMESTAMP_TZ(9)" if kind.endswith("ZONE") else "TIMESTAMP_NTZ(9)"
    known = {"TIME": "TIME(9)", "BLOB": "BINARY(8388608)", "JSON": "VARIANT"}
    return known.get(kind, "ARRAY" if kind.endswith("[]") else kind)


def _describe_container(session: Session, kind: str, name: Name) -> Result:
    instance = session.instance
    if kind == "DATABASE":
        if name[0] not in instance.registry.databases:
            raise error.missing("Database", name[0])
        instance.access.require(session, "DATABASE", name[:1])
        return table("created_on:t|name|kind", [(None, schema, "SCHEMA") for schema in instance.schemas(name[0])])
    whole = session.schema_name(name)
    if not instance.has_schema(whole):
        raise error.missing("Schema", ".".join(whole))
    instance.access.require(session, "SCHEMA", whole)
    return table("created_on:t|name|kind", [(None, n[2], k) for k, n in instance.relations(whole)])


def _describe_user(session: Session, user: str) -> Result:
    registry = session.instance.registry
    if ("USER", (user,)) not in registry.objects:
        raise error.missing("User", user)
    keys = registry.user_keys.get(user, ())
    rows = [
        ("NAME", user, None, "Name"),
        ("DEFAULT_ROLE", session.instance.access.default_role(user), None, "Primary principal of the session"),
        ("RSA_PUBLIC_KEY", keys[0] if keys else None, None, "RSA public key of the user"),
        ("RSA_PUBLIC_KEY_2", keys[1] if len(keys) > 1 else None, None, "Second RSA public key of the user"),
    ]
    return table("property|value|default|description", rows)
