"""COPY INTO a table, stages, file formats, PUT, LIST and REMOVE."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from ..case import case, fails, gives, loads, other, refused, shows, value

_ST = "CREATE STAGE ST URL = 's3://contract/in/'"
_HEAD = "FILE_FORMAT = (TYPE = CSV SKIP_HEADER = 1 FIELD_OPTIONALLY_ENCLOSED_BY = '\"')"
_CLEAR = "TRUNCATE TABLE T"
_ROWS = "SELECT * FROM T ORDER BY ID"
_U = "s3://contract/in/"


def _ok(name: str, rows: int) -> tuple[object, ...]:
    return (_U + name, "LOADED", rows, rows, 1, 0, None, None, None, None)


CASES = (
    case(
        "COPY loads a CSV file of an external stage",
        _ST,
        _CLEAR,
        loads(f"COPY INTO T FROM @ST/plain.csv {_HEAD}", 2, _ok("plain.csv", 2)),
        gives(_ROWS, (10, "x"), (11, "y")),
    ),
    case(
        "COPY names its answer as Snowflake does",
        _ST,
        shows(
            f"COPY INTO T FROM @ST/plain.csv {_HEAD}",
            "file",
            "status",
            "rows_parsed",
            "rows_loaded",
            "error_limit",
            "errors_seen",
            "first_error",
            "first_error_line",
            "first_error_character",
            "first_error_column_name",
        ),
    ),
    case(
        "COPY loads a gzipped file",
        _ST,
        _CLEAR,
        loads(f"COPY INTO {{db}}.S.T FROM @{{db}}.S.ST FILES = ('packed.csv.gz') {_HEAD}", 2, _ok("packed.csv.gz", 2)),
        gives(_ROWS, (10, "x"), (11, "y")),
    ),
    case("COPY loads from a URL", _CLEAR, loads(f"COPY INTO T FROM 's3://contract/in/plain.csv' {_HEAD}", 2)),
    case(
        "quotes, delimiters in quotes, empty and missing fields",
        _ST,
        _CLEAR,
        f"COPY INTO T FROM @ST/quoted.csv {_HEAD}",
        gives(_ROWS, (1, "a,b"), (2, 'say "hi"'), (3, None), (4, ""), (5, "two\nlines")),
    ),
    case(
        "without FIELD_OPTIONALLY_ENCLOSED_BY quotes are text",
        "CREATE TABLE Q (A VARCHAR, B VARCHAR)",
        "COPY INTO Q FROM 's3://contract/in/null.csv'",
        gives("SELECT * FROM Q ORDER BY A", ("1", None), ("2", "NA"), ("3", " z ")),
    ),
    case(
        "NULL_IF and TRIM_SPACE",
        _CLEAR,
        "COPY INTO T FROM 's3://contract/in/null.csv' FILE_FORMAT = (NULL_IF = ('NA', '\\\\N') TRIM_SPACE = TRUE)",
        gives(_ROWS, (1, None), (2, None), (3, "z")),
    ),
    case(
        "EMPTY_FIELD_AS_NULL = FALSE keeps empty texts",
        _ST,
        _CLEAR,
        "COPY INTO T FROM @ST/quoted.csv FILE_FORMAT = (SKIP_HEADER = 1 FIELD_OPTIONALLY_ENCLOSED_BY = "
        "'\"' EMPTY_FIELD_AS_NULL = FALSE)",
        gives("SELECT V FROM T WHERE ID IN (3, 4)", ("",), ("",)),
    ),
    case(
        "another delimiter",
        _CLEAR,
        "COPY INTO T FROM 's3://contract/in/pipe.txt' FILE_FORMAT = (FIELD_DELIMITER = '|')",
        gives(_ROWS, (1, "a"), (2, "b")),
    ),
    case(
        "money is rounded to the scale of its column",
        "CREATE TABLE Q (M NUMBER(18,2))",
        "COPY INTO Q FROM 's3://contract/in/money.csv'",
        gives("SELECT M FROM Q ORDER BY M", (Decimal("-0.01"),), (Decimal("1.24"),), (Decimal("12.00"),)),
    ),
    case(
        "dates, timestamps and booleans",
        "CREATE TABLE Q (A DATE, B TIMESTAMP_NTZ, C BOOLEAN, D BOOLEAN)",
        "COPY INTO Q FROM 's3://contract/in/dates.csv'",
        gives("SELECT * FROM Q", (date(2024, 2, 29), datetime(2024, 2, 29, 13, 14, 15, 123456), True, True)),
    ),
    case(
        "a column list fills those columns",
        _ST,
        "CREATE TABLE Q (X VARCHAR DEFAULT 'd', N INT, W VARCHAR)",
        f"COPY INTO Q (N, W) FROM @ST/plain.csv {_HEAD}",
        gives("SELECT * FROM Q ORDER BY N", ("d", 10, "x"), ("d", 11, "y")),
    ),
    case(
        "a column list may not name what is not there",
        _ST,
        fails(f"COPY INTO T (ID, NOPE) FROM @ST/plain.csv {_HEAD}", 904, "NOPE"),
    ),
    case(
        "COPY into a temporary table",
        _ST,
        "CREATE TEMPORARY TABLE {db}.S.Q (ID INT, V VARCHAR)",
        loads(
            f"COPY INTO {{db}}.S.Q (ID, V) FROM @{{db}}.S.ST FILES = ('plain.csv') {_HEAD} ON_ERROR = "
            f"ABORT_STATEMENT FORCE = TRUE",
            2,
        ),
        value("SELECT SUM(ID) FROM Q", 21),
    ),
    case(
        "a prefix loads every file under it",
        "CREATE STAGE ST URL = 's3://contract/many/'",
        _CLEAR,
        "COPY INTO T FROM @ST/part",
        gives(_ROWS, (1, "a"), (2, "b"), (3, "c")),
    ),
    case(
        "PATTERN chooses files",
        "CREATE STAGE ST URL = 's3://contract/many/'",
        _CLEAR,
        "COPY INTO T FROM @ST PATTERN = '.*[.]csv'",
        value("SELECT COUNT(*) FROM T", 3),
    ),
    case(
        "a prefix without files loads nothing",
        _ST,
        gives(f"COPY INTO T FROM @ST/none/ {_HEAD}", ("Copy executed with 0 files processed.",)),
    ),
    case(
        "a file that is not there is refused",
        _ST,
        fails(f"COPY INTO T FROM @ST FILES = ('nope.csv') {_HEAD}", 91016, "was not found"),
    ),
    case(
        "a bucket that is not there is refused",
        fails(f"COPY INTO T FROM 's3://no-such-bucket-{{n}}/x' {_HEAD}", 91003, "NoSuchBucket"),
    ),
    case(
        "a loaded file is not loaded twice",
        _ST,
        f"COPY INTO T FROM @ST/plain.csv {_HEAD}",
        gives(f"COPY INTO T FROM @ST/plain.csv {_HEAD}", ("Copy executed with 0 files processed.",)),
        value("SELECT COUNT(*) FROM T", 4),
    ),
    case(
        "FORCE loads it again",
        _ST,
        f"COPY INTO T FROM @ST/plain.csv {_HEAD}",
        loads(f"COPY INTO T FROM @ST/plain.csv {_HEAD} FORCE = TRUE", 2),
        value("SELECT COUNT(*) FROM T", 6),
    ),
    case(
        "a truncated table may be loaded again",
        _ST,
        f"COPY INTO T FROM @ST/plain.csv {_HEAD}",
        _CLEAR,
        loads(f"COPY INTO T FROM @ST/plain.csv {_HEAD}", 2),
    ),
    case(
        "a replaced table may be loaded again",
        _ST,
        f"COPY INTO T FROM @ST/plain.csv {_HEAD}",
        "CREATE OR REPLACE TABLE T (ID INT, V VARCHAR)",
        loads(f"COPY INTO T FROM @ST/plain.csv {_HEAD}", 2),
    ),
    case(
        "a clone has no memory of loads, a swap takes it along",
        _ST,
        f"COPY INTO T FROM @ST/plain.csv {_HEAD}",
        "CREATE TABLE C CLONE T",
        loads(f"COPY INTO C FROM @ST/plain.csv {_HEAD}", 2),
        "CREATE SCHEMA NEXT",
        "ALTER SCHEMA {db}.S SWAP WITH {db}.NEXT",
        gives(
            f"COPY INTO {{db}}.NEXT.T FROM @{{db}}.NEXT.ST/plain.csv {_HEAD}",
            ("Copy executed with 0 files processed.",),
        ),
    ),
    case(
        "a wrong number aborts and names file, line and column",
        _ST,
        fails(f"COPY INTO T FROM @ST/one_bad.csv {_HEAD}", 100038, "Numeric value 'nope' is not recognized"),
        fails(f"COPY INTO T FROM @ST/one_bad.csv {_HEAD}", 100038, "line 3"),
        fails(f"COPY INTO T FROM @ST/one_bad.csv {_HEAD}", 100038, 'Row 2, column "T"["ID":1]'),
        value("SELECT COUNT(*) FROM T", 2),
    ),
    case(
        "an abort takes back the files before",
        "CREATE STAGE ST URL = 's3://contract/mixed/'",
        fails("COPY INTO T FROM @ST", 100038, "'x'"),
        value("SELECT COUNT(*) FROM T", 2),
    ),
    case(
        "an abort keeps the transaction around it",
        _ST,
        "BEGIN",
        "INSERT INTO T VALUES (3, 'c')",
        fails(f"COPY INTO T FROM @ST/one_bad.csv {_HEAD}", 100038),
        f"COPY INTO T FROM @ST/plain.csv {_HEAD}",
        "COMMIT",
        other(value("SELECT COUNT(*) FROM T", 5)),
    ),
    case(
        "a rolled back COPY has not loaded",
        _ST,
        "BEGIN",
        f"COPY INTO T FROM @ST/plain.csv {_HEAD}",
        "ROLLBACK",
        value("SELECT COUNT(*) FROM T", 2),
        loads(f"COPY INTO T FROM @ST/plain.csv {_HEAD}", 2),
    ),
    case(
        "ON_ERROR = CONTINUE loads the rest and says so",
        _ST,
        _CLEAR,
        loads(
            f"COPY INTO T FROM @ST/two_bad.csv {_HEAD} ON_ERROR = CONTINUE",
            2,
            (
                _U + "two_bad.csv",
                "PARTIALLY_LOADED",
                4,
                2,
                4,
                2,
                "Numeric value 'nope' is not recognized",
                3,
                1,
                '"T"["ID":1]',
            ),
        ),
        gives(_ROWS, (1, "a"), (3, "c")),
    ),
    case(
        "ON_ERROR = SKIP_FILE leaves the file out",
        "CREATE STAGE ST URL = 's3://contract/mixed/'",
        _CLEAR,
        gives(
            "COPY INTO T FROM @ST ON_ERROR = 'SKIP_FILE'",
            ("s3://contract/mixed/1.csv", "LOADED", 2, 2, 1, 0, None, None, None, None),
            (
                "s3://contract/mixed/2.csv",
                "LOAD_FAILED",
                2,
                0,
                1,
                1,
                "Numeric value 'x' is not recognized",
                2,
                1,
                '"T"["ID":1]',
            ),
        ),
        gives(_ROWS, (1, "a"), (2, "b")),
    ),
    case(
        "ON_ERROR = SKIP_FILE_2 bears one error",
        _ST,
        _CLEAR,
        loads(f"COPY INTO T FROM @ST/one_bad.csv {_HEAD} ON_ERROR = SKIP_FILE_2", 2),
        loads(f"COPY INTO T FROM @ST/two_bad.csv {_HEAD} ON_ERROR = SKIP_FILE_2", 0),
    ),
    case(
        "ON_ERROR of another word is refused",
        _ST,
        fails(f"COPY INTO T FROM @ST/plain.csv {_HEAD} ON_ERROR = MAYBE", 1003, "ON_ERROR"),
    ),
    case(
        "too many columns are an error",
        _ST,
        fails(
            f"COPY INTO T FROM @ST/ragged.csv {_HEAD}",
            100080,
            "Number of columns in file (3) does not match that of the corresponding table (2)",
        ),
    ),
    case(
        "too few columns are an error",
        _ST,
        fails(f"COPY INTO T FROM @ST/short.csv {_HEAD}", 100080, "Number of columns in file (1)"),
    ),
    case(
        "ERROR_ON_COLUMN_COUNT_MISMATCH = FALSE fills with NULL",
        _ST,
        _CLEAR,
        "COPY INTO T FROM @ST/short.csv FILE_FORMAT = (SKIP_HEADER = 1 ERROR_ON_COLUMN_COUNT_MISMATCH = FALSE)",
        gives(_ROWS, (1, "a"), (2, None)),
    ),
    case(
        "a date that is none is an error",
        "CREATE TABLE Q (A DATE, B TIMESTAMP_NTZ, C BOOLEAN, D BOOLEAN)",
        fails("COPY INTO Q FROM 's3://contract/in/not_a_date.csv'", 100040, "Date '2024-02-30' is not recognized"),
    ),
    case(
        "a text longer than its column is an error",
        "CREATE TABLE Q (A INT, B VARCHAR(3))",
        fails("COPY INTO Q FROM 's3://contract/in/long.csv'", 100074, "exceeded by string 'abcdef'"),
        "COPY INTO Q FROM 's3://contract/in/long.csv' TRUNCATECOLUMNS = TRUE",
        gives("SELECT B FROM Q", ("abc",)),
    ),
    case(
        "a NULL for NOT NULL is an error",
        "CREATE TABLE Q (A INT, B VARCHAR NOT NULL)",
        fails("COPY INTO Q FROM 's3://contract/in/null.csv'", 100072, "NULL result in a non-nullable column"),
    ),
    case(
        "a backslash that would be an escape is refused",
        "CREATE TABLE Q (A INT, B VARCHAR)",
        fails("COPY INTO Q FROM 's3://contract/in/backslash.csv'", 391900, "ESCAPE_UNENCLOSED_FIELD"),
        "COPY INTO Q FROM 's3://contract/in/backslash.csv' FILE_FORMAT = (ESCAPE_UNENCLOSED_FIELD = NONE)",
        gives("SELECT B FROM Q", ("a\\tb",)),
    ),
    case(
        "a named file format is used",
        _ST,
        "CREATE FILE FORMAT FF TYPE = CSV SKIP_HEADER = 1",
        _CLEAR,
        loads("COPY INTO T FROM @ST/plain.csv FILE_FORMAT = (FORMAT_NAME = 'FF')", 2),
        loads("COPY INTO T FROM @ST/plain.csv FILE_FORMAT = (FORMAT_NAME = {db}.S.FF) FORCE = TRUE", 2),
    ),
    case(
        "the file format of the stage is used",
        "CREATE STAGE ST URL = 's3://contract/in/' FILE_FORMAT = (TYPE = CSV SKIP_HEADER = 1)",
        _CLEAR,
        loads("COPY INTO T FROM @ST/plain.csv", 2),
    ),
    case(
        "a file format there is not is refused",
        _ST,
        fails("COPY INTO T FROM @ST/plain.csv FILE_FORMAT = (FORMAT_NAME = 'NOPE')", 2003, "NOPE"),
    ),
    case("a stage there is not is refused", fails("COPY INTO T FROM @NOPE", 2003, "NOPE")),
    case("an option there is not is refused", _ST, fails("COPY INTO T FROM @ST/plain.csv SKIP = 1", 1003, "SKIP")),
    case(
        "a file format option there is not is refused",
        _ST,
        fails("COPY INTO T FROM @ST/plain.csv FILE_FORMAT = (SKIP_HEADERS = 1)", 1003, "SKIP_HEADERS"),
    ),
    case(
        "a transformation chooses, converts and tells the file",
        _ST,
        "CREATE TABLE Q (F VARCHAR, W VARCHAR, N INT)",
        f"COPY INTO Q FROM (SELECT METADATA$FILENAME, UPPER($2), $1::INT * 2 FROM @ST/plain.csv) {_HEAD}",
        gives("SELECT * FROM Q ORDER BY N", ("plain.csv", "X", 20), ("plain.csv", "Y", 22)),
    ),
    case(
        "JSON documents become VARIANT rows",
        _ST,
        "CREATE TABLE Q (V VARIANT)",
        "COPY INTO Q FROM @ST/docs.json FILE_FORMAT = (TYPE = JSON)",
        gives("SELECT V:a::INT, V:b.c::VARCHAR FROM Q ORDER BY 1", (1, "x"), (2, "y")),
    ),
    case(
        "STRIP_OUTER_ARRAY makes rows of an array",
        _ST,
        "CREATE TABLE Q (V VARIANT)",
        loads("COPY INTO Q FROM @ST/list.json FILE_FORMAT = (TYPE = JSON STRIP_OUTER_ARRAY = TRUE)", 3),
    ),
    case(
        "a transformation reads paths of JSON",
        _ST,
        "CREATE TABLE Q (A INT, C VARCHAR)",
        "COPY INTO Q FROM (SELECT $1:a, $1:b.c::VARCHAR FROM @ST/docs.json) FILE_FORMAT = (TYPE = JSON)",
        gives("SELECT * FROM Q ORDER BY A", (1, "x"), (2, "y")),
    ),
    case(
        "Parquet is matched by column name",
        _ST,
        _CLEAR,
        loads(
            "COPY INTO T FROM @ST/rows.parquet FILE_FORMAT = (TYPE = PARQUET) MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE",
            2,
        ),
        gives(_ROWS, (1, "a"), (2, "b")),
    ),
    case(
        "Parquet into columns without matching is refused",
        _ST,
        fails("COPY INTO T FROM @ST/rows.parquet FILE_FORMAT = (TYPE = PARQUET)", 2019, "one and only one column"),
    ),
    case(
        "PUT, LIST, COPY and REMOVE on an internal stage",
        "CREATE STAGE ST",
        "PUT file://{files}/plain.csv @ST/day AUTO_COMPRESS = FALSE",
        "LIST @ST",
        gives('SELECT "name", "size" FROM TABLE(RESULT_SCAN(LAST_QUERY_ID()))', ("st/day/plain.csv", 15)),
        _CLEAR,
        loads(f"COPY INTO T FROM @ST/day/ {_HEAD}", 2),
        gives("REMOVE @ST/day", ("st/day/plain.csv", "removed")),
        gives("LIST @ST"),
    ),
    case(
        "PUT compresses unless told not to",
        "CREATE STAGE ST",
        "PUT file://{files}/plain.csv @ST",
        _CLEAR,
        loads(f"COPY INTO T FROM @ST/plain.csv.gz {_HEAD}", 2),
    ),
    case(
        "LIST of an external stage",
        _ST,
        "LIST @ST PATTERN = '.*plain.*'",
        gives('SELECT "name", "size" FROM TABLE(RESULT_SCAN(LAST_QUERY_ID()))', ("s3://contract/in/plain.csv", 15)),
    ),
    case(
        "a stage that exists is refused unless told",
        _ST,
        fails("CREATE STAGE ST", 2002),
        "CREATE STAGE IF NOT EXISTS ST",
        "CREATE OR REPLACE STAGE ST",
        "DROP STAGE ST",
        fails("DROP STAGE ST", 2003),
        "DROP STAGE IF EXISTS ST",
    ),
    case(
        "a storage integration and credentials are accepted",
        "CREATE STORAGE INTEGRATION SI_{n} TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'S3' ENABLED = TRUE "
        "STORAGE_AWS_ROLE_ARN = 'arn' STORAGE_ALLOWED_LOCATIONS = ('s3://contract/')",
        "CREATE STAGE ST URL = 's3://contract/in/' STORAGE_INTEGRATION = SI_{n}",
        loads(f"COPY INTO T FROM @ST/plain.csv {_HEAD}", 2),
        "DROP INTEGRATION SI_{n}",
    ),
    case(
        "a temporary stage ends with its session",
        other("CREATE TEMPORARY STAGE ST URL = 's3://contract/in/'"),
        other("LIST @ST"),
    ),
    case("unloading is refused", _ST, refused("COPY INTO @ST/out FROM T")),
    case("querying a stage is refused", _ST, refused("SELECT $1 FROM @ST/plain.csv")),
    case("GET is refused", "CREATE STAGE ST", refused("GET @ST/x file:///tmp/")),
    case("other clouds are refused", refused("CREATE STAGE ST URL = 'azure://account.blob.core.windows.net/x/'")),
    case("VALIDATION_MODE is refused", _ST, refused("COPY INTO T FROM @ST/plain.csv VALIDATION_MODE = RETURN_ERRORS")),
    case(
        "a file type that cannot be read is refused",
        _ST,
        refused("COPY INTO T FROM @ST/plain.csv FILE_FORMAT = (TYPE = AVRO)"),
    ),
    case(
        "a format option that is not honoured is refused",
        refused("CREATE FILE FORMAT FF TYPE = CSV DATE_FORMAT = 'DD/MM/YYYY'"),
    ),
)
