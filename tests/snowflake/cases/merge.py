"""MERGE: what it changes, and the rows Snowflake refuses to choose between."""

from __future__ import annotations

from ..case import case, changes, fails, gives, other, value

_ALL = (
    "MERGE INTO T USING SRC ON T.ID = SRC.ID WHEN MATCHED THEN UPDATE SET V = SRC.V "
    "WHEN NOT MATCHED THEN INSERT (ID, V) VALUES (SRC.ID, SRC.V)"
)
_SRC = "CREATE TABLE SRC AS SELECT * FROM VALUES (2, 'B'), (3, 'C') AS S(ID, V)"

CASES = (
    case(
        "MERGE updates and inserts and counts both",
        _SRC,
        changes(_ALL, 2, (1, 1)),
        gives("SELECT * FROM T ORDER BY ID", (1, "a"), (2, "B"), (3, "C")),
        page="sql-reference/sql/merge",
    ),
    case(
        "MERGE may delete",
        _SRC,
        changes("MERGE INTO T USING SRC ON T.ID = SRC.ID WHEN MATCHED THEN DELETE", 1, (1,)),
        gives("SELECT ID FROM T", (1,)),
        page="sql-reference/sql/merge",
    ),
    case(
        "MERGE takes the first clause whose condition holds",
        _SRC,
        "MERGE INTO T USING SRC ON T.ID = SRC.ID WHEN MATCHED AND SRC.V = 'B' THEN UPDATE SET T.V = "
        "'first' WHEN MATCHED THEN DELETE "
        "WHEN NOT MATCHED AND SRC.ID > 5 THEN INSERT VALUES (SRC.ID, SRC.V)",
        gives("SELECT * FROM T ORDER BY ID", (1, "a"), (2, "first")),
        page="sql-reference/sql/merge",
    ),
    case(
        "MERGE from a query works",
        changes(
            "MERGE INTO T AS D USING (SELECT 2 AS ID, 'Q' AS V) AS S ON D.ID = S.ID WHEN MATCHED THEN "
            "UPDATE SET D.V = S.V WHEN NOT MATCHED THEN INSERT (ID, V) VALUES (S.ID, S.V)",
            1,
        ),
        gives("SELECT V FROM T WHERE ID = 2", ("Q",)),
        page="sql-reference/sql/merge",
    ),
    case(
        "MERGE as dbt writes it works",
        "CREATE TEMPORARY TABLE {db}.S.T__DBT_TMP AS SELECT 2 AS ID, 'Q' AS V",
        "MERGE INTO {db}.S.T AS DBT_INTERNAL_DEST USING {db}.S.T__DBT_TMP AS DBT_INTERNAL_SOURCE ON "
        "((DBT_INTERNAL_SOURCE.ID = DBT_INTERNAL_DEST.ID)) "
        'WHEN MATCHED THEN UPDATE SET "ID" = DBT_INTERNAL_SOURCE."ID", "V" = DBT_INTERNAL_SOURCE."V" '
        'WHEN NOT MATCHED THEN INSERT ("ID", "V") VALUES ("ID", "V")',
        gives("SELECT V FROM T WHERE ID = 2", ("Q",)),
        page="sql-reference/sql/merge",
    ),
    case(
        "a row matched twice for an update is refused",
        "CREATE TABLE SRC AS SELECT * FROM VALUES (2, 'B'), (2, 'C') AS S(ID, V)",
        fails(_ALL, 100090, "Duplicate row detected during DML action"),
        gives("SELECT V FROM T ORDER BY ID", ("a",), ("b",)),
        page="sql-reference/sql/merge",
    ),
    case(
        "rows that match nothing may repeat",
        "CREATE TABLE SRC AS SELECT * FROM VALUES (5, 'B'), (5, 'C') AS S(ID, V)",
        changes(_ALL, 2),
        page="sql-reference/sql/merge",
    ),
    case(
        "a refused MERGE keeps the transaction",
        "CREATE TABLE SRC AS SELECT * FROM VALUES (2, 'B'), (2, 'C') AS S(ID, V)",
        "BEGIN",
        "INSERT INTO T VALUES (9, 'kept')",
        fails(_ALL, 100090),
        "COMMIT",
        other(value("SELECT COUNT(*) FROM T", 3)),
        page="sql-reference/sql/merge",
    ),
    case(
        "MERGE that matches nothing changes nothing",
        "CREATE TABLE SRC AS SELECT ID, V FROM T WHERE FALSE",
        changes(_ALL, 0, (0, 0)),
        page="sql-reference/sql/merge",
    ),
    case(
        "MERGE without a clause is refused",
        _SRC,
        fails("MERGE INTO T USING SRC ON T.ID = SRC.ID", 1003),
        page="sql-reference/sql/merge",
    ),
    case(
        "MERGE into a table there is not is refused",
        fails("MERGE INTO NOPE USING T ON NOPE.ID = T.ID WHEN MATCHED THEN DELETE", 2003, "NOPE"),
        page="sql-reference/sql/merge",
    ),
)
