"""Stored procedures written in SQL: CREATE, ALTER, DROP, SHOW, DESCRIBE and CALL. Other languages are refused.

Rules (https://docs.snowflake.com/en/developer-guide/stored-procedure/stored-procedures-rights):
- a procedure is known by its name and the types of its arguments; arguments with a default may be left out;
- EXECUTE AS OWNER (the default) runs with the role that owns it, in its own schema, and may neither change the session
  nor see its variables; EXECUTE AS CALLER runs as the caller, where the caller stands;
- a transaction begun inside ends inside, one begun outside is not ended inside.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from slipway.sandbox.snowflake import error, grammar, relation
from slipway.sandbox.snowflake.interpreter import Interpreter
from slipway.sandbox.snowflake.listing import Filter, kept, table
from slipway.sandbox.snowflake.reader import Name, Reader
from slipway.sandbox.snowflake.result import Result
from slipway.sandbox.snowflake.scope import Value

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.cursor import Cursor
    from slipway.sandbox.snowflake.session import Session

_KIND = "PROCEDURE"
_SYNONYMS = {
    **dict.fromkeys(("INT", "INTEGER", "BIGINT", "SMALLINT", "TINYINT", "BYTEINT", "DECIMAL", "NUMERIC"), "NUMBER"),
    **dict.fromkeys(("STRING", "TEXT", "CHAR", "CHARACTER", "NVARCHAR"), "VARCHAR"),
    **dict.fromkeys(("DOUBLE", "REAL", "FLOAT4", "FLOAT8"), "FLOAT"),
    "BOOL": "BOOLEAN",
    "DATETIME": "TIMESTAMP_NTZ",
    "TIMESTAMP": "TIMESTAMP_NTZ",
    "VARBINARY": "BINARY",
}
_IGNORED = ("CALLED ON NULL INPUT", "VOLATILE", "IMMUTABLE")


# reading -----------------------------------------------------------------------------------------------------------


def read_signature(reader: Reader) -> tuple[str, ...]:
    """Read `(TYPE, TYPE)` and return the types as procedures are known by them."""
    reader.expect("(")
    types = []
    while not reader.take(")"):
        types.append(_plain(_read_type(reader)))
        reader.take(",")
    return tuple(types)


def _read_type(reader: Reader) -> str:
    kind = reader.value().upper()
    if reader.take("PRECISION"):
        kind = "FLOAT"
    if reader.peek() == "(":
        reader.position += 1
        sizes = []
        while not reader.take(")"):
            sizes.append(reader.value())
        kind += f"({''.join(sizes)})"
    return kind


def _plain(kind: str) -> str:
    word = kind.partition("(")[0]
    return _SYNONYMS.get(word, word)


def full_name(session: Session, name: Name, types: Sequence[str]) -> Name:
    """Return the name a procedure is kept under."""
    whole = session.object_name(name, "this operation")
    return (*whole[:2], f"{whole[2]}({', '.join(types)})")


def _read_arguments(reader: Reader) -> list[dict[str, Any]]:
    reader.expect("(")
    found: list[dict[str, Any]] = []
    while not reader.take(")"):
        name = reader.name()[0]
        if name in ("OUT", "INOUT"):
            raise error.unsupported(f"{name} arguments of procedures")
        argument = {"name": name, "type": _read_type(reader), "default": None}
        if reader.take("DEFAULT"):
            argument["default"] = _expression(reader)
        elif found and found[-1]["default"] is not None:
            raise error.syntax("arguments with a default come last.")
        found.append(argument)
        reader.take(",")
    return found


def _expression(reader: Reader) -> str:
    """Read an expression up to the comma or bracket that ends it."""
    start, depth = reader.position, 0
    while not reader.at_end and not (depth == 0 and reader.peek() in (",", ")")):
        depth += (reader.peek() == "(") - (reader.peek() == ")")
        reader.position += 1
    if reader.position == start:
        raise reader.unexpected()
    return reader.sql[reader.tokens[start].start : reader.tokens[reader.position - 1].end + 1]


# CREATE, ALTER, DROP -----------------------------------------------------------------------------------------------


def handle_create(cursor: Cursor, reader: Reader) -> Result | None:
    """Run CREATE PROCEDURE; returns None for any other CREATE. The body is parsed, not run."""
    reader.expect("CREATE")
    replace = reader.take("OR", "REPLACE")
    reader.take("SECURE")
    if not reader.take(_KIND):
        return None
    exists_ok = reader.take("IF", "NOT", "EXISTS")
    session, registry = cursor.session, cursor.session.instance.registry
    written = reader.name()
    facts: dict[str, Any] = {"arguments": _read_arguments(reader)}
    name = full_name(session, written, [_plain(a["type"]) for a in facts["arguments"]])
    keep = reader.take("COPY", "GRANTS")
    facts |= _properties(reader)
    if not grammar.is_block(facts["body"]):
        raise error.unsupported("a procedure whose body is not a block")
    grammar.parse(facts["body"])
    relation.need_schema(session, name[:2])
    session.instance.access.require_creation(session, _KIND, name[:2])
    if (_KIND, name) in registry.objects:
        if exists_ok:
            return Result.status(f"{name[2].partition('(')[0]} already exists, statement succeeded.")
        if not replace:
            raise error.already_exists(".".join(name))
        session.instance.access.require(session, _KIND, name, "OWNERSHIP")
    registry.created(_KIND, name, session.role, keep_grants=keep, definition=json.dumps(facts))
    return Result.status(f"Function {name[2].partition('(')[0]} successfully created.")


def _properties(reader: Reader) -> dict[str, Any]:
    facts: dict[str, Any] = {"returns": "", "table": False, "rights": "OWNER", "comment": "", "strict": False}
    while not reader.take("AS"):
        if reader.take("RETURNS", "NULL", "ON", "NULL", "INPUT") or reader.take("STRICT"):
            facts["strict"] = True
        elif reader.take("RETURNS"):
            facts |= _returns(reader)
        elif reader.take("LANGUAGE"):
            language = reader.value().upper()
            if language != "SQL":
                raise error.unsupported(f"CREATE PROCEDURE .. LANGUAGE {language}")
        elif reader.take("EXECUTE", "AS"):
            facts["rights"] = _rights(reader)
        elif reader.take("COMMENT"):
            reader.take("=")
            facts["comment"] = reader.value()
        elif not reader.take_any(*_IGNORED):
            raise (
                error.unsupported(f"CREATE PROCEDURE .. {reader.peek()}") if not reader.at_end else reader.unexpected()
            )
    if not facts["returns"]:
        raise error.syntax("a procedure needs RETURNS.")
    start = reader.position
    body = reader.string()
    return {**facts, "body": reader.sql[reader.tokens[start].start :].strip() if body is None else body}


def _rights(reader: Reader) -> str:
    rights = reader.take_any("OWNER", "CALLER")
    if not rights:
        raise error.unsupported(f"EXECUTE AS {reader.peek()}")
    return rights


def _returns(reader: Reader) -> dict[str, Any]:
    if not reader.take("TABLE"):
        found = {"returns": _read_type(reader)}
        reader.take("NOT", "NULL")
        return found
    start = reader.position
    reader.expect("(")
    depth = 1
    while depth and not reader.at_end:
        depth += (reader.peek() == "(") - (reader.peek() == ")")
        reader.position += 1
    columns = reader.sql[reader.tokens[start].start : reader.tokens[reader.position - 1].end + 1]
    return {"returns": f"TABLE {columns}", "table": True}


def _need(session: Session, name: Name) -> dict[str, Any]:
    definition = session.instance.registry.objects.get((_KIND, name))
    if definition is None:
        raise error.missing("Procedure", ".".join(name))
    facts: dict[str, Any] = json.loads(definition)
    return facts


def handle_alter(cursor: Cursor, reader: Reader) -> Result | None:
    """Run ALTER PROCEDURE .. EXECUTE AS and SET | UNSET COMMENT; returns None for any other ALTER."""
    reader.expect("ALTER")
    if not reader.take(_KIND):
        return None
    missing_ok = reader.take("IF", "EXISTS")
    session, registry = cursor.session, cursor.session.instance.registry
    name = full_name(session, reader.name(), read_signature(reader))
    if missing_ok and (_KIND, name) not in registry.objects:
        return Result.status()
    facts = _need(session, name)
    session.instance.access.require(session, _KIND, name, "OWNERSHIP")
    if reader.take("EXECUTE", "AS"):
        facts["rights"] = _rights(reader)
    elif reader.take("SET", "COMMENT", "="):
        facts["comment"] = reader.value()
    elif reader.take("UNSET", "COMMENT"):
        facts["comment"] = ""
    else:
        raise error.unsupported(f"ALTER PROCEDURE .. {reader.rest()[:40]}")
    registry.redefine({(_KIND, name): json.dumps(facts)})
    return Result.status()


def handle_drop(cursor: Cursor, reader: Reader) -> Result | None:
    """Run DROP PROCEDURE; returns None for any other DROP."""
    reader.expect("DROP")
    if not reader.take(_KIND):
        return None
    missing_ok = reader.take("IF", "EXISTS")
    session, registry = cursor.session, cursor.session.instance.registry
    name = full_name(session, reader.name(), read_signature(reader))
    if (_KIND, name) not in registry.objects:
        if missing_ok:
            return Result.status(f"Drop statement executed successfully ({name[2]} already dropped).")
        raise error.missing("Procedure", ".".join(name))
    session.instance.access.require(session, _KIND, name, "OWNERSHIP")
    registry.drop_object(_KIND, name)
    return Result.status(f"{name[2].partition('(')[0]} successfully dropped.")


# SHOW, DESCRIBE ----------------------------------------------------------------------------------------------------


def listing(session: Session, wanted: Filter, terse: bool) -> Result:
    """Return what SHOW PROCEDURES answers (https://docs.snowflake.com/en/sql-reference/sql/show-procedures)."""
    rows = []
    for created, name, database, schema, facts, _ in kept(session, wanted, _KIND):
        kinds = [_plain(a["type"]) for a in facts["arguments"]]
        shown = ", ".join(
            kind if a["default"] is None else f"DEFAULT {kind}"
            for a, kind in zip(facts["arguments"], kinds, strict=True)
        )
        needed = sum(1 for a in facts["arguments"] if a["default"] is None)
        plain = name.partition("(")[0]
        rows.append(
            (
                *(created, plain, schema, "N", "N", "N", needed, len(kinds)),
                *(f"{plain}({shown}) RETURN {_shown_return(facts)}", facts["comment"] or "user-defined procedure"),
                *(database, "Y" if facts["table"] else "N", "N", "N", None, None),
            )
        )
    return table(
        "created_on:t|name|schema_name|is_builtin|is_aggregate|is_ansi|min_num_arguments:n|max_num_arguments:n|arguments"
        "|description|catalog_name|is_table_function|valid_for_clustering|is_secure|secrets"
        "|external_access_integrations",
        rows,
    )


def _shown_return(facts: dict[str, Any]) -> str:
    return str(facts["returns"]) if facts["table"] else _plain(facts["returns"])


def describe(session: Session, reader: Reader) -> Result:
    """Return what DESCRIBE PROCEDURE answers."""
    name = full_name(session, reader.name(), read_signature(reader))
    facts = _need(session, name)
    session.instance.access.require(session, _KIND, name)
    signature = ", ".join(f"{a['name']} {_plain(a['type'])}" for a in facts["arguments"])
    strict = "RETURNS NULL ON NULL INPUT" if facts["strict"] else "CALLED ON NULL INPUT"
    rows = [
        ("signature", f"({signature})"),
        ("returns", _shown_return(facts)),
        ("language", "SQL"),
        ("null handling", strict),
        ("volatility", "VOLATILE"),
        ("execute as", facts["rights"]),
        ("body", facts["body"]),
    ]
    return table("property|value", rows)


# CALL --------------------------------------------------------------------------------------------------------------


def handle_call(cursor: Cursor, reader: Reader) -> Result:
    """Run CALL of a procedure: chosen by the number of its arguments, then by their types."""
    session = cursor.session
    reader.expect("CALL")
    written = reader.name()
    given = _given(reader)
    name, facts = _chosen(session, written, given)
    arguments = _bound(session, facts["arguments"], given)
    plain = name[2].partition("(")[0]
    if facts["strict"] and any(value.python is None for value in arguments.values()):
        return session.cursor().compute(f'SELECT NULL AS "{plain}"')
    body = grammar.parse(facts["body"])
    returns = None if facts["table"] else facts["returns"]
    with _standing(session, name, facts["rights"]), _scoped(session):
        return Interpreter(session, facts["body"], name=plain, returns=returns).run(body, arguments)


def _given(reader: Reader) -> list[tuple[str, str]]:
    """Read `(expression, name => expression)` as (name or nothing, expression)."""
    reader.expect("(")
    found = []
    while not reader.take(")"):
        name = ""
        if reader.peek(1) == "=>":
            name = reader.name()[0]
            reader.expect("=>")
        found.append((name, _expression(reader)))
        reader.take(",")
    if not reader.at_end:
        raise reader.unexpected()
    return found


def _chosen(session: Session, written: Name, given: Sequence[tuple[str, str]]) -> tuple[Name, dict[str, Any]]:
    whole = session.object_name(written, "CALL")
    registry, access = session.instance.registry, session.instance.access
    named = [n for k, n in registry.objects if k == _KIND and n[:2] == whole[:2] and n[2].partition("(")[0] == whole[2]]
    known = [(n, _need(session, n)) for n in sorted(named) if access.may_see(session, _KIND, n)]
    if not known:
        raise error.unknown_procedure(whole[2])
    fitting = [(n, facts) for n, facts in known if _fits(facts["arguments"], given)]
    if len(fitting) > 1:
        kinds = [_plain(_type_of(session, expression)) for _, expression in given]
        exact = [(n, f) for n, f in fitting if [_plain(a["type"]) for a in f["arguments"]][: len(kinds)] == kinds]
        fitting = exact or fitting
    if not fitting:
        raise error.wrong_arguments(whole[2])
    name, facts = fitting[0]
    access.require(session, _KIND, name, "USAGE")
    return name, facts


def _fits(arguments: Sequence[dict[str, Any]], given: Sequence[tuple[str, str]]) -> bool:
    names = [argument["name"] for argument in arguments]
    taken = {name or (names[i] if i < len(names) else "") for i, (name, _) in enumerate(given)}
    if len(given) > len(arguments) or len(taken) != len(given) or not taken <= set(names):
        return False
    return all(a["name"] in taken or a["default"] is not None for a in arguments)


def _type_of(session: Session, expression: str) -> str:
    kind = session.cursor().compute(f"SELECT {expression}").columns[0][1]
    if kind.startswith(("DECIMAL", "HUGEINT", "BIGINT")):
        return "NUMBER"
    return {"DOUBLE": "FLOAT", "TIMESTAMP": "TIMESTAMP_NTZ", "JSON": "VARIANT"}.get(kind, kind)


def _bound(session: Session, arguments: Sequence[dict[str, Any]], given: Sequence[tuple[str, str]]) -> dict[str, Value]:
    names = [argument["name"] for argument in arguments]
    written = {name or names[i]: expression for i, (name, expression) in enumerate(given)}
    bound = {}
    for argument in arguments:
        expression = written.get(argument["name"], argument["default"])
        result = session.cursor().compute(f"SELECT CAST(({expression}) AS {argument['type']}) AS V")
        bound[argument["name"]] = Value.of(result.rows()[0][0], result.columns[0][1], argument["type"])
    return bound


@contextlib.contextmanager
def _standing(session: Session, name: Name, rights: str) -> Iterator[None]:
    """Let the session stand where a procedure runs and hold the role it runs with, and put it back afterwards."""
    if rights == "CALLER":
        yield
        return
    before = session.stand()
    session.take_stand(name[:2], session.instance.registry.owner(_KIND, name))
    try:
        yield
    finally:
        session.take_back(before)


@contextlib.contextmanager
def _scoped(session: Session) -> Iterator[None]:
    """Refuse to end a transaction of the caller, and to leave one open that was begun inside."""
    transaction = session.transaction
    was_open, outer = transaction.is_open, session.outer_transaction
    session.outer_transaction = was_open
    try:
        yield
    finally:
        session.outer_transaction = outer
        left_open = transaction.is_open and not was_open
        if left_open:
            transaction.rollback()
    if left_open:
        raise error.incomplete_transaction()
