"""Load a batch into RAW: stage, compare with the source's totals, then ONE transaction for rows and ledger.

Rules:
- what the ledger holds with the same digest is not loaded again; a part with another digest replaces;
- a feed's batch is replaced as a whole, because its parts are cut by size; files are replaced one by one;
- a version withdrawn from a feed goes, and dates before it are open again: one of them may hold the version before;
- an awaited file never replaces a loaded one, nor an older version of a file a newer one;
- nothing is written to RAW unless every staged part equals what the source counted.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from etl import files, ledger, statement
from etl.batch import Batch, Part
from etl.dataset import Dataset, Drop, Feed
from etl.error import LoadError

Entries = Mapping[tuple[date, str], ledger.Entry]


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadResult:
    """What a load did.

    Attributes:
        loaded, skipped, awaited: names of the parts as `<date>/<part>`.
        rows: rows staged and brought in, repetitions removed.
    """

    loaded: tuple[str, ...]
    skipped: tuple[str, ...]
    awaited: tuple[str, ...]
    rows: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "loaded": list(self.loaded),
            "skipped": list(self.skipped),
            "awaited": list(self.awaited),
            "rows": self.rows,
        }


def load(connection: Any, *, dataset: Dataset, batch: Batch, database: str, release: str) -> LoadResult:
    """Bring `batch` into the RAW database and return what was done; the same batch again does nothing.

    Args:
        connection: a Snowflake connection in autocommit, with no transaction open.
        release: recorded in the ledger.

    Raises LoadError when what arrived differs from the source's totals; RAW is untouched then.

    Side effects: a temporary table in `<database>.OPS`, rows of the dataset's table and of the ledger.
    """
    with closing(connection.cursor()) as cursor:
        dates = [part.logical_date for part in batch.parts]
        held = ledger.read(cursor, database=database, pipeline=batch.pipeline, since=min(dates), until=max(dates))
        due = parts_due(batch, held, dataset=dataset)
        if due:
            _load(cursor, dataset=dataset, batch=batch, due=due, held=held, database=database, release=release)
        named = {part: f"{part.logical_date}/{part.name}" for part in batch.parts}
        return LoadResult(
            loaded=tuple(named[part] for part in due if part.key),
            skipped=tuple(named[part] for part in batch.parts if part not in due),
            awaited=tuple(named[part] for part in due if not part.key),
            rows=sum(part.rows for part in due),
        )


def parts_due(batch: Batch, held: Entries, *, dataset: Dataset) -> tuple[Part, ...]:
    """Return the parts that have to be loaded, given the ledger's entries. No side effects."""
    changed = tuple(part for part in batch.parts if _is_due(part, held.get((part.logical_date, part.name))))
    if isinstance(dataset.source, Feed) and (changed or parts_gone(batch, held, dataset=dataset)):
        return batch.parts
    return changed


def parts_gone(batch: Batch, held: Entries, *, dataset: Dataset) -> tuple[str, ...]:
    """Return names of a feed's recorded parts that the batch no longer has. No side effects."""
    if isinstance(dataset.source, Drop):
        return ()
    present = {part.name for part in batch.parts}
    return tuple(name for day, name in held if day == batch.logical_date and name not in present)


def _is_due(part: Part, held: ledger.Entry | None) -> bool:
    if held is None:
        return True
    if held.content_sha256 == part.sha256 or part.key is None:
        return False
    older = part.source and held.source and files.version_of(part.source) < files.version_of(held.source)
    return not older


def _load(
    cursor: Any,
    *,
    dataset: Dataset,
    batch: Batch,
    due: Sequence[Part],
    held: Entries,
    database: str,
    release: str,
) -> None:
    stage = f"{database}.OPS.STAGED_{dataset.table}_{uuid.uuid4().hex[:12].upper()}"
    now = datetime.now(UTC).replace(tzinfo=None)
    cursor.execute(statement.create_stage(dataset, stage=stage))  # before BEGIN: DDL commits what is open
    try:
        _fill_stage(cursor, dataset=dataset, batch=batch, due=due, stage=stage, database=database, now=now)
        loaded = _verify(cursor, dataset=dataset, batch=batch, due=due, stage=stage)
        cursor.execute("BEGIN")
        try:
            _write(cursor, dataset=dataset, batch=batch, due=due, held=held, database=database, stage=stage)
            gone = parts_gone(batch, held, dataset=dataset)
            ledger.forget(
                cursor, database=database, pipeline=batch.pipeline, logical_date=batch.logical_date, parts=gone
            )
            entries = [
                _entry(part, pipeline=batch.pipeline, loaded=loaded[part], release=release, now=now) for part in due
            ]
            ledger.write(cursor, database=database, entries=entries)
            cursor.execute("COMMIT")
        except BaseException:
            with suppress(Exception):  # the first error is the one to report; a lost session rolls back by itself
                cursor.execute("ROLLBACK")
            raise
    finally:
        with suppress(Exception):  # it ends with the session anyhow
            cursor.execute(f"DROP TABLE IF EXISTS {stage}")


def _fill_stage(
    cursor: Any,
    *,
    dataset: Dataset,
    batch: Batch,
    due: Sequence[Part],
    stage: str,
    database: str,
    now: datetime,
) -> None:
    keys = {part.key: part for part in due if part.key is not None and part.rows}
    if not keys:
        return
    for start in range(0, len(keys), statement.MAX_FILES):
        some = tuple(keys)[start : start + statement.MAX_FILES]
        cursor.execute(statement.copy_parts(dataset, stage=stage, database=database, keys=some))
    marks: list[Any] = [now.isoformat(sep=" ")]
    for key, part in keys.items():
        marks += [key, batch.name_of(part), part.logical_date.isoformat()]
        if isinstance(dataset.source, Drop):
            marks.append(part.source)
    cursor.execute(statement.mark_parts(dataset, stage=stage, count=len(keys)), tuple(marks))


def _verify(cursor: Any, *, dataset: Dataset, batch: Batch, due: Sequence[Part], stage: str) -> dict[Part, int]:
    """Return rows per part; raise LoadError naming every part whose staged rows differ from the source's totals."""
    cursor.execute(statement.staged_totals(dataset, stage=stage))
    staged = {row[0]: (int(row[1]), row[2]) for row in cursor.fetchall()}
    findings, counts = [], {}
    for part in due:
        rows, amount = staged.get(batch.name_of(part), (0, None))
        counts[part] = rows
        if rows != part.rows:
            findings.append(f"{batch.name_of(part)}: {rows} rows staged, the source counts {part.rows}")
        elif part.amount is not None and Decimal(amount or 0) != part.amount:
            findings.append(f"{batch.name_of(part)}: amounts staged sum to {amount}, the source's to {part.amount}")
    if findings:
        raise LoadError("; ".join(findings) + "; nothing was loaded, run the extract again")
    return counts


def _write(
    cursor: Any,
    *,
    dataset: Dataset,
    batch: Batch,
    due: Sequence[Part],
    held: Entries,
    database: str,
    stage: str,
) -> None:
    """Change the dataset's table; inside the transaction."""
    match dataset.source:
        case Feed():
            if any(day == batch.logical_date for day, _ in held):
                cursor.execute(
                    statement.delete_withdrawn(dataset, database=database, stage=stage),
                    (batch.logical_date.isoformat(),),
                )
                withdrawn = cursor.rowcount
                if dataset.feed.versioned and withdrawn:  # the version before counts again, and some date before has it
                    ledger.reopen(cursor, database=database, pipeline=batch.pipeline, before=batch.logical_date)
            cursor.execute(statement.merge(dataset, database=database, stage=stage))
        case Drop():
            before = (held.get((part.logical_date, part.name)) for part in due)
            sources = {part.source for part in due if part.source} | {e.source for e in before if e and e.source}
            if sources:
                cursor.execute(
                    statement.delete_files(dataset, database=database, count=len(sources)), tuple(sorted(sources))
                )
                cursor.execute(statement.insert(dataset, database=database, stage=stage))


def _entry(part: Part, *, pipeline: str, loaded: int, release: str, now: datetime) -> ledger.Entry:
    return ledger.Entry(
        pipeline=pipeline,
        logical_date=part.logical_date,
        part=part.name,
        source=part.source,
        content_sha256=part.sha256,
        source_rows=part.rows,
        source_amount=part.amount,
        loaded_rows=loaded,
        release=release,
        loaded_at=now,
    )
