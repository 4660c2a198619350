"""What a database holds, so that before and after can be compared."""

from __future__ import annotations

from collections.abc import Iterable

from slipway.adapters.snowflake import Session

Catalog = frozenset[tuple[str, ...]]
_SHOWN = 4  # differences in one message


def catalog_of(session: Session, database: str) -> Catalog:
    """Return schemas, relations, columns, keys, stages and the grants on all of them, one tuple each.

    What has no view of its own here, as sequences and functions, shows by the grant of its ownership.
    """
    found: set[tuple[str, ...]] = set()
    for what, query in _QUERIES.items():
        found |= {(what, *map(str, row)) for row in session.rows(query.format(database=database))}
    stages = session.rows(f"SHOW STAGES IN DATABASE {database}")
    return frozenset(found | {("stage", *map(str, (row[2], row[3], row[1], row[4]))) for row in stages})


def differing(before: Catalog, after: Catalog) -> str:
    """Return what one catalog has and the other has not, for people; empty when they are equal."""
    said = [f"gone: {_sentence(one)}" for one in _few(before - after)]
    said += [f"new: {_sentence(one)}" for one in _few(after - before)]
    return "; ".join(said)


def _few(rows: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return some rows: things before the grants on them."""
    return sorted(rows, key=lambda row: (row[0] == "grant", row))[:_SHOWN]


def _sentence(row: tuple[str, ...]) -> str:
    return " ".join(part for part in row if part not in ("", "None"))


_QUERIES = {
    "schema": "SELECT SCHEMA_NAME FROM {database}.INFORMATION_SCHEMA.SCHEMATA "
    "WHERE SCHEMA_NAME <> 'INFORMATION_SCHEMA'",
    "relation": "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, COMMENT FROM {database}.INFORMATION_SCHEMA.TABLES "
    "WHERE TABLE_SCHEMA <> 'INFORMATION_SCHEMA'",
    "column": "SELECT TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION, COLUMN_NAME, DATA_TYPE, IS_NULLABLE, "
    "NUMERIC_PRECISION, NUMERIC_SCALE, CHARACTER_MAXIMUM_LENGTH FROM {database}.INFORMATION_SCHEMA.COLUMNS "
    "WHERE TABLE_SCHEMA <> 'INFORMATION_SCHEMA'",
    # https://docs.snowflake.com/en/sql-reference/info-schema/object_privileges
    "grant": "SELECT OBJECT_TYPE, OBJECT_SCHEMA, IFF(OBJECT_TYPE = 'DATABASE', '', OBJECT_NAME), PRIVILEGE_TYPE, "
    "GRANTEE FROM {database}.INFORMATION_SCHEMA.OBJECT_PRIVILEGES WHERE OBJECT_CATALOG = '{database}'",
}
