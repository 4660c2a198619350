"""Types and literals: what comes back is what Snowflake's connector would give."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal

from ..case import case, fails, gives, refused, value

CASES = (
    case(
        "integers are numbers without a fraction",
        value("SELECT 1, -5, 12345678901234567", 1, -5, 12345678901234567),
        page="sql-reference/data-types-numeric",
    ),
    case(
        "a decimal literal is exact",
        value("SELECT 1.10 + 2.20", Decimal("3.30")),
        page="sql-reference/data-types-numeric",
    ),
    case(
        "NUMBER rounds half away from zero to its scale",
        "CREATE TABLE N (X NUMBER(38,2))",
        "INSERT INTO N VALUES (1.239), (-0.005), (2.5)",
        gives("SELECT X FROM N ORDER BY X", (Decimal("-0.01"),), (Decimal("1.24"),), (Decimal("2.50"),)),
        page="sql-reference/data-types-numeric",
    ),
    case(
        "NUMBER(18,2) sums exactly",
        "CREATE TABLE N AS SELECT 0.10::NUMBER(18,2) AS X FROM TABLE(GENERATOR(ROWCOUNT => 1000))",
        value("SELECT SUM(X) FROM N", Decimal("100.00")),
        page="sql-reference/data-types-numeric",
    ),
    case(
        "FLOAT is a double",
        value("SELECT 1.5::FLOAT, 'inf'::FLOAT > 1", 1.5, True),
        page="sql-reference/data-types-numeric",
    ),
    case(
        "dates are dates",
        value("SELECT '2024-02-29'::DATE, DATE '2024-01-01'", date(2024, 2, 29), date(2024, 1, 1)),
        page="sql-reference/data-types-datetime",
    ),
    case(
        "times are times", value("SELECT '13:14:15'::TIME", time(13, 14, 15)), page="sql-reference/data-types-datetime"
    ),
    case(
        "TIMESTAMP_NTZ has no zone",
        value("SELECT '2024-01-02 03:04:05.678'::TIMESTAMP_NTZ", datetime(2024, 1, 2, 3, 4, 5, 678000)),
        page="sql-reference/data-types-datetime",
    ),
    case(
        "TIMESTAMP_TZ has one",
        value("SELECT '2024-01-02 03:04:05+00:00'::TIMESTAMP_TZ", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        page="sql-reference/data-types-datetime",
    ),
    case(
        "timestamps before 1970 keep their fraction",
        value("SELECT '1969-12-31 23:59:59.250'::TIMESTAMP_NTZ", datetime(1969, 12, 31, 23, 59, 59, 250000)),
        page="sql-reference/data-types-datetime",
    ),
    case(
        "booleans are booleans",
        value("SELECT TRUE, FALSE, NULL::BOOLEAN", True, False, None),
        page="sql-reference/data-types-logical",
    ),
    case(
        "NULLs of every type stay NULL",
        value(
            "SELECT NULL, NULL::INT, NULL::DATE, NULL::TIMESTAMP_NTZ, NULL::NUMBER(10,2), NULL::VARIANT", *[None] * 6
        ),
        page="sql-reference/intro-summary-data-types",
    ),
    case(
        "binary is bytes", value("SELECT TO_BINARY('ff00', 'HEX')", b"\xff\x00"), page="sql-reference/data-types-text"
    ),
    case("a quote in a string is doubled", value("SELECT 'it''s'", "it's"), page="sql-reference/data-types-text"),
    case(
        "a backslash in a string escapes",
        value(r"SELECT 'a\nb', 'c\\d'", "a\nb", "c\\d"),
        page="sql-reference/data-types-text",
    ),
    case(
        "dollar quotes take everything as it stands",
        value(r"SELECT $$it's \n raw$$", r"it's \n raw"),
        page="sql-reference/data-types-text",
    ),
    case("text beyond ASCII comes back", value("SELECT 'Łódź €'", "Łódź €"), page="sql-reference/data-types-text"),
    case(
        "a VARIANT is JSON text",
        value("SELECT PARSE_JSON('{\"a\": [1, 2]}'):a[1]::INT", 2),
        page="sql-reference/data-types-text",
    ),
    case(
        "a path into a VARIANT that is not there is NULL",
        value("SELECT PARSE_JSON('{\"a\": 1}'):b", None),
        page="sql-reference/data-types-semistructured",
    ),
    case(
        "ARRAY_CONSTRUCT is an array",
        value("SELECT ARRAY_SIZE(ARRAY_CONSTRUCT(1, 2, 3))", 3),
        page="sql-reference/data-types-semistructured",
    ),
    case(
        "FLATTEN gives a row for each element",
        gives("SELECT F.VALUE::INT FROM TABLE(FLATTEN(PARSE_JSON('[3, 4]'))) F ORDER BY 1", (3,), (4,)),
        page="sql-reference/functions/flatten",
    ),
    case(
        "a text that is no number is refused",
        fails("SELECT 'abc'::INT", 100038, "abc"),
        page="sql-reference/data-types-text",
    ),
    case(
        "a text that is no date is refused",
        fails("SELECT '2024-02-30'::DATE", 100040, "2024-02-30"),
        page="sql-reference/data-types-datetime",
    ),
    case(
        "division by zero is refused",
        fails("SELECT 1 / 0", 100051, "Division by zero"),
        page="sql-reference/operators-arithmetic",
    ),
    case(
        "division by a zero column is refused",
        fails("SELECT ID / (ID - ID) FROM T", 100051, "Division by zero"),
        page="sql-reference/operators-arithmetic",
    ),
    case(
        "a quotient is exact once it is rounded",
        value("SELECT (10.00 / 3)::NUMBER(18,2), (1 / 3)::NUMBER(10,6)", Decimal("3.33"), Decimal("0.333333")),
        page="sql-reference/operators-arithmetic",
    ),
    case(
        "an explicit cast to VARCHAR(n) cuts the text",
        value("SELECT 'abcdef'::VARCHAR(3)", "abc"),
        page="sql-reference/data-types-text",
    ),
    case(
        "a number beyond its precision is refused",
        fails("SELECT 12345::NUMBER(3,0)", 100039),
        page="sql-reference/data-types-numeric",
    ),
    case(
        "a text longer than its column is refused",
        "CREATE TABLE L (V VARCHAR(2))",
        fails("INSERT INTO L VALUES ('abc')", 100078, "'abc' is too long and would be truncated"),
        value("SELECT COUNT(*) FROM L", 0),
        page="sql-reference/data-types-text",
    ),
    case(
        "an UPDATE to a text longer than its column is refused",
        "CREATE TABLE L (V VARCHAR(2))",
        "INSERT INTO L VALUES ('ab')",
        fails("UPDATE L SET V = 'abc'", 100078, "too long"),
        value("SELECT V FROM L", "ab"),
        page="sql-reference/data-types-text",
    ),
    case(
        "a MERGE of a text longer than its column is refused",
        "CREATE TABLE L (ID INT, V VARCHAR(2))",
        fails(
            "MERGE INTO L USING (SELECT 1 AS ID, 'abc' AS V) S ON L.ID = S.ID WHEN NOT MATCHED THEN "
            "INSERT (ID, V) VALUES (S.ID, S.V)",
            100078,
            "too long",
        ),
        page="sql-reference/data-types-text",
    ),
    case(
        "geography is refused",
        refused("CREATE TABLE G (P GEOGRAPHY)", "the type GEOGRAPHY"),
        page="sql-reference/data-types-geospatial",
    ),
)
