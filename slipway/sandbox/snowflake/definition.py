"""Tables and views: CREATE, ALTER, COMMENT and TRUNCATE, where DuckDB needs them said otherwise.

Rules:
- PRIMARY KEY, UNIQUE and FOREIGN KEY are accepted and not enforced, as in Snowflake; NOT NULL is;
- a temporary table or view exists in its session only and hides a permanent one of the same name;
- CREATE OR REPLACE drops the grants of what it replaces unless COPY GRANTS is said.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

import duckdb
from sqlglot import exp

from slipway.sandbox.snowflake import error, relation, resolution
from slipway.sandbox.snowflake.access import MANAGED
from slipway.sandbox.snowflake.column import refuse_change
from slipway.sandbox.snowflake.intent import step
from slipway.sandbox.snowflake.reader import Name, Reader, literal, quote, quote_name
from slipway.sandbox.snowflake.result import Result

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.cursor import Cursor

_UNENFORCED = (exp.PrimaryKeyColumnConstraint, exp.UniqueColumnConstraint, exp.Reference)
_TABLE_CONSTRAINTS = (exp.PrimaryKey, exp.ForeignKey, exp.UniqueColumnConstraint, exp.Constraint)
_PARAMETERS = frozenset({"DATA_RETENTION_TIME_IN_DAYS", "MAX_DATA_EXTENSION_TIME_IN_DAYS", "CHANGE_TRACKING", "TAG"})

_SECURE = re.compile(r"^(\s*CREATE\s+(?:OR\s+REPLACE\s+)?)(?:SECURE\s+)?", re.IGNORECASE)


def handle_parsed(cursor: Cursor, expression: exp.Expr) -> Result | None:
    """Run CREATE TABLE | VIEW and ALTER TABLE; returns None for anything else."""
    if isinstance(expression, exp.Create) and expression.kind in ("TABLE", "VIEW"):
        return _create(cursor, expression)
    if isinstance(expression, exp.Alter) and expression.args.get("kind") in ("TABLE", "VIEW"):
        return _alter(cursor, expression)
    return None


def _create(cursor: Cursor, create: exp.Create) -> Result:
    session, instance, kind = cursor.session, cursor.session.instance, str(create.kind)
    target = resolution.target_of(create)
    if target is None:
        raise error.unsupported(f"CREATE {kind} without a plain name")
    original = create.sql(dialect="snowflake", comments=kind == "VIEW")
    name = session.object_name(resolution.name_of(target), f"CREATE {kind}")
    properties = create.args.get("properties")
    held = list(properties.expressions) if properties else []
    temporary = any(isinstance(p, exp.TemporaryProperty) for p in held)
    comment = next((p.this.name for p in held if isinstance(p, exp.SchemaCommentProperty)), None)
    copy_grants = bool(create.args.get("copy_grants")) or any(isinstance(p, exp.CopyGrantsProperty) for p in held)
    if not instance.has_schema(name[:2]):
        raise error.missing("Schema", ".".join(name[:2]))
    existing: str | None = None
    if not temporary:
        instance.access.require_creation(session, kind, name[:2])
        existing = instance.relation_kind(name)
        if ("STREAM", name) in instance.registry.objects:
            raise error.already_exists(".".join(name))
        if existing and create.args.get("exists"):
            return Result.status(f"{name[2]} already exists, statement succeeded.")
        if existing and not create.args.get("replace"):
            raise error.already_exists(".".join(name))
        if existing and existing != kind:
            raise error.syntax(f"Object '{'.'.join(name)}' already exists as {existing}.")
        if existing:
            instance.access.require(session, kind, name, "OWNERSHIP")
    elif name in session.temporary and create.args.get("exists"):
        return Result.status(f"{name[2]} already exists, statement succeeded.")
    _check_columns(create)
    comments = _simplify(create, temporary=temporary)
    was_temporary = session.temporary.pop(name, None)
    try:
        references = resolution.resolve(session, create)
        cursor.authorize([r for r in references if r.privileges != ("CREATE",)])
        if temporary:
            _point_at_temporary(create, name)
        created = {"kind": kind, "name": name, "role": session.role, "keep_grants": copy_grants, "comment": comment}
        lengths = _run_creation(
            cursor,
            create,
            replaced=name if existing and kind == "TABLE" else None,
            created=None if temporary else {**created, "definition": original},
        )
    finally:
        if was_temporary:
            session.temporary[name] = was_temporary
    if temporary:
        session.temporary[name] = kind
        session.temporary_lengths[".".join(name)] = dict(lengths)
    for column, text in comments:
        session._duck_conn.execute(f"COMMENT ON COLUMN {session.stored_name(name)}.{quote(column)} IS {literal(text)}")
    return Result.status(f"{kind.capitalize()} {name[2]} successfully created.")


def _check_columns(create: exp.Create) -> None:
    query = create.expression
    if isinstance(query, exp.Select) and not isinstance(create.this, exp.Schema):
        for position, column in enumerate(query.expressions, start=1):
            if isinstance(column, (exp.Func, exp.Literal, exp.Binary)) and not column.alias:
                raise error.syntax(f"Missing column specification: column {position} needs an alias.")


def _simplify(create: exp.Create, *, temporary: bool) -> list[tuple[str, str]]:
    """Take out of CREATE what DuckDB does not know, and return the comments of columns."""
    create.set("properties", exp.Properties(expressions=[exp.TemporaryProperty()]) if temporary else None)
    create.set("copy_grants", None)
    comments: list[tuple[str, str]] = []
    schema = create.this
    if not isinstance(schema, exp.Schema):
        return comments
    kept: list[exp.Expr] = []
    for item in schema.expressions:
        if isinstance(item, _TABLE_CONSTRAINTS):
            continue
        if isinstance(item, exp.ColumnDef):
            item, comment = _plain_column(item, view=create.kind == "VIEW")
            if comment is not None:
                comments.append((item.name, comment))
        kept.append(item)
    schema.set("expressions", kept)
    return comments


def _plain_column(column: exp.ColumnDef, *, view: bool) -> tuple[exp.Expr, str | None]:
    comment = None
    kept = []
    for constraint in column.args.get("constraints") or []:
        kind = constraint.args.get("kind")
        if isinstance(kind, exp.CommentColumnConstraint):
            comment = kind.this.name
        elif not isinstance(kind, _UNENFORCED):
            kept.append(constraint)
    column.set("constraints", kept)
    return (column.this if view and not column.kind else column), comment


def _point_at_temporary(create: exp.Create, name: Name) -> None:
    target = resolution.target_of(create)
    if target is None:
        raise error.unsupported("a temporary relation without a plain name")
    for key, part in zip(("catalog", "db", "this"), ("temp", "main", ".".join(name)), strict=True):
        target.set(key, exp.to_identifier(part, quoted=True))


def _run_creation(
    cursor: Cursor, create: exp.Create, *, replaced: Name | None, created: dict[str, Any] | None
) -> list[tuple[str, int]]:
    lengths: list[tuple[str, int]] = []
    for statement in cursor._transform_explode(create):
        transformed = cursor.transform(statement)
        lengths += [(c, n) for c, n in transformed.args.get("text_lengths") or [] if n]
        values = cursor._bindings() if transformed.find(exp.Placeholder) else None
        sql = transformed.sql(dialect="duckdb")

        def work(connection: duckdb.DuckDBPyConnection, sql: str = sql, values: Any = values) -> None:
            connection.execute(sql, values)
            if replaced is not None:
                relation.forget_loads(connection, replaced)

        if created is None:
            relation.atomically(cursor.session, work)
        else:
            recorded = step("created", **created, lengths=lengths)
            relation.change(cursor.session, created["name"][0], work, recorded)
    return lengths


# ALTER -------------------------------------------------------------------------------------------------------------


def _alter(cursor: Cursor, alter: exp.Alter) -> Result:
    session = cursor.session
    target = alter.this
    name = session.object_name(resolution.name_of(target), "ALTER TABLE")
    if name not in session.temporary and session.instance.relation_kind(name) is None:
        if alter.args.get("exists"):
            return Result.status()
        raise error.missing("Table", ".".join(name))
    cursor.authorize(resolution.resolve(session, alter))
    for action in alter.args.get("actions") or []:
        if isinstance(action, exp.AlterColumn):
            refuse_change(session, name, action)
    alter.set("exists", None)
    lengths: list[tuple[str, int]] = []
    for statement in cursor._transform_explode(alter):
        transformed = cursor.transform(statement)
        lengths += [(c, n) for c, n in transformed.args.get("text_lengths") or [] if n and c]
        sql = transformed.sql(dialect="duckdb")
        if sql:
            relation.atomically(session, functools.partial(relation.run, sql=sql))
    if lengths and name not in session.temporary:
        session.instance.registry.set_lengths(name, lengths)
    return Result.status()


def handle_alter(cursor: Cursor, reader: Reader) -> Result | None:
    """Run ALTER SESSION, ALTER .. SET COMMENT and parameters, and column comments; None when a parse is needed."""
    from slipway.sandbox.snowflake import session as sessions

    session = cursor.session
    if reader.words[1:2] == ["SESSION"]:
        return sessions.handle_alter_session(session, reader)
    reader.expect("ALTER")
    kind = reader.take_any("TABLE", "VIEW", "SCHEMA", "DATABASE")
    if not kind:
        return None
    missing_ok = reader.take("IF", "EXISTS")
    name = _whole_name(cursor, kind, reader.name())
    if kind in ("TABLE", "VIEW") and name not in session.temporary and session.instance.relation_kind(name) is None:
        if missing_ok:
            return Result.status()
        raise error.missing("Table" if kind == "TABLE" else "View", ".".join(name))
    if kind in ("SCHEMA", "DATABASE"):
        _need_container(cursor, kind, name)
    action = reader.take_any("SET", "UNSET", "ALTER", "MODIFY", "CLUSTER BY", "DROP CLUSTERING", "ENABLE", "DISABLE")
    if not action or (action in ("ALTER", "MODIFY") and "COMMENT" not in reader.words):
        return None
    session.instance.access.require(session, kind, name, "OWNERSHIP")
    if action in ("ENABLE", "DISABLE"):
        return _manage_access(cursor, kind, name, reader, enable=action == "ENABLE")
    if action in ("ALTER", "MODIFY"):
        return _comment_columns(cursor, name, reader)
    if action in ("SET", "UNSET"):
        return _set_properties(cursor, kind, name, reader, unset=action == "UNSET")
    return Result.status()


def _manage_access(cursor: Cursor, kind: str, name: Name, reader: Reader, *, enable: bool) -> Result:
    if kind != "SCHEMA" or not reader.take("MANAGED", "ACCESS"):
        raise error.unsupported(f"ALTER {kind} .. {'ENABLE' if enable else 'DISABLE'} {reader.rest()[:40]}")
    registry = cursor.session.instance.registry
    if enable:
        registry.put_object(kind, name, MANAGED)
    elif (kind, name) in registry.objects:
        registry.drop_definition(kind, name)
    return Result.status()


def _whole_name(cursor: Cursor, kind: str, name: Name) -> Name:
    if kind == "DATABASE":
        return name[:1]
    return cursor.session.schema_name(name) if kind == "SCHEMA" else cursor.session.object_name(name)


def _need_container(cursor: Cursor, kind: str, name: Name) -> None:
    instance = cursor.session.instance
    known = name[0] in instance.registry.databases if kind == "DATABASE" else instance.has_schema(name)
    if not known:
        raise error.missing(kind.capitalize(), ".".join(name))


def _set_properties(cursor: Cursor, kind: str, name: Name, reader: Reader, *, unset: bool) -> Result:
    registry = cursor.session.instance.registry
    if "POLICY" in reader.words:
        raise error.unsupported("masking and row access policies: they would not be applied")
    while not reader.at_end:
        key = reader.value().upper()
        if key == "COMMENT":
            reader.take("=")
            registry.set_comment(name, "" if unset else reader.value())
        elif key == "SECURE":
            written = registry.objects.get((kind, name), "CREATE VIEW")
            registry.put_object(kind, name, _SECURE.sub(r"\1" if unset else r"\1SECURE ", written))
        elif key in _PARAMETERS:
            break
        else:
            raise error.unsupported(f"ALTER {kind} .. SET {key}")
        reader.take(",")
    return Result.status()


def _comment_columns(cursor: Cursor, name: Name, reader: Reader) -> Result:
    stored = cursor.session.stored_name(name)
    comments: list[tuple[str, str]] = []
    while not reader.at_end:
        if reader.take(",") or reader.take("(") or reader.take(")"):
            continue
        reader.take_any("ALTER", "MODIFY")
        reader.take("COLUMN")
        column = reader.name()[0]
        reader.expect("COMMENT")
        comments.append((column, reader.value()))
    for column, text in comments:
        _comment_column(cursor, stored, column, text)
    return Result.status()


def _comment_column(cursor: Cursor, stored: str, column: str, text: str) -> None:
    sql = f"COMMENT ON COLUMN {stored}.{quote(column)} IS {literal(text)}"
    relation.atomically(cursor.session, functools.partial(relation.run, sql=sql))


# COMMENT, TRUNCATE -------------------------------------------------------------------------------------------------


def handle_comment(cursor: Cursor, reader: Reader) -> Result | None:
    """Run COMMENT [IF EXISTS] ON <kind> <name> IS '..'."""
    reader.expect("COMMENT")
    missing_ok = reader.take("IF", "EXISTS")
    reader.expect("ON")
    kind = reader.take_any("TABLE", "VIEW", "COLUMN", "SCHEMA", "DATABASE", "WAREHOUSE", "ROLE", "USER", "STAGE")
    if not kind:
        raise error.unsupported(f"COMMENT ON {reader.peek()}")
    name, session = reader.name(), cursor.session
    reader.expect("IS")
    text = reader.value()
    if kind == "COLUMN":
        relation = session.object_name(name[:-1])
        if session.instance.relation_kind(relation) is None:
            raise error.missing("Table", ".".join(relation))
        session.instance.access.require(session, "TABLE", relation, "OWNERSHIP")
        _comment_column(cursor, session.stored_name(relation), name[-1], text)
        return Result.status()
    if kind in ("WAREHOUSE", "ROLE", "USER", "STAGE"):
        return Result.status()
    whole = _whole_name(cursor, kind, name)
    if kind in ("SCHEMA", "DATABASE"):
        _need_container(cursor, kind, whole)
    elif whole in session.temporary:
        return Result.status()
    elif session.instance.relation_kind(whole) is None:
        if missing_ok:
            return Result.status()
        raise error.missing("Table" if kind == "TABLE" else "View", ".".join(whole))
    session.instance.access.require(session, kind, whole, "OWNERSHIP")
    session.instance.registry.set_comment(whole, text)
    return Result.status()


def handle_truncate(cursor: Cursor, reader: Reader) -> Result | None:
    """Run TRUNCATE [TABLE] [IF EXISTS] name: also forgets which files were loaded, as Snowflake does."""
    reader.expect("TRUNCATE")
    reader.take("TABLE")
    missing_ok = reader.take("IF", "EXISTS")
    session = cursor.session
    name = session.object_name(reader.name(), "TRUNCATE")
    if name not in session.temporary and session.instance.relation_kind(name) != "TABLE":
        if missing_ok:
            return Result.status()
        raise error.missing("Table", ".".join(name))
    cursor.authorize([resolution.Reference(name=name, privileges=("TRUNCATE", "DELETE"))])
    session.transaction.write(f"DELETE FROM {session.stored_name(name)}")
    if name not in session.temporary:
        history = f"{quote(name[0])}._fs_information_schema._fs_load_history"
        session.transaction.write(f"DELETE FROM {history} WHERE schema_name = ? AND table_name = ?", list(name[1:]))
    return Result.status()


__all__ = ["handle_alter", "handle_comment", "handle_parsed", "handle_truncate", "quote_name"]
