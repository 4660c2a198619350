"""What Snowflake has and the embedded one does not: it says so, and nothing was done."""

from __future__ import annotations

from ..case import case, fails, refused, value

_UNSUPPORTED = (
    (
        "time travel by offset",
        "SELECT * FROM T AT (OFFSET => -60)",
        "time travel (AT, BEFORE, CHANGES)",
        "sql-reference/constructs/at-before",
    ),
    (
        "time travel by timestamp",
        "SELECT * FROM T AT (TIMESTAMP => '2020-01-01'::TIMESTAMP)",
        "time travel (AT, BEFORE, CHANGES)",
        "sql-reference/constructs/at-before",
    ),
    (
        "time travel by statement",
        "SELECT * FROM T BEFORE (STATEMENT => 'abc')",
        "time travel (AT, BEFORE, CHANGES)",
        "sql-reference/constructs/at-before",
    ),
    ("UNDROP SCHEMA", "UNDROP SCHEMA S", "time travel (UNDROP)", "sql-reference/sql/undrop-schema"),
    ("UNDROP DATABASE", "UNDROP DATABASE X", "time travel (UNDROP)", "sql-reference/sql/undrop-database"),
    ("pipes", "CREATE PIPE K AS COPY INTO T FROM @X", "CREATE PIPE", "sql-reference/sql/create-pipe"),
    (
        "dynamic tables",
        "CREATE DYNAMIC TABLE K TARGET_LAG = '1 minute' WAREHOUSE = W AS SELECT * FROM T",
        "CREATE DYNAMIC TABLE",
        "sql-reference/sql/create-dynamic-table",
    ),
    (
        "materialized views",
        "CREATE MATERIALIZED VIEW K AS SELECT * FROM T",
        "CREATE MATERIALIZED VIEW",
        "sql-reference/sql/create-materialized-view",
    ),
    (
        "external tables",
        "CREATE EXTERNAL TABLE K LOCATION = @X FILE_FORMAT = (TYPE = CSV)",
        "CREATE EXTERNAL TABLE",
        "sql-reference/sql/create-external-table",
    ),
    (
        "iceberg tables",
        "CREATE ICEBERG TABLE K (A INT)",
        "CREATE ICEBERG TABLE",
        "sql-reference/sql/create-iceberg-table",
    ),
    (
        "SQL functions",
        "CREATE FUNCTION F(X INT) RETURNS INT AS 'X + 1'",
        "CREATE FUNCTION",
        "sql-reference/sql/create-function",
    ),
    (
        "masking policies",
        "CREATE MASKING POLICY M AS (V VARCHAR) RETURNS VARCHAR -> '***'",
        "CREATE MASKING POLICY",
        "sql-reference/sql/create-masking-policy",
    ),
    (
        "row access policies",
        "CREATE ROW ACCESS POLICY M AS (V VARCHAR) RETURNS BOOLEAN -> TRUE",
        "CREATE ROW ACCESS POLICY",
        "sql-reference/sql/create-row-access-policy",
    ),
    (
        "setting a masking policy",
        "ALTER TABLE T MODIFY COLUMN V SET MASKING POLICY M",
        "ALTER TABLE T MODIFY COLUMN V SET MASKING POLICY M",
        "sql-reference/sql/alter-table-column",
    ),
    (
        "alerts",
        "CREATE ALERT K WAREHOUSE = W SCHEDULE = '1 minute' IF (EXISTS (SELECT 1)) THEN SELECT 1",
        "CREATE ALERT",
        "sql-reference/sql/create-alert",
    ),
    ("ALTER ACCOUNT", "ALTER ACCOUNT SET TIMEZONE = 'UTC'", "ALTER ACCOUNT", "sql-reference/sql/alter-account"),
    (
        "MATCH_RECOGNIZE",
        "SELECT * FROM T MATCH_RECOGNIZE (ORDER BY ID MEASURES ID AS X PATTERN (A) DEFINE A AS TRUE)",
        "MATCH_RECOGNIZE",
        "sql-reference/constructs/match_recognize",
    ),
    (
        "CONNECT BY",
        "SELECT ID FROM T START WITH ID = 1 CONNECT BY ID = PRIOR ID + 1",
        "CONNECT BY",
        "sql-reference/constructs/connect-by",
    ),
    (
        "CHANGES",
        "SELECT * FROM T CHANGES (INFORMATION => DEFAULT) AT (OFFSET => -1)",
        "time travel (AT, BEFORE, CHANGES)",
        "sql-reference/constructs/at-before",
    ),
    (
        "account usage beyond the query history",
        "SELECT * FROM SNOWFLAKE.ACCOUNT_USAGE.STORAGE_USAGE",
        "ACCOUNT_USAGE.STORAGE_USAGE",
        "sql-reference/account-usage",
    ),
    (
        "a cluster of search optimization",
        "ALTER TABLE T ADD SEARCH OPTIMIZATION",
        "ALTER TABLE T ADD SEARCH OPTIMIZATION",
        "user-guide/search-optimization-service",
    ),
    ("EXPLAIN", "EXPLAIN USING TEXT SELECT * FROM T", "EXPLAIN", "sql-reference/sql/explain"),
)
_ENGINE = (
    "ATTACH 'x.duckdb' AS X",
    "PRAGMA database_list",
    "INSTALL httpfs",
    "LOAD httpfs",
    "EXPORT DATABASE 'x'",
    "CHECKPOINT",
)
CASES = (
    *(
        case(f"{name} refused", refused(sql, what), value("SELECT COUNT(*) FROM T", 2), page=page)
        for name, sql, what, page in _UNSUPPORTED
    ),
    *(
        case(
            f"{sql.split()[0]} is a word of the engine, not of Snowflake",
            fails(sql, 1003, "syntax error"),
            page="sql-reference/sql-all",
        )
        for sql in _ENGINE
    ),
    case(
        "a macro of the engine cannot be made",
        refused("CREATE MACRO M(A) AS A + 1", "CREATE MACRO M(A) AS A + 1"),
        page="sql-reference/sql-all",
    ),
    case(
        "files of the server cannot be read", fails("SELECT * FROM '/etc/passwd'", 2003), page="sql-reference/sql-all"
    ),
    case(
        "the tables of the server itself cannot be read",
        fails("SELECT * FROM _FS_GLOBAL.SLIPWAY.GRANTS", 2003),
        page="sql-reference/sql-all",
    ),
    case(
        "the catalog of the engine cannot be read",
        fails("SELECT * FROM DUCKDB_TABLES()", 2140),
        page="sql-reference/sql-all",
    ),
)
