"""Snowflake Scripting: blocks, variables, branches, loops, cursors, exceptions, dynamic SQL."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from ..case import case, fails, gives, other, refused, value

_GUIDE = "developer-guide/snowflake-scripting/"
_REFERENCE = "sql-reference/snowflake-scripting/"

CASES = (
    case(
        "a block runs its statements in order and gives NULL",
        gives("EXECUTE IMMEDIATE $$ BEGIN INSERT INTO T VALUES (3, 'c'); DELETE FROM T WHERE ID = 1; END $$", (None,)),
        gives("SELECT ID FROM T ORDER BY 1", (2,), (3,)),
        page=f"{_REFERENCE}begin",
    ),
    case(
        "a block may be sent without EXECUTE IMMEDIATE",
        value("BEGIN LET X := 1; RETURN X; END", 1),
        value("DECLARE X INT; BEGIN X := 2; RETURN X; END;", 2),
        page=f"{_GUIDE}blocks",
    ),
    case(
        "declared variables have types, defaults and NULL",
        value(
            "EXECUTE IMMEDIATE $$\nDECLARE\n  A NUMBER(10,2) DEFAULT 1.239;\n  B VARCHAR := 'b';\n  C DATE;\n"
            "BEGIN\n  RETURN A || B || COALESCE(C::VARCHAR, 'none');\nEND;\n$$",
            "1.24bnone",
        ),
        page=f"{_REFERENCE}declare",
    ),
    case(
        "what is assigned is cast to the type of its variable",
        value("DECLARE D DATE; BEGIN D := '2024-02-28'; D := D + 1; RETURN D; END", date(2024, 2, 29)),
        value("DECLARE N NUMBER(4,1); BEGIN N := 2.25; RETURN N; END", Decimal("2.3")),
        fails("DECLARE N INT; BEGIN N := 'x'; END", 100038, "EXPRESSION_ERROR"),
        page=f"{_GUIDE}variables",
    ),
    case(
        "LET declares in the middle of a block",
        value("BEGIN LET A INT := 4; LET B := A * 2; LET C VARCHAR DEFAULT 'x'; RETURN C || B; END", "x8"),
        page=f"{_REFERENCE}let",
    ),
    case(
        "a variable in SQL has a colon, in an expression none",
        value(
            "BEGIN LET ID := 2; LET N := (SELECT COUNT(*) FROM T WHERE ID >= :ID); RETURN N * ID; END",
            2,
        ),
        page=f"{_GUIDE}variables",
    ),
    case(
        "a column is not taken for the variable of its name",
        value("BEGIN LET ID := 99; SELECT MAX(ID) INTO :ID FROM T; RETURN ID; END", 2),
        page=f"{_GUIDE}variables",
    ),
    case(
        "a quote in a value does no harm",
        "BEGIN LET X := 'it''s \\\\ \"x\"'; INSERT INTO T VALUES (3, :X); END",
        value("SELECT V FROM T WHERE ID = 3", 'it\'s \\ "x"'),
        page=f"{_GUIDE}variables",
    ),
    case(
        "an inner block hides the variables of the outer and lets them be",
        value("BEGIN LET X := 1; LET Y := 1; BEGIN LET X := 5; Y := X + 1; END; RETURN X || '-' || Y; END", "1-6"),
        page=f"{_GUIDE}blocks",
    ),
    case(
        "a name there is not is an exception",
        fails("BEGIN RETURN NOPE; END", 904, "invalid identifier 'NOPE'"),
        fails("BEGIN NOPE := 1; END", 904, "invalid identifier 'NOPE'"),
        fails("BEGIN SELECT :NOPE; END", 904, "invalid identifier 'NOPE'"),
        page=f"{_GUIDE}variables",
    ),
    case(
        "SELECT INTO fills variables",
        value("DECLARE A INT; B VARCHAR; BEGIN SELECT ID, V INTO :A, :B FROM T WHERE ID = 2; RETURN A || B; END", "2b"),
        value("DECLARE A INT := 7; BEGIN SELECT ID INTO :A FROM T WHERE FALSE; RETURN A IS NULL; END", True),
        fails(
            "DECLARE A INT; BEGIN SELECT ID INTO :A FROM T; END",
            100335,
            "A SELECT INTO statement expects exactly 1 returned row, but got 2.",
        ),
        page=f"{_GUIDE}variables",
    ),
    case(
        "IF, ELSEIF and ELSE",
        *(
            value(
                f"BEGIN LET X := {x}; IF (X = 1) THEN RETURN 'one'; ELSEIF (X = 2) THEN RETURN 'two'; "
                "ELSE RETURN 'many'; END IF; END",
                said,
            )
            for x, said in ((1, "one"), (2, "two"), (3, "many"), ("NULL::INT", "many"))
        ),
        page=f"{_REFERENCE}if",
    ),
    case(
        "an expression may hold CASE and a comparison in brackets",
        value(
            "BEGIN LET X := CASE WHEN 1 = 1 THEN 'y' ELSE 'n' END; IF ((X = 'y') AND (1 < 2)) THEN "
            "RETURN X; END IF; END",
            "y",
        ),
        page=f"{_GUIDE}branch",
    ),
    case(
        "CASE with a value and CASE with conditions",
        value(
            "BEGIN CASE (1 + 1) WHEN 1 THEN RETURN 'one'; WHEN 2 THEN RETURN 'two'; ELSE RETURN '?'; END; END", "two"
        ),
        value(
            "BEGIN LET X := 9; CASE WHEN X < 5 THEN RETURN 'low'; WHEN X > 5 THEN RETURN 'high'; END CASE; END", "high"
        ),
        page=f"{_REFERENCE}case",
    ),
    case(
        "FOR counts, both ends included, and backwards",
        value("BEGIN LET S := ''; FOR I IN 1 TO 3 DO S := S || I; END FOR; RETURN S; END", "123"),
        value("BEGIN LET S := ''; FOR I IN REVERSE 1 TO 3 DO S := S || I; END FOR; RETURN S; END", "321"),
        value("BEGIN LET N := 0; FOR I IN 3 TO 1 DO N := N + 1; END FOR; RETURN N; END", 0),
        page=f"{_REFERENCE}for",
    ),
    case(
        "FOR goes over a cursor and over a result set",
        value(
            "DECLARE C CURSOR FOR SELECT ID, V FROM T ORDER BY ID; S VARCHAR := ''; "
            "BEGIN FOR R IN C DO S := S || R.ID || R.V; END FOR; RETURN S; END",
            "1a2b",
        ),
        value(
            "BEGIN LET RS RESULTSET := (SELECT ID FROM T ORDER BY ID DESC); LET S := ''; "
            "FOR R IN RS DO LET X := R.ID; S := S || X; END FOR; RETURN S; END",
            "21",
        ),
        page=f"{_GUIDE}loops",
    ),
    case(
        "WHILE, REPEAT and LOOP",
        value("BEGIN LET N := 0; WHILE (N < 3) DO N := N + 1; END WHILE; RETURN N; END", 3),
        value("BEGIN LET N := 5; REPEAT N := N + 1; UNTIL (N > 0) END REPEAT; RETURN N; END", 6),
        value("BEGIN LET N := 0; LOOP N := N + 1; IF (N = 4) THEN BREAK; END IF; END LOOP; RETURN N; END", 4),
        page=f"{_GUIDE}loops",
    ),
    case(
        "CONTINUE goes on with the next turn, BREAK of a label leaves the outer loop",
        value(
            "BEGIN LET S := 0; FOR I IN 1 TO 5 DO IF (MOD(I, 2) = 0) THEN CONTINUE; END IF; S := S + "
            "I; END FOR; RETURN S; END",
            9,
        ),
        value(
            "BEGIN LET N := 0; LOOP LOOP N := N + 1; IF (N = 3) THEN BREAK OUTER_ONE; END IF; END LOOP INNER_ONE; "
            "END LOOP OUTER_ONE; RETURN N; END",
            3,
        ),
        page=f"{_REFERENCE}break",
    ),
    case(
        "a loop that does not end is ended by the timeout",
        "ALTER SESSION SET STATEMENT_TIMEOUT_IN_SECONDS = 1",
        fails("BEGIN LOOP NULL; END LOOP; END", 630, "timeout of 1 second(s)"),
        fails(
            "BEGIN LET N := (SELECT COUNT(*) FROM TABLE(GENERATOR(ROWCOUNT => 3000000)) A, "
            "TABLE(GENERATOR(ROWCOUNT => 30000)) B); EXCEPTION WHEN OTHER THEN RETURN 'caught'; END",
            630,
        ),
        page="sql-reference/parameters",
    ),
    case(
        "a cursor is opened with values, fetched and closed",
        value(
            "DECLARE C CURSOR FOR SELECT ID FROM T WHERE ID >= ? ORDER BY ID; A INT; B INT; "
            "BEGIN OPEN C USING (2); FETCH C INTO A; FETCH C INTO B; CLOSE C; RETURN A || "
            "COALESCE(B::VARCHAR, '-'); END",
            "2-",
        ),
        fails("DECLARE C CURSOR FOR SELECT 1; A INT; BEGIN FETCH C INTO A; END", 1003, "is not open"),
        page=f"{_GUIDE}cursors",
    ),
    case(
        "RETURN TABLE gives the rows of a result set",
        gives("BEGIN LET RS RESULTSET := (SELECT ID, V FROM T ORDER BY ID); RETURN TABLE(RS); END", (1, "a"), (2, "b")),
        page=f"{_GUIDE}resultsets",
    ),
    case(
        "a result set may be of dynamic SQL",
        gives(
            "BEGIN LET Q := 'SELECT V FROM T WHERE ID = ?'; LET P := 2; "
            "LET RS RESULTSET := (EXECUTE IMMEDIATE :Q USING (P)); RETURN TABLE(RS); END",
            ("b",),
        ),
        page=f"{_GUIDE}resultsets",
    ),
    case(
        "RETURN ends the block, from inside a loop too",
        value("BEGIN FOR I IN 1 TO 9 DO IF (I = 2) THEN RETURN I; END IF; END FOR; RETURN 0; END", 2),
        page=f"{_REFERENCE}return",
    ),
    case(
        "a failed statement is a STATEMENT_ERROR, with its number, state and text",
        value(
            "BEGIN INSERT INTO NOPE VALUES (1); EXCEPTION WHEN STATEMENT_ERROR THEN "
            "RETURN SQLCODE || ' ' || SQLSTATE || ' ' || CONTAINS(SQLERRM, 'does not exist or not authorized'); END",
            "2003 42S02 true",
        ),
        page=f"{_GUIDE}exceptions",
    ),
    case(
        "a failed expression is an EXPRESSION_ERROR",
        value("BEGIN LET X INT := 'abc'; EXCEPTION WHEN EXPRESSION_ERROR THEN RETURN SQLCODE; END", 100038),
        value(
            "BEGIN LET X INT := 'abc'; EXCEPTION WHEN STATEMENT_ERROR OR EXPRESSION_ERROR THEN RETURN 'either'; END",
            "either",
        ),
        page=f"{_GUIDE}exceptions",
    ),
    case(
        "an exception of one's own is raised and caught",
        value(
            "DECLARE E EXCEPTION (-20002, 'mine'); BEGIN RAISE E; EXCEPTION WHEN E THEN RETURN SQLCODE || SQLERRM; END",
            "-20002mine",
        ),
        value("DECLARE E EXCEPTION; BEGIN RAISE E; EXCEPTION WHEN OTHER THEN RETURN 'other'; END", "other"),
        page=f"{_REFERENCE}raise",
    ),
    case(
        "an exception of one's own has a number from -20999 to -20000",
        *(
            value(f"DECLARE E EXCEPTION ({n}, 'x'); BEGIN RAISE E; EXCEPTION WHEN E THEN RETURN SQLCODE; END", n)
            for n in (-20000, -20999)
        ),
        *(
            fails(f"DECLARE E EXCEPTION ({n}, 'x'); BEGIN RETURN 1; END", 1003, str(n))
            for n in (-10000, -19999, -21000, 20000)
        ),
        page=f"{_GUIDE}exceptions",
    ),
    case(
        "an exception nobody catches fails with its number and place",
        fails(
            "EXECUTE IMMEDIATE $$\nDECLARE\n  MY_EXCEPTION EXCEPTION (-20002, 'Raised MY_EXCEPTION.');\nBEGIN\n"
            "  LET COUNTER := 0;\n  LET SHOULD_RAISE := TRUE;\n  IF (SHOULD_RAISE) THEN\n    RAISE MY_EXCEPTION;\n"
            "  END IF;\nEND;\n$$",
            -20002,
            "Uncaught exception of type 'MY_EXCEPTION' on line 8 at position 4 : Raised MY_EXCEPTION.",
        ),
        fails(
            "BEGIN SELECT 1 / 0; END", 100051, "Uncaught exception of type 'STATEMENT_ERROR' on line 1 at position 6"
        ),
        page=f"{_GUIDE}exceptions",
    ),
    case(
        "RAISE in a handler raises again, and an outer block may catch it",
        value(
            "BEGIN BEGIN SELECT 1 / 0; EXCEPTION WHEN OTHER THEN RAISE; END; "
            "EXCEPTION WHEN STATEMENT_ERROR THEN RETURN 'outer ' || SQLCODE; END",
            "outer 100051",
        ),
        page=f"{_REFERENCE}raise",
    ),
    case(
        "what came before an exception stays done",
        value(
            "BEGIN INSERT INTO T VALUES (3, 'c'); SELECT 1 / 0; EXCEPTION WHEN OTHER THEN RETURN 'caught'; END",
            "caught",
        ),
        value("SELECT COUNT(*) FROM T", 3),
        page=f"{_GUIDE}exceptions",
    ),
    case(
        "no handler hides what the embedded Snowflake cannot do",
        refused(
            "BEGIN CREATE PIPE K AS COPY INTO T FROM @X; EXCEPTION WHEN OTHER THEN RETURN 'hidden'; END", "CREATE PIPE"
        ),
        page="sql-reference/sql/create-pipe",
    ),
    case(
        "no handler hides a function the embedded Snowflake does not know, however deep it is called",
        fails("BEGIN SELECT NO_SUCH_FUNCTION(1); EXCEPTION WHEN OTHER THEN RETURN 'hidden'; END", 2140, "NO_SUCH"),
        fails(
            "BEGIN RETURN NO_SUCH_FUNCTION(1); EXCEPTION WHEN EXPRESSION_ERROR THEN RETURN 'hidden'; END",
            2140,
            "NO_SUCH",
        ),
        "CREATE PROCEDURE P() RETURNS INT AS BEGIN RETURN NO_SUCH_FUNCTION(1); END",
        fails("BEGIN CALL P(); EXCEPTION WHEN OTHER THEN RETURN 'hidden'; END", 2140, "NO_SUCH"),
        page=f"{_GUIDE}exceptions",
    ),
    case(
        "a procedure that is not there is an exception",
        value("BEGIN CALL NO_SUCH_PROCEDURE(); EXCEPTION WHEN OTHER THEN RETURN SQLCODE; END", 2140),
        page=f"{_GUIDE}exceptions",
    ),
    case(
        "SQLROWCOUNT, SQLFOUND and SQLNOTFOUND tell of the last change",
        value(
            "BEGIN UPDATE T SET V = 'q'; RETURN SQLROWCOUNT || ' ' || SQLFOUND || ' ' || SQLNOTFOUND; END",
            "2 true false",
        ),
        value("BEGIN DELETE FROM T WHERE ID = 9; RETURN SQLROWCOUNT || ' ' || SQLFOUND; END", "0 false"),
        value("BEGIN RETURN SQLROWCOUNT IS NULL; END", True),
        page=f"{_GUIDE}dml-status",
    ),
    case(
        "EXECUTE IMMEDIATE runs one statement and answers as it would",
        gives("EXECUTE IMMEDIATE 'SELECT ID FROM T ORDER BY 1'", (1,), (2,)),
        fails("EXECUTE IMMEDIATE 'SELECT 1; SELECT 2'", 1003, "one statement"),
        fails("EXECUTE IMMEDIATE ''", 1003),
        page="sql-reference/sql/execute-immediate",
    ),
    case(
        "EXECUTE IMMEDIATE takes a variable and values for its question marks",
        "SET Q = 'SELECT V FROM T WHERE ID = 2'",
        gives("EXECUTE IMMEDIATE $Q", ("b",)),
        "BEGIN LET S := 'INSERT INTO T VALUES (?, ?)'; LET A := 3; LET B := 'it''s'; EXECUTE "
        "IMMEDIATE S USING (A, B); END",
        value("SELECT V FROM T WHERE ID = 3", "it's"),
        fails("BEGIN LET A := 1; EXECUTE IMMEDIATE 'SELECT ?, ?' USING (A); END", 1003, "2 bind variables expected"),
        page="sql-reference/sql/execute-immediate",
    ),
    case(
        "a block builds its SQL and names its tables with IDENTIFIER",
        value("BEGIN LET N := 'T'; LET C INT; SELECT COUNT(*) INTO :C FROM IDENTIFIER(:N); RETURN C; END", 2),
        "BEGIN FOR I IN 1 TO 2 DO EXECUTE IMMEDIATE 'CREATE TABLE Q' || I || ' (A INT)'; END FOR; END",
        "DROP TABLE Q1",
        "DROP TABLE Q2",
        page="sql-reference/identifier-literal",
    ),
    case(
        "a value of a VARIANT is reached by its path",
        value('BEGIN LET V := PARSE_JSON(\'{"a": {"b": 3}}\'); RETURN V:a.b::INT + 1; END', 4),
        page=f"{_GUIDE}variables",
    ),
    case(
        "DDL in a block commits, and what follows it is its own",
        "BEGIN TRANSACTION",
        "INSERT INTO T VALUES (3, 'c')",
        "BEGIN CREATE TABLE Q (A INT); INSERT INTO Q VALUES (1); END",
        "ROLLBACK",
        value("SELECT (SELECT COUNT(*) FROM T) || ' ' || (SELECT COUNT(*) FROM Q)", "3 1"),
        page="sql-reference/transactions",
    ),
    case(
        "a block may begin, commit and roll back",
        "BEGIN BEGIN TRANSACTION; INSERT INTO T VALUES (3, 'c'); COMMIT; BEGIN TRANSACTION; "
        "DELETE FROM T; ROLLBACK; END",
        other(value("SELECT COUNT(*) FROM T", 3)),
        page="sql-reference/transactions",
    ),
    case(
        "a handler takes back what a transaction began",
        value(
            "BEGIN BEGIN TRANSACTION; INSERT INTO T VALUES (3, 'c'); SELECT 1 / 0; COMMIT; "
            "EXCEPTION WHEN OTHER THEN ROLLBACK; RETURN SQLCODE; END",
            100051,
        ),
        value("SELECT COUNT(*) FROM T", 2),
        page="sql-reference/transactions",
    ),
    case(
        "a block that cannot be parsed does nothing at all",
        fails("BEGIN INSERT INTO T VALUES (3, 'c'); IF (TRUE) RETURN 1; END IF; END", 1003),
        fails("BEGIN INSERT INTO T VALUES (3, 'c'); RETURN 1;", 1003),
        value("SELECT COUNT(*) FROM T", 2),
        page=f"{_GUIDE}blocks",
    ),
    case(
        "asynchronous statements are refused",
        refused("BEGIN ASYNC (INSERT INTO T VALUES (3, 'c')); AWAIT ALL; END", "ASYNC in Snowflake Scripting"),
        value("SELECT COUNT(*) FROM T", 2),
        page=f"{_GUIDE}asynchronous-child-jobs",
    ),
    case(
        "handlers that go on are refused",
        refused(
            "BEGIN SELECT 1 / 0; EXCEPTION WHEN OTHER CONTINUE THEN NULL; END",
            "CONTINUE handlers of Snowflake Scripting",
        ),
        page=f"{_GUIDE}exceptions",
    ),
    case(
        "scripts on a stage are refused",
        refused("EXECUTE IMMEDIATE FROM @X/script.sql", "EXECUTE IMMEDIATE FROM a staged file"),
        page="sql-reference/sql/execute-immediate-from",
    ),
    case(
        "a session variable holds the value of its expression, not its text",
        "SET X = 1 + 2",
        value("SELECT $X * 2, 'cost $X', $x", 6, "cost $X", 3),
        "SET (A, B) = (1, 'two''s')",
        value("SELECT $A, $B", 1, "two's"),
        "SET (A, B) = (SELECT MIN(ID), MAX(V) FROM T)",
        value("SELECT $A, $B", 1, "b"),
        "UNSET (A, B)",
        fails("SELECT $A", 2211, "Session variable '$A' does not exist"),
        page="sql-reference/session-variables",
    ),
    case(
        "one session variable is not taken for the start of another",
        "SET L = 6",
        "SET LONGER = 5",
        value("SELECT $LONGER, $L", 5, 6),
        page="sql-reference/session-variables",
    ),
)
