"""What a statement answers: named, typed columns and the rows as one Arrow table."""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from fakesnow.rowtype import ColumnInfo, describe_as_rowtype

Column = tuple[str, str]  # name, DuckDB type

# DuckDB types Snowflake has no word for, and what stands for them in a result
_TYPES = {
    "TINYINT": "BIGINT",
    "SMALLINT": "BIGINT",
    "INTEGER": "BIGINT",
    "UTINYINT": "BIGINT",
    "USMALLINT": "BIGINT",
    "UINTEGER": "BIGINT",
    "UHUGEINT": "HUGEINT",
    "FLOAT": "DOUBLE",
    "UUID": "VARCHAR",
    "INTERVAL": "VARCHAR",
    "TIMESTAMP_S": "TIMESTAMP",
    "TIMESTAMP_MS": "TIMESTAMP",
    "TIMESTAMP_NS": "TIMESTAMP",
    "TIMESTAMP_NS WITH TIME ZONE": "TIMESTAMP WITH TIME ZONE",
}
_ARROW = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """Columns, rows and the number of rows a statement returned or changed."""

    columns: tuple[Column, ...]
    table: pa.Table
    rowcount: int

    @classmethod
    def of(cls, columns: Sequence[Column], rows: Iterable[Sequence[Any]], *, rowcount: int | None = None) -> Result:
        """Return a result made of Python values; column types are keys of `_ARROW`."""
        values = [tuple(row) for row in rows]
        arrays = [pa.array([row[i] for row in values], type=_ARROW[kind]) for i, (_, kind) in enumerate(columns)]
        table = pa.Table.from_arrays(arrays, schema=pa.schema([(name, _ARROW[kind]) for name, kind in columns]))
        return cls(columns=tuple(columns), table=table, rowcount=len(values) if rowcount is None else rowcount)

    @classmethod
    def status(cls, message: str = "Statement executed successfully.") -> Result:
        """Return the one-line answer of a statement that has no rows."""
        return cls.of([("status", "VARCHAR")], [(message,)])

    @classmethod
    def counts(cls, total: int, **counted: int) -> Result:
        """Return the answer of a DML statement; `inserted=3` becomes `number of rows inserted`."""
        columns = [(f"number of rows {name.replace('_', ' ')}", "BIGINT") for name in counted]
        return cls.of(columns, [tuple(counted.values())], rowcount=total)

    @classmethod
    def fetched(cls, description: Sequence[Sequence[Any]], table: pa.Table) -> Result:
        """Return what DuckDB answered, with the types Snowflake has no word for replaced."""
        columns: list[Column] = []
        for index, (name, kind, *_) in enumerate(description):
            known, changed = _plain(str(kind), table.column(index))
            columns.append((str(name), known))
            if changed is not table.column(index):
                table = table.set_column(index, table.schema.field(index).name, changed)
        return cls(columns=tuple(columns), table=table, rowcount=table.num_rows)

    def rowtype(self) -> list[ColumnInfo]:
        """Return the columns as the Snowflake REST API describes them."""
        described: list[ColumnInfo] = describe_as_rowtype(
            [(name, kind, None, None, None, None) for name, kind in self.columns]
        )
        return described

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the rows as the Python values the connector would give."""
        converted = [_python(kind, self.table.column(i)) for i, (_, kind) in enumerate(self.columns)]
        return list(zip(*converted, strict=True)) if converted else []


def _plain(kind: str, column: pa.ChunkedArray) -> tuple[str, pa.ChunkedArray]:
    if kind.endswith("[]") or kind.startswith(("STRUCT", "MAP", "ENUM", "UNION")):
        texts = [
            None if v is None else v if isinstance(v, str) else json.dumps(v, default=str) for v in column.to_pylist()
        ]
        return ("VARCHAR" if kind.startswith("ENUM") else "JSON"), pa.chunked_array([pa.array(texts, type=pa.string())])
    known = _TYPES.get(kind, kind)
    if kind == "INTERVAL":
        return known, pa.chunked_array(
            [pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())]
        )
    if kind != known and known in _ARROW:
        return known, column.cast(_ARROW[known])
    if kind.startswith("TIMESTAMP") and not kind.endswith("NS") and column.type.unit != "us":
        return known, column.cast(pa.timestamp("us", tz=column.type.tz))
    return known, column


def _python(kind: str, column: pa.ChunkedArray) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if kind == "HUGEINT" or (kind.startswith("DECIMAL") and kind.endswith(",0)")):
        return [int(value) if isinstance(value, decimal.Decimal) else value for value in values]
    if kind == "TIMESTAMP WITH TIME ZONE":
        return [value.astimezone(datetime.UTC) if value is not None else None for value in values]
    return values
