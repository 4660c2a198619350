"""Checks after a load: the warehouse against its ledger, and against the source asked once more.

Every check collects all its findings and raises one CheckError; a check that finds nothing returns what it counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from etl import ledger, quarantine, statement
from etl.batch import NOTHING
from etl.dataset import Dataset, Drop
from etl.error import CheckError
from etl.files import first_day
from etl.window import Window

SourceTotals = Callable[[], tuple[int, Decimal | None]]


def check_feed(
    warehouse: Any, *, dataset: Dataset, window: Window, first: date, database: str, source_totals: SourceTotals
) -> dict[str, Any]:
    """Compare a feed's table with its ledger and, when `window` is the newest one loaded, with the whole source.

    Args:
        first: the first logical date; every date from it to the window's must be in the ledger.
        source_totals: asks the source for distinct keys and sum of newest amounts before the window's end.
    """
    with closing(warehouse.cursor()) as cursor:
        entries = ledger.read(cursor, database=database, pipeline=dataset.pipeline)
        findings = _missing_dates(entries, first=first, until=window.logical_date)
        findings += _uneven_entries(entries, since=window.logical_date, until=window.logical_date)
        rows, keys, amount = _table_totals(cursor, dataset=dataset, database=database)
        if rows != keys:
            findings.append(f"{dataset.table}: {rows} rows but {keys} distinct keys")
        newest = max((day for day, _ in entries), default=window.logical_date)
        if newest == window.logical_date and not findings:
            findings += _against_source(dataset, rows=rows, amount=amount, source=source_totals())
        findings += _unbalanced(cursor, dataset=dataset, database=database)
    _raise(findings)
    return {"rows": rows, "amount": None if amount is None else str(amount), "newest_logical_date": str(newest)}


def check_files(warehouse: Any, *, dataset: Dataset, window: Window, database: str) -> dict[str, Any]:
    """Compare the rows of each file looked at with the ledger; awaited files are returned, not complained about.

    Files in quarantine are no finding here: what is checked is that the rest is whole.
    """
    since = first_day(dataset, window)
    with closing(warehouse.cursor()) as cursor:
        entries = ledger.read(
            cursor, database=database, pipeline=dataset.pipeline, since=since, until=window.logical_date
        )
        findings = _uneven_entries(entries, since=since, until=window.logical_date)
        present = {part for day, part in entries if day == window.logical_date}
        findings += [
            f"{series.part}: no ledger entry for {window.logical_date}"
            for series in dataset.drop.series
            if series.part not in present
        ]
        by_file = _rows_by_file(cursor, dataset=dataset, database=database)
        without_rows = (0, Decimal("0.00") if dataset.amount else None)
        for entry in entries.values():
            if not entry.source:
                continue
            found = by_file.get(entry.source, without_rows)
            if found != (entry.loaded_rows, entry.source_amount):
                findings.append(
                    f"{entry.source}: {found[0]} rows, amount {found[1]} in {dataset.table}; "
                    f"ledger {entry.loaded_rows}, {entry.source_amount}"
                )
        rows, keys, _ = _table_totals(cursor, dataset=dataset, database=database)
        if rows != keys:
            findings.append(f"{dataset.table}: {rows} rows but {keys} distinct keys: a file was loaded twice?")
    _raise(findings)
    awaited = sorted(f"{day}/{part}" for (day, part), entry in entries.items() if entry.content_sha256 == NOTHING)
    return {"files": sum(1 for entry in entries.values() if entry.source), "rows": rows, "awaited": awaited}


def check_quarantine(warehouse: Any, *, dataset: Dataset, window: Window, database: str) -> dict[str, Any]:
    """Raise QuarantineError when a file of the days that the run looked at is faulty, whatever else was loaded."""
    with closing(warehouse.cursor()) as cursor:
        entries, blocked = _in_quarantine(cursor, dataset=dataset, window=window, database=database)
    quarantine.demand_empty(entries, blocked=blocked)
    return {"files": len(entries)}


def obstacles(cursor: Any, *, datasets: Iterable[Dataset], window: Window, database: str) -> dict[str, str]:
    """Return by pipeline why a build for the window's date has to wait: not loaded, or too many files missing."""
    loaded = ledger.pipelines_loaded(cursor, database=database, logical_date=window.logical_date)
    found: dict[str, str] = {}
    for dataset in datasets:
        if dataset.pipeline not in loaded:
            found[dataset.pipeline] = "not loaded"
        elif isinstance(dataset.source, Drop):
            _, reason = _in_quarantine(cursor, dataset=dataset, window=window, database=database)
            if reason:
                found[dataset.pipeline] = reason
    return found


def check_built(warehouse: Any, *, database: str, schemas: tuple[str, ...]) -> dict[str, int]:
    """Return rows per relation of the built schemas; complain when a schema has no relation, or not one row in all.

    A single empty relation is no finding: a list of exceptions is at its best when empty.
    """
    counts: dict[str, int] = {}
    findings = []
    with closing(warehouse.cursor()) as cursor:
        for schema in schemas:
            cursor.execute(
                f"SELECT TABLE_NAME FROM {database}.INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = %s ORDER BY 1",
                (schema,),
            )
            names = [row[0] for row in cursor.fetchall()]
            for name in names:
                cursor.execute(f'SELECT COUNT(*) FROM {database}.{schema}."{name}"')
                counts[f"{schema}.{name}"] = int(cursor.fetchone()[0])
            if not any(counts[f"{schema}.{name}"] for name in names):
                findings.append(f"{database}.{schema}: {len(names)} relations, no rows")
    _raise(findings)
    return counts


def _in_quarantine(
    cursor: Any, *, dataset: Dataset, window: Window, database: str
) -> tuple[tuple[quarantine.Entry, ...], str | None]:
    """Return the open entries of the days that the window's run looks at, and why builds wait for them, if they do."""
    since, until = first_day(dataset, window), window.logical_date
    entries = quarantine.read_open(cursor, database=database, pipeline=dataset.pipeline, since=since, until=until)
    held = ledger.read(cursor, database=database, pipeline=dataset.pipeline, since=since, until=until)
    loaded = {place for place, entry in held.items() if entry.source}
    return tuple(entries.values()), quarantine.judge(dataset, entries.values(), loaded=loaded)


def _missing_dates(entries: dict[tuple[date, str], ledger.Entry], *, first: date, until: date) -> list[str]:
    present = {day for day, _ in entries}
    wanted = (first + timedelta(days=n) for n in range((until - first).days + 1))
    missing = [str(day) for day in wanted if day not in present]
    return [f"no ledger entry for {', '.join(missing)}: clear or backfill those runs"] if missing else []


def _uneven_entries(entries: dict[tuple[date, str], ledger.Entry], *, since: date | None, until: date) -> list[str]:
    return [
        f"{entry.pipeline}/{day}/{part}: {entry.loaded_rows} rows loaded, the source counted {entry.source_rows}"
        for (day, part), entry in sorted(entries.items())
        if (since is None or day >= since) and day <= until and entry.loaded_rows != entry.source_rows
    ]


def _table_totals(cursor: Any, *, dataset: Dataset, database: str) -> tuple[int, int, Decimal | None]:
    key = dataset.key[0] if len(dataset.key) == 1 else " || '/' || ".join(f"{k}::VARCHAR" for k in dataset.key)
    total = statement.total(dataset)
    cursor.execute(f"SELECT COUNT(*), COUNT(DISTINCT {key}), {total} FROM {statement.target(dataset, database)}")
    rows, keys, amount = cursor.fetchone()
    return int(rows), int(keys), Decimal(amount or 0) if dataset.amount else None


def _rows_by_file(cursor: Any, *, dataset: Dataset, database: str) -> dict[str, tuple[int, Decimal | None]]:
    total = statement.total(dataset)
    cursor.execute(
        f"SELECT SOURCE_FILE, COUNT(*), {total} FROM {statement.target(dataset, database)} GROUP BY SOURCE_FILE"
    )
    return {
        file: (int(rows), Decimal(amount or 0) if dataset.amount else None) for file, rows, amount in cursor.fetchall()
    }


def _against_source(
    dataset: Dataset, *, rows: int, amount: Decimal | None, source: tuple[int, Decimal | None]
) -> list[str]:
    findings = []
    if rows != source[0]:
        findings.append(f"{dataset.table}: {rows} rows, the source has {source[0]} keys")
    if amount is not None and amount != source[1]:
        findings.append(f"{dataset.table}: {dataset.amount} sums to {amount}, the source's to {source[1]}")
    return findings


def _unbalanced(cursor: Any, *, dataset: Dataset, database: str) -> list[str]:
    if not dataset.balanced_by:
        return []
    by, total = ", ".join(dataset.balanced_by), statement.total(dataset)
    cursor.execute(
        f"SELECT {by}, {total} FROM {statement.target(dataset, database)} "
        f"GROUP BY {by} HAVING {total} <> 0 ORDER BY {by}"
    )
    return [
        f"{dataset.table}: {' '.join(str(v) for v in row[:-1])} sums to {row[-1]}, not zero"
        for row in cursor.fetchall()
    ]


def _raise(findings: list[str]) -> None:
    if findings:
        raise CheckError(tuple(findings))
