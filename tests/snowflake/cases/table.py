"""Schemas, tables and views: creating, changing, renaming, dropping; temporary ones."""

from __future__ import annotations

from ..case import case, fails, gives, other, refused, value

_COLUMNS = (
    "SELECT COLUMN_NAME, DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = '{}' ORDER BY ORDINAL_POSITION"
)

CASES = (
    case("CREATE TABLE answers its status", gives("CREATE TABLE Q (A INT)", ("Table Q successfully created.",))),
    case("a table that exists is refused", fails("CREATE TABLE T (A INT)", 2002, "already exists")),
    case(
        "IF NOT EXISTS keeps what is there",
        gives("CREATE TABLE IF NOT EXISTS T (A INT)", ("T already exists, statement succeeded.",)),
        value("SELECT COUNT(*) FROM T", 2),
    ),
    case("OR REPLACE starts anew", "CREATE OR REPLACE TABLE T (A INT)", value("SELECT COUNT(*) FROM T", 0)),
    case(
        "a table AS SELECT takes names and types",
        "CREATE TABLE Q AS SELECT ID, V || '!' AS W, 1.50::NUMBER(10,2) AS M FROM T",
        gives(_COLUMNS.format("Q"), ("ID", "NUMBER"), ("W", "TEXT"), ("M", "NUMBER")),
    ),
    case(
        "a table AS SELECT needs names for its columns",
        fails("CREATE TABLE Q AS SELECT 1", 1003, "Missing column specification"),
    ),
    case(
        "a transient table is a table",
        "CREATE TRANSIENT TABLE Q (A INT)",
        gives("SELECT IS_TRANSIENT FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_NAME = 'Q'", ("YES",)),
    ),
    case(
        "CREATE TABLE LIKE copies the columns alone",
        "CREATE TABLE Q LIKE T",
        value("SELECT COUNT(*) FROM Q", 0),
        gives(_COLUMNS.format("Q"), ("ID", "NUMBER"), ("V", "TEXT")),
    ),
    case(
        "keys are accepted and not enforced",
        "CREATE TABLE Q (A INT PRIMARY KEY, B INT UNIQUE)",
        "INSERT INTO Q VALUES (1, 1), (1, 1)",
        value("SELECT COUNT(*) FROM Q", 2),
    ),
    case(
        "NOT NULL is enforced",
        "CREATE TABLE Q (A INT NOT NULL)",
        fails("INSERT INTO Q VALUES (NULL)", 100072, "NULL result in a non-nullable column"),
    ),
    case(
        "a default fills what is left out",
        "CREATE TABLE Q (A INT, B VARCHAR DEFAULT 'x')",
        "INSERT INTO Q (A) VALUES (1)",
        gives("SELECT * FROM Q", (1, "x")),
    ),
    case(
        "AUTOINCREMENT counts",
        "CREATE TABLE Q (A INT AUTOINCREMENT, B INT)",
        "INSERT INTO Q (B) VALUES (5), (6)",
        gives("SELECT A, B FROM Q ORDER BY B", (1, 5), (2, 6)),
    ),
    case(
        "a sequence gives the next number",
        "CREATE SEQUENCE SEQ",
        value("SELECT SEQ.NEXTVAL", 1),
        value("SELECT SEQ.NEXTVAL", 2),
    ),
    case(
        "a column may be added with a default",
        "ALTER TABLE T ADD COLUMN W INT DEFAULT 3",
        gives("SELECT ID, W FROM T ORDER BY ID", (1, 3), (2, 3)),
    ),
    case(
        "several columns may be added at once",
        "ALTER TABLE T ADD COLUMN W INT, X VARCHAR(5)",
        gives(_COLUMNS.format("T"), ("ID", "NUMBER"), ("V", "TEXT"), ("W", "NUMBER"), ("X", "TEXT")),
    ),
    case("a column may be dropped", "ALTER TABLE T DROP COLUMN V", gives("SELECT * FROM T ORDER BY 1", (1,), (2,))),
    case(
        "a column may be renamed",
        "ALTER TABLE T RENAME COLUMN V TO W",
        gives("SELECT W FROM T ORDER BY 1", ("a",), ("b",)),
    ),
    case(
        "a text column may be widened",
        "ALTER TABLE T ALTER COLUMN V SET DATA TYPE VARCHAR(100)",
        "INSERT INTO T VALUES (3, REPEAT('x', 50))",
        value(
            "SELECT CHARACTER_MAXIMUM_LENGTH FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'T' AND "
            "COLUMN_NAME = 'V'",
            100,
        ),
    ),
    case("a column that is not there cannot be dropped", fails("ALTER TABLE T DROP COLUMN NOPE", 904, "NOPE")),
    case("ALTER of a table there is not is refused", fails("ALTER TABLE NOPE ADD COLUMN A INT", 2003, "NOPE")),
    case("ALTER IF EXISTS of a table there is not does nothing", "ALTER TABLE IF EXISTS NOPE ADD COLUMN A INT"),
    case(
        "a table may be renamed",
        "ALTER TABLE T RENAME TO T2",
        value("SELECT COUNT(*) FROM T2", 2),
        fails("SELECT * FROM T", 2003, "T"),
    ),
    case(
        "a table may be renamed into another schema",
        "CREATE SCHEMA S2",
        "ALTER TABLE {db}.S.T RENAME TO {db}.S2.MOVED",
        value("SELECT COUNT(*) FROM S2.MOVED", 2),
        fails("SELECT * FROM {db}.S.T", 2003),
    ),
    case("a table may not be renamed onto another", "CREATE TABLE Q (A INT)", fails("ALTER TABLE T RENAME TO Q", 2002)),
    case(
        "a table others read may be renamed",
        "CREATE VIEW W AS SELECT * FROM T",
        "ALTER TABLE T RENAME TO T2",
        fails("SELECT * FROM W", 2003),
    ),
    case(
        "a view may be renamed",
        "CREATE VIEW W AS SELECT * FROM T",
        "ALTER VIEW W RENAME TO W2",
        value("SELECT COUNT(*) FROM W2", 2),
    ),
    case(
        "a schema may be renamed",
        "CREATE SCHEMA S2",
        "CREATE TABLE S2.Q AS SELECT 1 AS A",
        "ALTER SCHEMA S2 RENAME TO S3",
        value("SELECT A FROM S3.Q", 1),
        fails("SELECT * FROM S2.Q", 2003),
    ),
    case(
        "a database may be renamed",
        "CREATE DATABASE X_{n}",
        "CREATE TABLE Q AS SELECT 1 AS A",
        "ALTER DATABASE X_{n} RENAME TO Y_{n}",
        value("SELECT A FROM Y_{n}.PUBLIC.Q", 1),
        fails("SELECT * FROM X_{n}.PUBLIC.Q", 2003),
        "DROP DATABASE Y_{n}",
    ),
    case("DROP of a table there is not is refused", fails("DROP TABLE NOPE", 2003, "NOPE")),
    case(
        "DROP IF EXISTS of what is not there says so",
        gives("DROP TABLE IF EXISTS NOPE", ("Drop statement executed successfully (NOPE already dropped).",)),
    ),
    case("a dropped table is gone for every session", "DROP TABLE T", other(fails("SELECT * FROM T", 2003))),
    case("a view is not dropped as a table", "CREATE VIEW W AS SELECT 1 AS A", fails("DROP TABLE W", 1003, "VIEW")),
    case(
        "DROP SCHEMA takes what is in it along",
        "CREATE SCHEMA S2",
        "CREATE TABLE S2.Q (A INT)",
        "DROP SCHEMA S2",
        fails("SELECT * FROM S2.Q", 2003),
    ),
    case("a schema that exists is refused", "CREATE SCHEMA S2", fails("CREATE SCHEMA S2", 2002)),
    case("CREATE OR REPLACE SCHEMA empties it", "CREATE OR REPLACE SCHEMA S", fails("SELECT * FROM T", 2003)),
    case("UNDROP is refused", "DROP TABLE T", refused("UNDROP TABLE T")),
    case("TRUNCATE empties", "TRUNCATE TABLE T", value("SELECT COUNT(*) FROM T", 0)),
    case("TRUNCATE IF EXISTS of what is not there does nothing", "TRUNCATE TABLE IF EXISTS NOPE"),
    case(
        "comments are kept",
        "COMMENT ON TABLE T IS 'the table'",
        "COMMENT ON COLUMN T.V IS 'the column'",
        gives("SELECT COMMENT FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_NAME = 'T'", ("the table",)),
        gives(
            "SELECT COMMENT FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'T' AND COLUMN_NAME = 'V'",
            ("the column",),
        ),
    ),
    case(
        "comments as dbt writes them are kept",
        "COMMENT ON TABLE {db}.S.T IS $$it's one$$",
        'ALTER TABLE {db}.S.T ALTER "ID" COMMENT $$the key$$',
        gives("SELECT COMMENT FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_NAME = 'T'", ("it's one",)),
        gives(
            "SELECT COMMENT FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'T' AND COLUMN_NAME = 'ID'", ("the key",)
        ),
    ),
    case(
        "a temporary table is of its session only",
        "CREATE TEMPORARY TABLE Q AS SELECT 1 AS A",
        value("SELECT A FROM Q", 1),
        other(fails("SELECT * FROM Q", 2003)),
    ),
    case(
        "a temporary table may have a whole name",
        "CREATE OR REPLACE TEMPORARY TABLE {db}.S.Q AS SELECT 1 AS A",
        "INSERT INTO {db}.S.Q VALUES (2)",
        value("SELECT SUM(A) FROM {db}.S.Q", 3),
        "DROP TABLE {db}.S.Q",
        fails("SELECT * FROM {db}.S.Q", 2003),
    ),
    case(
        "a temporary table hides a permanent one until it is dropped",
        "CREATE TEMPORARY TABLE T AS SELECT 9 AS ID",
        value("SELECT ID FROM T", 9),
        other(value("SELECT COUNT(*) FROM T", 2)),
        "DROP TABLE T",
        value("SELECT COUNT(*) FROM T", 2),
    ),
    case(
        "a temporary table may be joined, updated and merged from",
        "CREATE TEMPORARY TABLE Q AS SELECT 2 AS ID, 'B' AS V",
        "UPDATE Q SET V = 'C'",
        "MERGE INTO T USING Q ON T.ID = Q.ID WHEN MATCHED THEN UPDATE SET V = Q.V",
        gives("SELECT T.V, Q.V FROM T JOIN Q ON T.ID = Q.ID", ("C", "C")),
    ),
    case(
        "a view shows what its table holds now",
        "CREATE VIEW W AS SELECT COUNT(*) AS N FROM T",
        "INSERT INTO T VALUES (3, 'c')",
        value("SELECT N FROM W", 3),
    ),
    case(
        "a view may be replaced",
        "CREATE VIEW W AS SELECT 1 AS A",
        "CREATE OR REPLACE VIEW W AS SELECT 2 AS A, 3 AS B",
        gives("SELECT * FROM W", (2, 3)),
    ),
    case(
        "a view may name its columns and their comments",
        "CREATE VIEW W (X COMMENT 'the x', Y) COMMENT = 'w' AS SELECT 1, 2",
        gives("SELECT X, Y FROM W", (1, 2)),
        gives(
            "SELECT COMMENT FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'W' AND COLUMN_NAME = 'X'", ("the x",)
        ),
    ),
    case(
        "a view's short names belong to the view's schema",
        "CREATE VIEW {db}.S.W AS SELECT * FROM T",
        "CREATE SCHEMA S2",
        value("SELECT COUNT(*) FROM {db}.S.W", 2),
    ),
    case("a view over what is not there is refused", fails("CREATE VIEW W AS SELECT * FROM NOPE", 2003, "NOPE")),
    case(
        "a view whose table lost a column fails when read",
        "CREATE VIEW W AS SELECT V FROM T",
        "ALTER TABLE T DROP COLUMN V",
        fails("SELECT * FROM W", 904),
    ),
    case(
        "a view whose table was dropped fails when read",
        "CREATE VIEW W AS SELECT V FROM T",
        "DROP TABLE T",
        fails("SELECT * FROM W", 2003),
    ),
    case(
        "a view whose table was replaced reads the new one",
        "CREATE VIEW W AS SELECT ID FROM T",
        "CREATE OR REPLACE TABLE T AS SELECT 9 AS ID",
        value("SELECT ID FROM W", 9),
    ),
    case(
        "a view of another database is read through",
        "CREATE DATABASE X_{n}",
        "CREATE VIEW X_{n}.PUBLIC.W AS SELECT * FROM {db}.S.T",
        value("SELECT COUNT(*) FROM X_{n}.PUBLIC.W", 2),
        "DROP DATABASE X_{n}",
    ),
    case(
        "a secure view is one",
        "CREATE SECURE VIEW W AS SELECT * FROM T",
        gives("SELECT IS_SECURE FROM INFORMATION_SCHEMA.VIEWS WHERE TABLE_NAME = 'W'", ("YES",)),
    ),
    case(
        "a view with a CTE, a union and a subquery is kept",
        "CREATE VIEW W AS WITH A AS (SELECT * FROM T) SELECT ID FROM A UNION ALL SELECT MAX(ID) + 1 FROM "
        "(SELECT * FROM A)",
        gives("SELECT * FROM W ORDER BY 1", (1,), (2,), (3,)),
    ),
)
