"""Where Snowflake and DuckDB mean different things by the same words: quotients, texts of values, trimming, types.

Rules:
- a quotient of numbers is rounded to the scale Snowflake gives it: that of the dividend and six more, at most twelve
  (https://docs.snowflake.com/en/sql-reference/operators-arithmetic#division); AVG likewise. Both come as doubles;
- a timestamp becomes text with three digits of a second, a double without a needless `.0`, a VARIANT without quotes
  (https://docs.snowflake.com/en/sql-reference/data-types-datetime#date-and-time-input-and-output-formats);
- TYPEOF tells the type of what a VARIANT holds; HASH is a signed number;
- CHAR without a length is one character; keys of an object literal keep their case.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

Type = exp.DataType.Type
_PLACE = "memory.main"
QUOTIENT, MEAN, TEXT, TYPEOF = (f"{_PLACE}._sf_{name}" for name in ("quotient", "mean", "text", "typeof"))
_INEXACT = "('DOUBLE', 'FLOAT', 'VARCHAR', 'JSON')"
_SCALE = "CASE WHEN typeof(a) LIKE 'DECIMAL%' THEN split_part(rtrim(typeof(a), ')'), ',', 2)::INTEGER ELSE 0 END"
_SHORT = "replace(a::VARCHAR, '+00', '')"  # the time zone is always UTC
_MILLIS = f"CASE WHEN contains({_SHORT}, '.') THEN left({_SHORT} || '00', 23) ELSE {_SHORT} || '.000' END"
_TEXTUAL = (Type.VARCHAR, Type.TEXT)
_ONE = (Type.CHAR, Type.NCHAR)


def creation_sql() -> str:
    """Return the statements that make the macros these rewrites use."""
    kinds = {
        "NULL": "NULL_VALUE",
        "VARCHAR": "VARCHAR",
        "BOOLEAN": "BOOLEAN",
        "DOUBLE": "DECIMAL",
        "OBJECT": "OBJECT",
        "ARRAY": "ARRAY",
    }
    whens = " ".join(f"WHEN '{known}' THEN '{told}'" for known, told in kinds.items())
    macros = {
        "scale(a)": f"greatest({_SCALE}, least({_SCALE} + 6, 12))",
        "mean(v, a)": f"CASE WHEN typeof(a) IN {_INEXACT} THEN v ELSE round(v, {_PLACE}._sf_scale(a)) END",
        "quotient(a, b)": f"CASE WHEN typeof(a) IN {_INEXACT} OR typeof(b) IN {_INEXACT} THEN a / b "
        f"ELSE round(a / b, {_PLACE}._sf_scale(a)) END",
        "text(a)": f"CASE typeof(a) WHEN 'TIMESTAMP' THEN {_MILLIS} "
        f"WHEN 'TIMESTAMP WITH TIME ZONE' THEN {_MILLIS} || ' +0000' "
        "WHEN 'JSON' THEN to_json(a) ->> '$' WHEN 'DOUBLE' THEN regexp_replace(a::VARCHAR, '\\.0$', '') "
        "ELSE a::VARCHAR END",
        "typeof(a)": f"CASE WHEN a IS NULL THEN NULL ELSE CASE json_type(to_json(a)) {whens} ELSE 'INTEGER' END END",
    }
    return ";".join(f"CREATE OR REPLACE MACRO {_PLACE}._sf_{head} AS {body}" for head, body in macros.items())


def rewrite(statement: exp.Expr, present: set[type[exp.Expr]]) -> bool:
    """Let a statement mean on DuckDB what it means on Snowflake, and tell whether that took anything.

    Args:
        present: the types of node in the statement.
    Side effects: changes the statement in place, from the inside out.
    """
    concerned = [(kind, change) for kind, change in _CHANGES if kind in present]
    for kind, change in concerned:
        for node in reversed(list(statement.find_all(kind))):
            change(node)
    return bool(concerned)


def keep_keys(statement: exp.Expr) -> None:
    """Quote the keys of object literals, before unquoted names are folded to upper case. Changes it in place."""
    for literal in statement.find_all(exp.Struct):
        for pair in literal.expressions:
            if isinstance(pair, exp.PropertyEQ) and isinstance(pair.this, exp.Identifier):
                pair.this.set("quoted", True)


def _quotient(node: exp.Expr) -> None:
    node.replace(_call(QUOTIENT, node.this.copy(), node.expression.copy()))


def _mean(node: exp.Expr) -> None:
    outer = node
    while isinstance(outer.parent, (exp.Window, exp.Filter)) and outer.parent.this is outer:
        outer = outer.parent
    value = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
    sample = outer.copy()
    averaged = sample.find(exp.Avg)
    any_value = _call("any_value", value.copy())
    if averaged is sample or averaged is None:
        sample = any_value
    else:
        averaged.replace(any_value)
    outer.replace(_call(MEAN, outer.copy(), sample))


def _text(node: exp.Expr) -> None:
    if type(node) is not exp.Cast or node.to.this not in _TEXTUAL or node.find_ancestor(exp.ColumnDef):
        return
    value = node.this
    if isinstance(value, (exp.Literal, exp.Null, exp.Placeholder)) and not (
        isinstance(value, exp.Literal) and not value.is_string
    ):
        return
    node.replace(_call(TEXT, value.copy()))


def _written(node: exp.Expr) -> None:
    """TO_CHAR without a format is a cast."""
    if not node.args.get("format") and not node.args.get("nlsparam"):
        node.replace(exp.cast(node.this.copy(), "TEXT"))


def _joined(node: exp.Expr) -> None:
    for key in ("this", "expression"):
        value = node.args[key]
        is_text = isinstance(value, exp.Cast) and value.to.this in _TEXTUAL
        if isinstance(value, (exp.Column, exp.Func)) and not is_text:
            value.replace(exp.cast(value.copy(), "TEXT"))


def _one_character(node: exp.Expr) -> None:
    if node.this in _ONE:
        node.set("expressions", node.expressions or [exp.DataTypeParam(this=exp.Literal.number(1))])
        node.set("this", Type.VARCHAR)


def _type_of(node: exp.Expr) -> None:
    node.replace(_call(TYPEOF, node.this.copy()))


def _signed_hash(node: exp.Expr) -> None:
    if not isinstance(node, exp.Anonymous) or node.name.upper() != "HASH" or isinstance(node.parent, exp.Paren):
        return
    signed = exp.Sub(
        this=exp.cast(exp.Paren(this=node.copy()), "HUGEINT", dialect="duckdb"),
        expression=exp.Literal.number(2**63),
    )
    node.replace(exp.cast(exp.Paren(this=signed), "BIGINT"))


def _unordered_hash(node: exp.Expr) -> None:
    """HASH_AGG adds the hashes of its rows up, which no order changes; of no rows it is 0."""
    if isinstance(node.this, (exp.Distinct, exp.Star)):
        return
    row = exp.Anonymous(this="hash", expressions=[node.this.copy(), *(one.copy() for one in node.expressions)])
    total = exp.Sum(this=exp.cast(exp.Paren(this=row), "HUGEINT", dialect="duckdb"))
    within = exp.Mod(this=exp.func("COALESCE", total, exp.Literal.number(0)), expression=exp.Literal.number(2**63))
    node.replace(exp.cast(exp.Paren(this=within), "BIGINT"))


def _wide_number(node: exp.Expr) -> None:
    """Let numbers as written be added without the limits of 32 bits."""
    if isinstance(node.this, exp.Literal) and node.this.is_int and isinstance(node.expression, exp.Literal):
        node.this.replace(exp.cast(node.this.copy(), "BIGINT"))


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))


_CHANGES: tuple[tuple[type[exp.Expr], Callable[[exp.Expr], None]], ...] = (
    (exp.DataType, _one_character),
    (exp.ToChar, _written),
    (exp.Typeof, _type_of),
    (exp.Add, _wide_number),
    (exp.Mul, _wide_number),
    (exp.Sub, _wide_number),
    (exp.Anonymous, _signed_hash),
    (exp.HashAgg, _unordered_hash),
    (exp.Avg, _mean),
    (exp.Div, _quotient),
    (exp.DPipe, _joined),
)


def texts(statement: exp.Expr) -> None:
    """Write casts to text as Snowflake does; the last of the rewrites, since others look for casts."""
    for node in reversed(list(statement.find_all(exp.Cast))):
        _text(node)
