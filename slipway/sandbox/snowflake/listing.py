"""What SHOW lists: relations, schemas, stages and the objects of the account, with the columns Snowflake gives them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.sandbox.snowflake.information import is_secure
from slipway.sandbox.snowflake.reader import Name, literal
from slipway.sandbox.snowflake.result import Column, Result
from slipway.sandbox.snowflake.store import STORE

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.session import Session

_TIME, _TEXT, _NUMBER = "TIMESTAMP WITH TIME ZONE", "VARCHAR", "BIGINT"
_EPOCH = "to_timestamp(0)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    like: str | None
    starts: str | None
    limit: int | None
    after: str | None
    scope: Name | None  # () is the account, None nothing said

    def keeps(self, name: str) -> bool:
        if self.like is not None and not like(self.like, name):
            return False
        if self.starts is not None and not name.startswith(self.starts):
            return False
        return self.after is None or name > self.after


def like(pattern: str, text: str) -> bool:
    expression = "".join(".*" if c == "%" else "." if c == "_" else re.escape(c) for c in pattern)
    return re.fullmatch(expression, text, re.IGNORECASE | re.DOTALL) is not None


def table(columns: str, rows: Sequence[Sequence[Any]]) -> Result:
    """Return a result; a column is text unless its name ends in `:t` (time) or `:n` (number)."""
    kinds = {"t": _TIME, "n": _NUMBER}
    described: list[Column] = []
    for column in columns.split("|"):
        name, _, kind = column.partition(":")
        described.append((name, kinds.get(kind, _TEXT)))
    return Result.of(described, rows)


def where(session: Session, scope: Name | None, columns: Sequence[str]) -> str:
    if scope is None:
        scope = (session.database, session.schema) if session.database and session.schema else ()
        if session.database and not session.schema:
            scope = (session.database,)
    tests = [f"{column} = {literal(part)}" for column, part in zip(columns, scope, strict=False)]
    return " AND ".join(tests) or "true"


def limited(rows: Sequence[Sequence[Any]], wanted: Filter, *, name: int = 1) -> list[Sequence[Any]]:
    kept = [row for row in rows if wanted.keeps(str(row[name]))]
    return kept[: wanted.limit] if wanted.limit is not None else kept


# objects -----------------------------------------------------------------------------------------------------------


def _relations(session: Session, wanted: Filter, kinds: tuple[str, ...]) -> list[tuple[Any, ...]]:
    test = where(session, wanted.scope, ("database_name", "schema_name", "name"))
    rows = session.instance.registry.query(
        "SELECT created, name, database_name, schema_name, kind, note, row_count, owner, "
        "coalesce(definition, sql, '') "
        f"FROM {STORE}.relations WHERE {test} AND kind IN ({', '.join(map(literal, kinds))}) "
        "ORDER BY database_name, schema_name, name"
    )
    may_see = session.instance.access.may_see
    return [row for row in limited(rows, wanted) if may_see(session, "TABLE", (row[2], row[3], row[1]))]  # type: ignore[misc]


_TERSE = "created_on:t|name|kind|database_name|schema_name"


def _objects(session: Session, wanted: Filter, terse: bool) -> Result:
    rows = _relations(session, wanted, ("TABLE", "VIEW"))
    rows += [
        (None, n[2], n[0], n[1], kind, "", 0, session.role, "")
        for n, kind in session.temporary.items()
        if wanted.keeps(n[2]) and n[: len(wanted.scope or ())] == (wanted.scope or ())
    ]
    if terse:
        return table(_TERSE, [(r[0], r[1], r[4], r[2], r[3]) for r in rows])
    return table(
        "created_on:t|name|database_name|schema_name|kind|comment|cluster_by|rows:n|bytes:n|owner|retention_time"
        "|owner_role_type|is_hybrid|is_dynamic|is_iceberg|is_interactive",
        [
            (r[0], r[1], r[2], r[3], r[4], r[5], "", r[6], (r[6] or 0) * 64, r[7], "1", "ROLE", "N", "N", "N", "N")
            for r in rows
        ],
    )


def _tables(session: Session, wanted: Filter, terse: bool) -> Result:
    rows = _relations(session, wanted, ("TABLE",))
    if terse:
        return table(_TERSE, [(r[0], r[1], r[4], r[2], r[3]) for r in rows])
    return table(
        "created_on:t|name|database_name|schema_name|kind|comment|cluster_by|rows:n|bytes:n|owner|retention_time"
        "|automatic_clustering|change_tracking|is_external|enable_schema_evolution|owner_role_type|is_event|is_hybrid"
        "|is_iceberg|is_dynamic|is_immutable",
        [
            (
                r[0],
                r[1],
                r[2],
                r[3],
                "TABLE",
                r[5],
                "",
                r[6],
                (r[6] or 0) * 64,
                r[7],
                "1",
                "OFF",
                "OFF",
                "N",
                "N",
                "ROLE",
            )
            + ("N",) * 5
            for r in rows
        ],
    )


def _views(session: Session, wanted: Filter, terse: bool) -> Result:
    rows = _relations(session, wanted, ("VIEW",))
    if terse:
        return table(_TERSE, [(r[0], r[1], r[4], r[2], r[3]) for r in rows])
    return table(
        "created_on:t|name|reserved|database_name|schema_name|owner|comment|text|is_secure|is_materialized"
        "|owner_role_type|change_tracking",
        [
            (r[0], r[1], "", r[2], r[3], r[7], r[5], r[8], str(is_secure(r[8])).lower(), "false", "ROLE", "OFF")
            for r in rows
        ],
    )


def _columns(session: Session, wanted: Filter, terse: bool) -> Result:
    test = where(session, wanted.scope, ("TABLE_CATALOG", "TABLE_SCHEMA", "TABLE_NAME"))
    rows = session.instance.registry.query(
        "SELECT TABLE_NAME, TABLE_SCHEMA, COLUMN_NAME, DATA_TYPE, IS_NULLABLE, COLUMN_DEFAULT, COMMENT, TABLE_CATALOG, "
        f"NUMERIC_PRECISION, NUMERIC_SCALE, CHARACTER_MAXIMUM_LENGTH FROM {STORE}.is_columns WHERE {test} "
        "ORDER BY TABLE_CATALOG, TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
    )
    shown = [
        (r[0], r[1], r[2], _json_type(r), str(r[4] == "YES").lower(), r[5] or "", "COLUMN", "", r[6] or "", r[7], "")
        for r in limited(rows, wanted, name=2)
        if session.instance.access.may_see(session, "TABLE", (r[7], r[1], r[0]))
    ]
    return table(
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


def _schemas(session: Session, wanted: Filter, terse: bool) -> Result:
    scope: Name = (session.database,) if session.database else ()
    if wanted.scope is not None:
        scope = wanted.scope
    test = where(session, scope[:1], ("CATALOG_NAME",))
    rows = session.instance.registry.query(
        "SELECT CREATED, SCHEMA_NAME, CATALOG_NAME, SCHEMA_OWNER, coalesce(COMMENT, ''), "
        f"if(IS_MANAGED_ACCESS = 'YES', 'MANAGED ACCESS', '') FROM {STORE}.is_schemata "
        f"WHERE {test} ORDER BY CATALOG_NAME, SCHEMA_NAME"
    )
    may_see = session.instance.access.may_see
    rows = [r for r in limited(rows, wanted) if may_see(session, "SCHEMA", (r[2], r[1]))]  # type: ignore[misc]
    if terse:
        return table(_TERSE, [(r[0], r[1], "", r[2], "") for r in rows])
    current = (session.database, session.schema)
    return table(
        "created_on:t|name|is_default|is_current|database_name|owner|comment|options|retention_time|owner_role_type",
        [(r[0], r[1], "N", "Y" if (r[2], r[1]) == current else "N", r[2], r[3], r[4], r[5], "1", "ROLE") for r in rows],
    )


def _databases(session: Session, wanted: Filter, terse: bool) -> Result:
    rows = session.instance.registry.query(
        f"SELECT CREATED, DATABASE_NAME, DATABASE_OWNER, coalesce(COMMENT, '') FROM {STORE}.is_databases ORDER BY 2"
    )
    may_see = session.instance.access.may_see
    rows = [r for r in limited(rows, wanted) if may_see(session, "DATABASE", (r[1],))]  # type: ignore[misc]
    if terse:
        return table(_TERSE, [(r[0], r[1], "STANDARD", "", "") for r in rows])
    return table(
        "created_on:t|name|is_default|is_current|origin|owner|comment|options|retention_time|kind|owner_role_type",
        [
            (r[0], r[1], "N", "Y" if r[1] == session.database else "N", "", r[2], r[3], "", "1", "STANDARD", "ROLE")
            for r in rows
        ],
    )


def kept(session: Session, wanted: Filter, kind: str) -> list[tuple[Any, ...]]:
    """Return (created, name, database, schema, definition, owner) of the objects of a kind a role may see."""
    test = where(session, wanted.scope, ("o.name[1]", "o.name[2]"))
    rows = session.instance.registry.query(
        "SELECT o.created_on, o.name[3], o.name[1], o.name[2], o.definition, coalesce(w.owner, 'ACCOUNTADMIN') "
        f"FROM {STORE}.objects o LEFT JOIN {STORE}.owners w ON w.kind = o.kind AND w.name = o.name "
        f"WHERE o.kind = {literal(kind)} AND {test} ORDER BY o.name"
    )
    may_see = session.instance.access.may_see
    return [
        (*row[:4], json.loads(row[4]), row[5])
        for row in limited(rows, wanted)
        if may_see(session, kind, (row[2], row[3], row[1]))
    ]


def _stages(session: Session, wanted: Filter, terse: bool) -> Result:
    return table(
        "created_on:t|name|database_name|schema_name|url|has_credentials|has_encryption_key|owner|comment|region|type|cloud"
        "|notification_channel|storage_integration|owner_role_type|directory_enabled",
        [
            (
                *(*r[:4], r[4]["url"], "N", "N", r[5], r[4]["comment"], None),
                *("EXTERNAL" if r[4]["url"] else "INTERNAL", "AWS" if r[4]["url"] else None),
                *(None, r[4]["integration"] or None, "ROLE", "N"),
            )
            for r in kept(session, wanted, "STAGE")
        ],
    )


def _formats(session: Session, wanted: Filter, terse: bool) -> Result:
    return table(
        "created_on:t|name|database_name|schema_name|type|owner|comment|format_options|owner_role_type",
        [
            (*r[:4], str(r[4].get("TYPE", "CSV")).upper(), r[5], r[4].get("COMMENT", ""), json.dumps(r[4]), "ROLE")
            for r in kept(session, wanted, "FILE FORMAT")
        ],
    )


def _sequences(session: Session, wanted: Filter, terse: bool) -> Result:
    test = where(session, wanted.scope, ("database_name", "schema_name"))
    rows = session.instance.registry.query(
        f"SELECT {_EPOCH}, sequence_name, database_name, schema_name, coalesce(last_value, start_value), increment_by "
        f"FROM duckdb_sequences() WHERE {test} AND sequence_name NOT LIKE '%_fs_seq_%' ORDER BY 3, 4, 2"
    )
    return table("created_on:t|name|database_name|schema_name|next_value:n|interval:n", limited(rows, wanted))


def _registered(kind: str) -> Callable[[Session, Filter, bool], Result]:
    def listing(session: Session, wanted: Filter, terse: bool) -> Result:
        registry = session.instance.registry
        rows = registry.query(
            "SELECT o.created_on, o.name[-1], o.kind, coalesce(w.owner, 'ACCOUNTADMIN'), o.comment "
            f"FROM {STORE}.objects o LEFT JOIN {STORE}.owners w ON w.kind = o.kind AND w.name = o.name "
            "WHERE o.kind = ? OR (? = 'INTEGRATION' AND o.kind LIKE '%INTEGRATION') ORDER BY 2",
            [kind, kind],
        )
        kept = limited(rows, wanted)
        if kind == "ROLE":
            return table(
                "created_on:t|name|is_default|is_current|is_inherited|assigned_to_users:n|granted_to_roles:n|granted_roles:n"
                "|owner|comment",
                [
                    (
                        r[0],
                        r[1],
                        "N",
                        "Y" if r[1] == session.role else "N",
                        "N",
                        *_role_counts(session, r[1]),
                        r[3],
                        r[4],
                    )
                    for r in kept
                ],
            )
        if kind == "USER":
            keyed = [(r[0], r[1], r[1], r[3], str(bool(registry.user_keys.get(r[1]))).lower(), "false") for r in kept]
            return table("created_on:t|name|login_name|owner|has_rsa_public_key|disabled", keyed)
        if kind == "WAREHOUSE":
            return table(
                "created_on:t|name|state|type|size|owner|comment",
                [(r[0], r[1], "STARTED", "STANDARD", "X-Small", r[3], r[4]) for r in kept],
            )
        return table("created_on:t|name|kind|owner|comment", kept)

    return listing


def _role_counts(session: Session, role: str) -> tuple[int, int, int]:
    grants = session.instance.registry.grants_on("ROLE", (role,))
    users = sum(1 for g in grants if g.grantee_kind == "USER")
    roles = sum(1 for g in grants if g.grantee_kind == "ROLE" and g.privilege == "USAGE")
    granted = sum(1 for g in session.instance.registry.held_by(role) if g.kind == "ROLE" and g.privilege == "USAGE")
    return users, roles, granted


def _nothing(columns: str) -> Callable[[Session, Filter, bool], Result]:
    return lambda session, wanted, terse: table(columns, [])


_FUNCTIONS = "created_on:t|name|schema_name|is_builtin|is_aggregate|is_ansi|arguments|description|catalog_name|language"
LISTINGS: dict[str, Callable[[Session, Filter, bool], Result]] = {
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
    "PIPES": _nothing("created_on:t|name|database_name|schema_name|definition|owner"),
    "DYNAMIC TABLES": _nothing("created_on:t|name|database_name|schema_name|owner|target_lag"),
    "MASKING POLICIES": _nothing("created_on:t|name|database_name|schema_name|kind|owner"),
    "ROW ACCESS POLICIES": _nothing("created_on:t|name|database_name|schema_name|kind|owner"),
}
