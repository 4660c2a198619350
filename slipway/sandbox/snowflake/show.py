"""SHOW, with the columns and lower-case names Snowflake gives it.

Supports TERSE, LIKE, IN <scope>, STARTS WITH and LIMIT .. FROM for every listing. What a role may not see is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slipway.sandbox.snowflake import error, listing, procedure, stream, task
from slipway.sandbox.snowflake.grant import read_object
from slipway.sandbox.snowflake.listing import Filter, like, table
from slipway.sandbox.snowflake.privilege import Grant
from slipway.sandbox.snowflake.reader import Name, Reader
from slipway.sandbox.snowflake.result import Result

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.cursor import Cursor
    from slipway.sandbox.snowflake.session import Session


LISTINGS = {**listing.LISTINGS, "STREAMS": stream.listing, "TASKS": task.listing, "PROCEDURES": procedure.listing}


def handle_show(cursor: Cursor, reader: Reader) -> Result | None:
    """Run one SHOW; raises for a listing there is not."""
    reader.expect("SHOW")
    terse = reader.take("TERSE")
    future = reader.take("FUTURE")
    if reader.take("GRANTS"):
        return _grants(cursor.session, reader, future=future)
    if reader.take("PARAMETERS"):
        return _parameters(cursor.session, reader)
    kind = reader.take_any(*LISTINGS)
    if not kind:
        return _keys(reader) or _refuse(reader)
    reader.take("HISTORY")
    return LISTINGS[kind](cursor.session, _filter(cursor.session, kind, reader), terse)


def _keys(reader: Reader) -> Result | None:
    """Answer for keys: they are accepted when a table is created and not kept."""
    if reader.take_any("PRIMARY KEYS", "UNIQUE KEYS"):
        return table("created_on:t|database_name|schema_name|table_name|column_name|key_sequence:n|constraint_name", [])
    if reader.take_any("IMPORTED KEYS", "EXPORTED KEYS"):
        return table("created_on:t|pk_database_name|pk_schema_name|pk_table_name|pk_column_name|fk_table_name", [])
    return None


def _refuse(reader: Reader) -> Result:
    raise error.unsupported(f"SHOW {reader.rest()[:60]}")


def _filter(session: Session, kind: str, reader: Reader) -> Filter:
    pattern = starts = after = limit = None
    scope: Name | None = None
    while not reader.at_end:
        if reader.take("LIKE"):
            pattern = reader.value()
        elif reader.take("STARTS", "WITH"):
            starts = reader.value()
        elif reader.take("LIMIT"):
            limit = int(reader.value())
            after = reader.value() if reader.take("FROM") else None
        elif reader.take("IN"):
            scope = _scope(session, kind, reader)
        else:
            raise reader.unexpected()
    return Filter(like=pattern, starts=starts, limit=limit, after=after, scope=scope)


def _scope(session: Session, kind: str, reader: Reader) -> Name:
    if reader.take("ACCOUNT"):
        return ()
    word = reader.take_any("DATABASE", "SCHEMA", "TABLE", "VIEW")
    name = reader.name() if not reader.at_end and reader.peek() not in ("LIKE", "STARTS", "LIMIT") else ()
    instance = session.instance
    if word in ("TABLE", "VIEW"):
        return session.object_name(name)
    if word == "DATABASE" or (not word and len(name) == 1 and kind == "SCHEMAS"):
        database = name[0] if name else session.database
        if database not in instance.registry.databases:
            raise error.missing("Database", str(database))
        return (str(database),)
    if not name:
        name = (session.schema,) if session.schema else ()
    may_be_database = not word and len(name) == 1 and name[0] in instance.registry.databases and kind != "COLUMNS"
    if may_be_database and (session.database is None or not instance.has_schema((session.database, name[0]))):
        return name
    whole = session.schema_name(name)
    if not instance.has_schema(whole):
        raise error.missing("Schema", ".".join(whole))
    if not instance.access.may_see(session, "SCHEMA", whole):
        raise error.missing("Schema", ".".join(whole))
    return whole


# grants and parameters ---------------------------------------------------------------------------------------------


def _grants(session: Session, reader: Reader, *, future: bool) -> Result:
    registry = session.instance.registry
    if reader.take("ON"):
        target = ("ACCOUNT", ()) if reader.take("ACCOUNT") else read_object(session, reader)
        found: Sequence[Grant] = registry.grants_on(*target)
    elif reader.take("TO"):
        kind = reader.take_any("ROLE", "USER") or "ROLE"
        found = [g for g in registry.held_by(reader.name()[0], kind) if g.future == future]
    elif reader.take("OF"):
        reader.expect("ROLE")
        role = reader.name()[0]
        held = [g for g in registry.grants_on("ROLE", (role,)) if g.privilege == "USAGE"]
        return table(
            "created_on:t|role|granted_to|grantee_name|granted_by",
            [(None, role, g.grantee_kind, g.grantee, "ACCOUNTADMIN") for g in held],
        )
    elif reader.take("IN"):
        _, container = read_object(session, reader)
        found = [g for g in registry.all_grants() if g.future and g.name == container]
    else:
        found = registry.held_by(session.user, "USER")
    grant_on = "grant_on" if future else "granted_on"
    grant_to = "grant_to" if future else "granted_to"
    return table(
        f"created_on:t|privilege|{grant_on}|name|{grant_to}|grantee_name|grant_option|granted_by",
        [
            (None, g.privilege, g.kind, _shown_name(g), g.grantee_kind, g.grantee, "false", "ACCOUNTADMIN")
            for g in found
        ],
    )


def _shown_name(grant: Grant) -> str:
    return ".".join(grant.name) + (f".<{grant.kind}>" if grant.future else "")


def _parameters(session: Session, reader: Reader) -> Result:
    pattern = reader.value() if reader.take("LIKE") else None
    rows = [
        (name, value, default, "SESSION" if name in session.parameters else "", "", "STRING")
        for name, (value, default) in session.shown_parameters().items()
        if pattern is None or like(pattern, name)
    ]
    return table("key|value|default|level|description|type", rows)
