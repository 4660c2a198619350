"""Objects of the account, tags and settings: they are known, and do nothing here."""

from __future__ import annotations

from ..case import case, fails, gives, lists, refused, value

_NAMES = 'SELECT "name" FROM TABLE(RESULT_SCAN(LAST_QUERY_ID()))'

CASES = (
    case(
        "a warehouse is made, altered, resumed, used and dropped",
        "CREATE WAREHOUSE IF NOT EXISTS W_{n} WAREHOUSE_SIZE = 'XSMALL' AUTO_SUSPEND = 60",
        "ALTER WAREHOUSE W_{n} SET WAREHOUSE_SIZE = 'SMALL'",
        "ALTER WAREHOUSE W_{n} RESUME IF SUSPENDED",
        "USE WAREHOUSE W_{n}",
        value("SELECT CURRENT_WAREHOUSE()", "W_{n}"),
        "DROP WAREHOUSE W_{n}",
        fails("ALTER WAREHOUSE W_{n} SUSPEND", 2003, "W_{n}"),
        page="sql-reference/sql/alter-warehouse",
    ),
    *(
        case(
            f"a {kind.lower()} is made, listed and dropped",
            f"CREATE {kind} X_{{n}} {settings}",
            f"SHOW {kinds} LIKE 'X_{{n}}'",
            gives(_NAMES, ("X_{n}",)),
            f"DROP {kind} X_{{n}}",
            gives(f"SHOW {kinds} LIKE 'X_{{n}}'"),
            page=f"sql-reference/sql/create-{kind.lower().replace(' ', '-')}",
        )
        for kind, kinds, settings in (
            ("RESOURCE MONITOR", "RESOURCE MONITORS", "WITH CREDIT_QUOTA = 10"),
            ("NETWORK POLICY", "NETWORK POLICIES", "ALLOWED_IP_LIST = ('1.1.1.1')"),
            ("SHARE", "SHARES", ""),
        )
    ),
    case(
        "a role is granted to a user",
        "CREATE ROLE R_{n}",
        "CREATE USER U_{n} DEFAULT_ROLE = R_{n}",
        "GRANT ROLE R_{n} TO USER U_{n}",
        lists(
            "SHOW GRANTS TO USER U_{n}",
        ),
        fails("GRANT ROLE R_{n} TO USER NOBODY_{n}", 2003, "NOBODY_{n}"),
        "DROP USER U_{n}",
        "DROP ROLE R_{n}",
        page="sql-reference/sql/grant-role",
    ),
    case(
        "a tag is made and set on a table",
        "CREATE TAG PII ALLOWED_VALUES 'a', 'b'",
        "ALTER TABLE T SET TAG PII = 'a'",
        value("SELECT COUNT(*) FROM T", 2),
        page="sql-reference/sql/create-tag",
    ),
    case(
        "a tag on a column is refused",
        "CREATE TAG PII",
        refused("ALTER TABLE T MODIFY COLUMN V SET TAG PII = 'a'", "ALTER TABLE T MODIFY COLUMN V SET TAG PII = 'a'"),
        page="sql-reference/sql/alter-table-column",
    ),
    case(
        "a view is made secure afterwards",
        "CREATE VIEW W AS SELECT * FROM T",
        "ALTER VIEW W SET SECURE",
        gives("SELECT IS_SECURE FROM INFORMATION_SCHEMA.VIEWS WHERE TABLE_NAME = 'W'", ("YES",)),
        "ALTER VIEW W UNSET SECURE",
        gives("SELECT IS_SECURE FROM INFORMATION_SCHEMA.VIEWS WHERE TABLE_NAME = 'W'", ("NO",)),
        page="sql-reference/sql/alter-view",
    ),
    case(
        "clustering, retention and a comment are accepted for a table and a database",
        "CREATE TABLE Q (A INT) CLUSTER BY (A)",
        "ALTER TABLE Q SET DATA_RETENTION_TIME_IN_DAYS = 3",
        "CREATE TRANSIENT DATABASE X_{n} DATA_RETENTION_TIME_IN_DAYS = 1 COMMENT = 'c'",
        gives("SELECT COMMENT FROM INFORMATION_SCHEMA.DATABASES WHERE DATABASE_NAME = 'X_{n}'", ("c",)),
        "DROP DATABASE X_{n}",
        page="sql-reference/sql/create-database",
    ),
    case(
        "SPLIT_TO_TABLE is refused",
        refused("SELECT VALUE FROM TABLE(SPLIT_TO_TABLE('a,b', ','))", "SPLIT_TO_TABLE()"),
        page="sql-reference/functions/split_to_table",
    ),
    case(
        "ASOF JOIN is refused",
        refused("SELECT A.ID FROM T A ASOF JOIN T B MATCH_CONDITION (A.ID >= B.ID) ON A.V = B.V", "ASOF JOIN"),
        page="sql-reference/constructs/asof-join",
    ),
    case(
        "open transactions are not listed",
        refused("SHOW TRANSACTIONS", "SHOW TRANSACTIONS"),
        page="sql-reference/sql/show-transactions",
    ),
    case(
        "grants that may be passed on are refused",
        "CREATE ROLE R_{n}",
        refused("GRANT SELECT ON TABLE T TO ROLE R_{n} WITH GRANT OPTION", "WITH GRANT OPTION"),
        "DROP ROLE R_{n}",
        page="sql-reference/sql/grant-privilege",
    ),
)
