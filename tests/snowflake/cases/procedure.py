"""Stored procedures in SQL: made, called, shown, and with whose rights they run."""

from __future__ import annotations

from ..case import as_role, case, fails, gives, lists, refused, shows, value

_CREATE = "sql-reference/sql/create-procedure"
_CALL = "sql-reference/sql/call"
_RIGHTS = "developer-guide/stored-procedure/stored-procedures-rights"
_ADD = (
    "CREATE PROCEDURE ADD_ROW(A INT, B VARCHAR DEFAULT 'z') RETURNS VARCHAR LANGUAGE SQL AS $$ "
    "BEGIN INSERT INTO T VALUES (:A, :B); RETURN A || B; END $$"
)
_COUNT = "RETURNS INT LANGUAGE SQL {} AS $$ DECLARE N INT; BEGIN SELECT COUNT(*) INTO :N FROM T; RETURN N; END $$"
_ROLE = ("CREATE ROLE R_{n}", "GRANT USAGE ON DATABASE {db} TO ROLE R_{n}", "GRANT USAGE ON SCHEMA S TO ROLE R_{n}")
_END = "DROP ROLE R_{n}"

CASES = (
    case(
        "a procedure is made and called",
        gives(_ADD, ("Function ADD_ROW successfully created.",)),
        value("CALL ADD_ROW(3, 'c')", "3c"),
        value("SELECT V FROM T WHERE ID = 3", "c"),
        page=_CREATE,
    ),
    case(
        "arguments may be named, and those with a default left out",
        _ADD,
        value("CALL ADD_ROW(3)", "3z"),
        value("CALL ADD_ROW(B => 'y', A => 4)", "4y"),
        value("CALL {db}.S.ADD_ROW(2 + 3)", "5z"),
        page=_CALL,
    ),
    case(
        "a call with other arguments is refused",
        _ADD,
        fails("CALL ADD_ROW()", 1044, "Invalid argument types for function 'ADD_ROW'"),
        fails("CALL ADD_ROW(1, 'a', 2)", 1044),
        fails("CALL ADD_ROW(C => 1)", 1044),
        fails("CALL ADD_ROW('x')", 100038),
        fails("CALL NO_SUCH_PROCEDURE()", 2140, "NO_SUCH_PROCEDURE"),
        page=_CALL,
    ),
    case(
        "what a procedure returns is cast to its type",
        "CREATE PROCEDURE P() RETURNS VARCHAR LANGUAGE SQL AS $$ BEGIN RETURN 1 + 1; END $$",
        value("CALL P()", "2"),
        "CREATE PROCEDURE Q() RETURNS INT AS BEGIN RETURN '7'; END",
        value("CALL Q()", 7),
        "CREATE PROCEDURE N() RETURNS INT AS BEGIN NULL; END",
        value("CALL N()", None),
        page=_CREATE,
    ),
    case(
        "a procedure may return a table",
        "CREATE PROCEDURE P(LOWEST INT) RETURNS TABLE (ID INT, V VARCHAR) LANGUAGE SQL AS $$ BEGIN "
        "LET RS RESULTSET := (SELECT ID, V FROM T WHERE ID >= :LOWEST ORDER BY ID); RETURN TABLE(RS); END $$",
        gives("CALL P(2)", (2, "b")),
        page=_CREATE,
    ),
    case(
        "procedures of one name differ by their arguments",
        "CREATE PROCEDURE P(A INT) RETURNS VARCHAR AS BEGIN RETURN 'number'; END",
        "CREATE PROCEDURE P(A VARCHAR) RETURNS VARCHAR AS BEGIN RETURN 'text'; END",
        "CREATE PROCEDURE P(A INT, B INT) RETURNS VARCHAR AS BEGIN RETURN 'two'; END",
        value("CALL P(1)", "number"),
        value("CALL P('1')", "text"),
        value("CALL P(1, 2)", "two"),
        "DROP PROCEDURE P(VARCHAR)",
        fails("DROP PROCEDURE P(VARCHAR)", 2003, "P(VARCHAR)"),
        "DROP PROCEDURE IF EXISTS P(VARCHAR)",
        page="sql-reference/sql/drop-procedure",
    ),
    case(
        "a procedure that exists is refused unless told",
        _ADD,
        fails(_ADD, 2002, "already exists"),
        _ADD.replace("CREATE", "CREATE OR REPLACE"),
        _ADD.replace("PROCEDURE", "PROCEDURE IF NOT EXISTS"),
        page=_CREATE,
    ),
    case(
        "a procedure calls another and takes what it returns",
        _ADD,
        "CREATE PROCEDURE P() RETURNS VARCHAR AS $$ DECLARE X VARCHAR; BEGIN CALL ADD_ROW(8) INTO "
        ":X; RETURN '<' || X || '>'; END $$",
        value("CALL P()", "<8z>"),
        page=_CALL,
    ),
    case(
        "RETURNS NULL ON NULL INPUT does not run for a NULL",
        "CREATE PROCEDURE P(A INT) RETURNS INT RETURNS NULL ON NULL INPUT AS BEGIN INSERT INTO T "
        "VALUES (3, 'c'); RETURN 1; END",
        value("CALL P(NULL)", None),
        value("SELECT COUNT(*) FROM T", 2),
        page=_CREATE,
    ),
    case(
        "the error of a procedure has its number and place",
        "CREATE PROCEDURE P() RETURNS INT AS $$\nBEGIN\n  SELECT * FROM NOPE;\nEND $$",
        fails("CALL P()", 2003, "Uncaught exception of type 'STATEMENT_ERROR' on line 3 at position 2"),
        page="developer-guide/snowflake-scripting/exceptions",
    ),
    case(
        "SHOW PROCEDURES has Snowflake's columns",
        _ADD,
        shows(
            "SHOW PROCEDURES IN SCHEMA S",
            *("created_on", "name", "schema_name", "is_builtin", "is_aggregate", "is_ansi", "min_num_arguments"),
            *("max_num_arguments", "arguments", "description", "catalog_name", "is_table_function"),
        ),
        "SHOW PROCEDURES LIKE 'ADD%'",
        gives(
            'SELECT "name", "arguments", "min_num_arguments" FROM TABLE(RESULT_SCAN(LAST_QUERY_ID()))',
            ("ADD_ROW", "ADD_ROW(NUMBER, DEFAULT VARCHAR) RETURN VARCHAR", 1),
        ),
        page="sql-reference/sql/show-procedures",
    ),
    case(
        "DESCRIBE PROCEDURE tells signature, rights and body",
        _ADD,
        lists(
            "DESCRIBE PROCEDURE ADD_ROW(INT, STRING)",
            ("signature", "(A NUMBER, B VARCHAR)"),
            ("returns", "VARCHAR"),
            ("language", "SQL"),
            ("execute as", "OWNER"),
        ),
        "ALTER PROCEDURE ADD_ROW(INT, VARCHAR) EXECUTE AS CALLER",
        lists("DESCRIBE PROCEDURE ADD_ROW(NUMBER, VARCHAR)", ("execute as", "CALLER")),
        fails("DESCRIBE PROCEDURE ADD_ROW(INT)", 2003, "ADD_ROW(NUMBER)"),
        page="sql-reference/sql/desc-procedure",
    ),
    case(
        "a caller needs USAGE on the procedure and nothing on its tables",
        *_ROLE,
        f"CREATE PROCEDURE P() {_COUNT.format('')}",
        as_role("R_{n}", fails("CALL {db}.S.P()", 2140)),
        "GRANT USAGE ON PROCEDURE P() TO ROLE R_{n}",
        as_role("R_{n}", value("CALL {db}.S.P()", 2)),
        as_role("R_{n}", fails("SELECT * FROM {db}.S.T", 2003)),
        "REVOKE USAGE ON PROCEDURE P() FROM ROLE R_{n}",
        as_role("R_{n}", fails("CALL {db}.S.P()", 2140)),
        _END,
        page=_RIGHTS,
    ),
    case(
        "EXECUTE AS CALLER runs with the rights of the caller",
        *_ROLE,
        f"CREATE PROCEDURE P() {_COUNT.format('EXECUTE AS CALLER')}",
        "GRANT USAGE ON PROCEDURE P() TO ROLE R_{n}",
        as_role("R_{n}", fails("CALL {db}.S.P()", 2003, "STATEMENT_ERROR")),
        "GRANT SELECT ON TABLE T TO ROLE R_{n}",
        as_role("R_{n}", value("CALL {db}.S.P()", 2)),
        _END,
        page=_RIGHTS,
    ),
    case(
        "an owner's procedure stands in its own schema, a caller's where the caller stands",
        "CREATE SCHEMA ELSEWHERE",
        f"CREATE PROCEDURE {{db}}.S.P() {_COUNT.format('')}",
        f"CREATE PROCEDURE {{db}}.S.Q() {_COUNT.format('EXECUTE AS CALLER')}",
        "USE SCHEMA {db}.ELSEWHERE",
        value("CALL {db}.S.P()", 2),
        fails("CALL {db}.S.Q()", 2003),
        value("SELECT CURRENT_SCHEMA(), CURRENT_ROLE()", "ELSEWHERE", "ACCOUNTADMIN"),
        page=_RIGHTS,
    ),
    case(
        "an owner's procedure neither changes the session nor sees its variables",
        "SET X = 1",
        "CREATE PROCEDURE P(S VARCHAR) RETURNS INT AS $$ BEGIN EXECUTE IMMEDIATE S; RETURN 1; END $$",
        fails("CALL P('USE SCHEMA PUBLIC')", 90236, "Unsupported statement type 'USE'"),
        fails("CALL P('ALTER SESSION SET QUERY_TAG = ''x''')", 90236, "ALTER SESSION"),
        fails("CALL P('SELECT $X')", 2211),
        "ALTER PROCEDURE P(VARCHAR) EXECUTE AS CALLER",
        value("CALL P('SELECT $X')", 1),
        page=_RIGHTS,
    ),
    case(
        "a transaction begun in a procedure ends in it",
        "CREATE PROCEDURE P() RETURNS INT AS $$ BEGIN BEGIN TRANSACTION; INSERT INTO T VALUES (3, "
        "'c'); RETURN 1; END $$",
        fails("CALL P()", 90232, "Scoped transaction started in stored procedure is incomplete"),
        value("SELECT COUNT(*) FROM T", 2),
        "CREATE OR REPLACE PROCEDURE P() RETURNS INT AS $$ BEGIN BEGIN TRANSACTION; INSERT INTO T "
        "VALUES (3, 'c'); COMMIT; RETURN 1; END $$",
        value("CALL P()", 1),
        value("SELECT COUNT(*) FROM T", 3),
        page="sql-reference/transactions",
    ),
    case(
        "a procedure does not end the transaction of its caller",
        "CREATE PROCEDURE P() RETURNS INT AS $$ BEGIN INSERT INTO T VALUES (4, 'd'); COMMIT; RETURN 1; END $$",
        "BEGIN",
        "INSERT INTO T VALUES (3, 'c')",
        fails("CALL P()", 90234, "Modifying a transaction that has started at a different scope is not allowed."),
        "ROLLBACK",
        value("SELECT COUNT(*) FROM T", 2),
        page="sql-reference/transactions",
    ),
    case(
        "a transaction inside that of the caller is refused",
        "CREATE PROCEDURE P() RETURNS INT AS $$ BEGIN BEGIN TRANSACTION; COMMIT; RETURN 1; END $$",
        "BEGIN",
        refused("CALL P()", "a transaction inside a procedure that was called inside another transaction"),
        "ROLLBACK",
        page="sql-reference/transactions",
    ),
    case(
        "making a procedure needs CREATE PROCEDURE on its schema, dropping it ownership",
        *_ROLE,
        "CREATE PROCEDURE P() RETURNS INT AS BEGIN RETURN 1; END",
        as_role("R_{n}", fails("CREATE PROCEDURE {db}.S.Q() RETURNS INT AS BEGIN RETURN 1; END", 3001)),
        "GRANT CREATE PROCEDURE ON SCHEMA S TO ROLE R_{n}",
        as_role("R_{n}", "CREATE PROCEDURE {db}.S.Q() RETURNS INT AS BEGIN RETURN 1; END"),
        "GRANT USAGE ON PROCEDURE P() TO ROLE R_{n}",
        as_role("R_{n}", fails("DROP PROCEDURE {db}.S.P()", 3001)),
        as_role("R_{n}", "DROP PROCEDURE {db}.S.Q()"),
        _END,
        page="user-guide/security-access-control-privileges",
    ),
    case(
        "a procedure of a cloned schema is called there",
        "CREATE PROCEDURE {db}.S.P() RETURNS INT AS $$ DECLARE N INT; BEGIN SELECT COUNT(*) INTO "
        ":N FROM T; RETURN N; END $$",
        "CREATE SCHEMA {db}.S2 CLONE {db}.S",
        "DELETE FROM {db}.S2.T",
        value("CALL {db}.S2.P()", 0),
        value("CALL {db}.S.P()", 2),
        page="user-guide/object-clone",
    ),
    case(
        "a procedure whose block cannot be parsed is not made",
        fails("CREATE PROCEDURE P() RETURNS INT AS $$ BEGIN RETURN 1 $$", 1003),
        fails("CREATE PROCEDURE P() LANGUAGE SQL AS $$ BEGIN RETURN 1; END $$", 1003, "RETURNS"),
        gives("SHOW PROCEDURES LIKE 'P'"),
        page=_CREATE,
    ),
    *(
        case(
            f"a procedure in {language} is refused",
            refused(
                f"CREATE PROCEDURE P() RETURNS VARCHAR LANGUAGE {language} AS 'return 1'",
                f"CREATE PROCEDURE .. LANGUAGE {language}",
            ),
            page=_CREATE,
        )
        for language in ("JAVASCRIPT", "PYTHON", "JAVA", "SCALA")
    ),
    case(
        "an argument that is given back is refused",
        refused("CREATE PROCEDURE P(OUT A INT) RETURNS INT AS BEGIN RETURN 1; END", "OUT arguments of procedures"),
        page=_CREATE,
    ),
)
