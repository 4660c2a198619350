"""INFORMATION_SCHEMA and ACCOUNT_USAGE: views over DuckDB's catalog and the registry, in one place for all databases.

They live in the global database, not in each database file, because a file must not hold its own name: it changes when
databases are swapped. A reference to `db.INFORMATION_SCHEMA.x` becomes a filter on the database (`relation_sql`).
"""

from __future__ import annotations

import re
from collections.abc import Collection

from slipway.sandbox.snowflake.history import TABLE as QUERY_HISTORY
from slipway.sandbox.snowflake.reader import literal
from slipway.sandbox.snowflake.store import GLOBAL, STORE

_HIDDEN = "('main', '_fs_information_schema', 'information_schema', 'pg_catalog')"
_EXT = f"{GLOBAL}._fs_information_schema"
_EPOCH = "to_timestamp(0)"

_OWNERS = f"""
    CREATE OR REPLACE VIEW {STORE}.owners AS
    SELECT kind, name, any_value(grantee) AS owner, min(created_on) AS created
    FROM {STORE}.grants WHERE privilege = 'OWNERSHIP' AND NOT future GROUP BY kind, name"""

_RELATIONS = f"""
    CREATE OR REPLACE VIEW {STORE}.relations AS
    SELECT r.*, coalesce(o.owner, 'ACCOUNTADMIN') AS owner, coalesce(o.created, {_EPOCH}) AS created,
           greatest(coalesce(o.created, {_EPOCH}), coalesce(c.changed_on, {_EPOCH})) AS altered,
           coalesce(x.comment, '') AS note, v.definition
    FROM (
        SELECT database_name, schema_name, table_name AS name, 'TABLE' AS kind, estimated_size AS row_count, NULL AS sql
        FROM duckdb_tables() WHERE NOT temporary AND NOT internal
        UNION ALL
        SELECT database_name, schema_name, view_name, 'VIEW', NULL, sql FROM duckdb_views() WHERE NOT internal
    ) r
    LEFT JOIN {STORE}.owners o ON o.name = [r.database_name, r.schema_name, r.name]
    LEFT JOIN {STORE}.changes c ON c.name = [r.database_name, r.schema_name, r.name]
    LEFT JOIN {_EXT}._fs_tables_ext x ON x.ext_table_catalog = r.database_name
        AND x.ext_table_schema = r.schema_name AND x.ext_table_name = r.name
    LEFT JOIN {STORE}.objects v ON v.kind IN ('VIEW', 'TABLE') AND v.name = [r.database_name, r.schema_name, r.name]
    WHERE r.schema_name NOT IN {_HIDDEN}
      AND r.database_name IN (SELECT name FROM {STORE}.databases)"""


def _created(word: str) -> str:
    """Return the pattern of a definition that says a word between CREATE and the kind; in Python and in DuckDB."""
    return rf"^\s*create\s+(or\s+replace\s+)?{word}\b"


_TABLES = f"""
    CREATE OR REPLACE VIEW {STORE}.is_tables AS
    SELECT database_name AS TABLE_CATALOG, schema_name AS TABLE_SCHEMA, name AS TABLE_NAME, owner AS TABLE_OWNER,
           if(kind = 'TABLE', 'BASE TABLE', kind) AS TABLE_TYPE,
           if(regexp_matches(coalesce(definition, ''), '{_created("transient")}', 'i'), 'YES', 'NO') AS IS_TRANSIENT,
           NULL::VARCHAR AS CLUSTERING_KEY,
           row_count::BIGINT AS ROW_COUNT, if(kind = 'TABLE', row_count * 64, NULL)::BIGINT AS BYTES,
           if(kind = 'TABLE', 1, NULL)::BIGINT AS RETENTION_TIME, if(kind = 'TABLE', 'YES', 'NO') AS IS_INSERTABLE_INTO,
           'YES' AS IS_TYPED, created AS CREATED, altered AS LAST_ALTERED, created AS LAST_DDL, owner AS LAST_DDL_BY,
           'NO' AS AUTO_CLUSTERING_ON, nullif(note, '') AS COMMENT, 'NO' AS IS_TEMPORARY, 'NO' AS IS_ICEBERG,
           'NO' AS IS_DYNAMIC, 'NO' AS IS_IMMUTABLE, 'NO' AS IS_HYBRID
    FROM {STORE}.relations"""

_VIEWS = f"""
    CREATE OR REPLACE VIEW {STORE}.is_views AS
    SELECT database_name AS TABLE_CATALOG, schema_name AS TABLE_SCHEMA, name AS TABLE_NAME, owner AS TABLE_OWNER,
           coalesce(definition, sql) AS VIEW_DEFINITION, 'NONE' AS CHECK_OPTION, 'NO' AS IS_UPDATABLE,
           'NO' AS INSERTABLE_INTO,
           if(regexp_matches(coalesce(definition, ''), '{_created("secure")}', 'i'), 'YES', 'NO')
               AS IS_SECURE,
           created AS CREATED, created AS LAST_ALTERED, created AS LAST_DDL, owner AS LAST_DDL_BY,
           nullif(note, '') AS COMMENT
    FROM {STORE}.relations WHERE kind = 'VIEW'"""

_SCHEMATA = f"""
    CREATE OR REPLACE VIEW {STORE}.is_schemata AS
    SELECT s.database_name AS CATALOG_NAME, s.schema_name AS SCHEMA_NAME,
           coalesce(o.owner, 'ACCOUNTADMIN') AS SCHEMA_OWNER, 'NO' AS IS_TRANSIENT,
           if(m.name IS NULL, 'NO', 'YES') AS IS_MANAGED_ACCESS,
           1::BIGINT AS RETENTION_TIME, coalesce(o.created, {_EPOCH}) AS CREATED,
           coalesce(o.created, {_EPOCH}) AS LAST_ALTERED, nullif(x.comment, '') AS COMMENT, 'ROLE' AS OWNER_ROLE_TYPE
    FROM duckdb_schemas() s
    LEFT JOIN {STORE}.owners o ON o.kind = 'SCHEMA' AND o.name = [s.database_name, s.schema_name]
    LEFT JOIN {STORE}.objects m ON m.kind = 'SCHEMA' AND m.name = [s.database_name, s.schema_name]
    LEFT JOIN {_EXT}._fs_tables_ext x ON x.ext_table_catalog = s.database_name
        AND x.ext_table_schema = s.schema_name AND x.ext_table_name = ''
    WHERE s.schema_name NOT IN {_HIDDEN} AND s.database_name IN (SELECT name FROM {STORE}.databases)
    UNION ALL
    SELECT name, 'INFORMATION_SCHEMA', '', 'NO', 'NO', 1, created_on, created_on, 'Views describing the database', ''
    FROM {STORE}.databases"""

_DATABASES = f"""
    CREATE OR REPLACE VIEW {STORE}.is_databases AS
    SELECT d.name AS DATABASE_NAME, coalesce(o.owner, 'ACCOUNTADMIN') AS DATABASE_OWNER, 'NO' AS IS_TRANSIENT,
           nullif(x.comment, '') AS COMMENT, d.created_on AS CREATED, d.created_on AS LAST_ALTERED,
           1::BIGINT AS RETENTION_TIME, 'STANDARD' AS TYPE
    FROM {STORE}.databases d LEFT JOIN {STORE}.owners o ON o.kind = 'DATABASE' AND o.name = [d.name]
    LEFT JOIN {_EXT}._fs_tables_ext x ON x.ext_table_catalog = d.name
        AND x.ext_table_schema = '' AND x.ext_table_name = ''"""

_INTEGERS = "('BIGINT', 'INTEGER', 'SMALLINT', 'TINYINT', 'HUGEINT', 'UBIGINT', 'UINTEGER')"
_COLUMNS = f"""
    CREATE OR REPLACE VIEW {STORE}.is_columns AS
    SELECT c.database_name AS TABLE_CATALOG, c.schema_name AS TABLE_SCHEMA, c.table_name AS TABLE_NAME,
           c.column_name AS COLUMN_NAME, c.column_index::BIGINT AS ORDINAL_POSITION, c.column_default AS COLUMN_DEFAULT,
           if(c.is_nullable, 'YES', 'NO') AS IS_NULLABLE,
           CASE WHEN c.data_type LIKE 'DECIMAL%' OR c.data_type IN {_INTEGERS} THEN 'NUMBER'
                WHEN c.data_type = 'VARCHAR' THEN 'TEXT' WHEN c.data_type IN ('DOUBLE', 'FLOAT') THEN 'FLOAT'
                WHEN c.data_type = 'BLOB' THEN 'BINARY' WHEN c.data_type LIKE 'TIMESTAMP%ZONE' THEN 'TIMESTAMP_TZ'
                WHEN c.data_type LIKE 'TIMESTAMP%' THEN 'TIMESTAMP_NTZ' WHEN c.data_type = 'JSON' THEN 'VARIANT'
                WHEN c.data_type LIKE '%[]' THEN 'ARRAY' ELSE c.data_type END AS DATA_TYPE,
           if(c.data_type = 'VARCHAR', coalesce(x.ext_character_maximum_length, 16777216), NULL)::BIGINT
               AS CHARACTER_MAXIMUM_LENGTH,
           if(c.data_type = 'VARCHAR', coalesce(x.ext_character_octet_length, 16777216), NULL)::BIGINT
               AS CHARACTER_OCTET_LENGTH,
           CASE WHEN c.data_type IN {_INTEGERS} THEN 38 WHEN c.data_type LIKE 'DECIMAL%' THEN c.numeric_precision END
               ::BIGINT AS NUMERIC_PRECISION,
           CASE WHEN c.data_type IN {_INTEGERS} OR c.data_type LIKE 'DECIMAL%' THEN 10 END::BIGINT
               AS NUMERIC_PRECISION_RADIX,
           CASE WHEN c.data_type IN {_INTEGERS} THEN 0 WHEN c.data_type LIKE 'DECIMAL%' THEN c.numeric_scale END::BIGINT
               AS NUMERIC_SCALE,
           CASE WHEN c.data_type LIKE 'TIME%' THEN 9 END::BIGINT AS DATETIME_PRECISION,
           NULL::VARCHAR AS COLLATION_NAME, 'NO' AS IS_IDENTITY, c.comment AS COMMENT
    FROM duckdb_columns() c
    LEFT JOIN {_EXT}._fs_columns_ext x ON x.ext_table_catalog = c.database_name AND x.ext_table_schema = c.schema_name
        AND x.ext_table_name = c.table_name AND x.ext_column_name = c.column_name
    WHERE NOT c.internal AND c.schema_name NOT IN {_HIDDEN}"""

_PRIVILEGES = f"""
    CREATE OR REPLACE VIEW {STORE}.is_object_privileges AS
    SELECT grantor AS GRANTOR, grantee AS GRANTEE, grantee_kind AS GRANTED_TO,
           name[1] AS OBJECT_CATALOG, name[2] AS OBJECT_SCHEMA,
           name[-1] AS OBJECT_NAME, kind AS OBJECT_TYPE, privilege AS PRIVILEGE_TYPE, 'NO' AS IS_GRANTABLE,
           created_on AS CREATED
    FROM {STORE}.grants WHERE NOT future AND kind NOT IN ('ROLE', 'ACCOUNT')"""
_TABLE_PRIVILEGES = f"""
    CREATE OR REPLACE VIEW {STORE}.is_table_privileges AS
    SELECT grantor AS GRANTOR, grantee AS GRANTEE, grantee_kind AS GRANTED_TO,
           name[1] AS TABLE_CATALOG, name[2] AS TABLE_SCHEMA,
           name[3] AS TABLE_NAME, privilege AS PRIVILEGE_TYPE, 'NO' AS IS_GRANTABLE, 'NO' AS WITH_HIERARCHY,
           created_on AS CREATED
    FROM {STORE}.grants WHERE NOT future AND kind IN ('TABLE', 'VIEW')"""
_ROLES = f"""
    CREATE OR REPLACE VIEW {STORE}.is_applicable_roles AS
    SELECT grantee AS GRANTEE, name[1] AS ROLE_NAME, grantor AS ROLE_OWNER, 'NO' AS IS_GRANTABLE
    FROM {STORE}.grants WHERE kind = 'ROLE' AND privilege = 'USAGE'"""

_HISTORY_COLUMNS = ", ".join(
    f"{column} AS {column.upper()}"
    for column in [
        "query_id",
        "query_text",
        "database_name",
        "schema_name",
        "query_type",
        "session_id",
        "user_name",
        "role_name",
        "warehouse_name",
        "query_tag",
        "execution_status",
        "error_code",
        "error_message",
        "start_time",
        "end_time",
        "total_elapsed_time",
        "rows_produced",
    ]
)

# what may stand after INFORMATION_SCHEMA. -> (view, the column that says which database a row belongs to)
RELATIONS = {
    "TABLES": ("is_tables", "TABLE_CATALOG"),
    "VIEWS": ("is_views", "TABLE_CATALOG"),
    "COLUMNS": ("is_columns", "TABLE_CATALOG"),
    "SCHEMATA": ("is_schemata", "CATALOG_NAME"),
    "DATABASES": ("is_databases", None),
    "OBJECT_PRIVILEGES": ("is_object_privileges", "OBJECT_CATALOG"),
    "TABLE_PRIVILEGES": ("is_table_privileges", "TABLE_CATALOG"),
    "APPLICABLE_ROLES": ("is_applicable_roles", None),
    "ENABLED_ROLES": ("is_applicable_roles", None),
}


def is_transient(definition: str) -> bool:
    """Tell whether a table was created TRANSIENT."""
    return re.match(_created("transient"), definition, re.IGNORECASE) is not None


def is_secure(definition: str) -> bool:
    """Tell whether a view was created SECURE."""
    return re.match(_created("secure"), definition, re.IGNORECASE) is not None


def creation_sql() -> str:
    """Return the statements that (re)create the views."""
    return ";".join(
        (
            _OWNERS,
            _RELATIONS,
            _TABLES,
            _VIEWS,
            _SCHEMATA,
            _DATABASES,
            _COLUMNS,
            _PRIVILEGES,
            _TABLE_PRIVILEGES,
            _ROLES,
        )
    )


# views Snowflake has in INFORMATION_SCHEMA or ACCOUNT_USAGE, and the embedded one has not
UNSUPPORTED_VIEWS = frozenset(
    [
        "ACCESS_HISTORY",
        "APPLICABLE_ROLES",
        "COPY_HISTORY",
        "DATABASE_STORAGE_USAGE_HISTORY",
        "ELEMENT_TYPES",
        "EVENT_TABLES",
        "EXTERNAL_TABLES",
        "FIELDS",
        "FILE_FORMATS",
        "FUNCTIONS",
        "GRANTS_TO_ROLES",
        "GRANTS_TO_USERS",
        "HYBRID_TABLES",
        "INDEXES",
        "INFORMATION_SCHEMA_CATALOG_NAME",
        "KEY_COLUMN_USAGE",
        "LOGIN_HISTORY",
        "METERING_HISTORY",
        "OBJECT_DEPENDENCIES",
        "PACKAGES",
        "PIPES",
        "POLICY_REFERENCES",
        "PROCEDURES",
        "REFERENTIAL_CONSTRAINTS",
        "ROLES",
        "SEQUENCES",
        "SESSIONS",
        "STAGES",
        "STORAGE_USAGE",
        "TABLE_CONSTRAINTS",
        "TABLE_STORAGE_METRICS",
        "TAG_REFERENCES",
        "TASK_HISTORY",
        "USAGE_PRIVILEGES",
        "USERS",
        "WAREHOUSE_METERING_HISTORY",
    ]
)
# what stands for an object in the grants, by view: only objects a restricted role holds something on are listed
_OBJECTS = {
    "TABLES": "[TABLE_CATALOG, TABLE_SCHEMA, TABLE_NAME]",
    "VIEWS": "[TABLE_CATALOG, TABLE_SCHEMA, TABLE_NAME]",
    "COLUMNS": "[TABLE_CATALOG, TABLE_SCHEMA, TABLE_NAME]",
    "SCHEMATA": "[CATALOG_NAME, SCHEMA_NAME]",
    "DATABASES": "[DATABASE_NAME]",
}


def relation_sql(name: str, database: str, roles: Collection[str] | None = None) -> str | None:
    """Return a DuckDB query for `database.INFORMATION_SCHEMA.name`, or None for a view there is not.

    With `roles` only what one of them holds a privilege on is listed.
    """
    if name == "LOAD_HISTORY":
        return f'SELECT * EXCLUDE (digest) FROM "{database}"._fs_information_schema._fs_load_history'
    if name == "QUERY_HISTORY":
        return f"SELECT {_HISTORY_COLUMNS} FROM {QUERY_HISTORY}"
    if name not in RELATIONS:
        return None
    view, column = RELATIONS[name]
    tests = [f"{column} = {literal(database)}"] if column else []
    if roles is not None and name in _OBJECTS:
        grantees = ", ".join(map(literal, sorted(roles)))
        held = f"SELECT name FROM {STORE}.grants WHERE NOT future AND grantee IN ({grantees})"
        system = " OR SCHEMA_NAME = 'INFORMATION_SCHEMA'" if name == "SCHEMATA" else ""
        tests.append(f"({_OBJECTS[name]} IN ({held}){system})")
    where = f" WHERE {' AND '.join(tests)}" if tests else ""
    return f"SELECT * FROM {STORE}.{view}{where}"
