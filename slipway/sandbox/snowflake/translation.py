"""From Snowflake's SQL to DuckDB's: fakesnow's rewrites that a resolved statement can need, and ours.

Rules:
- a rewrite runs only when the statement holds a node it could change: most statements need two or three of forty;
- sums stay exact: fakesnow's cast of every aggregate to a double is left out, so money adds up to the cent;
- an explicit cast to VARCHAR(n) cuts the text, as Snowflake does.

What the two mean differently is rewritten in `meaning`.
"""

from __future__ import annotations

from collections.abc import Callable

import duckdb
from fakesnow import transforms as fake
from sqlglot import exp

from slipway.sandbox.snowflake import meaning

Rewrite = Callable[[exp.Expr], exp.Expr]
Type = exp.DataType.Type
_TEXTUAL = (Type.VARCHAR, Type.TEXT)

# made in DuckDB's memory database when an instance opens; overloaded by type: a date stays a date, as in Snowflake
DATE_TRUNC = "memory.main._sf_date_trunc"
DATE_ADD = "memory.main._sf_date_add"
_DATE_UNITS = frozenset({"DAY", "WEEK", "MONTH", "QUARTER", "YEAR"})


def creation_sql() -> str:
    """Return the statements that make the macros."""
    kinds = (("DATE", "::DATE"), ("TIMESTAMP", ""), ("TIMESTAMP WITH TIME ZONE", ""))
    truncations = ", ".join(f"(part, value {kind}) AS date_trunc(part, value){cast}" for kind, cast in kinds)
    additions = ", ".join(f"(value {kind}, span INTERVAL) AS (value + span){cast}" for kind, cast in kinds)
    dates = f"CREATE OR REPLACE MACRO {DATE_TRUNC}{truncations}; CREATE OR REPLACE MACRO {DATE_ADD}{additions}"
    return f"{dates}; {meaning.creation_sql()}"


def _timestamp(node: exp.Expr) -> exp.Expr:
    """Leave casts to DuckDB: fakesnow would try every value as a number of seconds first."""
    return node if isinstance(node, exp.Cast) else fake.to_timestamp(node)


def _keep_dates(statement: exp.Expr) -> None:
    """Let what is done to dates give dates, from the inside out. Changes the statement in place."""
    for node in reversed(list(statement.find_all(exp.DateTrunc, exp.TimestampTrunc, exp.DateAdd))):
        if isinstance(node, exp.DateAdd):
            if node.unit is None or node.unit.name.upper() not in _DATE_UNITS:
                continue
            span = exp.Interval(this=exp.Paren(this=node.expression), unit=exp.Var(this=node.unit.name.upper()))
            node.replace(exp.Anonymous(this=DATE_ADD, expressions=[node.this, span]))
        elif not node.args.get("zone"):
            unit = exp.Literal.string(node.args["unit"].name.lower())
            node.replace(exp.Anonymous(this=DATE_TRUNC, expressions=[unit, node.this]))


def _cut_text(node: exp.Expr) -> exp.Expr:
    if type(node) is not exp.Cast or node.to.this not in (Type.VARCHAR, Type.TEXT) or not node.to.expressions:
        return node
    if isinstance(node.parent, exp.Left):
        return node
    return exp.Left(this=node, expression=node.to.expressions[0].this.copy())


def _trimmed(node: exp.Expr) -> exp.Expr:
    """TRIM takes anything as text; the characters and the side that were named stay."""
    if isinstance(node, exp.Trim) and not (isinstance(node.this, exp.Cast) and node.this.to.this in _TEXTUAL):
        node.set("this", exp.cast(node.this.copy(), "TEXT"))
    return node


def _empty_list(node: exp.Expr) -> exp.Expr:
    """LISTAGG of no rows is an empty text."""
    if isinstance(node.parent, (exp.WithinGroup, exp.Filter, exp.Window)):
        return node
    inner = node
    while isinstance(inner, (exp.WithinGroup, exp.Filter, exp.Window)):
        inner = inner.this
    if not isinstance(inner, exp.GroupConcat) or isinstance(node.parent, exp.Coalesce):
        return node
    return exp.Coalesce(this=node, expressions=[exp.Literal.string("")])


def _order_by_all(node: exp.Expr) -> exp.Expr:
    if not isinstance(node, exp.Ordered) or not isinstance(node.this, exp.Column):
        return node
    if node.this.name == "ALL" and not node.this.table:
        node.set("this", exp.Var(this="ALL"))
    return node


_PASSES: tuple[tuple[tuple[type[exp.Expr], ...], Rewrite], ...] = (
    ((exp.CurrentVersion,), fake.current_version),
    ((exp.DataType,), fake.semi_structured_types),
    ((exp.ParseJSON, exp.Anonymous), fake.try_parse_json),
    ((exp.Split,), fake.split),
    ((exp.Trim,), _trimmed),  # before the casts of JSON
    ((exp.Bracket,), fake.indices_to_json_extract),  # before regular expressions
    ((exp.JSONExtract,), fake.json_extract_cast_as_varchar),
    ((exp.JSONExtract,), fake.json_extract_cased_as_varchar),
    ((exp.JSONExtract, exp.JSONExtractScalar), fake.json_extract_precedence),
    ((exp.Explode,), fake.flatten_value_cast_as_varchar),
    ((exp.Explode,), fake.flatten),
    ((exp.RegexpReplace,), fake.regex_replace),
    ((exp.RegexpExtract,), fake.regex_substr),
    ((exp.Values,), fake.values_columns),
    ((exp.Anonymous,), fake.to_date),
    ((exp.Cast, exp.TryCast), fake.timestamp_offsets),
    ((exp.ToNumber,), fake.to_decimal),
    ((exp.UnixToTime, exp.Anonymous), _timestamp),
    ((exp.ToVariant,), fake.to_variant),
    ((exp.Struct, exp.StarMap, exp.JSONObject), fake.object_construct),
    ((exp.DataType,), fake.timestamp_ntz),
    ((exp.DataType,), fake.float_to_double),
    ((exp.DataType,), fake.integer_precision),
    ((exp.Create, exp.Alter), fake.extract_text_length),
    ((exp.Cast,), _cut_text),
    ((exp.TableSample,), fake.sample),
    ((exp.ArraySize,), fake.array_size),
    ((exp.Rand,), fake.random),
    ((exp.WithinGroup,), fake.array_agg_within_group),
    ((exp.ArrayAgg,), fake.array_agg),
    ((exp.ObjectAgg,), fake.object_agg),
    ((exp.Array, exp.ArrayConcat, exp.ArrayConstructCompact), fake.array_construct_etc),
    ((exp.DateAdd,), fake.dateadd_string_literal_timestamp_cast),
    ((exp.DateDiff,), fake.datediff_string_literal_timestamp_cast),
    ((exp.GroupConcat,), _empty_list),
    ((exp.Ordered,), _order_by_all),
    ((exp.Anonymous,), fake.haversine),
    ((exp.HexString,), fake.hex_string),
    ((exp.SHA2, exp.SHA2Digest, exp.Anonymous), fake.sha256),
    ((exp.Join,), fake.alias_in_join),
    ((exp.Where,), fake.alias_in_where),
    ((exp.Alter,), fake.alter_table_strip_cluster_by),
)


def translate(statement: exp.Expr, connection: duckdb.DuckDBPyConnection) -> exp.Expr:
    """Return the DuckDB form of a statement whose names are complete. Changes it in place."""
    present = {type(node) for node in statement.walk()}
    if meaning.rewrite(statement, present):
        present = {type(node) for node in statement.walk()}
    for triggers, rewrite in _PASSES:
        if present.isdisjoint(triggers):
            continue
        statement = statement.transform(rewrite, copy=False)
        present = {type(node) for node in statement.walk()}
    if not present.isdisjoint((exp.DateTrunc, exp.TimestampTrunc, exp.DateAdd)):
        _keep_dates(statement)
    if exp.Cast in present:
        meaning.texts(statement)
    translated: exp.Expr = fake.create_table_as(statement, connection)
    return translated
