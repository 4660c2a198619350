"""Sessions: what is current, parameters and tags, names and their case."""

from __future__ import annotations

from ..case import case, fails, gives, lists, other, refused, value

CASES = (
    case(
        "a session stands where it was opened",
        value("SELECT CURRENT_DATABASE(), CURRENT_SCHEMA()", "{db}", "S"),
        page="sql-reference/sql/use-database",
    ),
    case(
        "a new database becomes current with its PUBLIC schema",
        "CREATE DATABASE X_{n}",
        value("SELECT CURRENT_DATABASE(), CURRENT_SCHEMA()", "X_{n}", "PUBLIC"),
        "DROP DATABASE X_{n}",
        page="sql-reference/sql/create-database",
    ),
    case(
        "a new schema becomes current",
        "CREATE SCHEMA S2",
        value("SELECT CURRENT_SCHEMA()", "S2"),
        page="sql-reference/sql/create-schema",
    ),
    case(
        "USE SCHEMA of another database moves both",
        "CREATE DATABASE X_{n}",
        "USE SCHEMA {db}.S",
        value("SELECT CURRENT_DATABASE(), CURRENT_SCHEMA()", "{db}", "S"),
        "DROP DATABASE X_{n}",
        page="sql-reference/sql/use-schema",
    ),
    case(
        "USE of a schema there is not is refused",
        fails("USE SCHEMA NOWHERE", 2003, "does not exist or not authorized"),
        page="sql-reference/sql/use-schema",
    ),
    case(
        "USE of a database there is not is refused",
        fails("USE DATABASE NOWHERE", 2003, "NOWHERE"),
        page="sql-reference/sql/use-database",
    ),
    case(
        "dropping the current schema leaves none",
        "CREATE SCHEMA S2",
        "DROP SCHEMA S2",
        value("SELECT CURRENT_SCHEMA()", None),
        fails("SELECT * FROM T", 90106, "does not have a current schema"),
        page="sql-reference/sql/drop-schema",
    ),
    case(
        "dropping the current database leaves none",
        "CREATE DATABASE X_{n}",
        "DROP DATABASE X_{n}",
        value("SELECT CURRENT_DATABASE()", None),
        fails("CREATE SCHEMA Q", 90105, "does not have a current database"),
        page="sql-reference/sql/drop-database",
    ),
    case(
        "user, role, warehouse and account are told",
        "CREATE WAREHOUSE IF NOT EXISTS WH_{n}",
        "USE WAREHOUSE WH_{n}",
        value("SELECT CURRENT_USER(), CURRENT_ROLE(), CURRENT_WAREHOUSE()", "{user}", "{role}", "WH_{n}"),
        "DROP WAREHOUSE WH_{n}",
        page="sql-reference/functions/current_role",
    ),
    case(
        "a query tag is kept and told",
        "ALTER SESSION SET QUERY_TAG = 'release 42'",
        lists("SHOW PARAMETERS LIKE 'QUERY_TAG' IN SESSION", ("QUERY_TAG", "release 42", "", "SESSION", "", "STRING")),
        page="sql-reference/sql/alter-session",
    ),
    case(
        "a query tag stands in the query history",
        "ALTER SESSION SET QUERY_TAG = 'tag-{n}'",
        "SELECT 1 AS MARKED",
        gives(
            "SELECT QUERY_TEXT, EXECUTION_STATUS FROM TABLE(INFORMATION_SCHEMA.QUERY_HISTORY()) "
            "WHERE QUERY_TAG = 'tag-{n}' AND QUERY_TEXT LIKE 'SELECT 1%'",
            ("SELECT 1 AS MARKED", "SUCCESS"),
        ),
        page="sql-reference/sql/alter-session",
    ),
    case(
        "a failed statement stands in the query history with its number",
        "ALTER SESSION SET QUERY_TAG = 'bad-{n}'",
        fails("SELECT * FROM MISSING", 2003),
        gives(
            "SELECT ERROR_CODE FROM SNOWFLAKE.ACCOUNT_USAGE.QUERY_HISTORY "
            "WHERE QUERY_TAG = 'bad-{n}' AND EXECUTION_STATUS = 'FAILED_WITH_ERROR'",
            ("002003",),
        ),
        page="sql-reference/functions/query_history",
    ),
    case(
        "an unset parameter has its default again",
        "ALTER SESSION SET QUERY_TAG = 'x'",
        "ALTER SESSION UNSET QUERY_TAG",
        lists("SHOW PARAMETERS LIKE 'QUERY_TAG'", ("QUERY_TAG", "", "", "", "", "STRING")),
        page="sql-reference/sql/alter-session",
    ),
    case(
        "several parameters may be set at once",
        "ALTER SESSION SET QUERY_TAG = 'a', STATEMENT_TIMEOUT_IN_SECONDS = 10",
        lists(
            "SHOW PARAMETERS LIKE 'STATEMENT_TIMEOUT%'",
            ("STATEMENT_TIMEOUT_IN_SECONDS", "10", "172800", "SESSION", "", "STRING"),
        ),
        page="sql-reference/sql/alter-session",
    ),
    case(
        "a statement that takes longer than it may is ended, and the session goes on",
        "ALTER SESSION SET STATEMENT_TIMEOUT_IN_SECONDS = 1",
        fails(
            "SELECT COUNT(*) FROM TABLE(GENERATOR(ROWCOUNT => 3000000)) A, TABLE(GENERATOR(ROWCOUNT => 30000)) B",
            630,
            "Statement reached its statement or warehouse timeout of 1 second(s) and was canceled",
        ),
        value("SELECT COUNT(*) FROM T", 2),
        "BEGIN",
        "INSERT INTO T VALUES (3, 'c')",
        fails(
            "UPDATE T SET ID = (SELECT COUNT(*) FROM TABLE(GENERATOR(ROWCOUNT => 3000000)) A, "
            "TABLE(GENERATOR(ROWCOUNT => 30000)) B)",
            630,
        ),
        "COMMIT",
        value("SELECT COUNT(*) FROM T", 3),
        "ALTER SESSION SET STATEMENT_TIMEOUT_IN_SECONDS = 0",
        value("SELECT COUNT(*) FROM T", 3),
        page="sql-reference/parameters",
    ),
    case(
        "a time zone other than UTC is refused",
        refused("ALTER SESSION SET TIMEZONE = 'America/New_York'", "ALTER SESSION SET TIMEZONE = America/New_York"),
        page="sql-reference/sql/alter-session",
    ),
    case(
        "quiet nondeterministic merges are refused",
        refused(
            "ALTER SESSION SET ERROR_ON_NONDETERMINISTIC_MERGE = FALSE",
            "ALTER SESSION SET ERROR_ON_NONDETERMINISTIC_MERGE = FALSE",
        ),
        page="sql-reference/sql/alter-session",
    ),
    case(
        "a session variable is replaced in statements",
        "SET LIMIT_ID = 1",
        gives("SELECT V FROM T WHERE ID = $LIMIT_ID", ("a",)),
        page="sql-reference/session-variables",
    ),
    case(
        "a session variable there is not is refused",
        fails("SELECT $NOT_SET", 2211, "Session variable '$NOT_SET' does not exist"),
        page="sql-reference/session-variables",
    ),
    case(
        "unquoted names fold to upper case",
        "CREATE TABLE lower_name (a INT)",
        gives("SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_NAME = 'LOWER_NAME'", ("LOWER_NAME",)),
        page="sql-reference/identifiers-syntax",
    ),
    case(
        "a quoted upper-case name is the unquoted one",
        gives('SELECT "V" FROM "T" ORDER BY "ID"', ("a",), ("b",)),
        page="sql-reference/identifiers-syntax",
    ),
    case(
        "quoted names keep their case",
        'CREATE TABLE "Mixed Case" ("a b" INT)',
        'INSERT INTO "Mixed Case" VALUES (1)',
        gives('SELECT "a b" FROM "Mixed Case"', (1,)),
        gives("SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_NAME LIKE 'Mixed%'", ("Mixed Case",)),
        page="sql-reference/identifiers-syntax",
    ),
    case(
        "a quoted name of another case is another object",
        fails('SELECT * FROM "t"', 2003, "does not exist"),
        page="sql-reference/identifiers-syntax",
    ),
    case(
        "a name may be given as IDENTIFIER('..')",
        value("SELECT COUNT(*) FROM IDENTIFIER('{db}.S.T')", 2),
        page="sql-reference/identifier-literal",
    ),
    case(
        "a three-part name reaches any database",
        other("CREATE DATABASE X_{n}"),
        other("CREATE TABLE X_{n}.PUBLIC.Q AS SELECT 7 AS A"),
        value("SELECT A FROM X_{n}.PUBLIC.Q", 7),
        "DROP DATABASE X_{n}",
        page="sql-reference/name-resolution",
    ),
    case(
        "a database with two dots means its PUBLIC schema",
        "CREATE TABLE {db}.PUBLIC.Q AS SELECT 7 AS A",
        value("SELECT A FROM {db}..Q", 7),
        page="sql-reference/name-resolution",
    ),
    case("an empty statement is refused", fails(";", 1003, "Empty SQL statement"), page="sql-reference/sql-all"),
    case("a statement that cannot be parsed is refused", fails("SELEKT 1", 1003), page="sql-reference/sql-all"),
    case(
        "comments may stand anywhere", value("-- first\nSELECT /* inside */ 1 -- last", 1), page="sql-reference/sql-all"
    ),
    case(
        "LAST_QUERY_ID and RESULT_SCAN give the result again",
        "SELECT 5 AS A",
        value("SELECT A + 1 FROM TABLE(RESULT_SCAN(LAST_QUERY_ID()))", 6),
        page="sql-reference/functions/result_scan",
    ),
    case(
        "RESULT_SCAN reads SHOW by its lower-case names",
        "SHOW TABLES IN SCHEMA {db}.S",
        gives('SELECT "name" FROM TABLE(RESULT_SCAN(LAST_QUERY_ID()))', ("T",)),
        page="sql-reference/functions/result_scan",
    ),
)
