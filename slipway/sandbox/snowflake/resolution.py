"""Which objects a statement names, and what it does to each: names are completed, so nothing depends on where DuckDB looks.

Rules:
- an unqualified name is completed from the session; inside CREATE VIEW from the schema of the view, as Snowflake does;
- a temporary table of the session hides a permanent one and lives in DuckDB's own temporary database;
- INFORMATION_SCHEMA and ACCOUNT_USAGE become queries over our own views;
- CURRENT_ROLE() and its like become literals.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlglot
from fakesnow import transforms
from sqlglot import exp

from slipway.sandbox.snowflake import error
from slipway.sandbox.snowflake.information import relation_sql
from slipway.sandbox.snowflake.reader import Name

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.session import Session


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """One table or view a statement reads or changes, with the privileges one of which it needs."""

    name: Name
    privileges: tuple[str, ...]


def normalize(expression: exp.Expression) -> exp.Expression:
    """Return `expression` with IDENTIFIER('x') resolved and unquoted names in upper case. Changes it in place."""
    resolved: exp.Expression = expression.transform(lambda node: transforms.identifier(node, None), copy=False)
    upper: exp.Expression = resolved.transform(transforms.upper_case_unquoted_identifiers, copy=False)
    return upper


def resolve(session: Session, expression: exp.Expression) -> tuple[Reference, ...]:
    """Complete the names in a normalized statement and return what it refers to. Changes `expression` in place."""
    _replace_session_functions(session, expression)
    target = target_of(expression)
    home = _home(session, expression, target)
    found: list[Reference] = []
    for table in list(expression.find_all(exp.Table)):
        if not isinstance(table.this, exp.Identifier) or _is_container(expression, table) or _is_cte(table):
            continue
        if (replacement := _metadata_query(session, table)) is not None:
            table.replace(replacement)
            continue
        name = _complete(session, table, None if table is target else home)
        found.append(Reference(name=name, privileges=_privileges(expression, table, target)))
        _rename(session, table, name, is_target=table is target)
    return tuple(found)


def target_of(expression: exp.Expression) -> exp.Table | None:
    """Return the table a statement creates or changes, if it names one first."""
    this = expression.args.get("this")
    if isinstance(expression, exp.Query):
        return None
    if isinstance(this, exp.Schema):
        this = this.this
    return this if isinstance(this, exp.Table) else None


def name_of(table: exp.Table) -> Name:
    """Return the parts of a table reference that are written down."""
    return tuple(part for part in (table.catalog, table.db, table.name) if part)


def _home(session: Session, expression: exp.Expression, target: exp.Table | None) -> Name | None:
    if isinstance(expression, exp.Create) and expression.kind == "VIEW" and target is not None:
        return session.object_name(name_of(target), "CREATE VIEW")[:2]
    return None


def _is_container(expression: exp.Expression, table: exp.Table) -> bool:
    kind = str(expression.args.get("kind") or "").upper()
    return isinstance(expression, (exp.Create, exp.Drop, exp.Use, exp.Show, exp.Describe)) and (
        kind not in ("TABLE", "VIEW", "") or isinstance(expression, (exp.Use, exp.Show))
    )


def _is_cte(table: exp.Table) -> bool:
    if table.db:
        return False
    node: exp.Expression | None = table
    while node is not None:
        parent = node.parent
        with_ = parent.args.get("with_") if parent is not None else None
        if isinstance(with_, exp.With) and parent is not None and any(_defines(c, table, with_) for c in _before(with_, node)):
            return True
        if isinstance(parent, exp.With) and any(_defines(c, table, parent) for c in _before(parent, node)):
            return True
        node = parent
    return False


def _before(with_: exp.With, node: exp.Expression) -> Iterator[exp.CTE]:
    for cte in with_.expressions:
        if cte is node:
            if with_.recursive:
                yield cte
            return
        yield cte


def _defines(cte: exp.CTE, table: exp.Table, _with: exp.With) -> bool:
    return bool(cte.alias_or_name.upper() == table.name.upper())


def _complete(session: Session, table: exp.Table, home: Name | None) -> Name:
    name = name_of(table)
    if home is not None and len(name) < 3:
        return (*home[: 3 - len(name)], *name)
    return session.object_name(name)


def _rename(session: Session, table: exp.Table, name: Name, *, is_target: bool) -> None:
    needs_alias = not table.alias and not is_target and isinstance(table.parent, (exp.From, exp.Join))
    if name in session.temporary:
        stored: Name = ("temp", "main", ".".join(name))
        if needs_alias:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(name[-1], quoted=True)))
    else:
        stored = name
    for key, part in zip(("catalog", "db", "this"), stored, strict=True):
        table.set(key, exp.to_identifier(part, quoted=True))


def _metadata_query(session: Session, table: exp.Table) -> exp.Expression | None:
    """Return the subquery for INFORMATION_SCHEMA.x and ACCOUNT_USAGE.x; raises 2003 for one there is not."""
    schema = table.db or (session.schema if not table.catalog else "") or ""
    if schema == "ACCOUNT_USAGE" and table.catalog == "SNOWFLAKE":
        database = ""
    elif schema == "INFORMATION_SCHEMA":
        database = table.catalog or session.database or ""
        if database not in session.instance.registry.databases:
            raise error.missing("Database", database)
    else:
        return None
    sql = relation_sql(table.name, database)
    if sql is None:
        raise error.missing("Object", f"{database or 'SNOWFLAKE'}.{schema}.{table.name}")
    if "query_history" in sql:
        session.instance.history.flush()
    alias = table.alias or table.name
    return sqlglot.parse_one(sql, read="duckdb").subquery(exp.to_identifier(alias, quoted=True), copy=False)


def _privileges(expression: exp.Expression, table: exp.Table, target: exp.Table | None) -> tuple[str, ...]:
    if table is not target:
        return ("SELECT",)
    match expression:
        case exp.Insert():
            return ("INSERT",)
        case exp.Update():
            return ("UPDATE",)
        case exp.Delete():
            return ("DELETE",)
        case exp.Merge():
            return ("UPDATE", "INSERT", "DELETE")
        case exp.TruncateTable():
            return ("TRUNCATE", "DELETE")
        case exp.Copy():
            return ("INSERT",)
        case exp.Describe():
            return ()
        case exp.Create():
            return ("CREATE",)
        case _:
            return ("OWNERSHIP",)


def _replace_session_functions(session: Session, expression: exp.Expression) -> None:
    values = {
        "CURRENT_ROLE": session.role,
        "CURRENT_USER": session.user,
        "CURRENT_WAREHOUSE": session.warehouse,
        "CURRENT_ACCOUNT": session.account.upper(),
        "CURRENT_ACCOUNT_NAME": session.account.upper(),
        "CURRENT_ORGANIZATION_NAME": "SLIPWAY",
        "CURRENT_REGION": "LOCAL",
        "CURRENT_SESSION": str(session.session_id),
        "CURRENT_DATABASE": session.database,
        "CURRENT_CATALOG": session.database,
        "CURRENT_SCHEMA": session.schema,
        "CURRENT_SECONDARY_ROLES": '{"roles":"","value":""}',
        "CURRENT_AVAILABLE_ROLES": "[" + ",".join(f'"{r}"' for r in sorted(session.instance.access.effective(session.role))) + "]",
        "LAST_QUERY_ID": session.last_query_id,
    }
    for node in list(expression.find_all(exp.Func)):
        name = node.name.upper() if isinstance(node, exp.Anonymous) else node.sql_name().upper()
        if name in values and not isinstance(node.parent, exp.Table):
            value = values[name]
            replacement: exp.Expression = exp.null() if value is None else exp.Literal.string(value)
            if isinstance(node.parent, exp.Select):
                replacement = exp.alias_(replacement, f"{name}()", quoted=True)
            node.replace(replacement)
