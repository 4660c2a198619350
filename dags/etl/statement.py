"""The SQL of a load, as text. No side effects.

Rows are staged in a temporary table with the dataset's columns and the columns every RAW table ends with; `_BATCH`
names the part a row came from.
"""

from __future__ import annotations

from etl.dataset import Column, Dataset, Drop, Feed, Type

MARKS = ("_BATCH", "_LOGICAL_DATE", "_LOADED_AT")
SOURCE_FILE = "SOURCE_FILE"
_MARK_TYPES = {"_BATCH": "VARCHAR", "_LOGICAL_DATE": "DATE", "_LOADED_AT": "TIMESTAMP_NTZ"}


def target(dataset: Dataset, database: str) -> str:
    return f"{database}.{dataset.schema}.{dataset.table}"


def total(dataset: Dataset) -> str:
    """The control total as an exact number, of the type the ledger keeps it in; NULL without an amount."""
    return f"SUM({dataset.amount})::NUMBER(38,2)" if dataset.amount else "NULL"


def columns(dataset: Dataset) -> tuple[str, ...]:
    """Names of the columns that the dataset's RAW table is written with."""
    file = (SOURCE_FILE,) if isinstance(dataset.source, Drop) else ()
    return (*dataset.names, *file, *MARKS)


def create_stage(dataset: Dataset, *, stage: str) -> str:
    file = (Column(SOURCE_FILE, Type.TEXT),) if isinstance(dataset.source, Drop) else ()
    data = ", ".join(f"{column.name} {column.type.value}" for column in (*dataset.columns, *file))
    marks = ", ".join(f"{name} {kind}" for name, kind in _MARK_TYPES.items())
    return f"CREATE TEMPORARY TABLE {stage} ({data}, {marks})"


def copy_part(dataset: Dataset, *, stage: str, database: str, key: str) -> str:
    """COPY one object of the landing bucket.

    FORCE because Snowflake's own load history must not decide what is loaded: it does not survive clones, the ledger
    does. https://docs.snowflake.com/en/sql-reference/sql/copy-into-table
    """
    return (
        f"COPY INTO {stage} ({', '.join(dataset.names)}) FROM @{database}.OPS.LANDING FILES = ('{key}') "
        "FILE_FORMAT = (TYPE = CSV SKIP_HEADER = 1 FIELD_OPTIONALLY_ENCLOSED_BY = '\"') "
        "ON_ERROR = ABORT_STATEMENT FORCE = TRUE"
    )


def mark_part(dataset: Dataset, *, stage: str) -> str:
    """Stamp the rows just copied; parameters: batch, logical date, time of loading, then the file of a drop."""
    file = f", {SOURCE_FILE} = %s" if isinstance(dataset.source, Drop) else ""
    return (
        f"UPDATE {stage} SET _BATCH = %s, _LOGICAL_DATE = %s::DATE, _LOADED_AT = %s::TIMESTAMP_NTZ{file} "
        "WHERE _BATCH IS NULL"
    )


def rows(dataset: Dataset, *, stage: str) -> str:
    """The staged rows without repetitions: a feed's newest row per key, a file's distinct lines."""
    names = ", ".join(columns(dataset))
    match dataset.source:
        case Feed(changed=changed):
            return (
                f"SELECT {names} FROM {stage} QUALIFY ROW_NUMBER() OVER "
                f"(PARTITION BY {', '.join(dataset.key)} ORDER BY {changed} DESC) = 1"
            )
        case Drop():
            return f"SELECT DISTINCT {names} FROM {stage}"


def staged_totals(dataset: Dataset, *, stage: str) -> str:
    return f"SELECT _BATCH, COUNT(*), {total(dataset)} FROM ({rows(dataset, stage=stage)}) AS staged GROUP BY _BATCH"


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


def delete_files(dataset: Dataset, *, database: str, count: int) -> str:
    """Delete the rows of `count` source files, given as parameters."""
    places = ", ".join("%s" for _ in range(count))
    return f"DELETE FROM {target(dataset, database)} WHERE {SOURCE_FILE} IN ({places})"


def insert(dataset: Dataset, *, database: str, stage: str) -> str:
    names = ", ".join(columns(dataset))
    return f"INSERT INTO {target(dataset, database)} ({names}) {rows(dataset, stage=stage)}"
