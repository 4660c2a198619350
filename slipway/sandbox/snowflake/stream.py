"""Streams as objects of the catalog: CREATE, ALTER, DROP, SHOW and DESCRIBE. Their rows cannot be read here.

https://docs.snowflake.com/en/sql-reference/sql/create-stream
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from slipway.sandbox.snowflake import error, option, relation
from slipway.sandbox.snowflake.listing import Filter, kept, table
from slipway.sandbox.snowflake.reader import Name, Reader
from slipway.sandbox.snowflake.result import Result

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.cursor import Cursor
    from slipway.sandbox.snowflake.session import Session

_SETTINGS = frozenset({"APPEND_ONLY", "SHOW_INITIAL_ROWS", "COMMENT"})
_SOURCES = {"TABLE": "Table", "VIEW": "View"}
_DAYS = 14  # that an unread stream is kept from becoming stale: MAX_DATA_EXTENSION_TIME_IN_DAYS


def handle_create(cursor: Cursor, reader: Reader) -> Result | None:
    """Run CREATE STREAM .. ON TABLE | VIEW; returns None for any other CREATE."""
    reader.expect("CREATE")
    replace = reader.take("OR", "REPLACE")
    if not reader.take("STREAM"):
        return None
    exists_ok = reader.take("IF", "NOT", "EXISTS")
    session, registry = cursor.session, cursor.session.instance.registry
    name = session.object_name(reader.name(), "CREATE STREAM")
    keep = reader.take("COPY", "GRANTS")
    if reader.peek() == "CLONE":
        raise error.unsupported("CREATE STREAM .. CLONE")
    definition = _definition(session, reader)
    relation.need_schema(session, name[:2])
    session.instance.access.require_creation(session, "STREAM", name[:2])
    if ("STREAM", name) in registry.objects:
        if exists_ok:
            return Result.status(f"{name[2]} already exists, statement succeeded.")
        if not replace:
            raise error.already_exists(".".join(name))
        session.instance.access.require(session, "STREAM", name, "OWNERSHIP")
    elif session.instance.relation_kind(name) is not None:
        raise error.already_exists(".".join(name))
    registry.created("STREAM", name, session.role, keep_grants=keep, definition=json.dumps(definition))
    return Result.status(f"Stream {name[2]} successfully created.")


def _definition(session: Session, reader: Reader) -> dict[str, Any]:
    reader.expect("ON")
    kind = reader.take_any("TABLE", "VIEW")
    if not kind:
        raise error.unsupported(f"CREATE STREAM .. ON {reader.peek()}")
    source = session.object_name(reader.name(), "CREATE STREAM")
    if reader.peek() in ("AT", "BEFORE"):
        raise error.unsupported("time travel (CREATE STREAM .. AT | BEFORE)")
    if source in session.temporary:
        raise error.unsupported("streams on temporary tables")
    if session.instance.relation_kind(source) != kind:
        raise error.missing(_SOURCES[kind], ".".join(source))
    session.instance.access.require(session, kind, source, "SELECT")
    settings = option.read_options(reader)
    option.refuse_unknown(settings, _SETTINGS, "STREAM")
    appended = option.flag(settings, "APPEND_ONLY", default=False)
    option.flag(settings, "SHOW_INITIAL_ROWS", default=False)
    return {
        "source": source,
        "kind": kind,
        "tables": [source] if kind == "TABLE" else sorted(relation.tables_behind(session, source)),
        "mode": "APPEND_ONLY" if appended else "DEFAULT",
        "comment": option.text(settings, "COMMENT"),
        "stale": False,
    }


def handle_alter(cursor: Cursor, reader: Reader) -> Result | None:
    """Run ALTER STREAM .. SET | UNSET COMMENT; returns None for any other ALTER."""
    reader.expect("ALTER")
    if not reader.take("STREAM"):
        return None
    missing_ok = reader.take("IF", "EXISTS")
    name, registry = cursor.session.object_name(reader.name(), "ALTER STREAM"), cursor.session.instance.registry
    if missing_ok and ("STREAM", name) not in registry.objects:
        return Result.status()
    facts = need(cursor.session, name)
    cursor.session.instance.access.require(cursor.session, "STREAM", name, "OWNERSHIP")
    if reader.take("SET"):
        settings = option.read_options(reader)
        option.refuse_unknown(settings, frozenset({"COMMENT"}), "ALTER STREAM .. SET")
        facts["comment"] = option.text(settings, "COMMENT")
    else:
        reader.expect("UNSET", "COMMENT")
        facts["comment"] = ""
    registry.redefine({("STREAM", name): json.dumps(facts)})
    return Result.status()


def need(session: Session, name: Name) -> dict[str, Any]:
    """Return what is known of a stream. Raises 2003 when there is none."""
    definition = session.instance.registry.objects.get(("STREAM", name))
    if definition is None:
        raise error.missing("Stream", ".".join(name))
    facts: dict[str, Any] = json.loads(definition)
    return facts


def refuse_reading(session: Session, name: Name) -> None:
    """Raise when `name` is a stream: its rows are not kept here."""
    if ("STREAM", name) in session.instance.registry.objects:
        session.instance.access.require(session, "STREAM", name, "SELECT")
        raise error.unsupported(f"reading the stream {'.'.join(name)}")


def listing(session: Session, wanted: Filter, terse: bool) -> Result:
    """Return what SHOW STREAMS answers (https://docs.snowflake.com/en/sql-reference/sql/show-streams)."""
    streams = kept(session, wanted, "STREAM")
    if terse:
        return table(
            "created_on:t|name|kind|database_name|schema_name|tableOn",
            [(r[0], r[1], "DELTA", r[2], r[3], ".".join(r[4]["source"])) for r in streams],
        )
    return _described(streams)


def describe(session: Session, name: Name) -> Result:
    """Return what DESCRIBE STREAM answers: the row of SHOW STREAMS."""
    need(session, name)
    session.instance.access.require(session, "STREAM", name)
    wanted = Filter(like=None, starts=None, limit=None, after=None, scope=name[:2])
    return _described([row for row in kept(session, wanted, "STREAM") if row[1] == name[2]])


def _described(streams: list[tuple[Any, ...]]) -> Result:
    return table(
        "created_on:t|name|database_name|schema_name|owner|comment|table_name|source_type|base_tables|type|stale|mode"
        "|stale_after:t|invalid_reason|owner_role_type",
        [
            (
                *(created, name, database, schema, owner, facts["comment"], ".".join(facts["source"])),
                *(_SOURCES[facts["kind"]], ",".join(".".join(t) for t in facts["tables"]), "DELTA"),
                *(str(facts["stale"]).lower(), facts["mode"], created + timedelta(days=_DAYS), "N/A", "ROLE"),
            )
            for created, name, database, schema, facts, owner in streams
        ],
    )
