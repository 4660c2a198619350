"""File formats: which of Snowflake's options are honoured, and how DuckDB is told to read such a file.

https://docs.snowflake.com/en/sql-reference/sql/create-file-format. An option whose effect cannot be had is refused when
it is given a value that would matter; none is ignored.
"""

from __future__ import annotations

import csv
import gzip
import re
from dataclasses import dataclass
from pathlib import Path

from slipway.sandbox.snowflake import error, option
from slipway.sandbox.snowflake.reader import literal

_COMMON = frozenset(
    {"TYPE", "FORMAT_NAME", "COMPRESSION", "COMMENT", "TRIM_SPACE", "NULL_IF", "REPLACE_INVALID_CHARACTERS"}
)
_KNOWN = {
    "CSV": _COMMON
    | {
        "FIELD_DELIMITER",
        "RECORD_DELIMITER",
        "SKIP_HEADER",
        "PARSE_HEADER",
        "SKIP_BLANK_LINES",
        "FIELD_OPTIONALLY_ENCLOSED_BY",
        "ESCAPE",
        "ESCAPE_UNENCLOSED_FIELD",
        "ERROR_ON_COLUMN_COUNT_MISMATCH",
        "EMPTY_FIELD_AS_NULL",
        "DATE_FORMAT",
        "TIME_FORMAT",
        "TIMESTAMP_FORMAT",
        "BINARY_FORMAT",
        "ENCODING",
        "MULTI_LINE",
        "SKIP_BYTE_ORDER_MARK",
    },
    "JSON": _COMMON | {"STRIP_OUTER_ARRAY", "SKIP_BYTE_ORDER_MARK", "MULTI_LINE", "ALLOW_DUPLICATE", "ENABLE_OCTAL"},
    "PARQUET": _COMMON | {"BINARY_AS_TEXT", "USE_LOGICAL_TYPE", "USE_VECTORIZED_SCANNER", "SNAPPY_COMPRESSION"},
}
# options that are honoured for these values only
_ONLY = {
    "RECORD_DELIMITER": ("\n", "\r\n", "\r", "AUTO"),
    "PARSE_HEADER": ("FALSE",),
    "REPLACE_INVALID_CHARACTERS": ("FALSE",),
    "DATE_FORMAT": ("AUTO", "YYYY-MM-DD"),
    "TIME_FORMAT": ("AUTO", "HH24:MI:SS"),
    "TIMESTAMP_FORMAT": ("AUTO", "YYYY-MM-DD HH24:MI:SS", "YYYY-MM-DD HH24:MI:SS.FF"),
    "BINARY_FORMAT": ("HEX",),
    "ENCODING": ("UTF8", "UTF-8"),
    "ALLOW_DUPLICATE": ("FALSE",),
    "ENABLE_OCTAL": ("FALSE",),
    "ESCAPE_UNENCLOSED_FIELD": ("NONE", "\\"),
    "ESCAPE": ("NONE",),
    "COMPRESSION": ("AUTO", "NONE", "GZIP", "SNAPPY", "ZSTD"),
}
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_IMPOSSIBLE = "\x01\x02"  # no field equals this: DuckDB then takes nothing for NULL by itself


@dataclass(frozen=True, kw_only=True, slots=True)
class FileFormat:
    """One format, with Snowflake's defaults filled in. Names of options as in the SQL."""

    type: str
    compression: str = "AUTO"
    field_delimiter: str = ","
    skip_header: int = 0  # lines
    enclosed_by: str = ""  # empty: nothing encloses a field
    backslash_escapes: bool = True
    exact_columns: bool = True
    empty_is_null: bool = True
    null_if: tuple[str, ...] = ("\\N",)
    trim: bool = False
    strip_outer_array: bool = False

    @classmethod
    def from_options(cls, options: option.Options) -> FileFormat:
        """Return the format that options describe. Raises for options that are unknown or not honoured."""
        kind = option.text(options, "TYPE", "CSV").upper()
        if kind not in _KNOWN:
            raise error.unsupported(f"FILE_FORMAT TYPE = {kind}")
        option.refuse_unknown(options, _KNOWN[kind], f"FILE FORMAT TYPE = {kind}")
        for key, allowed in _ONLY.items():
            value = option.text(options, key, allowed[0])
            if value.upper() not in allowed:
                raise error.unsupported(f"FILE_FORMAT {key} = {value!r}")
        enclosed = option.text(options, "FIELD_OPTIONALLY_ENCLOSED_BY", "NONE")
        delimiter = option.text(options, "FIELD_DELIMITER", ",")
        return cls(
            type=kind,
            compression=option.text(options, "COMPRESSION", "AUTO").upper(),
            field_delimiter="\x1f" if delimiter.upper() == "NONE" else delimiter,
            skip_header=option.number(options, "SKIP_HEADER", 0),
            enclosed_by="" if enclosed.upper() == "NONE" else enclosed,
            backslash_escapes=option.text(options, "ESCAPE_UNENCLOSED_FIELD", "\\") == "\\",
            exact_columns=option.flag(options, "ERROR_ON_COLUMN_COUNT_MISMATCH", default=True),
            empty_is_null=option.flag(options, "EMPTY_FIELD_AS_NULL", default=True),
            null_if=option.several(options, "NULL_IF", ("\\N",)),
            trim=option.flag(options, "TRIM_SPACE", default=False),
            strip_outer_array=option.flag(options, "STRIP_OUTER_ARRAY", default=False),
        )

    # reading -------------------------------------------------------------------------------------------------------

    def csv_sql(self, path: Path, columns: int, *, tolerant: bool) -> str:
        """Return the DuckDB call that reads a CSV file as texts `c1` .. `cN`.

        Rows that are malformed fail the statement, or when `tolerant` are left out and noted in the temporary table
        `reject_errors` of the connection.
        """
        names = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(1, columns + 1))
        null = "" if self.empty_is_null else _IMPOSSIBLE
        padding = "" if self.exact_columns else ", null_padding = true"
        rejects = ", store_rejects = true" if tolerant else ""
        return (
            f"read_csv({literal(path)}, auto_detect = false, header = false, skip = {self.skip_header}, "
            f"delim = {literal(self.field_delimiter)}, quote = {literal(self.enclosed_by)}, "
            f"escape = {literal(self.enclosed_by)}, nullstr = {literal(null)}, allow_quoted_nulls = false, "
            f"columns = {{{names}}}, compression = '{self.compression_of(path)}'{padding}{rejects})"
        )

    def document_sql(self, path: Path) -> str:
        """Return the DuckDB query that reads a JSON or Parquet file as one JSON column `c1` per row."""
        if self.type == "PARQUET":
            return f"(SELECT to_json(r) AS c1 FROM read_parquet({literal(path)}) r)"
        shape = "array" if self.strip_outer_array else "unstructured"
        return (
            f"(SELECT json AS c1 FROM read_json_objects({literal(path)}, format = '{shape}', "
            f"compression = '{self.compression_of(path)}'))"
        )

    def clean_sql(self, column: str) -> str:
        """Return the SQL of a CSV field after TRIM_SPACE, NULL_IF and the check for backslash escapes."""
        value = f"trim({column})" if self.trim else column
        if self.null_if:
            values = ", ".join(literal(text) for text in self.null_if)
            value = f"CASE WHEN {value} IN ({values}) THEN NULL ELSE {value} END"
        return f"({value})"

    def has_escape_sql(self, column: str) -> str:
        """Return the SQL test for a field that would need ESCAPE_UNENCLOSED_FIELD, which cannot be had."""
        return f"contains({column}, '\\') AND {column} <> '\\N'" if self.backslash_escapes else "false"

    def compression_of(self, path: Path) -> str:
        """Return DuckDB's word for how a file is compressed: what was declared, else what its first bytes say."""
        if self.compression != "AUTO":
            return self.compression.lower()
        with path.open("rb") as file:
            start = file.read(4)
        return "gzip" if start.startswith(_GZIP) else "zstd" if start == _ZSTD else "none"


def first_fields(path: Path, file_format: FileFormat) -> int:
    """Return how many fields the first data line of a CSV file has; 0 for an empty file."""
    opened = gzip.open if file_format.compression_of(path) == "gzip" else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        delimiter, quote = file_format.field_delimiter, file_format.enclosed_by
        if quote:
            rows = csv.reader(file, delimiter=delimiter, quotechar=quote)
        else:
            rows = csv.reader(file, delimiter=delimiter, quoting=csv.QUOTE_NONE)
        for index, row in enumerate(rows):
            if index >= file_format.skip_header:
                return len(row)
    return 0


def is_pattern(text: str) -> re.Pattern[str]:
    """Return the compiled PATTERN of a COPY; raises a syntax error for one that is no regular expression."""
    try:
        return re.compile(text)
    except re.error as failure:
        raise error.syntax(f"invalid PATTERN '{text}': {failure}") from failure
