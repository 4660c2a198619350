"""Clones of tables, schemas and databases."""

from __future__ import annotations

from ..case import case, fails, gives, lists, other, refused, value

CASES = (
    case(
        "a cloned table has the rows and goes its own way",
        "CREATE TABLE C CLONE T",
        "DELETE FROM C WHERE ID = 1",
        value("SELECT COUNT(*) FROM C", 1),
        value("SELECT COUNT(*) FROM T", 2),
    ),
    case(
        "a clone keeps NOT NULL and defaults",
        "CREATE TABLE Q (A INT NOT NULL DEFAULT 7, B VARCHAR(5))",
        "CREATE TABLE C CLONE Q",
        "INSERT INTO C (B) VALUES ('x')",
        gives("SELECT * FROM C", (7, "x")),
        fails("INSERT INTO C VALUES (NULL, 'x')", 100072),
    ),
    case(
        "a clone keeps the length of its texts",
        "CREATE TABLE C CLONE T",
        value(
            "SELECT CHARACTER_MAXIMUM_LENGTH FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'C' AND "
            "COLUMN_NAME = 'V'",
            20,
        ),
        fails("INSERT INTO C VALUES (3, REPEAT('x', 21))", 100078),
    ),
    case(
        "CREATE OR REPLACE TABLE CLONE replaces",
        "CREATE TABLE C AS SELECT 1 AS A",
        "CREATE OR REPLACE TABLE C CLONE T",
        value("SELECT COUNT(*) FROM C", 2),
    ),
    case(
        "a transient clone is a clone",
        "CREATE OR REPLACE TRANSIENT TABLE C CLONE T",
        value("SELECT COUNT(*) FROM C", 2),
    ),
    case(
        "IF NOT EXISTS keeps the clone there is",
        "CREATE TABLE C CLONE T",
        "INSERT INTO C VALUES (3, 'c')",
        "CREATE TABLE IF NOT EXISTS C CLONE T",
        value("SELECT COUNT(*) FROM C", 3),
    ),
    case("a clone of what is not there is refused", fails("CREATE TABLE C CLONE NOPE", 2003, "NOPE")),
    case("a view cannot be cloned alone", "CREATE VIEW W AS SELECT 1 AS A", fails("CREATE VIEW W2 CLONE W", 1003)),
    case(
        "a cloned schema has tables and views",
        "CREATE VIEW W AS SELECT COUNT(*) AS N FROM T",
        "CREATE SCHEMA S2 CLONE S",
        value("SELECT COUNT(*) FROM S2.T", 2),
        value("SELECT N FROM S2.W", 2),
    ),
    case(
        "a cloned view reads what it names, not the clone",
        "CREATE VIEW {db}.S.W AS SELECT COUNT(*) AS N FROM {db}.S.T",
        "CREATE SCHEMA S2 CLONE S",
        "DELETE FROM S2.T",
        value("SELECT N FROM S2.W", 2),
    ),
    case(
        "a cloned schema goes its own way",
        "CREATE SCHEMA S2 CLONE S",
        "INSERT INTO S2.T VALUES (3, 'c')",
        "DROP TABLE {db}.S.T",
        value("SELECT COUNT(*) FROM S2.T", 3),
    ),
    case(
        "a schema is cloned over one that is replaced",
        "CREATE SCHEMA S2",
        "CREATE TABLE S2.OLD (A INT)",
        "CREATE OR REPLACE SCHEMA S2 CLONE S",
        value("SELECT COUNT(*) FROM S2.T", 2),
        fails("SELECT * FROM S2.OLD", 2003),
    ),
    case(
        "a transient schema may be cloned", "CREATE TRANSIENT SCHEMA S2 CLONE S", value("SELECT COUNT(*) FROM S2.T", 2)
    ),
    case(
        "views over views are cloned in an order that works",
        "CREATE VIEW A_TOP AS SELECT 1 AS X",
        "CREATE VIEW Z_BASE AS SELECT * FROM T",
        "CREATE OR REPLACE VIEW A_TOP AS SELECT * FROM Z_BASE",
        "CREATE SCHEMA S2 CLONE S",
        value("SELECT COUNT(*) FROM S2.A_TOP", 2),
    ),
    case(
        "a cloned database has everything",
        "CREATE SCHEMA S2",
        "CREATE TABLE S2.Q AS SELECT 1 AS A",
        "CREATE DATABASE X_{n} CLONE {db}",
        value("SELECT COUNT(*) FROM X_{n}.S.T", 2),
        value("SELECT A FROM X_{n}.S2.Q", 1),
        "DELETE FROM X_{n}.S.T",
        value("SELECT COUNT(*) FROM {db}.S.T", 2),
        "DROP DATABASE X_{n}",
    ),
    case(
        "a view of a cloned database reads what it names",
        "CREATE VIEW W AS SELECT COUNT(*) AS N FROM {db}.S.T",
        "CREATE VIEW OWN AS SELECT COUNT(*) AS N FROM S.T",
        "CREATE DATABASE X_{n} CLONE {db}",
        "DELETE FROM X_{n}.S.T",
        value("SELECT N FROM X_{n}.S.W", 2),
        value("SELECT N FROM X_{n}.S.OWN", 0),
        "DROP DATABASE X_{n}",
    ),
    case("a clone of an earlier time is refused", refused("CREATE TABLE C CLONE T AT (OFFSET => -60)")),
    case(
        "a schema clone keeps the grants on what is in it, not those on itself",
        "CREATE ROLE R_{n}",
        "GRANT USAGE ON SCHEMA S TO ROLE R_{n}",
        "GRANT SELECT ON TABLE T TO ROLE R_{n}",
        "CREATE SCHEMA S2 CLONE S",
        lists(
            "SELECT PRIVILEGE_TYPE, OBJECT_SCHEMA FROM INFORMATION_SCHEMA.OBJECT_PRIVILEGES WHERE GRANTEE "
            "= 'R_{n}' AND OBJECT_TYPE = 'TABLE'",
            ("SELECT", "S2"),
            ("SELECT", "S"),
        ),
        gives(
            "SELECT OBJECT_NAME FROM INFORMATION_SCHEMA.OBJECT_PRIVILEGES WHERE GRANTEE = 'R_{n}' AND "
            "OBJECT_TYPE = 'SCHEMA'",
            ("S",),
        ),
        "DROP ROLE R_{n}",
    ),
    case(
        "a table clone has grants only with COPY GRANTS",
        "CREATE ROLE R_{n}",
        "GRANT SELECT ON TABLE T TO ROLE R_{n}",
        "CREATE TABLE C1 CLONE T",
        "CREATE TABLE C2 CLONE T COPY GRANTS",
        gives(
            "SELECT OBJECT_NAME FROM INFORMATION_SCHEMA.OBJECT_PRIVILEGES WHERE GRANTEE = 'R_{n}' ORDER BY 1",
            ("C2",),
            ("T",),
        ),
        "DROP ROLE R_{n}",
    ),
    case(
        "what another session has not committed is not cloned",
        other("BEGIN"),
        other("INSERT INTO T VALUES (3, 'c')"),
        "CREATE TABLE C CLONE T",
        value("SELECT COUNT(*) FROM C", 2),
        other("ROLLBACK"),
    ),
)
