"""Functions that DuckDB has and Snowflake has not: a statement with one of them would fail on an account."""

from __future__ import annotations

_FAMILIES = ("DUCKDB_", "EPOCH_", "LIST_", "PG_", "PRAGMA_", "READ_", "STR_SPLIT", "STRING_SPLIT", "STRUCT_")
_ALONE = frozenset(
    {
        *("ARRAY_AGGREGATE", "ARRAY_APPLY", "ARRAY_INDEXOF", "ARRAY_VALUE", "CURRENT_SETTING", "DAMERAU_LEVENSHTEIN"),
        *("ELEMENT_AT", "EPOCH", "FORMAT_BYTES", "ISODOW", "JACCARD", "MAKE_DATE", "MAKE_TIME"),
        *("MAKE_TIMESTAMP", "MAKE_TIMESTAMPTZ", "MAP_CONCAT", "MAP_ENTRIES", "MAP_EXTRACT", "MAP_FROM_ENTRIES"),
        *("MAP_VALUES", "PARSE_FILENAME", "PRINTF", "QUANTILE_CONT", "QUANTILE_DISC", "QUERY_TABLE", "RANGE"),
        *("REGEXP_ESCAPE", "REGEXP_FULL_MATCH", "REGEXP_MATCHES", "REGEXP_SPLIT_TO_ARRAY", "REGEXP_SPLIT_TO_TABLE"),
        *("STRFTIME", "STRIP_ACCENTS", "STRLEN", "STRPTIME", "TIME_BUCKET", "TODAY", "TRY_STRPTIME", "UNION_VALUE"),
    }
)


def is_foreign(name: str) -> bool:
    """Tell whether a function is one of DuckDB's own."""
    word = name.upper()
    return word in _ALONE or word.startswith(_FAMILIES)
