"""Load a batch into RAW: stage, compare with the source's totals, then ONE transaction for rows, ledger, quarantine.

Rules:
- what the ledger holds with the same digest is not loaded again; a part with another digest replaces;
- a feed's batch is replaced as a whole, because its parts are cut by size; files are replaced one by one;
- what a feed no longer has for a date goes from RAW, whether the ledger knows the date or not;
- with a version withdrawn from a feed dates before it are open again: one of them may hold the version before;
- an awaited file never replaces a loaded one, nor an older version of a file a newer one;
- a file with keys of another one is faulty as a whole: see `overlap`;
- what the extract found faulty is entered in the quarantine, and what it no longer found is cleared there;
- nothing is written to RAW unless every staged part equals what the source counted.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from etl import files, ledger, overlap, quarantine, statement
from etl.batch import Batch, Part
from etl.dataset import Dataset, Drop, Feed
from etl.error import LoadError

Entries = Mapping[tuple[date, str], ledger.Entry]


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadResult:
    """What a load did.

    Attributes:
        loaded, skipped, awaited: names of the parts as `<date>/<part>`.
        quarantined: sources of the files that are not loaded, or not all of them.
        rows: rows staged and brought in, repetitions removed.
    """

    loaded: tuple[str, ...]
    skipped: tuple[str, ...]
    awaited: tuple[str, ...]
    quarantined: tuple[str, ...]
    rows: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "loaded": list(self.loaded),
            "skipped": list(self.skipped),
            "awaited": list(self.awaited),
            "quarantined": list(self.quarantined),
            "rows": self.rows,
        }


def load(connection: Any, *, dataset: Dataset, batch: Batch, database: str, release: str) -> LoadResult:
    """Bring `batch` into the RAW database and return what was done; the same batch again does nothing.

    Args:
        connection: a Snowflake connection in autocommit, with no transaction open.
        release: recorded in the ledger.

    Raises LoadError when what arrived differs from the source's totals; RAW is untouched then.

    Files that share keys with others are not loaded but entered in the quarantine, which is then the result.

    Side effects: a temporary table in `<database>.OPS`, rows of the dataset's table, of the ledger and the quarantine.
    """
    with closing(connection.cursor()) as cursor:
        held = _held(cursor, dataset=dataset, batch=batch, database=database)
        due = parts_due(batch, held, dataset=dataset)
        run = _Run(cursor, dataset, batch, database, release, datetime.now(UTC).replace(tzinfo=None))
        if due or run.settlement(due=due, held=held):
            batch, due = run.load(due=due, held=held)
        named = {part: f"{part.logical_date}/{part.name}" for part in batch.parts}
        return LoadResult(
            loaded=tuple(named[part] for part in due if part.key),
            skipped=tuple(named[part] for part in batch.parts if part not in due),
            awaited=tuple(named[part] for part in due if not part.key),
            quarantined=tuple(file.source for file in batch.faulty),
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


def _held(cursor: Any, *, dataset: Dataset, batch: Batch, database: str) -> Entries:
    """Return the ledger's entries of the days of a batch: of files also days that had some and have none any more."""
    dates = [part.logical_date for part in batch.parts]
    since: date | None = min(dates)
    if isinstance(dataset.source, Drop):
        since = None if batch.since is None else min(*dates, batch.since)
    return ledger.read(cursor, database=database, pipeline=batch.pipeline, since=since, until=max(dates))


def _sources_kept(held: Entries, due: Sequence[Part]) -> dict[quarantine.Place, str]:
    """Return day and part -> source of what RAW holds and no due part replaces."""
    replaced = {(part.logical_date, part.name) for part in due}
    return {place: entry.source for place, entry in held.items() if entry.source and place not in replaced}


@dataclass(frozen=True, slots=True)
class _Run:
    """One load that has something to do."""

    cursor: Any
    dataset: Dataset
    batch: Batch
    database: str
    release: str
    now: datetime

    def settlement(self, *, due: Sequence[Part], held: Entries) -> quarantine.Settlement:
        """Return what the batch changes of the quarantine when `due` are loaded."""
        if isinstance(self.dataset.source, Feed):  # a database hands out no malformed rows
            return quarantine.Settlement(entered=(), cleared=())
        batch = self.batch
        entries = quarantine.read_open(
            self.cursor, database=self.database, pipeline=batch.pipeline, since=batch.since, until=batch.logical_date
        )
        return quarantine.settle(batch, entries, kept=_sources_kept(held, due))

    def load(self, *, due: Sequence[Part], held: Entries) -> tuple[Batch, tuple[Part, ...]]:
        """Return the batch with the files set aside that share keys with others, and the parts of it that were due."""
        with self._stage() as stage:
            self._fill(stage, due)
            loaded = self._verify(stage, due)
            batch = self._without_overlaps(stage, due=due, held=held)
            due = parts_due(batch, held, dataset=self.dataset)
            replace(self, batch=batch)._commit(stage, due=due, held=held, loaded=loaded)
        return batch, due

    def _commit(self, stage: str, *, due: Sequence[Part], held: Entries, loaded: Mapping[Part, int]) -> None:
        settlement = self.settlement(due=due, held=held)
        if not due and not settlement:
            return
        with self._transaction():
            self._write(stage, due=due, held=held)
            self._record(due=due, held=held, loaded=loaded)
            quarantine.write(
                self.cursor,
                database=self.database,
                pipeline=self.batch.pipeline,
                settlement=settlement,
                release=self.release,
                now=self.now,
            )

    @contextmanager
    def _stage(self) -> Iterator[str]:
        """Give the name of an empty staging table, dropped at the end."""
        stage = f"{self.database}.OPS.STAGED_{self.dataset.table}_{uuid.uuid4().hex[:12].upper()}"
        self.cursor.execute(statement.create_stage(self.dataset, stage=stage))  # before BEGIN: DDL commits what is open
        try:
            yield stage
        finally:
            with suppress(Exception):  # it ends with the session anyhow
                self.cursor.execute(f"DROP TABLE IF EXISTS {stage}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.cursor.execute("BEGIN")
        try:
            yield
            self.cursor.execute("COMMIT")
        except BaseException:
            with suppress(Exception):  # the first error is the one to report; a lost session rolls back by itself
                self.cursor.execute("ROLLBACK")
            raise

    def _fill(self, stage: str, due: Sequence[Part]) -> None:
        """Copy the parts that have rows into the stage, each row marked with its part."""
        keys = {part.key: part for part in due if part.key is not None and part.rows}
        if not keys:
            return
        for start in range(0, len(keys), statement.MAX_FILES):
            some = tuple(keys)[start : start + statement.MAX_FILES]
            self.cursor.execute(statement.copy_parts(self.dataset, stage=stage, database=self.database, keys=some))
        marks: list[Any] = [self.now.isoformat(sep=" ")]
        for key, part in keys.items():
            marks += [key, self.batch.name_of(part), part.logical_date.isoformat()]
            if isinstance(self.dataset.source, Drop):
                marks.append(part.source)
        self.cursor.execute(statement.mark_parts(self.dataset, stage=stage, count=len(keys)), tuple(marks))

    def _verify(self, stage: str, due: Sequence[Part]) -> dict[Part, int]:
        """Return rows per part; raise LoadError naming every part whose staged rows differ from the source's totals."""
        self.cursor.execute(statement.staged_totals(self.dataset, stage=stage))
        staged = {row[0]: (int(row[1]), row[2]) for row in self.cursor.fetchall()}
        findings, counts = [], {}
        for part in due:
            name = self.batch.name_of(part)
            rows, amount = staged.get(name, (0, None))
            counts[part] = rows
            if rows != part.rows:
                findings.append(f"{name}: {rows} rows staged, the source counts {part.rows}")
            elif part.amount is not None and Decimal(amount or 0) != part.amount:
                findings.append(f"{name}: amounts staged sum to {amount}, the source's to {part.amount}")
        if findings:
            raise LoadError("; ".join(findings) + "; nothing was loaded, run the extract again")
        return counts

    def _without_overlaps(self, stage: str, *, due: Sequence[Part], held: Entries) -> Batch:
        """Return the batch without the files that share keys with others; take their rows out of the stage."""
        if isinstance(self.dataset.source, Feed) or not any(part.rows for part in due):
            return self.batch
        overlaps = overlap.read(self.cursor, dataset=self.dataset, database=self.database, stage=stage)
        before = {part: held.get((part.logical_date, part.name)) for part in due}
        replaced = {part: entry.source for part, entry in before.items() if entry and entry.source}
        refused = overlap.refuse(due, overlaps, replaced=replaced)
        if refused:
            sources = tuple(part.source for part in refused)
            self.cursor.execute(statement.delete_files(stage, count=len(sources)), sources)
        return overlap.set_aside(self.batch, refused, dataset=self.dataset)

    def _write(self, stage: str, *, due: Sequence[Part], held: Entries) -> None:
        """Change the dataset's table; inside the transaction."""
        match self.dataset.source:
            case Feed():
                self._merge(stage)
            case Drop():
                before = (held.get((part.logical_date, part.name)) for part in due)
                sources = {part.source for part in due if part.source} | {e.source for e in before if e and e.source}
                if sources:
                    table = statement.target(self.dataset, self.database)
                    self.cursor.execute(statement.delete_files(table, count=len(sources)), tuple(sorted(sources)))
                    self.cursor.execute(statement.insert(self.dataset, database=self.database, stage=stage))

    def _merge(self, stage: str) -> None:
        """Replace the date's rows; a date that the ledger does not know may have some, of before it was reopened."""
        batch = self.batch
        self.cursor.execute(
            statement.delete_withdrawn(self.dataset, database=self.database, stage=stage),
            (batch.logical_date.isoformat(),),
        )
        withdrawn = self.cursor.rowcount
        if self.dataset.feed.versioned and withdrawn:  # the version before counts again, and some date before has it
            ledger.reopen(self.cursor, database=self.database, pipeline=batch.pipeline, before=batch.logical_date)
        self.cursor.execute(statement.merge(self.dataset, database=self.database, stage=stage))

    def _record(self, *, due: Sequence[Part], held: Entries, loaded: Mapping[Part, int]) -> None:
        """Write the ledger; inside the transaction."""
        gone = parts_gone(self.batch, held, dataset=self.dataset)
        ledger.forget(
            self.cursor,
            database=self.database,
            pipeline=self.batch.pipeline,
            logical_date=self.batch.logical_date,
            parts=gone,
        )
        entries = [self._entry(part, loaded=loaded.get(part, 0)) for part in due]
        ledger.write(self.cursor, database=self.database, entries=entries)

    def _entry(self, part: Part, *, loaded: int) -> ledger.Entry:
        return ledger.Entry(
            pipeline=self.batch.pipeline,
            logical_date=part.logical_date,
            part=part.name,
            source=part.source,
            content_sha256=part.sha256,
            source_rows=part.rows,
            source_amount=part.amount,
            loaded_rows=loaded,
            release=self.release,
            loaded_at=self.now,
        )
