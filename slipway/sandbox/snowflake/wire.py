"""Results as the connector reads them: Arrow columns in the shapes Snowflake gives its types.

Timestamps travel as structs of seconds and nanoseconds (and minutes of offset plus 1440), times as nanoseconds, and
what is NULL must be NULL as a whole: a struct whose fields are NULL would be read as 1970.
"""

from __future__ import annotations

from base64 import b64encode

import pyarrow as pa
import pyarrow.compute as pc
from fakesnow.rowtype import ColumnInfo

from slipway.sandbox.snowflake.result import Result

UTC_OFFSET = 1440  # minutes: the connector subtracts 1440


def encode(result: Result) -> str:
    """Return the rows of a result as a base64 Arrow stream; an empty result keeps its columns."""
    rowtype = result.rowtype()
    columns = [_column(result.table.column(i)) for i in range(len(rowtype))]
    fields = [_field(info, column.type) for info, column in zip(rowtype, columns, strict=True)]
    table = pa.Table.from_arrays(columns, schema=pa.schema(fields))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return b64encode(sink.getvalue()).decode()


def _column(column: pa.ChunkedArray) -> pa.Array:
    kind = column.type
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], type=kind)
    if pa.types.is_timestamp(kind):
        return _timestamp(array)
    if pa.types.is_time(kind):
        return pc.multiply(array.cast(pa.int64()), 1000)
    if pa.types.is_null(kind):
        return array.cast(pa.string())
    if pa.types.is_uint64(kind):
        return array.cast(pa.int64())
    return array


def _timestamp(array: pa.Array) -> pa.Array:
    micros = pc.fill_null(array.cast(pa.timestamp("us", tz=array.type.tz)).cast(pa.int64()), 0)
    seconds = pc.floor(pc.divide(micros.cast(pa.float64()), 1e6)).cast(pa.int64())
    rest = pc.subtract(micros, pc.multiply(seconds, 1_000_000))
    # a double holds seconds exactly, but the division may have rounded over a whole second
    seconds = pc.add(seconds, pc.if_else(pc.less(rest, 0), -1, pc.if_else(pc.greater_equal(rest, 1_000_000), 1, 0)))
    fraction = pc.multiply(pc.subtract(micros, pc.multiply(seconds, 1_000_000)), 1000).cast(pa.int32())
    arrays = [seconds, fraction]
    fields = [pa.field("epoch", pa.int64(), nullable=False), pa.field("fraction", pa.int32(), nullable=False)]
    if array.type.tz:
        arrays.append(pa.array([UTC_OFFSET] * len(array), type=pa.int32()))
        fields.append(pa.field("timezone", pa.int32(), nullable=False))
    return pa.StructArray.from_arrays(arrays, fields=fields, mask=pc.is_null(array))


def _field(info: ColumnInfo, kind: pa.DataType) -> pa.Field:
    facts = {
        "logicalType": info["type"].upper(),
        "precision": str(info["precision"] or 38),
        "scale": str(info["scale"] or 0),
        "charLength": str(info["length"] or 0),
    }
    return pa.field(info["name"], kind, nullable=True, metadata=facts)
