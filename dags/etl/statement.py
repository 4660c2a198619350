"""The SQL of a load, as text. No side effects.

Rows are staged in a temporary table with the dataset's columns, the columns every RAW table ends with, and the landing
object each row came from. However many parts a batch has, it takes one COPY and one UPDATE.
"""

from __future__ import annotations

from collections.abc import Sequence

from etl.dataset import Column, Dataset, Drop, Feed

MARKS = ("_BATCH", "_LOGICAL_DATE", "_LOADED_AT")
SOURCE_FILE = "SOURCE_FILE"
LANDED = "LANDED"  # of the staging table only: key of the landing object
MAX_FILES = 1_000  # a COPY may name: https://docs.snowflake.com/en/sql-reference/sql/copy-into-table
_MARK_TYPES = {"_BATCH": "VARCHAR", "_LOGICAL_DATE": "DATE", "_LOADED_AT": "TIMESTAMP_NTZ"}


def target(dataset: Dataset, database: str) -> str:
    return f"{database}.{dataset.schema}.{dataset.table}"


def total(dataset: Dataset) -> str:
    """The control total as an exact number, of the type the ledger keeps it in; NULL without an amount.

    The cast inside says that decimals are added, whatever an engine would make of the column's own type.
    """
    return f"SUM({dataset.amount}::NUMBER(38,2))::NUMBER(38,2)" if dataset.amount else "NULL"


def columns(dataset: Dataset) -> tuple[str, ...]:
    """Names of the columns that the dataset's RAW table is written with."""
    file = (SOURCE_FILE,) if isinstance(dataset.source, Drop) else ()
    return (*dataset.names, *file, *MARKS)


def create_stage(dataset: Dataset, *, stage: str) -> str:
    file = (Column(SOURCE_FILE),) if isinstance(dataset.source, Drop) else ()
    data = ", ".join(f"{column.name} {column.type.value}" for column in (*dataset.columns, *file))
    marks = ", ".join(f"{name} {kind}" for name, kind in _MARK_TYPES.items())
    return f"CREATE TEMPORARY TABLE {stage} ({data}, {marks}, {LANDED} VARCHAR)"


def copy_parts(dataset: Dataset, *, stage: str, database: str, keys: Sequence[str]) -> str:
    """COPY up to MAX_FILES objects of the landing bucket, whose root is the location of the stage LANDING.

    FORCE because Snowflake's own load history must not decide what is loaded: it does not survive clones, the ledger
    does. No escapes and no NULL_IF: PostgreSQL's CSV has neither, and a backslash in a name must stay one.
    https://docs.snowflake.com/en/sql-reference/sql/copy-into-table
    """
    fields = ", ".join(f"${n}::{column.type.value}" for n, column in enumerate(dataset.columns, start=1))
    files = ", ".join(f"'{key}'" for key in keys)
    return (
        f"COPY INTO {stage} ({', '.join(dataset.names)}, {LANDED}) "
        f"FROM (SELECT {fields}, METADATA$FILENAME FROM @{database}.OPS.LANDING) FILES = ({files}) "
        "FILE_FORMAT = (TYPE = CSV SKIP_HEADER = 1 FIELD_OPTIONALLY_ENCLOSED_BY = '\"' "
        "ESCAPE_UNENCLOSED_FIELD = NONE NULL_IF = () SKIP_BLANK_LINES = TRUE) ON_ERROR = ABORT_STATEMENT FORCE = TRUE"
    )


def mark_parts(dataset: Dataset, *, stage: str, count: int) -> str:
    """Stamp the rows copied with the part they came from.

    Parameters: the time of loading; then for each of `count` parts the landing object, batch and logical date, and the
    file of a drop.
    """
    has_file = isinstance(dataset.source, Drop)
    row = "(%s, %s, %s, %s)" if has_file else "(%s, %s, %s)"
    return (
        f"UPDATE {stage} SET _BATCH = part.column2, _LOGICAL_DATE = part.column3::DATE, _LOADED_AT = %s::TIMESTAMP_NTZ"
        f"{f', {SOURCE_FILE} = part.column4' if has_file else ''} "
        f"FROM (SELECT * FROM VALUES {', '.join([row] * count)}) AS part WHERE {LANDED} = part.column1"
    )


def rows(dataset: Dataset, *, stage: str) -> str:
    """The staged rows without repetitions: a feed's newest row per key, a file's distinct lines.

    Among rows of one key and time the first in the order of the other columns counts, as in the source's totals.
    """
    names = ", ".join(columns(dataset))
    match dataset.source:
        case Feed(changed=changed):
            order = ", ".join((f"{changed} DESC", *dataset.others))
            return (
                f"SELECT {names} FROM {stage} QUALIFY ROW_NUMBER() OVER "
                f"(PARTITION BY {', '.join(dataset.key)} ORDER BY {order}) = 1"
            )
        case Drop():
            return f"SELECT DISTINCT {names} FROM {stage}"


def staged_totals(dataset: Dataset, *, stage: str) -> str:
    return f"SELECT _BATCH, COUNT(*), {total(dataset)} FROM ({rows(dataset, stage=stage)}) AS staged GROUP BY _BATCH"


def shared_keys(dataset: Dataset, *, database: str, stage: str) -> str:
    """Count the keys that each staged file shares with each other file: whether that one is loaded, or staged too."""
    keys = ", ".join((SOURCE_FILE, *dataset.key))
    same = " AND ".join(f"s.{name} = o.{name}" for name in dataset.key)
    return (
        f"WITH staged AS (SELECT DISTINCT {keys} FROM {stage}), others AS (SELECT {keys}, TRUE AS IS_LOADED "
        f"FROM {target(dataset, database)} UNION ALL SELECT {keys}, FALSE AS IS_LOADED FROM staged) "
        f"SELECT s.{SOURCE_FILE}, o.{SOURCE_FILE}, o.IS_LOADED, COUNT(*) FROM staged s JOIN others o "
        f"ON {same} AND s.{SOURCE_FILE} <> o.{SOURCE_FILE} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )


def merge(dataset: Dataset, *, database: str, stage: str) -> str:
    """Bring a feed's rows in; takes no parameters.

    A row that is there gives way to a later version, and to any row of its own logical date: a rerun replaces.
    """
    feed = dataset.feed
    names = columns(dataset)
    match_on = " AND ".join(f"t.{name} = s.{name}" for name in dataset.key)
    same_date = "t._LOGICAL_DATE = s._LOGICAL_DATE"
    replaces = f"(s.{feed.changed} > t.{feed.changed} OR {same_date})" if feed.versioned else same_date
    updates = ", ".join(f"{name} = s.{name}" for name in names if name not in dataset.key)
    return (
        f"MERGE INTO {target(dataset, database)} t USING ({rows(dataset, stage=stage)}) s ON {match_on} "
        f"WHEN MATCHED AND {replaces} THEN UPDATE SET {updates} "
        f"WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) VALUES ({', '.join(f's.{name}' for name in names)})"
    )


def delete_withdrawn(dataset: Dataset, *, database: str, stage: str) -> str:
    """Delete a logical date's rows (the parameter) that its replaced batch no longer has."""
    (key,) = dataset.key
    return (
        f"DELETE FROM {target(dataset, database)} WHERE _LOGICAL_DATE = %s::DATE "
        f"AND {key} NOT IN (SELECT {key} FROM {stage})"
    )


def delete_files(table: str, *, count: int) -> str:
    """Delete the rows of `count` source files, given as parameters, from the dataset's table or from what is staged."""
    places = ", ".join("%s" for _ in range(count))
    return f"DELETE FROM {table} WHERE {SOURCE_FILE} IN ({places})"


def insert(dataset: Dataset, *, database: str, stage: str) -> str:
    names = ", ".join(columns(dataset))
    return f"INSERT INTO {target(dataset, database)} ({names}) {rows(dataset, stage=stage)}"
