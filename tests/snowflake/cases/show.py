"""SHOW and DESCRIBE with the columns dbt-snowflake and schemachange read."""

from __future__ import annotations

from ..case import case, fails, gives, lists, refused, shows, value

_SCAN = "SELECT {} FROM TABLE(RESULT_SCAN(LAST_QUERY_ID())) ORDER BY 1"
_NAMES = _SCAN.format('"name"')

CASES = (
    case(
        "SHOW TABLES has Snowflake's columns",
        shows(
            "SHOW TABLES",
            "created_on",
            "name",
            "database_name",
            "schema_name",
            "kind",
            "comment",
            "cluster_by",
            "rows",
            "bytes",
            "owner",
            "retention_time",
        ),
    ),
    case(
        "SHOW TABLES leaves views out",
        "CREATE VIEW W AS SELECT 1 AS A",
        "SHOW TABLES IN SCHEMA {db}.S",
        gives(_NAMES, ("T",)),
    ),
    case(
        "SHOW VIEWS lists views and their text",
        "CREATE VIEW W AS SELECT 1 AS A",
        shows(
            "SHOW VIEWS IN SCHEMA {db}.S",
            "created_on",
            "name",
            "reserved",
            "database_name",
            "schema_name",
            "owner",
            "comment",
            "text",
            "is_secure",
            "is_materialized",
        ),
        "SHOW VIEWS IN SCHEMA {db}.S",
        gives(_SCAN.format('"name", "is_secure"'), ("W", "false")),
    ),
    case(
        "SHOW OBJECTS lists both, with their kind",
        "CREATE VIEW W AS SELECT 1 AS A",
        "SHOW OBJECTS IN {db}.S LIMIT 10000",
        gives(_SCAN.format('"name", "kind"'), ("T", "TABLE"), ("W", "VIEW")),
    ),
    case(
        "SHOW OBJECTS pages as dbt does",
        "CREATE TABLE A (X INT)",
        "CREATE TABLE B (X INT)",
        "SHOW OBJECTS IN {db}.S LIMIT 2 FROM 'A'",
        gives(_NAMES, ("B",), ("T",)),
    ),
    case(
        "SHOW TERSE OBJECTS is terse",
        shows("SHOW TERSE OBJECTS IN {db}.S", "created_on", "name", "kind", "database_name", "schema_name"),
    ),
    case("SHOW of a schema there is not is refused", fails("SHOW OBJECTS IN {db}.NOPE", 2003, "NOPE")),
    case(
        "LIKE ignores case and knows its signs",
        "CREATE TABLE TAB_1 (A INT)",
        "SHOW TABLES LIKE 'tab%' IN SCHEMA {db}.S",
        gives(_NAMES, ("TAB_1",)),
        "SHOW TABLES LIKE '_' IN SCHEMA {db}.S",
        gives(_NAMES, ("T",)),
    ),
    case("STARTS WITH minds the case", "SHOW TABLES IN SCHEMA {db}.S STARTS WITH 't'", gives(_NAMES)),
    case(
        "SHOW SCHEMAS lists them",
        shows(
            "SHOW SCHEMAS IN DATABASE {db}", "created_on", "name", "is_default", "is_current", "database_name", "owner"
        ),
        "SHOW TERSE SCHEMAS IN DATABASE {db} LIMIT 10000",
        gives(_NAMES, ("INFORMATION_SCHEMA",), ("PUBLIC",), ("S",)),
    ),
    case("SHOW TERSE SCHEMAS LIKE finds one", "SHOW TERSE SCHEMAS LIKE 'S' IN DATABASE {db}", gives(_NAMES, ("S",))),
    case("SHOW DATABASES LIKE finds one", "SHOW DATABASES LIKE '{db}'", gives(_NAMES, ("{db}",))),
    case(
        "SHOW COLUMNS describes a table",
        shows(
            "SHOW COLUMNS IN TABLE {db}.S.T",
            "table_name",
            "schema_name",
            "column_name",
            "data_type",
            "null?",
            "default",
            "kind",
        ),
        "SHOW COLUMNS IN TABLE {db}.S.T",
        lists(
            _SCAN.format('"column_name", "data_type"'),
            ("V", '{"type":"TEXT","length":20,"nullable":true,"fixed":false}'),
        ),
    ),
    case(
        "SHOW WAREHOUSES, ROLES and USERS list what was created",
        "CREATE ROLE R_{n}",
        "SHOW ROLES LIKE 'R_{n}'",
        gives(_NAMES, ("R_{n}",)),
        "CREATE USER U_{n} DEFAULT_ROLE = R_{n}",
        "SHOW USERS LIKE 'U_{n}'",
        gives(_NAMES, ("U_{n}",)),
        "CREATE WAREHOUSE WH_{n} WAREHOUSE_SIZE = 'XSMALL' AUTO_SUSPEND = 60",
        "SHOW WAREHOUSES LIKE 'WH_{n}'",
        gives(_NAMES, ("WH_{n}",)),
        "DROP WAREHOUSE WH_{n}",
        "DROP USER U_{n}",
        "DROP ROLE R_{n}",
    ),
    case(
        "SHOW STAGES gives the URL",
        "CREATE STAGE ST URL = 's3://contract/in' COMMENT = 'files'",
        "SHOW STAGES IN SCHEMA {db}.S",
        gives(_SCAN.format('"name", "url", "type", "comment"'), ("ST", "s3://contract/in/", "EXTERNAL", "files")),
    ),
    case(
        "SHOW FILE FORMATS lists them",
        "CREATE FILE FORMAT FF TYPE = CSV SKIP_HEADER = 1",
        "SHOW FILE FORMATS",
        gives(_SCAN.format('"name", "type"'), ("FF", "CSV")),
    ),
    case("SHOW SEQUENCES lists them", "CREATE SEQUENCE SEQ", "SHOW SEQUENCES", gives(_NAMES, ("SEQ",))),
    case(
        "SHOW TASKS, STREAMS and PROCEDURES are empty",
        gives("SHOW TASKS"),
        gives("SHOW STREAMS"),
        gives("SHOW PROCEDURES"),
        gives("SHOW DYNAMIC TABLES IN SCHEMA {db}.S"),
    ),
    case(
        "SHOW PARAMETERS LIKE finds one",
        lists("SHOW PARAMETERS LIKE 'TIMEZONE' IN SESSION", ("TIMEZONE", "Etc/UTC", "Etc/UTC", "", "", "STRING")),
    ),
    case("SHOW of something else is refused", refused("SHOW REPLICATION GROUPS")),
    case(
        "DESCRIBE TABLE gives names and types",
        shows("DESCRIBE TABLE T", "name", "type", "kind", "null?", "default", "primary key"),
        "DESCRIBE TABLE T",
        gives(_SCAN.format('"name", "type", "null?"'), ("ID", "NUMBER(38,0)", "Y"), ("V", "VARCHAR(20)", "Y")),
    ),
    case(
        "DESCRIBE TABLE of a temporary table works",
        "CREATE TEMPORARY TABLE Q (A NUMBER(10,2))",
        "DESC TABLE {db}.S.Q",
        gives(_SCAN.format('"name", "type"'), ("A", "NUMBER(10,2)")),
    ),
    case("DESCRIBE VIEW works", "CREATE VIEW W AS SELECT ID FROM T", "DESC VIEW W", gives(_NAMES, ("ID",))),
    case(
        "DESCRIBE SCHEMA and DATABASE list what is inside",
        "DESCRIBE SCHEMA S",
        gives(_NAMES, ("T",)),
        "DESCRIBE DATABASE {db}",
        lists(_NAMES, ("S",)),
    ),
    case("DESCRIBE of what is not there is refused", fails("DESCRIBE TABLE NOPE", 2003, "NOPE")),
    case("DESCRIBE of a stage is refused", "CREATE STAGE ST", refused("DESCRIBE STAGE ST")),
    case("SHOW PRIMARY KEYS answers without keys", shows("SHOW PRIMARY KEYS IN TABLE {db}.S.T", "created_on")),
    case(
        "a SHOW shows what is there now",
        "SHOW TABLES",
        value("SELECT 1", 1),
        "DROP TABLE T",
        gives("SHOW TABLES IN SCHEMA {db}.S"),
    ),
)
