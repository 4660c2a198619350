"""Which objects a statement names, and what it does to each. Names are completed: DuckDB has nothing to look for.

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
from snowflake.connector.errors import ProgrammingError
from sqlglot import exp

from slipway.sandbox.snowflake import error, foreign, meaning
from slipway.sandbox.snowflake.information import UNSUPPORTED_VIEWS, relation_sql
from slipway.sandbox.snowflake.reader import Name, quote_name

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.session import Session


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """One table or view a statement reads or changes, with the privileges one of which it needs."""

    name: Name
    privileges: tuple[str, ...]


def normalize(expression: exp.Expr) -> exp.Expr:
    """Return `expression` with IDENTIFIER('x') resolved and unquoted names in upper case. Changes it in place."""
    present = kinds(expression)
    if not present.isdisjoint((exp.Anonymous, exp.DynamicIdentifier)):  # a pass costs more than looking first
        expression = expression.transform(lambda node: transforms.identifier(node, None), copy=False)
    if exp.Struct in present:
        meaning.keep_keys(expression)
    upper: exp.Expr = expression.transform(transforms.upper_case_unquoted_identifiers, copy=False)
    return upper


def kinds(expression: exp.Expr) -> set[type[exp.Expr]]:
    """Return the types of node in a statement."""
    return {type(node) for node in expression.walk()}


# table functions of Snowflake that are there
_TABLE_FUNCTIONS = frozenset(
    {"GENERATOR", "FLATTEN", "RESULT_SCAN", "SPLIT_TO_TABLE", "QUERY_HISTORY", "STRTOK_SPLIT_TO_TABLE"}
)
_REFUSED_FUNCTIONS = frozenset({"SPLIT_TO_TABLE", "STRTOK_SPLIT_TO_TABLE"})  # there, but not here


def refuse_unknown(expression: exp.Expr) -> None:
    """Raise for what parses and has no meaning here, or one Snowflake does not give it."""
    for table in expression.find_all(exp.Table):
        if isinstance(table.this, exp.Func):
            written = table.this.name if isinstance(table.this, exp.Anonymous) else table.this.sql_name()
            if written.upper() not in _TABLE_FUNCTIONS:
                raise error.unknown_function(written)
        if isinstance(table.this, exp.Literal):
            raise error.missing("Object", table.this.name)
        if isinstance(table.this, exp.Var) and table.this.name.startswith("@"):
            raise error.unsupported("queries of staged files")
        if table.args.get("when") or table.args.get("changes"):
            raise error.unsupported("time travel (AT, BEFORE, CHANGES)")
    present = kinds(expression)
    if any(select.args.get("sample") for select in expression.find_all(exp.Select)):  # SAMPLE belongs to a table
        raise error.syntax("syntax error unexpected 'USING'.")
    if exp.Anonymous in present:
        for named in expression.find_all(exp.Anonymous):
            if foreign.is_foreign(named.name):
                raise error.unknown_function(named.name)
    if exp.Explode in present:
        for flattened in expression.find_all(exp.Explode):
            _refuse_flatten_options(flattened)
    for call in expression.find_all(exp.TableFromRows) if exp.TableFromRows in present else ():
        if _function_name(call.this) in _REFUSED_FUNCTIONS:
            raise error.unsupported(f"{_function_name(call.this)}()")
    if exp.Join in present and any(join.args.get("match_condition") for join in expression.find_all(exp.Join)):
        raise error.unsupported("ASOF JOIN")
    if exp.MatchRecognize in present:
        raise error.unsupported("MATCH_RECOGNIZE")
    if exp.Connect in present:
        raise error.unsupported("CONNECT BY")


def _function_name(call: exp.Expr) -> str:
    """Return the name of a function in upper case; nothing for what is no function."""
    if isinstance(call, exp.Anonymous):
        return str(call.name).upper()
    return call.sql_name().upper() if isinstance(call, exp.Func) else ""


def _refuse_flatten_options(flattened: exp.Explode) -> None:
    """Raise for options of FLATTEN that would not be honoured, and put its input first. Changes it in place."""
    options = {o.this.name.upper(): o for o in (flattened.this, *flattened.expressions) if isinstance(o, exp.Kwarg)}
    for name, idle in (("OUTER", "FALSE"), ("RECURSIVE", "FALSE"), ("MODE", "BOTH"), ("PATH", "")):
        option = options.get(name)
        if option is not None and option.expression.name.upper() != idle and option.expression.sql().upper() != idle:
            raise error.unsupported(f"FLATTEN with {name} => {option.expression.sql(dialect='snowflake')}")
    if "INPUT" in options:
        flattened.set("this", options["INPUT"])


def resolve(session: Session, expression: exp.Expr) -> tuple[Reference, ...]:
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
        _refuse_hidden(session, name, is_new=table is target and isinstance(expression, exp.Create))
        found.append(Reference(name=name, privileges=_privileges(expression, table, target)))
        _rename(session, table, name, is_target=table is target)
    for function in list(expression.find_all(exp.TableFromRows)):
        _replace_table_function(session, function)
    for column in list(expression.find_all(exp.Column)):
        if column.name == "NEXTVAL" and column.table:
            _replace_next_value(session, column)
    return tuple(found)


def target_of(expression: exp.Expr) -> exp.Table | None:
    """Return the table a statement creates or changes, if it names one first."""
    this = expression.args.get("this")
    if isinstance(expression, exp.Query):
        return None
    if isinstance(this, exp.Schema):
        this = this.this
    return this if isinstance(this, exp.Table) else None


def name_of(table: exp.Table) -> Name:
    """Return the parts of a table reference that are written down."""
    if table.catalog and not table.db:
        return (table.catalog, "", table.name)  # db..table
    return tuple(part for part in (table.catalog, table.db, table.name) if part)


def _refuse_hidden(session: Session, name: Name, *, is_new: bool) -> None:
    """Raise 2003 for a database that is not the account's, and for a quoted name whose case is another's."""
    if name in session.temporary:
        return
    if name[0] not in session.instance.registry.databases:
        raise error.missing("Object" if not is_new else "Database", ".".join(name))
    if name[2] != name[2].upper() and not is_new and session.instance.relation_kind(name) is None:
        raise error.missing("Object", ".".join(name))


def _replace_table_function(session: Session, function: exp.TableFromRows) -> None:
    """Put the rows of RESULT_SCAN and QUERY_HISTORY in the place of the call."""
    call = function.this.expression if isinstance(function.this, exp.Dot) else function.this
    name = call.name.upper() if isinstance(call, exp.Anonymous) else ""
    alias = function.alias or name or "_"
    if name == "QUERY_HISTORY":
        session.instance.history.flush()
        query = sqlglot.parse_one(str(relation_sql("QUERY_HISTORY", "")), read="duckdb")
    elif name == "RESULT_SCAN":
        query = sqlglot.parse_one(f"SELECT * FROM {_result(session, call)}", read="duckdb")
    elif isinstance(call, exp.Anonymous) and name not in _TABLE_FUNCTIONS:
        raise error.unknown_function(name)
    else:
        return
    function.replace(exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True))))


def _result(session: Session, call: exp.Anonymous) -> str:
    """Return the name of a view over an earlier result. Raises 709 for one that is not kept."""
    wanted = call.expressions[0] if call.expressions else exp.null()
    query_id = wanted.name if isinstance(wanted, exp.Literal) else ""
    kept = session.results_cache.get(query_id)
    if kept is None:
        raise ProgrammingError(msg=f"Statement {query_id} not found", errno=709, sqlstate="02000")
    session._duck_conn.register("_result_scan", kept.table)
    return "_result_scan"


def _replace_next_value(session: Session, column: exp.Column) -> None:
    parts = [part for part in (column.catalog, column.db, column.table) if part]
    name = session.object_name(tuple(parts), "NEXTVAL")
    if not session.instance.has_sequence(name):
        return
    session.instance.access.require(session, "SEQUENCE", name, "USAGE")
    call: exp.Expr = exp.Anonymous(this="nextval", expressions=[exp.Literal.string(quote_name(name))])
    if isinstance(column.parent, exp.Select):
        call = exp.alias_(call, "NEXTVAL", quoted=True)
    column.replace(call)


def _home(session: Session, expression: exp.Expr, target: exp.Table | None) -> Name | None:
    if isinstance(expression, exp.Create) and expression.kind == "VIEW" and target is not None:
        return session.object_name(name_of(target), "CREATE VIEW")[:2]
    return None


def _is_container(expression: exp.Expr, table: exp.Table) -> bool:
    kind = str(expression.args.get("kind") or "").upper()
    return isinstance(expression, (exp.Create, exp.Drop, exp.Use, exp.Show, exp.Describe)) and (
        kind not in ("TABLE", "VIEW", "") or isinstance(expression, (exp.Use, exp.Show))
    )


def _is_cte(table: exp.Table) -> bool:
    if table.db:
        return False
    node: exp.Expr | None = table
    while node is not None:
        parent = node.parent
        with_ = parent.args.get("with_") if parent is not None else None
        if isinstance(with_, exp.With) and parent is not None and any(_defines(c, table) for c in _before(with_, node)):
            return True
        if isinstance(parent, exp.With) and any(_defines(c, table) for c in _before(parent, node)):
            return True
        node = parent
    return False


def _before(with_: exp.With, node: exp.Expr) -> Iterator[exp.CTE]:
    for cte in with_.expressions:
        if cte is node:
            if with_.recursive:
                yield cte
            return
        yield cte


def _defines(cte: exp.CTE, table: exp.Table) -> bool:
    return bool(cte.alias_or_name.upper() == table.name.upper())


def _complete(session: Session, table: exp.Table, home: Name | None) -> Name:
    name = name_of(table)
    if home is not None and len(name) < 3:
        return (*home[: 3 - len(name)], *name)
    return session.object_name(name)


def _rename(session: Session, table: exp.Table, name: Name, *, is_target: bool) -> None:
    can_alias = not is_target or isinstance(table.parent, (exp.Update, exp.Delete, exp.Merge))
    if name in session.temporary:
        stored: Name = ("temp", "main", ".".join(name))
        if can_alias and not table.alias:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(name[-1], quoted=True)))
    else:
        stored = name
    for key, part in zip(("catalog", "db", "this"), stored, strict=True):
        table.set(key, exp.to_identifier(part, quoted=True))


def _metadata_query(session: Session, table: exp.Table) -> exp.Expr | None:
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
    roles = (
        None if session.instance.access.is_unrestricted(session) else session.instance.access.effective(session.role)
    )
    sql = relation_sql(table.name, database, roles)
    if sql is None and table.name in UNSUPPORTED_VIEWS:
        raise error.unsupported(f"{schema}.{table.name}")
    if sql is None:
        raise error.missing("Object", f"{database or 'SNOWFLAKE'}.{schema}.{table.name}")
    if "query_history" in sql:
        session.instance.history.flush()
    alias = table.alias or table.name
    query = sqlglot.parse_one(sql, read="duckdb")
    return exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))


def _privileges(expression: exp.Expr, table: exp.Table, target: exp.Table | None) -> tuple[str, ...]:
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


def _replace_session_functions(session: Session, expression: exp.Expr) -> None:
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
        "CURRENT_AVAILABLE_ROLES": "["
        + ",".join(f'"{r}"' for r in sorted(session.instance.access.effective(session.role)))
        + "]",
        "LAST_QUERY_ID": session.last_query_id,
    }
    for node in list(expression.find_all(exp.Func)):
        if isinstance(node, exp.Anonymous) and node.name.upper() == "GETVARIABLE":
            held = session.session_variables.get(node.expressions[0].name.upper())
            node.replace(sqlglot.parse_one("NULL" if held is None else held.sql, read="snowflake"))
            continue
        name = node.name.upper() if isinstance(node, exp.Anonymous) else node.sql_name().upper()
        if name in values and not isinstance(node.parent, exp.Table):
            value = values[name]
            replacement: exp.Expr = exp.null() if value is None else exp.Literal.string(value)
            if isinstance(node.parent, exp.Select):
                replacement = exp.alias_(replacement, f"{name}()", quoted=True)
            node.replace(replacement)
