"""Where engines mean different things by the same words: quotients, texts of values, trimming, types, FLATTEN."""

from __future__ import annotations

from datetime import date

from ..case import case, gives, refused, value

CASES = (
    case(
        "a quotient of whole numbers has six digits",
        value("SELECT 1 / 3, 2 / 3, 10 / 4, -1 / 3, (1 / 3) * 3", 0.333333, 0.666667, 2.5, -0.333333, 0.999999),
        value("SELECT SUM(ID) / COUNT(*), MAX(ID / 3) FROM T", 1.5, 0.666667),
        page="sql-reference/operators-arithmetic",
    ),
    case(
        "a quotient has six digits more than its dividend, at most twelve",
        value("SELECT 1::NUMBER(10,2) / 3, 1.0000 / 3, 1.00000000 / 3", 0.33333333, 0.3333333333, 0.333333333333),
        page="sql-reference/operators-arithmetic",
    ),
    case(
        "a quotient of a double is a double",
        value("SELECT 1::FLOAT / 3 > 0.3333333, 1 / 3::FLOAT > 0.3333333", True, True),
        page="sql-reference/operators-arithmetic",
    ),
    case(
        "AVG of whole numbers has six digits, of a window too",
        value("SELECT AVG(X), AVG(DISTINCT X) FROM VALUES (1), (2), (2) AS N(X)", 1.666667, 1.5),
        gives("SELECT AVG(X) OVER () FROM VALUES (1), (2), (2) AS N(X) LIMIT 1", (1.666667,)),
        value("SELECT AVG(X) FROM VALUES (0.10::NUMBER(18,2)), (0.25), (0.25) AS N(X)", 0.2),
        page="sql-reference/functions/avg",
    ),
    case(
        "whole numbers as written are not bound to 32 bits",
        value("SELECT 2147483647 + 1, 2000000000 * 3", 2147483648, 6000000000),
        page="sql-reference/data-types-numeric",
    ),
    case(
        "a timestamp becomes text with three digits of its second",
        value(
            "SELECT '2024-01-02 03:04:05'::TIMESTAMP_NTZ::VARCHAR, TO_VARCHAR('2024-01-02 "
            "03:04:05.123456'::TIMESTAMP_NTZ), "
            "'2024-01-02'::TIMESTAMP_NTZ || '!', '2024-01-02'::DATE::VARCHAR",
            "2024-01-02 03:04:05.000",
            "2024-01-02 03:04:05.123",
            "2024-01-02 00:00:00.000!",
            "2024-01-02",
        ),
        page="sql-reference/data-types-datetime",
    ),
    case(
        "a double becomes text without a needless fraction, a NUMBER keeps its scale",
        value(
            "SELECT 1.0::FLOAT::VARCHAR, 1.5::FLOAT::VARCHAR, 1.50::VARCHAR, TRUE::VARCHAR", "1", "1.5", "1.50", "true"
        ),
        page="sql-reference/functions/to_char",
    ),
    case(
        "a text in a VARIANT loses its quotes when it becomes text",
        "CREATE TABLE J (X VARIANT)",
        "INSERT INTO J SELECT PARSE_JSON('\"a\"')",
        value(
            "SELECT X::VARCHAR, PARSE_JSON('{\"k\":[1]}')::VARCHAR, PARSE_JSON('null')::VARCHAR FROM J",
            "a",
            '{"k":[1]}',
            None,
        ),
        page="sql-reference/data-types-semistructured",
    ),
    case(
        "TRIM, LTRIM and RTRIM take away the characters they are told",
        value("SELECT TRIM('*-a-*', '*-'), LTRIM('xxa', 'x'), RTRIM('axx', 'x'), TRIM(' a ')", "a", "a", "a", "a"),
        page="sql-reference/functions/trim",
    ),
    case(
        "TYPEOF tells what a VARIANT holds",
        value(
            "SELECT TYPEOF(PARSE_JSON('1')), TYPEOF(PARSE_JSON('\"a\"')), TYPEOF(PARSE_JSON('{}')), "
            "TYPEOF(PARSE_JSON('[]')), "
            "TYPEOF(PARSE_JSON('1.5')), TYPEOF(PARSE_JSON('true')), TYPEOF(PARSE_JSON('null'))",
            *("INTEGER", "VARCHAR", "OBJECT", "ARRAY", "DECIMAL", "BOOLEAN", "NULL_VALUE"),
        ),
        page="sql-reference/functions/typeof",
    ),
    case(
        "keys of an object literal keep their case",
        value("SELECT {'a': 1, 'Bc': {'d': 2}}:Bc.d::INT, {'a': 1}:a::INT, {'a': 1}:A", 2, 1, None),
        page="sql-reference/data-types-semistructured",
    ),
    case(
        "CHAR without a length is one character",
        value("SELECT 'abc'::CHAR, 'abc'::CHAR(2)", "a", "ab"),
        page="sql-reference/data-types-text",
    ),
    case(
        "a day added to a month added to a date is a date",
        value("SELECT DATEADD(DAY, 1, DATEADD(MONTH, 1, '2024-01-31'::DATE))", date(2024, 3, 1)),
        value("SELECT DATE_TRUNC('MONTH', DATEADD(DAY, 3, '2024-01-31'::DATE))", date(2024, 2, 1)),
        page="sql-reference/functions/dateadd",
    ),
    case(
        "HASH_AGG is one number of all rows in whatever order, and 0 of none",
        value(
            "SELECT (SELECT HASH_AGG(A, B) FROM (VALUES (1, 'x'), (2, NULL)) V(A, B))"
            " = (SELECT HASH_AGG(A, B) FROM (VALUES (2, NULL), (1, 'x')) V(A, B)),"
            " (SELECT HASH_AGG(A, B) FROM (VALUES (1, 'x'), (2, 'y')) V(A, B))"
            " = (SELECT HASH_AGG(A, B) FROM (VALUES (1, 'y'), (2, 'x')) V(A, B)),"
            " (SELECT HASH_AGG(A) FROM (VALUES (1), (1)) V(A)) = (SELECT HASH_AGG(A) FROM (VALUES (1)) V(A)),"
            " (SELECT HASH_AGG(A) FROM (VALUES (1)) V(A) WHERE A > 1)",
            True,
            False,
            False,
            0,
        ),
        page="sql-reference/functions/hash_agg",
    ),
    case(
        "HASH is a signed number of 64 bits",
        value(
            "SELECT HASH('a') = HASH('a'), ABS(HASH('a')) <= 9223372036854775807, HASH(NULL) IS NULL", True, True, False
        ),
        "SELECT HASH(ID, V) FROM T",
        page="sql-reference/functions/hash",
    ),
    case(
        "GETVARIABLE gives the value of a session variable",
        "SET X = 5",
        value("SELECT GETVARIABLE('X'), GETVARIABLE('NOT_SET')", 5, None),
        page="sql-reference/session-variables",
    ),
    case(
        "FLATTEN takes its arguments in any order",
        gives(
            "SELECT F.VALUE::INT FROM TABLE(FLATTEN(OUTER => FALSE, INPUT => PARSE_JSON('[3, 4]'))) F ORDER BY 1",
            (3,),
            (4,),
        ),
        page="sql-reference/functions/flatten",
    ),
    *(
        case(
            f"FLATTEN with {option} is refused",
            refused(
                f"SELECT F.VALUE FROM TABLE(FLATTEN(INPUT => PARSE_JSON('[]'), {option})) F", f"FLATTEN with {option}"
            ),
            page="sql-reference/functions/flatten",
        )
        for option in ("OUTER => TRUE", "RECURSIVE => TRUE", "MODE => 'ARRAY'", "PATH => 'a'")
    ),
)
