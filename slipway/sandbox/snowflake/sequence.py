"""Sequences: CREATE and DROP. `name.NEXTVAL` is understood where names are resolved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.sandbox.snowflake import error, relation
from slipway.sandbox.snowflake.reader import Reader, quote_name
from slipway.sandbox.snowflake.result import Result

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.cursor import Cursor


def handle_create(cursor: Cursor, reader: Reader) -> Result | None:
    """Run CREATE SEQUENCE; returns None for any other CREATE."""
    reader.expect("CREATE")
    replace = reader.take("OR", "REPLACE")
    if not reader.take("SEQUENCE"):
        return None
    session = cursor.session
    exists_ok = reader.take("IF", "NOT", "EXISTS")
    name = session.object_name(reader.name(), "CREATE SEQUENCE")
    start, step = _settings(reader)
    instance = session.instance
    if not instance.has_schema(name[:2]):
        raise error.missing("Schema", ".".join(name[:2]))
    instance.access.require_creation(session, "SEQUENCE", name[:2])
    if instance.has_sequence(name):
        if exists_ok:
            return Result.status(f"{name[2]} already exists, statement succeeded.")
        if not replace:
            raise error.already_exists(".".join(name))
        instance.access.require(session, "SEQUENCE", name, "OWNERSHIP")
    word = "CREATE OR REPLACE" if replace else "CREATE"
    bound = "MINVALUE -9223372036854775808" if step < 0 else "MINVALUE " + str(min(start, 1))
    sql = f"{word} SEQUENCE {quote_name(name)} INCREMENT BY {step} {bound} START WITH {start}"
    relation.atomically(session, lambda connection: relation.run(connection, sql))
    instance.registry.created("SEQUENCE", name, session.role)
    return Result.status(f"Sequence {name[2]} successfully created.")


def _settings(reader: Reader) -> tuple[int, int]:
    start = step = 1
    while not reader.at_end:
        if reader.take_any("ORDER", "NOORDER", "WITH"):
            continue
        word = reader.take_any("START", "INCREMENT", "COMMENT")
        if not word:
            raise reader.unexpected()
        reader.take_any("WITH", "BY")
        reader.take("=")
        negative = reader.take("-")
        value = reader.value()
        if word == "START":
            start = -int(value) if negative else int(value)
        elif word == "INCREMENT":
            step = -int(value) if negative else int(value)
    return start, step


def handle_drop(cursor: Cursor, reader: Reader) -> Result | None:
    """Run DROP SEQUENCE; returns None for any other DROP."""
    reader.expect("DROP")
    if not reader.take("SEQUENCE"):
        return None
    missing_ok = reader.take("IF", "EXISTS")
    session = cursor.session
    name = session.object_name(reader.name(), "DROP SEQUENCE")
    if not session.instance.has_sequence(name):
        if missing_ok:
            return Result.status(f"Drop statement executed successfully ({name[2]} already dropped).")
        raise error.missing("Sequence", ".".join(name))
    session.instance.access.require(session, "SEQUENCE", name, "OWNERSHIP")
    relation.atomically(session, lambda connection: relation.run(connection, f"DROP SEQUENCE {quote_name(name)}"))
    session.instance.registry.forget(name)
    return Result.status(f"{name[2]} successfully dropped.")
