"""Which relations and columns of the migrated database SQL, dbt models and pipelines use, read from their text.

Nothing of a release is executed. What cannot be read is taken to need every column of what it names.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import sqlglot
import yaml  # type: ignore[import-untyped]
from schemachange.sql_splitter import split_sql_statements
from sqlglot import exp
from sqlglot.errors import SqlglotError

from slipway.adapters.script_block import columns_dropped, holds_block, statements_inside, taken_by_command
from slipway.lineage import ANY, Need, Taken
from slipway.statement import bare

RAW = "RAW_OF_SLIPWAY"  # stands for the migrated database, whatever it is called in an environment
_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_TAGS = re.compile(r"\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_EXPRESSION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_CONFIG = re.compile(r"\{\{-?\s*config\((?:(?!\}\}).)*\)\s*-?\}\}", re.DOTALL)
# What stands for a relation or a setting of dbt, and what is the whole of a text: neither holds a column
_NO_COLUMN = re.compile(
    r"\{\{-?\s*(?:(?:ref|source|env_var)\([^(){}]*\)|this(?:\.\w+)*)\s*-?\}\}|(?<=')\{\{[^{}]*\}\}(?=')"
)
_SOURCE_CALL = re.compile(r"\bsource\(\s*['\"](\w+)['\"]\s*,\s*['\"](\w+)['\"]\s*\)")
_OF_RAW = re.compile(rf"\b{RAW}\.(\w+)\.(\w+)")
_SOURCE = re.compile(r"\{\{-?\s*source\(\s*['\"](\w+)['\"]\s*,\s*['\"](\w+)['\"]\s*\)\s*-?\}\}")
_RAW_NAME = re.compile(r"\{\{-?\s*env_var\(\s*['\"]SLIPWAY_RAW_DATABASE['\"]\s*\)\s*-?\}\}")
_ENDS = re.compile(r"^[ \t]*--[ \t]*slipway:[ \t]*ends[ \t]+rollbacks[ \t]*:[ \t]*\S", re.IGNORECASE | re.MULTILINE)
_DOTTED = re.compile(r"\b([A-Z_]\w*)\.([A-Z_]\w*)\b")  # as warehouse names are written
_WORD = re.compile(r"\w+")
_MADE = frozenset({"TABLE", "VIEW", "SCHEMA", "DATABASE"})


def taken_by(name: str, script: str) -> tuple[Taken, ...]:
    """Return what a migration script takes away or renames in the migrated database."""
    ends = _ENDS.search(script) is not None
    return tuple(
        Taken(script=name, schema=schema, relation=relation, column=column, ends_rollbacks=ends)
        for statement in _statements(script)
        for schema, relation, column in _taken(statement)
    )


def needs_of_sql(by: str, sql: str, *, database: str = RAW) -> Iterator[Need]:
    """Yield what SQL needs of the migrated database.

    Args:
        database: that it names it by.
    """
    for statement in _statements(sql):
        yield from _needs(by, statement, database.upper())


def needs_of_manifest(manifest: bytes, *, database: str) -> Iterator[Need]:
    """Yield what the nodes of dbt's manifest need: by their compiled code, or by the raw code of those without.

    https://docs.getdbt.com/reference/artifacts/manifest-json
    """
    content = json.loads(manifest)
    sources = {
        (one["source_name"], one["name"]): (one["schema"].upper(), one["identifier"].upper())
        for one in content.get("sources", {}).values()
        if str(one.get("database")).upper() == database.upper()
    }
    for node in content.get("nodes", {}).values():
        by = f"{node['resource_type']} {node['name']}"
        if node.get("compiled_code"):
            yield from _or_everything(by, node["compiled_code"], database, _of(node, content, database))
        elif node.get("raw_code"):
            yield from needs_of_model(by, node["raw_code"], sources)


def needs_of_model(by: str, text: str, sources: Mapping[tuple[str, str], tuple[str, str]]) -> Iterator[Need]:
    """Yield what a dbt model needs whose text was not compiled; `sources` tell (source, name) -> (schema, relation).

    A call of a macro, a variable or whatever else may put a column into the text has it need every column.
    """

    def resolved(match: re.Match[str]) -> str:
        schema, relation = sources.get((match[1], match[2]), ("OTHER", "OTHER"))
        return f"{RAW}.{schema}.{relation}"

    plain = _RAW_NAME.sub(RAW, _SOURCE.sub(resolved, _CONFIG.sub(" ", _TAGS.sub(" ", text))))
    plain = _NO_COLUMN.sub("SOMETHING", plain)
    called = {sources[found] for found in _SOURCE_CALL.findall(_COMMENT.sub(" ", text)) if found in sources}
    named = sorted(called | {(schema.upper(), relation.upper()) for schema, relation in _OF_RAW.findall(plain)})
    if _EXPRESSION.search(plain):
        yield from (Need(by=by, schema=schema, relation=relation) for schema, relation in named)
    else:
        yield from _or_everything(by, plain, RAW, named)


def sources_in(files: Mapping[str, bytes]) -> dict[tuple[str, str], tuple[str, str]]:
    """Return (source, name) -> (schema, relation) of the sources that a dbt project's files declare."""
    found = {}
    for path, content in files.items():
        if not path.startswith("dbt/") or PurePosixPath(path).suffix not in (".yml", ".yaml"):
            continue
        declared = yaml.safe_load(content) or {}
        for source in declared.get("sources") or () if isinstance(declared, dict) else ():
            for table in source.get("tables") or ():
                name, schema = table["name"], source.get("schema", source["name"])
                found[source["name"], name] = (str(schema).upper(), str(table.get("identifier", name)).upper())
    return found


def needs_of_pipelines(files: Mapping[str, bytes]) -> Iterator[Need]:
    """Yield what the DAGs of a release need: the datasets they declare, and any other relation by its name.

    A relation that is no dataset is told by words: a file that names it may need each column that it names.
    """
    texts = {path: content.decode() for path, content in files.items() if re.fullmatch(r"dags/.*\.py", path)}
    for path, text in texts.items():
        yield from _datasets(path, text)
        words = frozenset(word.upper() for word in _WORD.findall(text))
        for schema, relation in dict.fromkeys(_DOTTED.findall(text)):
            yield Need(by=path, schema=schema.upper(), relation=relation.upper(), columns=words)


def _datasets(path: str, text: str) -> Iterator[Need]:
    for call in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
        given = {one.arg: one.value for one in call.keywords if one.arg}
        if not {"schema", "table", "columns"} <= given.keys():
            continue
        schema, table = (_text(given[name]) for name in ("schema", "table"))
        if schema and table:
            words = frozenset(
                one.value.upper()
                for one in ast.walk(call)
                if isinstance(one, ast.Constant) and isinstance(one.value, str)
            )
            yield Need(by=f"pipeline of {table}", schema=schema, relation=table, columns=words | _technical(given))


def _technical(given: Mapping[str, ast.expr]) -> frozenset[str]:
    """Return the columns that a load writes beside those its dataset declares; what is not fed has its file's name."""
    source = given.get("source")
    is_fed = isinstance(source, ast.Call) and isinstance(source.func, ast.Name) and source.func.id == "Feed"
    marks = frozenset({"_BATCH", "_LOGICAL_DATE", "_LOADED_AT"})
    return marks if is_fed else marks | {"SOURCE_FILE"}


def _text(node: ast.expr) -> str | None:
    return node.value.upper() if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _of(node: Mapping[str, Any], content: Mapping[str, Any], database: str) -> list[tuple[str, str]]:
    """Return the relations of the migrated database that a node of a manifest depends on."""
    sources = (content["sources"].get(one) for one in node.get("depends_on", {}).get("nodes", ()))
    return [
        (one["schema"].upper(), one["identifier"].upper())
        for one in sources
        if one is not None and str(one.get("database")).upper() == database.upper()
    ]


def _or_everything(by: str, sql: str, database: str, named: Iterable[tuple[str, str]]) -> Iterator[Need]:
    """Yield what SQL needs; every column of what it is known to name when it cannot be read."""
    try:
        tree = sqlglot.parse_one(sql, dialect="snowflake")
    except SqlglotError:
        yield from (Need(by=by, schema=schema, relation=relation) for schema, relation in named)
        return
    yield from _needs(by, tree, database.upper())


def _needs(by: str, tree: exp.Expr, database: str) -> Iterator[Need]:
    """Yield what one statement needs: the columns it names are taken to be of each relation that it names."""
    tables = [table for table in tree.find_all(exp.Table) if table.catalog.upper() == database]
    relations = {(table.db.upper(), table.name.upper()) for table in tables}
    stars = [one for one in tree.find_all(exp.Star) if not isinstance(one.parent, exp.Count)]
    names = frozenset(column.name.upper() for column in tree.find_all(exp.Column))
    names |= {one.name.upper() for schema in tree.find_all(exp.Schema) for one in schema.expressions}
    for schema, relation in sorted(relations):
        yield Need(by=by, schema=schema, relation=relation, columns=None if stars else names)


def _statements(script: str) -> Iterator[exp.Expr]:
    """Yield what can be read of a script whose variables are not filled in."""

    def filled(match: re.Match[str]) -> str:
        return RAW if match[1] == "raw_database" else match[1]

    for statement in split_sql_statements(_VARIABLE.sub(filled, _TAGS.sub(" ", script))):
        yield from _read(bare(statement))


def _read(statement: str) -> Iterator[exp.Expr]:
    """Yield a statement, or those inside it; what cannot be looked into, the lint names."""
    if holds_block(statement):
        for one in statements_inside(statement) or ():
            yield from _read(one)
        return
    try:
        tree = sqlglot.parse_one(statement, dialect="snowflake")
    except SqlglotError:
        return
    if tree is not None:
        yield tree


def _taken(tree: exp.Expr) -> Iterator[tuple[str, str, str | None]]:
    if isinstance(tree, exp.Command):
        yield from _taken_by_command(tree)
        return
    kind = str(tree.args.get("kind") or "").upper()
    replaces = isinstance(tree, exp.Create) and tree.args.get("replace") and kind in ("TABLE", "SCHEMA", "DATABASE")
    table = tree.find(exp.Table)
    if table is None:
        return
    if (isinstance(tree, exp.Drop) and kind in _MADE) or replaces:
        yield from _whole(kind, tuple(part.name.upper() for part in table.parts if part.name))
    if isinstance(tree, exp.Alter):
        for action in tree.args.get("actions") or ():
            yield from _altered(table, action)


def _taken_by_command(tree: exp.Command) -> Iterator[tuple[str, str, str | None]]:
    found = taken_by_command(tree.sql(dialect="snowflake"))
    if found is not None and found[0] in _MADE:
        yield from _whole(*found)


def _whole(kind: str, parts: tuple[str, ...]) -> Iterator[tuple[str, str, str | None]]:
    """Yield what of the migrated database goes with something of a kind, given the parts of its name."""
    match kind:
        case "DATABASE":
            if parts == (RAW,):
                yield (ANY, ANY, None)
        case "SCHEMA":
            yield (parts[-1], ANY, None)
        case _:
            yield (parts[-2] if len(parts) > 1 else "", parts[-1], None)


def _altered(table: exp.Table, action: exp.Expr) -> Iterator[tuple[str, str, str | None]]:
    schema, relation = table.db.upper(), table.name.upper()
    match action:
        case exp.Drop() if str(action.args.get("kind") or "COLUMN").upper() == "COLUMN":
            for column in action.args.get("tables") or filter(None, [action.this]):
                yield (schema, relation, column.name.upper())
        case exp.RenameColumn():
            yield (schema, relation, action.this.name.upper())
        case exp.Command():
            for name in columns_dropped(action.sql(dialect="snowflake"))[0]:
                yield (schema, relation, name)
        case exp.AlterRename() | exp.SwapTable():
            yield (schema, relation, None)
