"""What Snowflake has and the embedded one does not: it says so, and nothing was done."""

from __future__ import annotations

from ..case import case, fails, refused, value

_UNSUPPORTED = (
    ("time travel by offset", "SELECT * FROM T AT (OFFSET => -60)"),
    ("time travel by timestamp", "SELECT * FROM T AT (TIMESTAMP => '2020-01-01'::TIMESTAMP)"),
    ("time travel by statement", "SELECT * FROM T BEFORE (STATEMENT => 'abc')"),
    ("UNDROP SCHEMA", "UNDROP SCHEMA S"),
    ("UNDROP DATABASE", "UNDROP DATABASE X"),
    ("pipes", "CREATE PIPE K AS COPY INTO T FROM @X"),
    ("dynamic tables", "CREATE DYNAMIC TABLE K TARGET_LAG = '1 minute' WAREHOUSE = W AS SELECT * FROM T"),
    ("materialized views", "CREATE MATERIALIZED VIEW K AS SELECT * FROM T"),
    ("external tables", "CREATE EXTERNAL TABLE K LOCATION = @X FILE_FORMAT = (TYPE = CSV)"),
    ("iceberg tables", "CREATE ICEBERG TABLE K (A INT)"),
    ("SQL functions", "CREATE FUNCTION F(X INT) RETURNS INT AS 'X + 1'"),
    ("stored procedures", "CREATE PROCEDURE P() RETURNS VARCHAR LANGUAGE SQL AS $$ BEGIN RETURN 'x'; END $$"),
    ("CALL", "CALL P()"),
    ("masking policies", "CREATE MASKING POLICY M AS (V VARCHAR) RETURNS VARCHAR -> '***'"),
    ("row access policies", "CREATE ROW ACCESS POLICY M AS (V VARCHAR) RETURNS BOOLEAN -> TRUE"),
    ("setting a masking policy", "ALTER TABLE T MODIFY COLUMN V SET MASKING POLICY M"),
    ("scripting with variables", "BEGIN LET X := 1; RETURN X; END"),
    ("DECLARE", "DECLARE X INT; BEGIN X := 1; RETURN X; END"),
    ("alerts", "CREATE ALERT K WAREHOUSE = W SCHEDULE = '1 minute' IF (EXISTS (SELECT 1)) THEN SELECT 1"),
    ("ALTER ACCOUNT", "ALTER ACCOUNT SET TIMEZONE = 'UTC'"),
    ("MATCH_RECOGNIZE", "SELECT * FROM T MATCH_RECOGNIZE (ORDER BY ID MEASURES ID AS X PATTERN (A) DEFINE A AS TRUE)"),
    ("CONNECT BY", "SELECT ID FROM T START WITH ID = 1 CONNECT BY ID = PRIOR ID + 1"),
    ("CHANGES", "SELECT * FROM T CHANGES (INFORMATION => DEFAULT) AT (OFFSET => -1)"),
    ("account usage beyond the query history", "SELECT * FROM SNOWFLAKE.ACCOUNT_USAGE.STORAGE_USAGE"),
    ("a cluster of search optimization", "ALTER TABLE T ADD SEARCH OPTIMIZATION"),
    ("EXPLAIN", "EXPLAIN USING TEXT SELECT * FROM T"),
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
    *(case(f"{name} refused", refused(sql), value("SELECT COUNT(*) FROM T", 2)) for name, sql in _UNSUPPORTED),
    *(
        case(f"{sql.split()[0]} is a word of the engine, not of Snowflake", fails(sql, 1003, "syntax error"))
        for sql in _ENGINE
    ),
    case("a macro of the engine cannot be made", refused("CREATE MACRO M(A) AS A + 1")),
    case("files of the server cannot be read", fails("SELECT * FROM '/etc/passwd'", 2003)),
    case("the tables of the server itself cannot be read", fails("SELECT * FROM _FS_GLOBAL.SLIPWAY.GRANTS", 2003)),
    case("the catalog of the engine cannot be read", fails("SELECT * FROM DUCKDB_TABLES()", 2140)),
)
