"""SHOW and DESCRIBE, with the columns and lower-case names Snowflake gives them.

Supports TERSE, LIKE, IN <scope>, STARTS WITH and LIMIT .. FROM for every listing. What a role may not see is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.sandbox.snowflake import error
from slipway.sandbox.snowflake.grant import read_object
from slipway.sandbox.snowflake.reader import Name, Reader, literal
from slipway.sandbox.snowflake.registry import GLOBAL, STORE, Grant
from slipway.sandbox.snowflake.result import Column, Result

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.cursor import Cursor
    from slipway.sandbox.snowflake.session import Session

_TIME, _TEXT, _NUMBER = "TIMESTAMP WITH TIME ZONE", "VARCHAR", "BIGINT"
_EPOCH = "to_timestamp(0)"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Filter:
    like: str | None
    starts: str | None
    limit: int | None
    after: str | None
    scope: Name | None  # () is the account, None nothing said

    def keeps(self, name: str) -> bool:
        if self.like is not None and not _like(self.like, name):
            return False
        if self.starts is not None and not name.startswith(self.starts):
            return False
        return self.after is None or name > self.after


def _like(pattern: str, text: str) -> bool:
    expression = "".join(".*" if c == "%" else "." if c == "_" else re.escape(c) for c in pattern)
    return re.fullmatch(expression, text, re.IGNORECASE | re.DOTALL) is not None


def _table(columns: str, rows: Sequence[Sequence[Any]]) -> Result:
    """Return a result; a column is text unless its name ends in `:t` (time) or `:n` (number)."""
    kinds = {"t": _TIME, "n": _NUMBER}
    described: list[Column] = []
    for column in columns.split("|"):
        name, _, kind = column.partition(":")
        described.append((name, kinds.get(kind, _TEXT)))
    return Result.of(described, rows)


def handle_show(cursor: Cursor, reader: Reader) -> Result | None:
    """Run one SHOW; raises for a listing there is not."""
    reader.expect("SHOW")
    terse = reader.take("TERSE")
    future = reader.take("FUTURE")
    if reader.take("GRANTS"):
        return _grants(cursor.session, reader, future=future)
    if reader.take("PARAMETERS"):
        return _parameters(cursor.session, reader)
    kind = reader.take_any(*_LISTINGS)
    if not kind:
        return None if reader.take_any("PRIMARY KEYS", "UNIQUE KEYS", "IMPORTED KEYS") else _refuse(reader)
    reader.take("HISTORY")
    return _LISTINGS[kind](cursor.session, _filter(cursor.session, kind, reader), terse)


def _refuse(reader: Reader) -> Result:
    raise error.unsupported(f"SHOW {reader.rest()[:60]}")


def _filter(session: Session, kind: str, reader: Reader) -> _Filter:
    like = starts = after = limit = None
    scope: Name | None = None
    while not reader.at_end:
        if reader.take("LIKE"):
            like = reader.value()
        elif reader.take("STARTS", "WITH"):
            starts = reader.value()
        elif reader.take("LIMIT"):
            limit = int(reader.value())
            after = reader.value() if reader.take("FROM") else None
        elif reader.take("IN"):
            scope = _scope(session, kind, reader)
        else:
            raise reader.unexpected()
    return _Filter(like=like, starts=starts, limit=limit, after=after, scope=scope)


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
    if not word and len(name) == 1 and name[0] in instance.registry.databases and kind != "COLUMNS":
        if session.database is None or not instance.has_schema((session.database, name[0])):
            return name
    whole = session.schema_name(name)
    if not instance.has_schema(whole):
        raise error.missing("Schema", ".".join(whole))
    if not instance.access.may_see(session, "SCHEMA", whole):
        raise error.missing("Schema", ".".join(whole))
    return whole


def _where(session: Session, scope: Name | None, columns: Sequence[str]) -> str:
    if scope is None:
        scope = (session.database, session.schema) if session.database and session.schema else ()
        if session.database and not session.schema:
            scope = (session.database,)
    tests = [f"{column} = {literal(part)}" for column, part in zip(columns, scope, strict=False)]
    return " AND ".join(tests) or "true"


def _limited(rows: Sequence[Sequence[Any]], wanted: _Filter, *, name: int = 1) -> list[Sequence[Any]]:
    kept = [row for row in rows if wanted.keeps(str(row[name]))]
    return kept[: wanted.limit] if wanted.limit is not None else kept


# objects -----------------------------------------------------------------------------------------------------------


def _relations(session: Session, wanted: _Filter, kinds: tuple[str, ...]) -> list[tuple[Any, ...]]:
    where = _where(session, wanted.scope, ("database_name", "schema_name", "name"))
    rows = session.instance.registry.query(
        f"SELECT created, name, database_name, schema_name, kind, note, row_count, owner, coalesce(definition, sql, '') "
        f"FROM {STORE}.relations WHERE {where} AND kind IN ({', '.join(map(literal, kinds))}) "
        "ORDER BY database_name, schema_name, name"
    )
    may_see = session.instance.access.may_see
    return [row for row in _limited(rows, wanted) if may_see(session, "TABLE", (row[2], row[3], row[1]))]  # type: ignore[misc]


_TERSE = "created_on:t|name|kind|database_name|schema_name"


def _objects(session: Session, wanted: _Filter, terse: bool) -> Result:
    rows = _relations(session, wanted, ("TABLE", "VIEW"))
    rows += [
        (None, n[2], n[0], n[1], kind, "", 0, session.role, "")
        for n, kind in session.temporary.items()
        if wanted.keeps(n[2]) and n[: len(wanted.scope or ())] == (wanted.scope or ())
    ]
    if terse:
        return _table(_TERSE, [(r[0], r[1], r[4], r[2], r[3]) for r in rows])
    return _table(
        "created_on:t|name|database_name|schema_name|kind|comment|cluster_by|rows:n|bytes:n|owner|retention_time"
        "|owner_role_type|is_hybrid|is_dynamic|is_iceberg|is_interactive",
        [
            (r[0], r[1], r[2], r[3], r[4], r[5], "", r[6], (r[6] or 0) * 64, r[7], "1", "ROLE", "N", "N", "N", "N")
            for r in rows
        ],
    )


def _tables(session: Session, wanted: _Filter, terse: bool) -> Result:
    rows = _relations(session, wanted, ("TABLE",))
    if terse:
        return _table(_TERSE, [(r[0], r[1], r[4], r[2], r[3]) for r in rows])
    return _table(
        "created_on:t|name|database_name|schema_name|kind|comment|cluster_by|rows:n|bytes:n|owner|retention_time"
        "|automatic_clustering|change_tracking|is_external|enable_schema_evolution|owner_role_type|is_event|is_hybrid"
        "|is_iceberg|is_dynamic|is_immutable",
        [
            (r[0], r[1], r[2], r[3], "TABLE", r[5], "", r[6], (r[6] or 0) * 64, r[7], "1", "OFF", "OFF", "N", "N", "ROLE")
            + ("N",) * 5
            for r in rows
        ],
    )


def _views(session: Session, wanted: _Filter, terse: bool) -> Result:
    rows = _relations(session, wanted, ("VIEW",))
    if terse:
        return _table(_TERSE, [(r[0], r[1], r[4], r[2], r[3]) for r in rows])
    return _table(
        "created_on:t|name|reserved|database_name|schema_name|owner|comment|text|is_secure|is_materialized"
        "|owner_role_type|change_tracking",
        [
            (r[0], r[1], "", r[2], r[3], r[7], r[5], r[8], str(is_secure(r[8])).lower(), "false", "ROLE", "OFF")
            for r in rows
        ],
    )


def is_secure(definition: str) -> bool:
    """Tell whether a view was created SECURE."""
    return re.match(r"\s*create\s+(or\s+replace\s+)?secure\b", definition, re.IGNORECASE) is not None


def _columns(session: Session, wanted: _Filter, terse: bool) -> Result:
    where = _where(session, wanted.scope, ("TABLE_CATALOG", "TABLE_SCHEMA", "TABLE_NAME"))
    rows = session.instance.registry.query(
        "SELECT TABLE_NAME, TABLE_SCHEMA, COLUMN_NAME, DATA_TYPE, IS_NULLABLE, COLUMN_DEFAULT, COMMENT, TABLE_CATALOG, "
        f"NUMERIC_PRECISION, NUMERIC_SCALE, CHARACTER_MAXIMUM_LENGTH FROM {STORE}.is_columns WHERE {where} "
        "ORDER BY TABLE_CATALOG, TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
    )
    shown = [
        (r[0], r[1], r[2], _json_type(r), str(r[4] == "YES").lower(), r[5] or "", "COLUMN", "", r[6] or "", r[7], "")
        for r in _limited(rows, wanted, name=2)
        if session.instance.access.may_see(session, "TABLE", (r[7], r[1], r[0]))
    ]
    return _table(
        "table_name|schema_name|column_name|data_type|null?|default|kind|expression|comment|database_name|autoincrement",
        shown,
    )


def _json_type(row: Sequence[Any]) -> str:
    kind, nullable = row[3], str(row[4] == "YES").lower()
    if kind == "NUMBER":
        return f'{{"type":"FIXED","precision":{row[8]},"scale":{row[9]},"nullable":{nullable}}}'
    if kind == "TEXT":
        return f'{{"type":"TEXT","length":{row[10]},"nullable":{nullable},"fixed":false}}'
    return f'{{"type":"{"REAL" if kind == "FLOAT" else kind}","nullable":{nullable}}}'


def _schemas(session: Session, wanted: _Filter, terse: bool) -> Result:
    scope = wanted.scope if wanted.scope is not None else ((session.database,) if session.database else ())
    where = _where(session, scope[:1], ("CATALOG_NAME",))  # type: ignore[arg-type]
    rows = session.instance.registry.query(
        f"SELECT CREATED, SCHEMA_NAME, CATALOG_NAME, SCHEMA_OWNER, coalesce(COMMENT, '') FROM {STORE}.is_schemata "
        f"WHERE {where} ORDER BY CATALOG_NAME, SCHEMA_NAME"
    )
    may_see = session.instance.access.may_see
    rows = [r for r in _limited(rows, wanted) if may_see(session, "SCHEMA", (r[2], r[1]))]  # type: ignore[misc]
    if terse:
        return _table(_TERSE, [(r[0], r[1], "", r[2], "") for r in rows])
    current = (session.database, session.schema)
    return _table(
        "created_on:t|name|is_default|is_current|database_name|owner|comment|options|retention_time|owner_role_type",
        [
            (r[0], r[1], "N", "Y" if (r[2], r[1]) == current else "N", r[2], r[3], r[4], "", "1", "ROLE")
            for r in rows
        ],
    )


def _databases(session: Session, wanted: _Filter, terse: bool) -> Result:
    rows = session.instance.registry.query(
        f"SELECT CREATED, DATABASE_NAME, DATABASE_OWNER, coalesce(COMMENT, '') FROM {STORE}.is_databases ORDER BY 2"
    )
    may_see = session.instance.access.may_see
    rows = [r for r in _limited(rows, wanted) if may_see(session, "DATABASE", (r[1],))]  # type: ignore[misc]
    if terse:
        return _table(_TERSE, [(r[0], r[1], "STANDARD", "", "") for r in rows])
    return _table(
        "created_on:t|name|is_default|is_current|origin|owner|comment|options|retention_time|kind|owner_role_type",
        [
            (r[0], r[1], "N", "Y" if r[1] == session.database else "N", "", r[2], r[3], "", "1", "STANDARD", "ROLE")
            for r in rows
        ],
    )


def _stages(session: Session, wanted: _Filter, terse: bool) -> Result:
    where = _where(session, wanted.scope, ("database_name", "schema_name"))
    rows = session.instance.registry.query(
        f"SELECT created_on, name, database_name, schema_name, url, type, owner FROM "
        f"{GLOBAL}._fs_information_schema._fs_stages WHERE {where} ORDER BY 3, 4, 2"
    )
    return _table("created_on:t|name|database_name|schema_name|url|type|owner", _limited(rows, wanted))


def _formats(session: Session, wanted: _Filter, terse: bool) -> Result:
    where = _where(session, wanted.scope, ("database_name", "schema_name"))
    rows = session.instance.registry.query(
        "SELECT created_on, name, database_name, schema_name, type, comment, options FROM "
        f"{GLOBAL}._fs_information_schema._fs_file_formats WHERE {where} ORDER BY 3, 4, 2"
    )
    return _table("created_on:t|name|database_name|schema_name|type|comment|format_options", _limited(rows, wanted))


def _sequences(session: Session, wanted: _Filter, terse: bool) -> Result:
    where = _where(session, wanted.scope, ("database_name", "schema_name"))
    rows = session.instance.registry.query(
        f"SELECT {_EPOCH}, sequence_name, database_name, schema_name, coalesce(last_value, start_value), increment_by "
        f"FROM duckdb_sequences() WHERE {where} AND sequence_name NOT LIKE '%_fs_seq_%' ORDER BY 3, 4, 2"
    )
    return _table("created_on:t|name|database_name|schema_name|next_value:n|interval:n", _limited(rows, wanted))


def _registered(kind: str) -> Callable[[Session, _Filter, bool], Result]:
    def listing(session: Session, wanted: _Filter, terse: bool) -> Result:
        registry = session.instance.registry
        rows = registry.query(
            f"SELECT o.created_on, o.name[-1], o.kind, coalesce(w.owner, 'ACCOUNTADMIN'), o.comment FROM {STORE}.objects o "
            f"LEFT JOIN {STORE}.owners w ON w.kind = o.kind AND w.name = o.name WHERE o.kind = ? OR "
            "(? = 'INTEGRATION' AND o.kind LIKE '%INTEGRATION') ORDER BY 2",
            [kind, kind],
        )
        kept = _limited(rows, wanted)
        if kind == "ROLE":
            return _table(
                "created_on:t|name|is_default|is_current|is_inherited|assigned_to_users:n|granted_to_roles:n|granted_roles:n"
                "|owner|comment",
                [(r[0], r[1], "N", "Y" if r[1] == session.role else "N", "N", *_role_counts(session, r[1]), r[3], r[4]) for r in kept],
            )
        if kind == "USER":
            keyed = [(r[0], r[1], r[1], r[3], str(bool(registry.user_keys.get(r[1]))).lower(), "false") for r in kept]
            return _table("created_on:t|name|login_name|owner|has_rsa_public_key|disabled", keyed)
        if kind == "WAREHOUSE":
            return _table(
                "created_on:t|name|state|type|size|owner|comment",
                [(r[0], r[1], "STARTED", "STANDARD", "X-Small", r[3], r[4]) for r in kept],
            )
        return _table("created_on:t|name|kind|owner|comment", kept)

    return listing


def _role_counts(session: Session, role: str) -> tuple[int, int, int]:
    grants = session.instance.registry.grants_on("ROLE", (role,))
    users = sum(1 for g in grants if g.grantee_kind == "USER")
    roles = sum(1 for g in grants if g.grantee_kind == "ROLE" and g.privilege == "USAGE")
    granted = sum(1 for g in session.instance.registry.held_by(role) if g.kind == "ROLE" and g.privilege == "USAGE")
    return users, roles, granted


def _nothing(columns: str) -> Callable[[Session, _Filter, bool], Result]:
    return lambda session, wanted, terse: _table(columns, [])


_FUNCTIONS = "created_on:t|name|schema_name|is_builtin|is_aggregate|is_ansi|arguments|description|catalog_name|language"
_LISTINGS: dict[str, Callable[[Session, _Filter, bool], Result]] = {
    "OBJECTS": _objects,
    "TABLES": _tables,
    "VIEWS": _views,
    "COLUMNS": _columns,
    "SCHEMAS": _schemas,
    "DATABASES": _databases,
    "STAGES": _stages,
    "FILE FORMATS": _formats,
    "SEQUENCES": _sequences,
    "ROLES": _registered("ROLE"),
    "USERS": _registered("USER"),
    "WAREHOUSES": _registered("WAREHOUSE"),
    "STORAGE INTEGRATIONS": _registered("STORAGE INTEGRATION"),
    "INTEGRATIONS": _registered("INTEGRATION"),
    "TAGS": _registered("TAG"),
    "RESOURCE MONITORS": _registered("RESOURCE MONITOR"),
    "NETWORK POLICIES": _registered("NETWORK POLICY"),
    "SHARES": _registered("SHARE"),
    "USER FUNCTIONS": _nothing(_FUNCTIONS),
    "FUNCTIONS": _nothing(_FUNCTIONS),
    "PROCEDURES": _nothing(_FUNCTIONS),
    "TASKS": _nothing("created_on:t|name|database_name|schema_name|owner|state"),
    "STREAMS": _nothing("created_on:t|name|database_name|schema_name|owner|table_name"),
    "PIPES": _nothing("created_on:t|name|database_name|schema_name|definition|owner"),
    "DYNAMIC TABLES": _nothing("created_on:t|name|database_name|schema_name|owner|target_lag"),
    "MASKING POLICIES": _nothing("created_on:t|name|database_name|schema_name|kind|owner"),
    "ROW ACCESS POLICIES": _nothing("created_on:t|name|database_name|schema_name|kind|owner"),
}


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
        return _table(
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
    return _table(
        f"created_on:t|privilege|{grant_on}|name|{grant_to}|grantee_name|grant_option|granted_by",
        [(None, g.privilege, g.kind, _shown_name(g), g.grantee_kind, g.grantee, "false", "ACCOUNTADMIN") for g in found],
    )


def _shown_name(grant: Grant) -> str:
    return ".".join(grant.name) + (f".<{grant.kind}>" if grant.future else "")


def _parameters(session: Session, reader: Reader) -> Result:
    like = reader.value() if reader.take("LIKE") else None
    rows = [
        (name, value, default, "SESSION" if name in session.parameters else "", "", "STRING")
        for name, (value, default) in session.shown_parameters().items()
        if like is None or _like(like, name)
    ]
    return _table("key|value|default|level|description|type", rows)


# DESCRIBE ----------------------------------------------------------------------------------------------------------


def handle_describe(cursor: Cursor, reader: Reader) -> Result | None:
    """Run DESCRIBE TABLE | VIEW | SCHEMA | DATABASE | USER; returns None for the description of a query."""
    reader.position = 1
    kind = reader.take_any("TABLE", "VIEW", "SCHEMA", "DATABASE", "USER")
    session, instance = cursor.session, cursor.session.instance
    if kind in ("SCHEMA", "DATABASE"):
        return _describe_container(session, kind, reader.name())
    if kind == "USER":
        return _describe_user(session, reader.name()[0])
    if not kind and reader.peek() in ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "("):
        return None
    name = session.object_name(reader.name(), "DESCRIBE")
    if name[1] == "INFORMATION_SCHEMA":
        raise error.unsupported("DESCRIBE of an INFORMATION_SCHEMA view")
    if name not in session.temporary and instance.relation_kind(name) is None:
        raise error.missing(kind.capitalize() or "Table", ".".join(name))
    instance.access.require(session, "TABLE", name)
    rows = _described(cursor, name)
    return _table(
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
        return _table("created_on:t|name|kind", [(None, schema, "SCHEMA") for schema in instance.schemas(name[0])])
    whole = session.schema_name(name)
    if not instance.has_schema(whole):
        raise error.missing("Schema", ".".join(whole))
    instance.access.require(session, "SCHEMA", whole)
    return _table("created_on:t|name|kind", [(None, n[2], k) for k, n in instance.relations(whole)])


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
    return _table("property|value|default|description", rows)
