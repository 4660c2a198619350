"""What each statement needs, as a table: with nothing, the wrong privilege, the right one, the right one taken back.

And the ways a role comes to hold a privilege: given to it, to a role it has, to PUBLIC, by future grants, by ownership.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..case import Case, Step, as_role, case, fails, gives, value

_ROLE = (
    "CREATE ROLE R_{n}",
    "GRANT USAGE ON DATABASE {db} TO ROLE R_{n}",
    "GRANT USAGE ON SCHEMA {db}.S TO ROLE R_{n}",
)
_END = "DROP ROLE R_{n}"
_PRIVILEGES = "user-guide/security-access-control-privileges"
_FUTURE = "sql-reference/sql/grant-privilege"
HIDDEN, DENIED, UNKNOWN = 2003, 3001, 2140


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """One statement, what it needs, and something else that is not enough."""

    name: str
    sql: str
    needs: str
    wrong: str = ""
    setup: tuple[str, ...] = ()
    undo: str = ""
    bare: int = HIDDEN  # the error while nothing is held
    denied: int = DENIED


_ON_TABLE = (
    ("a query", "SELECT * FROM {db}.S.T", "SELECT", "INSERT"),
    ("INSERT", "INSERT INTO {db}.S.T VALUES (3, 'c')", "INSERT", "SELECT"),
    ("UPDATE", "UPDATE {db}.S.T SET V = 'z'", "UPDATE", "SELECT"),
    ("DELETE", "DELETE FROM {db}.S.T", "DELETE", "SELECT"),
    ("TRUNCATE", "TRUNCATE TABLE {db}.S.T", "TRUNCATE", "SELECT"),
    ("ALTER TABLE", "ALTER TABLE {db}.S.T ADD COLUMN W INT", "", "SELECT"),
    ("DROP TABLE", "DROP TABLE {db}.S.T", "", "SELECT"),
    ("COMMENT", "COMMENT ON TABLE {db}.S.T IS 'x'", "", "SELECT"),
    ("RENAME", "ALTER TABLE {db}.S.T RENAME TO {db}.S.Q", "", "SELECT"),
    ("granting", "GRANT SELECT ON TABLE {db}.S.T TO ROLE PUBLIC", "", "SELECT"),
)
_CREATIONS = (
    ("TABLE", "CREATE TABLE {db}.S.Q (A INT)", "DROP TABLE {db}.S.Q"),
    ("VIEW", "CREATE VIEW {db}.S.Q AS SELECT 1 AS A", "DROP VIEW {db}.S.Q"),
    ("SEQUENCE", "CREATE SEQUENCE {db}.S.Q", "DROP SEQUENCE {db}.S.Q"),
    ("STAGE", "CREATE STAGE {db}.S.Q", "DROP STAGE {db}.S.Q"),
    ("FILE FORMAT", "CREATE FILE FORMAT {db}.S.Q TYPE = CSV", "DROP FILE FORMAT {db}.S.Q"),
    ("TASK", "CREATE TASK {db}.S.Q SCHEDULE = '1 MINUTE' AS SELECT 1", "DROP TASK {db}.S.Q"),
    ("PROCEDURE", "CREATE PROCEDURE {db}.S.Q() RETURNS INT AS BEGIN RETURN 1; END", "DROP PROCEDURE {db}.S.Q()"),
    ("TAG", "CREATE TAG {db}.S.Q", "DROP TAG {db}.S.Q"),
)
_ACCOUNT = (
    ("CREATE DATABASE", "CREATE DATABASE X_{n}", "DROP DATABASE X_{n}"),
    ("CREATE ROLE", "CREATE ROLE X_{n}", "DROP ROLE X_{n}"),
    ("CREATE USER", "CREATE USER X_{n}", "DROP USER X_{n}"),
    ("CREATE WAREHOUSE", "CREATE WAREHOUSE X_{n}", "DROP WAREHOUSE X_{n}"),
)

_NEEDS = (
    *(
        Need(
            name=name,
            sql=sql,
            needs=f"{privilege} ON TABLE {{db}}.S.T" if privilege else "",
            wrong=f"{wrong} ON TABLE {{db}}.S.T",
        )
        for name, sql, privilege, wrong in _ON_TABLE
    ),
    *(
        Need(
            name=f"making a {kind.lower()}",
            sql=sql,
            needs=f"CREATE {kind} ON SCHEMA {{db}}.S",
            bare=DENIED,
            undo=undo,
        )
        for kind, sql, undo in _CREATIONS
    ),
    *(
        Need(name=f"{privilege} in the account", sql=sql, needs=f"{privilege} ON ACCOUNT", bare=DENIED, undo=undo)
        for privilege, sql, undo in _ACCOUNT
    ),
    Need(
        name="making a schema",
        sql="CREATE SCHEMA {db}.Q",
        needs="CREATE SCHEMA ON DATABASE {db}",
        bare=DENIED,
        undo="DROP SCHEMA {db}.Q",
    ),
    Need(
        name="a query of a view",
        setup=("CREATE VIEW W AS SELECT * FROM T",),
        sql="SELECT * FROM {db}.S.W",
        needs="SELECT ON VIEW {db}.S.W",
        wrong="REFERENCES ON VIEW {db}.S.W",
    ),
    Need(
        name="the next number of a sequence",
        setup=("CREATE SEQUENCE Q",),
        sql="SELECT {db}.S.Q.NEXTVAL",
        needs="USAGE ON SEQUENCE {db}.S.Q",
    ),
    Need(
        name="CALL",
        setup=("CREATE PROCEDURE Q() RETURNS INT AS BEGIN RETURN 1; END",),
        sql="CALL {db}.S.Q()",
        needs="USAGE ON PROCEDURE {db}.S.Q()",
        bare=UNKNOWN,
    ),
    Need(
        name="suspending a task",
        setup=("CREATE TASK Q SCHEDULE = '1 MINUTE' AS SELECT 1",),
        sql="ALTER TASK {db}.S.Q SUSPEND",
        needs="OPERATE ON TASK {db}.S.Q",
        wrong="MONITOR ON TASK {db}.S.Q",
    ),
)


def _needing(need: Need) -> Case:
    """Return the case of one row: refused, refused otherwise, allowed, refused again."""
    steps: list[Step | str] = [*_ROLE, *need.setup, as_role("R_{n}", fails(need.sql, need.bare))]
    if need.wrong:
        steps += [f"GRANT {need.wrong} TO ROLE R_{{n}}", as_role("R_{n}", fails(need.sql, need.denied))]
    if need.needs:
        steps += [f"GRANT {need.needs} TO ROLE R_{{n}}", as_role("R_{n}", need.sql)]
        steps += [as_role("R_{n}", need.undo)] if need.undo else []
        steps += [f"REVOKE {need.needs} FROM ROLE R_{{n}}"]
        steps += [as_role("R_{n}", fails(need.sql, need.denied if need.wrong else need.bare))]
    else:
        steps += ["GRANT OWNERSHIP ON TABLE {db}.S.T TO ROLE R_{n} COPY CURRENT GRANTS"]
        steps += ["GRANT CREATE TABLE ON SCHEMA {db}.S TO ROLE R_{n}", as_role("R_{n}", need.sql)]
    return case(f"{need.name} needs {need.needs.split(' ON ')[0] or 'OWNERSHIP'}", *steps, _END, page=_PRIVILEGES)


_READ = "SELECT COUNT(*) FROM {db}.S.T"
_WAYS: tuple[tuple[str, Sequence[str], Sequence[str]], ...] = (
    ("given to it", ("GRANT SELECT ON TABLE T TO ROLE R_{n}",), ()),
    ("given on all tables", ("GRANT SELECT ON ALL TABLES IN SCHEMA S TO ROLE R_{n}",), ()),
    ("given on all tables of the database", ("GRANT SELECT ON ALL TABLES IN DATABASE {db} TO ROLE R_{n}",), ()),
    ("given with all others", ("GRANT ALL PRIVILEGES ON TABLE T TO ROLE R_{n}",), ()),
    ("given to PUBLIC", ("GRANT SELECT ON TABLE T TO ROLE PUBLIC",), ("REVOKE SELECT ON TABLE T FROM ROLE PUBLIC",)),
    (
        "given to a role of a role it has",
        (
            "CREATE ROLE Q_{n}",
            "CREATE ROLE P_{n}",
            "GRANT ROLE P_{n} TO ROLE Q_{n}",
            "GRANT ROLE Q_{n} TO ROLE R_{n}",
            "GRANT SELECT ON TABLE T TO ROLE P_{n}",
        ),
        ("DROP ROLE P_{n}", "DROP ROLE Q_{n}"),
    ),
    ("that of the owner", ("GRANT OWNERSHIP ON TABLE T TO ROLE R_{n} REVOKE CURRENT GRANTS",), ()),
)
_LATER = (
    ("in its schema", ("GRANT SELECT ON FUTURE TABLES IN SCHEMA S TO ROLE R_{n}",), None),
    ("in its database", ("GRANT SELECT ON FUTURE TABLES IN DATABASE {db} TO ROLE R_{n}",), None),
    (
        "in its schema, which go before those in its database",
        (
            "GRANT SELECT ON FUTURE TABLES IN DATABASE {db} TO ROLE R_{n}",
            "GRANT INSERT ON FUTURE TABLES IN SCHEMA S TO ROLE R_{n}",
        ),
        DENIED,
    ),
    ("on views, which are not for tables", ("GRANT SELECT ON FUTURE VIEWS IN SCHEMA S TO ROLE R_{n}",), HIDDEN),
)

CASES = (
    *(_needing(need) for need in _NEEDS),
    *(
        case(
            f"a role reads with SELECT {way}",
            *_ROLE,
            as_role("R_{n}", fails(_READ, HIDDEN)),
            *given,
            as_role("R_{n}", value(_READ, 2)),
            *taken,
            _END,
            page=_PRIVILEGES,
        )
        for way, given, taken in _WAYS
    ),
    *(
        case(
            f"future grants apply {where}",
            *_ROLE,
            *given,
            "CREATE TABLE LATER (A INT)",
            as_role("R_{n}", fails(sql, number) if number else value(sql, 0)),
            _END,
            page=_FUTURE,
        )
        for where, given, number in _LATER
        for sql in ("SELECT COUNT(*) FROM {db}.S.LATER",)
    ),
    case(
        "in a schema with managed access its owner grants, and the owner of a table does not",
        *_ROLE,
        "CREATE SCHEMA M WITH MANAGED ACCESS",
        "GRANT USAGE, CREATE TABLE ON SCHEMA M TO ROLE R_{n}",
        as_role("R_{n}", "CREATE TABLE {db}.M.Q (A INT)"),
        as_role("R_{n}", fails("GRANT SELECT ON TABLE {db}.M.Q TO ROLE PUBLIC", DENIED)),
        "GRANT SELECT ON TABLE {db}.M.Q TO ROLE PUBLIC",
        "ALTER SCHEMA {db}.M DISABLE MANAGED ACCESS",
        as_role("R_{n}", "GRANT INSERT ON TABLE {db}.M.Q TO ROLE PUBLIC"),
        "ALTER SCHEMA {db}.M ENABLE MANAGED ACCESS",
        as_role("R_{n}", fails("REVOKE INSERT ON TABLE {db}.M.Q FROM ROLE PUBLIC", DENIED)),
        "GRANT OWNERSHIP ON SCHEMA {db}.M TO ROLE R_{n} COPY CURRENT GRANTS",
        as_role("R_{n}", "GRANT SELECT ON FUTURE TABLES IN SCHEMA {db}.M TO ROLE PUBLIC"),
        as_role("R_{n}", "REVOKE INSERT ON TABLE {db}.M.Q FROM ROLE PUBLIC"),
        _END,
        page="user-guide/security-access-control-configure",
    ),
    case(
        "future grants take MANAGE GRANTS, not ownership of what they are in",
        *_ROLE,
        "CREATE SCHEMA OWNED",
        "GRANT USAGE ON DATABASE {db} TO ROLE R_{n}",
        "GRANT OWNERSHIP ON SCHEMA OWNED TO ROLE R_{n} COPY CURRENT GRANTS",
        as_role("R_{n}", fails("GRANT SELECT ON FUTURE TABLES IN SCHEMA {db}.OWNED TO ROLE PUBLIC", DENIED)),
        "GRANT SELECT ON FUTURE TABLES IN SCHEMA OWNED TO ROLE PUBLIC",
        as_role("R_{n}", fails("REVOKE SELECT ON FUTURE TABLES IN SCHEMA {db}.OWNED FROM ROLE PUBLIC", DENIED)),
        "GRANT MANAGE GRANTS ON ACCOUNT TO ROLE R_{n}",
        as_role("R_{n}", "REVOKE SELECT ON FUTURE TABLES IN SCHEMA {db}.OWNED FROM ROLE PUBLIC"),
        _END,
        page=_FUTURE,
    ),
    case(
        "managed access is told, and goes along in a swap",
        "CREATE SCHEMA M WITH MANAGED ACCESS",
        "CREATE SCHEMA N",
        "ALTER SCHEMA M SWAP WITH N",
        gives(
            "SELECT SCHEMA_NAME FROM INFORMATION_SCHEMA.SCHEMATA WHERE IS_MANAGED_ACCESS = 'YES'",
            ("N",),
        ),
        "SHOW SCHEMAS LIKE 'N'",
        gives('SELECT "options" FROM TABLE(RESULT_SCAN(LAST_QUERY_ID()))', ("MANAGED ACCESS",)),
        page="sql-reference/sql/create-schema",
    ),
    case(
        "a view reads with the rights of its owner, for as long as the owner has them",
        *_ROLE,
        "CREATE ROLE O_{n}",
        "GRANT USAGE ON DATABASE {db} TO ROLE O_{n}",
        "GRANT USAGE, CREATE VIEW ON SCHEMA S TO ROLE O_{n}",
        "GRANT SELECT ON TABLE T TO ROLE O_{n}",
        as_role("O_{n}", "CREATE VIEW {db}.S.W AS SELECT * FROM {db}.S.T"),
        as_role("O_{n}", "GRANT SELECT ON VIEW {db}.S.W TO ROLE R_{n}"),
        as_role("R_{n}", value("SELECT COUNT(*) FROM {db}.S.W", 2)),
        "REVOKE SELECT ON TABLE T FROM ROLE O_{n}",
        as_role("R_{n}", fails("SELECT COUNT(*) FROM {db}.S.W", 2037, "Failure during expansion of view")),
        "DROP ROLE O_{n}",
        _END,
        page="user-guide/views-introduction",
    ),
    case(
        "a view that is replaced reads what its new text names, with the rights of its owner",
        *_ROLE,
        "CREATE ROLE O_{n}",
        "CREATE TABLE U AS SELECT 1 AS ID",
        "GRANT USAGE ON DATABASE {db} TO ROLE O_{n}",
        "GRANT USAGE, CREATE VIEW ON SCHEMA S TO ROLE O_{n}",
        "GRANT SELECT ON TABLE T TO ROLE O_{n}",
        "GRANT SELECT ON TABLE U TO ROLE O_{n}",
        as_role("O_{n}", "CREATE VIEW {db}.S.W AS SELECT ID FROM {db}.S.T"),
        as_role("O_{n}", "GRANT SELECT ON VIEW {db}.S.W TO ROLE R_{n}"),
        as_role("R_{n}", value("SELECT COUNT(*) FROM {db}.S.W", 2)),
        as_role("O_{n}", "CREATE OR REPLACE VIEW {db}.S.W COPY GRANTS AS SELECT ID FROM {db}.S.U"),
        as_role("R_{n}", value("SELECT COUNT(*) FROM {db}.S.W", 1)),
        "REVOKE SELECT ON TABLE U FROM ROLE O_{n}",
        as_role("R_{n}", fails("SELECT COUNT(*) FROM {db}.S.W", 2037, "Failure during expansion of view")),
        "DROP ROLE O_{n}",
        _END,
        page="sql-reference/sql/create-view",
    ),
    case(
        "ownership with COPY CURRENT GRANTS keeps them, with REVOKE CURRENT GRANTS it takes them away",
        *_ROLE,
        "CREATE ROLE O_{n}",
        "GRANT SELECT ON TABLE T TO ROLE R_{n}",
        fails("GRANT OWNERSHIP ON TABLE T TO ROLE O_{n}", 3036, "Dependent grant of privilege 'SELECT'"),
        "GRANT OWNERSHIP ON TABLE T TO ROLE O_{n} COPY CURRENT GRANTS",
        as_role("R_{n}", value(_READ, 2)),
        "GRANT OWNERSHIP ON TABLE T TO ROLE {role} REVOKE CURRENT GRANTS",
        as_role("R_{n}", fails(_READ, HIDDEN)),
        "DROP ROLE O_{n}",
        _END,
        page="sql-reference/sql/grant-ownership",
    ),
)
