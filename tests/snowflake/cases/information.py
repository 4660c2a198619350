"""INFORMATION_SCHEMA, as dbt, schemachange and people read it."""

from __future__ import annotations

from ..case import case, fails, gives, lists, refused, value

CASES = (
    case(
        "TABLES lists tables and views",
        "CREATE VIEW W AS SELECT 1 AS A",
        gives(
            "SELECT TABLE_CATALOG, TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM INFORMATION_SCHEMA.TABLES "
            "WHERE TABLE_SCHEMA = 'S' ORDER BY 3",
            ("{db}", "S", "T", "BASE TABLE"),
            ("{db}", "S", "W", "VIEW"),
        ),
        page="sql-reference/info-schema/tables",
    ),
    case(
        "TABLES counts rows",
        gives("SELECT ROW_COUNT FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_NAME = 'T'", (2,)),
        page="sql-reference/info-schema/tables",
    ),
    case(
        "COLUMNS gives types as Snowflake names them",
        "CREATE TABLE Q (A INT, B NUMBER(10,2), C VARCHAR(7), D TIMESTAMP_NTZ, E DATE, F BOOLEAN, G "
        "FLOAT, H VARIANT, I TIMESTAMP_TZ, J BINARY, K TIME)",
        gives(
            "SELECT COLUMN_NAME, DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'Q' ORDER "
            "BY ORDINAL_POSITION",
            ("A", "NUMBER"),
            ("B", "NUMBER"),
            ("C", "TEXT"),
            ("D", "TIMESTAMP_NTZ"),
            ("E", "DATE"),
            ("F", "BOOLEAN"),
            ("G", "FLOAT"),
            ("H", "VARIANT"),
            ("I", "TIMESTAMP_TZ"),
            ("J", "BINARY"),
            ("K", "TIME"),
        ),
        page="sql-reference/info-schema/columns",
    ),
    case(
        "COLUMNS gives precision, scale and length",
        "CREATE TABLE Q (A INT, B NUMBER(10,2) NOT NULL, C VARCHAR(7), D VARCHAR)",
        gives(
            "SELECT NUMERIC_PRECISION, NUMERIC_SCALE, CHARACTER_MAXIMUM_LENGTH, IS_NULLABLE FROM "
            "INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'Q' ORDER BY ORDINAL_POSITION",
            (38, 0, None, "YES"),
            (10, 2, None, "NO"),
            (None, None, 7, "YES"),
            (None, None, 16777216, "YES"),
        ),
        page="sql-reference/info-schema/columns",
    ),
    case(
        "COLUMNS of a view are there",
        "CREATE VIEW W AS SELECT ID AS X FROM T",
        gives("SELECT COLUMN_NAME FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'W'", ("X",)),
        page="sql-reference/info-schema/columns",
    ),
    case(
        "VIEWS gives the text as it was written",
        "CREATE VIEW W AS SELECT ID FROM T",
        lists("SELECT TABLE_NAME, CHECK_OPTION, IS_SECURE FROM INFORMATION_SCHEMA.VIEWS", ("W", "NONE", "NO")),
        value(
            "SELECT COUNT(*) FROM INFORMATION_SCHEMA.VIEWS WHERE TABLE_NAME = 'W' AND VIEW_DEFINITION "
            "ILIKE 'create view w as select id from t%'",
            1,
        ),
        page="sql-reference/info-schema/views",
    ),
    case(
        "SCHEMATA lists PUBLIC and INFORMATION_SCHEMA too",
        gives(
            "SELECT SCHEMA_NAME FROM INFORMATION_SCHEMA.SCHEMATA ORDER BY 1",
            ("INFORMATION_SCHEMA",),
            ("PUBLIC",),
            ("S",),
        ),
        page="sql-reference/info-schema/schemata",
    ),
    case(
        "another database is asked by its name",
        "CREATE DATABASE X_{n}",
        gives("SELECT TABLE_NAME FROM {db}.INFORMATION_SCHEMA.TABLES", ("T",)),
        gives("SELECT TABLE_NAME FROM X_{n}.INFORMATION_SCHEMA.TABLES"),
        "DROP DATABASE X_{n}",
        page="sql-reference/info-schema/tables",
    ),
    case(
        "a database there is not is refused",
        fails("SELECT * FROM NOPE.INFORMATION_SCHEMA.TABLES", 2003, "NOPE"),
        page="sql-reference/info-schema/tables",
    ),
    case(
        "a lower-case name works as well",
        value("select count(*) from information_schema.tables where table_name ilike 't'", 1),
        page="sql-reference/info-schema",
    ),
    case(
        "DATABASES lists them",
        lists("SELECT DATABASE_NAME, DATABASE_OWNER FROM INFORMATION_SCHEMA.DATABASES", ("{db}", "ACCOUNTADMIN")),
        page="sql-reference/info-schema/databases",
    ),
    case(
        "views of INFORMATION_SCHEMA may be joined",
        gives(
            "SELECT T.TABLE_NAME, C.COLUMN_NAME FROM INFORMATION_SCHEMA.TABLES T JOIN "
            "INFORMATION_SCHEMA.COLUMNS C USING (TABLE_SCHEMA, TABLE_NAME) ORDER BY C.ORDINAL_POSITION",
            ("T", "ID"),
            ("T", "V"),
        ),
        page="sql-reference/info-schema/tables",
    ),
    case(
        "LOAD_HISTORY tells what was loaded",
        "COPY INTO T FROM 's3://contract/in/plain.csv' FILE_FORMAT = (SKIP_HEADER = 1)",
        gives("SELECT TABLE_NAME, STATUS, ROW_COUNT FROM INFORMATION_SCHEMA.LOAD_HISTORY", ("T", "LOADED", 2)),
        page="sql-reference/info-schema/load_history",
    ),
    case(
        "the query dbt lists relations' columns with runs",
        gives(
            "select 'T' as relation_name, column_name from {db}.INFORMATION_SCHEMA.columns where "
            "table_schema ilike 's' and table_name ilike 't' order by ordinal_position",
            ("T", "ID"),
            ("T", "V"),
        ),
        page="sql-reference/info-schema",
    ),
    case(
        "the query schemachange finds its table with runs",
        lists(
            "SELECT CREATED IS NOT NULL, LAST_ALTERED IS NOT NULL FROM {db}.INFORMATION_SCHEMA.TABLES "
            "WHERE TABLE_SCHEMA = REPLACE('S', '\"', '') AND TABLE_NAME = REPLACE('T', '\"', '')",
            (True, True),
        ),
        page="sql-reference/info-schema/tables",
    ),
    case(
        "a view of INFORMATION_SCHEMA there is not is refused",
        fails("SELECT * FROM INFORMATION_SCHEMA.NOPE", 2003, "NOPE"),
        page="sql-reference/info-schema",
    ),
    case("GET_DDL is refused", refused("SELECT GET_DDL('TABLE', 'T')", "GET_DDL()"), page="sql-reference/info-schema"),
)
