"""What a database holds, so that before and after can be compared."""

from __future__ import annotations

from slipway.adapters.snowflake import Session

Catalog = frozenset[tuple[str, ...]]


def catalog_of(session: Session, database: str) -> Catalog:
    """Return schemas, relations, columns, keys, stages and the grants on all of them, one tuple each."""
    schemas = [row[0] for row in session.rows(_SCHEMAS.format(database=database))]
    relations = session.rows(_RELATIONS.format(database=database))
    found = [("schema", schema) for schema in schemas]
    found += [("relation", *map(str, row)) for row in relations]
    found += [("column", *map(str, row)) for row in session.rows(_COLUMNS.format(database=database))]
    stages = [(row[2], row[3], row[1], row[4]) for row in session.rows(f"SHOW STAGES IN DATABASE {database}")]
    found += [("stage", *map(str, row)) for row in stages]
    named = [("SCHEMA", f"{database}.{schema}") for schema in schemas]
    named += [
        ("VIEW" if kind == "VIEW" else "TABLE", f"{database}.{schema}.{name}") for schema, name, kind, _ in relations
    ]
    named += [("STAGE", f"{database}.{schema}.{name}") for _, schema, name, _ in stages]
    for kind, name in named:
        grants = session.rows(f"SHOW GRANTS ON {kind} {name}")
        found += [("grant", kind, name, str(row[1]), str(row[5])) for row in grants]
    return frozenset(found)


_SCHEMAS = "SELECT SCHEMA_NAME FROM {database}.INFORMATION_SCHEMA.SCHEMATA WHERE SCHEMA_NAME <> 'INFORMATION_SCHEMA'"
_RELATIONS = (
    "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, COMMENT FROM {database}.INFORMATION_SCHEMA.TABLES "
    "WHERE TABLE_SCHEMA <> 'INFORMATION_SCHEMA'"
)
_COLUMNS = (
    "SELECT TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION, COLUMN_NAME, DATA_TYPE, IS_NULLABLE, NUMERIC_PRECISION, "
    "NUMERIC_SCALE, CHARACTER_MAXIMUM_LENGTH FROM {database}.INFORMATION_SCHEMA.COLUMNS "
    "WHERE TABLE_SCHEMA <> 'INFORMATION_SCHEMA'"
)
