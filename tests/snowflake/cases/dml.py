"""INSERT, UPDATE and DELETE: what they change, and what they say they changed."""

from __future__ import annotations

from ..case import case, changes, fails, gives, refused, shows, value

CASES = (
    case(
        "INSERT says how many",
        changes("INSERT INTO T VALUES (3, 'c'), (4, 'd')", 2, (2,)),
        value("SELECT COUNT(*) FROM T", 4),
        page="sql-reference/sql/insert",
    ),
    case(
        "INSERT of a query says how many",
        changes("INSERT INTO T SELECT ID + 10, V FROM T", 2),
        page="sql-reference/sql/insert",
    ),
    case(
        "INSERT names its answer as Snowflake does",
        shows("INSERT INTO T VALUES (3, 'c')", "number of rows inserted"),
        page="sql-reference/sql/insert",
    ),
    case(
        "INSERT with other columns leaves the rest NULL",
        "INSERT INTO T (ID) VALUES (3)",
        gives("SELECT V FROM T WHERE ID = 3", (None,)),
        page="sql-reference/sql/insert",
    ),
    case(
        "INSERT with too many values is refused",
        fails("INSERT INTO T VALUES (1, 'a', 2)", 2020, "expecting 2 but got 3"),
        page="sql-reference/sql/insert",
    ),
    case(
        "INSERT into a column there is not is refused",
        fails("INSERT INTO T (NOPE) VALUES (1)", 904, "NOPE"),
        page="sql-reference/sql/insert",
    ),
    case(
        "INSERT OVERWRITE replaces all rows",
        changes("INSERT OVERWRITE INTO T SELECT 7, 'x'", 1),
        gives("SELECT * FROM T", (7, "x")),
        page="sql-reference/sql/insert",
    ),
    case(
        "INSERT of a CTE works",
        "INSERT INTO T WITH N AS (SELECT 3 AS ID) SELECT ID, 'c' FROM N",
        value("SELECT COUNT(*) FROM T", 3),
        page="sql-reference/sql/insert",
    ),
    case(
        "INSERT ALL is refused",
        refused("INSERT ALL INTO T INTO T SELECT 4, 'm'", "INSERT ALL INTO T INTO T SELECT 4, 'm'"),
        page="sql-reference/sql/insert-multi-table",
    ),
    case(
        "UPDATE says how many",
        changes("UPDATE T SET V = 'z'", 2, (2, 0)),
        gives("SELECT DISTINCT V FROM T", ("z",)),
        page="sql-reference/sql/update",
    ),
    case(
        "UPDATE names its answer as Snowflake does",
        shows("UPDATE T SET V = 'z' WHERE ID = 1", "number of rows updated", "number of multi-joined rows updated"),
        page="sql-reference/sql/update",
    ),
    case(
        "UPDATE of nothing says zero",
        changes("UPDATE T SET V = 'z' WHERE ID = 99", 0, (0, 0)),
        page="sql-reference/sql/update",
    ),
    case(
        "UPDATE FROM takes values of another table",
        "CREATE TABLE U AS SELECT 1 AS ID, 'n' AS V",
        changes("UPDATE T SET V = U.V FROM U WHERE T.ID = U.ID", 1),
        gives("SELECT V FROM T ORDER BY ID", ("n",), ("b",)),
        page="sql-reference/sql/update",
    ),
    case(
        "DELETE says how many",
        changes("DELETE FROM T WHERE ID = 1", 1, (1,)),
        value("SELECT COUNT(*) FROM T", 1),
        page="sql-reference/sql/delete",
    ),
    case(
        "DELETE USING takes rows of another table",
        "CREATE TABLE U AS SELECT 2 AS ID",
        changes("DELETE FROM T USING U WHERE T.ID = U.ID", 1),
        gives("SELECT ID FROM T", (1,)),
        page="sql-reference/sql/delete",
    ),
    case(
        "DELETE with a subquery works",
        changes("DELETE FROM T WHERE ID IN (SELECT MAX(ID) FROM T)", 1),
        gives("SELECT ID FROM T", (1,)),
        page="sql-reference/sql/delete",
    ),
    case(
        "delete and insert in one transaction is what dbt does",
        "BEGIN",
        "DELETE FROM T WHERE ID IN (2)",
        "INSERT INTO T (ID, V) (SELECT 2, 'new')",
        "COMMIT",
        gives("SELECT V FROM T ORDER BY ID", ("a",), ("new",)),
        page="sql-reference/transactions",
    ),
    case(
        "QUALIFY keeps the newest of each",
        "INSERT INTO T VALUES (1, 'z')",
        gives(
            "SELECT ID, V FROM T QUALIFY ROW_NUMBER() OVER (PARTITION BY ID ORDER BY V DESC) = 1 ORDER BY ID",
            (1, "z"),
            (2, "b"),
        ),
        page="sql-reference/constructs/qualify",
    ),
    case(
        "MINUS and INTERSECT",
        gives("SELECT ID FROM T MINUS SELECT 1", (2,)),
        gives("SELECT ID FROM T INTERSECT SELECT 1", (1,)),
        page="sql-reference/operators-query",
    ),
    case(
        "a lateral alias may be used beside it",
        value("SELECT 1 AS A, A + 1 AS B", 1, 2),
        page="sql-reference/sql/select",
    ),
    case(
        "GROUP BY ALL and EXCLUDE",
        gives("SELECT V, COUNT(*) FROM T GROUP BY ALL ORDER BY ALL", ("a", 1), ("b", 1)),
        gives("SELECT * EXCLUDE (V) FROM T ORDER BY 1", (1,), (2,)),
        page="sql-reference/constructs/group-by",
    ),
    case(
        "VALUES names its columns",
        gives("SELECT COLUMN1, COLUMN2 FROM VALUES (1, 'x'), (2, 'y') ORDER BY 1", (1, "x"), (2, "y")),
        page="sql-reference/constructs/values",
    ),
    case(
        "a recursive query counts",
        value("WITH RECURSIVE R AS (SELECT 1 AS N UNION ALL SELECT N + 1 FROM R WHERE N < 5) SELECT SUM(N) FROM R", 15),
        page="sql-reference/constructs/with",
    ),
    case(
        "NULLs sort last going up and first going down",
        gives("SELECT A FROM VALUES (2), (NULL), (1) AS X(A) ORDER BY A", (1,), (2,), (None,)),
        gives("SELECT A FROM VALUES (2), (NULL), (1) AS X(A) ORDER BY A DESC", (None,), (2,), (1,)),
        page="sql-reference/constructs/order-by",
    ),
    case(
        "PIVOT over known values",
        gives("SELECT * FROM (SELECT ID, V FROM T) PIVOT (SUM(ID) FOR V IN ('a', 'b'))", (1, 2)),
        page="sql-reference/constructs/pivot",
    ),
)
