"""Functions dbt models use."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from ..case import case, fails, gives, refused, value

CASES = (
    case(
        "LISTAGG joins in order",
        value("SELECT LISTAGG(V, ',') WITHIN GROUP (ORDER BY V DESC) FROM T", "b,a"),
        page="sql-reference/functions/listagg",
    ),
    case(
        "LISTAGG of nothing is empty",
        value("SELECT LISTAGG(V, ',') FROM T WHERE FALSE", ""),
        page="sql-reference/functions/listagg",
    ),
    case(
        "DATEADD",
        value(
            "SELECT DATEADD(DAY, 1, '2024-02-28'::DATE), DATEADD('month', -1, '2024-03-31'::DATE), "
            "DATEADD(HOUR, 2, '2024-01-01'::TIMESTAMP_NTZ)",
            date(2024, 2, 29),
            date(2024, 2, 29),
            datetime(2024, 1, 1, 2),
        ),
        page="sql-reference/functions/dateadd",
    ),
    case(
        "DATEDIFF counts the borders crossed",
        value(
            "SELECT DATEDIFF(DAY, '2024-01-01'::DATE, '2024-03-01'::DATE), DATEDIFF('year', "
            "'2023-12-31'::DATE, '2024-01-01'::DATE), DATEDIFF(MINUTE, '2024-01-01 00:00:59'::TIMESTAMP, "
            "'2024-01-01 00:01:00'::TIMESTAMP)",
            60,
            1,
            1,
        ),
        page="sql-reference/functions/datediff",
    ),
    case(
        "DATE_TRUNC",
        value(
            "SELECT DATE_TRUNC('MONTH', '2024-02-29'::DATE), DATE_TRUNC('hour', '2024-02-29 13:14:15'::TIMESTAMP_NTZ)",
            date(2024, 2, 1),
            datetime(2024, 2, 29, 13),
        ),
        page="sql-reference/functions/date_trunc",
    ),
    case(
        "LAST_DAY and ADD_MONTHS",
        value(
            "SELECT LAST_DAY('2024-02-01'::DATE), ADD_MONTHS('2024-01-31'::DATE, 1)",
            date(2024, 2, 29),
            date(2024, 2, 29),
        ),
        page="sql-reference/functions/last_day",
    ),
    case(
        "YEAR, MONTH, DAY, DAYOFWEEK and EXTRACT",
        value(
            "SELECT YEAR('2024-02-29'::DATE), MONTH('2024-02-29'::DATE), DAY('2024-02-29'::DATE), "
            "DAYOFWEEK('2024-02-25'::DATE), EXTRACT(QUARTER FROM '2024-02-29'::DATE)",
            2024,
            2,
            29,
            0,
            1,
        ),
        page="sql-reference/functions/year",
    ),
    case(
        "TO_DATE, TO_TIMESTAMP_NTZ and TO_CHAR",
        value(
            "SELECT TO_DATE('2024-01-05'), TO_TIMESTAMP_NTZ('2024-01-05 01:02:03'), "
            "TO_CHAR('2024-01-05'::DATE, 'YYYYMMDD')",
            date(2024, 1, 5),
            datetime(2024, 1, 5, 1, 2, 3),
            "20240105",
        ),
        page="sql-reference/functions/to_date",
    ),
    case(
        "TO_DATE with a format",
        value("SELECT TO_DATE('05/01/2024', 'DD/MM/YYYY')", date(2024, 1, 5)),
        page="sql-reference/functions/to_date",
    ),
    case(
        "IFF, NVL, NVL2, ZEROIFNULL and COALESCE",
        value(
            "SELECT IFF(1 > 0, 'y', 'n'), NVL(NULL, 2), NVL2(NULL, 1, 3), ZEROIFNULL(NULL), COALESCE(NULL, NULL, 4)",
            "y",
            2,
            3,
            0,
            4,
        ),
        page="sql-reference/functions/iff",
    ),
    case(
        "DECODE and CASE",
        value("SELECT DECODE(2, 1, 'one', 2, 'two', 'many'), CASE WHEN FALSE THEN 1 END", "two", None),
        page="sql-reference/functions/decode",
    ),
    case(
        "NULLIF, EQUAL_NULL and IS DISTINCT FROM",
        value("SELECT NULLIF(1, 1), EQUAL_NULL(NULL, NULL), 1 IS DISTINCT FROM NULL", None, True, True),
        page="sql-reference/functions/nullif",
    ),
    case(
        "GREATEST and LEAST know NULL",
        value("SELECT GREATEST(1, 3, 2), LEAST(1, 3), GREATEST(1, NULL), LEAST(NULL, 1)", 3, 1, None, None),
        page="sql-reference/functions/greatest",
    ),
    case(
        "TRY_TO_NUMBER, TRY_CAST and TRY_TO_DATE give NULL",
        value(
            "SELECT TRY_TO_NUMBER('x'), TRY_CAST('1' AS INT), TRY_TO_DATE('x'), TRY_TO_NUMBER('12.6')",
            None,
            1,
            None,
            13,
        ),
        page="sql-reference/functions/try_to_decimal",
    ),
    case(
        "TO_NUMBER and TRY_TO_DECIMAL take a scale",
        value("SELECT TO_NUMBER('12.345', 10, 2), TRY_TO_DECIMAL('12.345', 10, 1)", Decimal("12.35"), Decimal("12.3")),
        page="sql-reference/functions/to_decimal",
    ),
    case(
        "ROUND, CEIL, FLOOR, ABS, MOD and SIGN",
        value(
            "SELECT ROUND(2.5), ROUND(-2.5), ROUND(1.255, 2), CEIL(1.2), FLOOR(-1.2), ABS(-3), MOD(7, 3), SIGN(-2)",
            3,
            -3,
            Decimal("1.26"),
            2,
            -2,
            3,
            1,
            -1,
        ),
        page="sql-reference/functions/round",
    ),
    case(
        "DIV0 and DIV0NULL",
        value("SELECT DIV0(1, 0), DIV0NULL(1, NULL), DIV0(1, 2)", 0, 0, Decimal("0.5")),
        page="sql-reference/functions/div0",
    ),
    case(
        "texts",
        value(
            "SELECT UPPER('a'), LOWER('A'), TRIM('  a '), LENGTH('abc'), SUBSTR('abcdef', 2, 3), "
            "LEFT('abc', 2), RIGHT('abc', 2), REPLACE('aXb', 'X', '-'), LPAD('7', 3, '0'), CONCAT('a', "
            "'b'), INITCAP('ab cd')",
            "A",
            "a",
            "a",
            3,
            "bcd",
            "ab",
            "bc",
            "a-b",
            "007",
            "ab",
            "Ab Cd",
        ),
        page="sql-reference/functions/upper",
    ),
    case(
        "SPLIT_PART, SPLIT, CONTAINS, STARTSWITH and POSITION",
        value(
            "SELECT SPLIT_PART('a-b-c', '-', 2), SPLIT_PART('a-b', '-', -1), CONTAINS('abc', 'b'), "
            "STARTSWITH('abc', 'ab'), ENDSWITH('abc', 'c'), POSITION('c' IN 'abc'), CHARINDEX('b', 'abc')",
            "b",
            "b",
            True,
            True,
            True,
            3,
            2,
        ),
        page="sql-reference/functions/split_part",
    ),
    case(
        "REGEXP_REPLACE, REGEXP_LIKE matches the whole",
        value(
            "SELECT REGEXP_REPLACE('a1b2', '[0-9]', ''), REGEXP_LIKE('abc', 'b'), REGEXP_LIKE('abc', "
            "'a.c'), REGEXP_SUBSTR('ab12', '[0-9]+'), 'abc' RLIKE 'a.*'",
            "ab",
            False,
            True,
            "12",
            True,
        ),
        page="sql-reference/functions/regexp_replace",
    ),
    case(
        "ILIKE and LIKE ANY",
        value("SELECT 'ABC' ILIKE 'a%', 'abc' LIKE ANY ('x%', 'a%')", True, True),
        page="sql-reference/functions/ilike",
    ),
    case(
        "MD5 and SHA2 are lower-case hex",
        value(
            "SELECT MD5('a'), SHA2('a', 256)",
            "0cc175b9c0f1b6a831c399e269772661",
            "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
        ),
        page="sql-reference/functions/md5",
    ),
    case(
        "the surrogate key of dbt-utils",
        value(
            "SELECT MD5(CAST(COALESCE(CAST(1 AS VARCHAR), '_dbt_utils_surrogate_key_null_') || '-' || "
            "COALESCE(CAST(NULL AS VARCHAR), '_dbt_utils_surrogate_key_null_') AS VARCHAR)) = "
            "MD5('1-_dbt_utils_surrogate_key_null_')",
            True,
        ),
        page="sql-reference/functions/md5",
    ),
    case(
        "HASH is the same for the same values",
        value("SELECT HASH(1, 'a') = HASH(1, 'a'), HASH(1) = HASH(2)", True, False),
        page="sql-reference/functions/hash",
    ),
    case(
        "OBJECT_CONSTRUCT and its paths",
        value(
            "SELECT OBJECT_CONSTRUCT('a', 1, 'b', NULL):a::INT, OBJECT_CONSTRUCT('a', 1, 'b', NULL):b IS NULL", 1, True
        ),
        page="sql-reference/functions/object_construct",
    ),
    case(
        "PARSE_JSON and TRY_PARSE_JSON",
        value("SELECT PARSE_JSON('{\"x\": {\"y\": 5}}'):x.y::INT, TRY_PARSE_JSON('{bad') IS NULL", 5, True),
        page="sql-reference/functions/parse_json",
    ),
    case(
        "GENERATOR gives rows",
        value("SELECT COUNT(*) FROM TABLE(GENERATOR(ROWCOUNT => 5))", 5),
        page="sql-reference/functions/generator",
    ),
    case(
        "ROW_NUMBER over GENERATOR counts",
        gives(
            "SELECT ROW_NUMBER() OVER (ORDER BY SEQ4()) FROM TABLE(GENERATOR(ROWCOUNT => 3)) ORDER BY 1",
            (1,),
            (2,),
            (3,),
        ),
        page="sql-reference/functions/row_number",
    ),
    case(
        "a date spine",
        gives(
            "SELECT DATEADD(DAY, ROW_NUMBER() OVER (ORDER BY NULL) - 1, '2024-01-30'::DATE) AS D FROM "
            "TABLE(GENERATOR(ROWCOUNT => 3)) ORDER BY D",
            (date(2024, 1, 30),),
            (date(2024, 1, 31),),
            (date(2024, 2, 1),),
        ),
        page="sql-reference/functions/dateadd",
    ),
    case(
        "LAG, LEAD, FIRST_VALUE and SUM OVER",
        gives(
            "SELECT ID, LAG(ID) OVER (ORDER BY ID), LEAD(ID) OVER (ORDER BY ID), FIRST_VALUE(V) OVER "
            "(ORDER BY ID), SUM(ID) OVER (ORDER BY ID) FROM T ORDER BY ID",
            (1, None, 2, "a", 1),
            (2, 1, None, "a", 3),
        ),
        page="sql-reference/functions/lag",
    ),
    case(
        "COUNT_IF, BOOLAND_AGG, ANY_VALUE and MAX_BY",
        value(
            "SELECT COUNT_IF(ID > 1), BOOLAND_AGG(ID > 0), ANY_VALUE(1), MAX_BY(V, ID), MIN_BY(V, ID) FROM T",
            1,
            True,
            1,
            "b",
            "a",
        ),
        page="sql-reference/functions/count_if",
    ),
    case(
        "MEDIAN, STDDEV and PERCENTILE_CONT",
        value(
            "SELECT MEDIAN(ID), PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY ID) FROM T", Decimal("1.5"), Decimal("1.5")
        ),
        page="sql-reference/functions/median",
    ),
    case(
        "ARRAY_AGG gathers",
        value("SELECT ARRAY_SIZE(ARRAY_AGG(V)) FROM T", 2),
        page="sql-reference/functions/array_agg",
    ),
    case(
        "SUM of NUMBER is exact, AVG is once it is rounded",
        value(
            "SELECT SUM(X), AVG(X)::NUMBER(18,4) FROM VALUES (0.10::NUMBER(18,2)), (0.25::NUMBER(18,2)) AS N(X)",
            Decimal("0.35"),
            Decimal("0.175"),
        ),
        page="sql-reference/functions/sum",
    ),
    case(
        "a ledger of many small amounts sums to zero",
        value(
            "SELECT SUM(IFF(MOD(N, 2) = 0, 0.10::NUMBER(18,2), -0.10::NUMBER(18,2))) FROM (SELECT "
            "ROW_NUMBER() OVER (ORDER BY NULL) AS N FROM TABLE(GENERATOR(ROWCOUNT => 10000)))",
            Decimal("0.00"),
        ),
        page="sql-reference/functions/sum",
    ),
    case(
        "CONVERT_TIMEZONE",
        value(
            "SELECT CONVERT_TIMEZONE('UTC', 'America/New_York', '2024-01-01 12:00:00'::TIMESTAMP_NTZ)",
            datetime(2024, 1, 1, 7),
        ),
        page="sql-reference/functions/convert_timezone",
    ),
    case(
        "CURRENT_TIMESTAMP, CURRENT_DATE and SYSDATE are now",
        value(
            "SELECT CURRENT_TIMESTAMP() > '2024-01-01'::TIMESTAMP_TZ, CURRENT_DATE() >= "
            "'2024-01-01'::DATE, SYSDATE() > '2024-01-01'::TIMESTAMP_NTZ",
            True,
            True,
            True,
        ),
        page="sql-reference/functions/current_timestamp",
    ),
    case(
        "UUID_STRING is a UUID", value("SELECT LENGTH(UUID_STRING())", 36), page="sql-reference/functions/uuid_string"
    ),
    case(
        "SYSTEM$TYPEOF is refused",
        refused("SELECT SYSTEM$TYPEOF(1)", "SYSTEM$TYPEOF()"),
        page="sql-reference/functions/system_typeof",
    ),
    case(
        "functions of DuckDB that Snowflake does not have are unknown",
        *(
            fails(f"SELECT {call} AS A FROM T", 2140, call.partition("(")[0])
            for call in (
                *("LIST_VALUE(1)", "RANGE(3)", "EPOCH_MS(1)", "STRFTIME(CURRENT_DATE, '%Y')", "STRUCT_PACK(A := 1)"),
                *("STRING_SPLIT(V, 'a')", "REGEXP_MATCHES(V, 'a')", "LIST_AGGREGATE(LIST_VALUE(1), 'sum')"),
            )
        ),
        fails("SELECT * FROM T USING SAMPLE 10", 1003, "USING"),
        value("SELECT COUNT(*) FROM T SAMPLE (100)", 2),
        fails("CREATE VIEW W AS SELECT STRFTIME(CURRENT_DATE, '%Y') AS A", 2140, "STRFTIME"),
        fails("INSERT INTO T (ID) SELECT EPOCH(CURRENT_TIMESTAMP) AS A", 2140, "EPOCH"),
        page="sql-reference/functions-all",
    ),
    case(
        "a function there is not is refused",
        fails("SELECT NO_SUCH_FUNCTION(1)", 2140, "NO_SUCH_FUNCTION"),
        page="sql-reference/functions-all",
    ),
    case(
        "a function of DuckDB is not one of Snowflake",
        fails("SELECT * FROM READ_CSV('/etc/passwd')", 2140),
        page="sql-reference/functions-all",
    ),
    case(
        "a column there is not is refused",
        fails("SELECT NOPE FROM T", 904, "invalid identifier"),
        page="sql-reference/sql/select",
    ),
    case(
        "an ambiguous column is refused",
        fails("SELECT ID FROM T A JOIN T B ON A.ID = B.ID", 2028, "ambiguous column name 'ID'"),
        page="sql-reference/constructs/join",
    ),
    case(
        "a column outside GROUP BY is refused",
        fails("SELECT V, COUNT(*) FROM T", 979, "GROUP BY"),
        page="sql-reference/constructs/group-by",
    ),
)
