"""The quarantine: files that were not loaded, or not all of them, and why.

Rules:
- an entry belongs to one content of one file; the same file found faulty again, by any run, is the same entry;
- each run settles the entries of the days it looks at: what it found faulty is open, and so is what RAW still holds the
  good lines of, as of a file that was removed while only an older version is there; everything else is cleared;
- entries are written in the transaction of the load that left the lines out, so that RAW, ledger and quarantine
  together account for every line that was delivered;
- a cleared entry stays, with what came in its place.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from etl.batch import Batch, FaultyFile
from etl.dataset import Dataset
from etl.error import QuarantineError

TABLE = "OPS.QUARANTINE"  # in the RAW database
LINES = "OPS.QUARANTINE_LINE"
LINES_AT_ONCE = 100  # rows of one INSERT: Snowflake takes statements of up to 1 MB
SHOWN_FAULTS = 10  # of a file, in a message

_KEY = ("PIPELINE", "SOURCE", "CONTENT_SHA256")
_SELECTED = (*_KEY, "LOGICAL_DATE", "PART", "WHOLE_FILE", "REASON", "LINES", "FAULTY_LINES", "LANDING_KEY")
_CASTS = {
    "LOGICAL_DATE": "DATE",
    "WHOLE_FILE": "BOOLEAN",
    "LINES": "NUMBER(38,0)",
    "FAULTY_LINES": "NUMBER(38,0)",
    "LINE": "NUMBER(38,0)",
    "FOUND_AT": "TIMESTAMP_NTZ",
}
_LINE_COLUMNS = (*_KEY, "LINE", "COLUMN_NAME", "REASON", "TEXT")

Identity = tuple[str, str]  # source and digest, within a pipeline
Place = tuple[date | None, str | None]  # day and part


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An open entry, without its lines."""

    source: str
    content_sha256: str
    logical_date: date | None
    part: str | None
    whole: bool
    reason: str
    lines: int
    faulty: int
    landing_key: str

    @property
    def identity(self) -> Identity:
        return self.source, self.content_sha256

    def tells_of(self, file: FaultyFile) -> bool:
        """Return whether the entry says of a file what is found now: a later release may judge otherwise."""
        found = (file.whole, file.reason, file.lines, file.faulty, file.key)
        return (self.whole, self.reason, self.lines, self.faulty, self.landing_key) == found


@dataclass(frozen=True, kw_only=True, slots=True)
class Settlement:
    """What a run changes of the quarantine: files to enter, and open entries to clear with what came in their place."""

    entered: tuple[FaultyFile, ...]
    cleared: tuple[tuple[Entry, str | None], ...]

    def __bool__(self) -> bool:
        return bool(self.entered or self.cleared)


def settle(batch: Batch, entries: Mapping[Identity, Entry], *, kept: Mapping[Place, str] | None = None) -> Settlement:
    """Return what the batch changes, given the open entries of the days it looked at. No side effects.

    Args:
        kept: day and part -> source that RAW holds and goes on to hold, whatever the batch has for them.
    """
    kept = kept or {}
    found = {(file.source, file.sha256): file for file in batch.faulty}
    stands = {(file.logical_date, file.part): file.source for file in batch.faulty if file.logical_date is not None}
    stands |= {(part.logical_date, part.name): part.source for part in batch.parts if part.source}
    stands |= kept  # of two files without a day, neither comes in the place of the other
    present = {source for source, _ in found} | {part.source for part in batch.parts}
    return Settlement(
        entered=tuple(
            file for identity, file in found.items() if identity not in entries or not entries[identity].tells_of(file)
        ),
        cleared=tuple(
            (entry, stands.get((entry.logical_date, entry.part)))
            for identity, entry in entries.items()
            if identity not in found and not (_is_kept(entry, kept) and entry.source not in present)
        ),
    )


def _is_kept(entry: Entry, kept: Mapping[Place, str]) -> bool:
    """Return whether RAW goes on to hold the lines of an entry's file that were not faulty."""
    place = (entry.logical_date, entry.part)
    return not entry.whole and place in kept and kept[place] == entry.source


def read_open(cursor: Any, *, database: str, pipeline: str, since: date | None, until: date) -> dict[Identity, Entry]:
    """Return the open entries of files of these days, both included, and of files whose name cannot be read."""
    conditions, values = ["PIPELINE = %s", "CLEARED_AT IS NULL"], [pipeline]
    days = ["LOGICAL_DATE <= %s::DATE"]
    values.append(until.isoformat())
    if since is not None:
        days.append("LOGICAL_DATE >= %s::DATE")
        values.append(since.isoformat())
    conditions.append(f"(LOGICAL_DATE IS NULL OR ({' AND '.join(days)}))")
    cursor.execute(
        f"SELECT {', '.join(_SELECTED)} FROM {database}.{TABLE} WHERE {' AND '.join(conditions)}", tuple(values)
    )
    entries = (_entry(row) for row in cursor.fetchall())
    return {entry.identity: entry for entry in entries}


def write(cursor: Any, *, database: str, pipeline: str, settlement: Settlement, release: str, now: datetime) -> None:
    """Write a settlement; belongs inside the transaction of the load.

    Side effects: rows of both tables of the quarantine.
    """
    at = now.isoformat(sep=" ", timespec="microseconds")
    for entry, by in settlement.cleared:
        cursor.execute(
            f"UPDATE {database}.{TABLE} SET CLEARED_AT = %s::TIMESTAMP_NTZ, CLEARED_BY = %s WHERE {_where(_KEY)}",
            (at, by, pipeline, *entry.identity),
        )
    for file in settlement.entered:
        _enter(cursor, database=database, pipeline=pipeline, file=file, release=release, at=at)


def judge(dataset: Dataset, entries: Iterable[Entry], *, loaded: Container[Place]) -> str | None:
    """Return why builds must not use the dataset, None when they may. No side effects.

    A file is missing when RAW has none of its series and day; one whose name cannot be read may be any.

    Args:
        loaded: day and part of the files that RAW holds, in whichever version.
    """
    lacking = (entry for entry in entries if entry.whole and (entry.logical_date, entry.part) not in loaded)
    missing = sorted({f"{one.part} of {one.logical_date}" if one.part else one.source for one in lacking})
    tolerated = dataset.drop.tolerance.files
    if len(missing) <= tolerated:
        return None
    return f"{len(missing)} files missing, {tolerated} tolerated: {', '.join(missing)}"


def demand_empty(entries: Iterable[Entry], *, blocked: str | None) -> None:
    """Raise QuarantineError that names every open entry, and says whether builds wait for them."""
    findings = tuple(
        f"{entry.source}: {'not loaded' if entry.whole else 'loaded without its faulty lines'}: {entry.reason}"
        for entry in sorted(entries, key=lambda entry: (entry.logical_date or date.min, entry.source))
    )
    if findings:
        verdict = f"builds wait: {blocked}" if blocked else "everything else is loaded and used"
        raise QuarantineError(findings, verdict=verdict)


def described(file: FaultyFile) -> tuple[str, ...]:
    """Return lines for a log: the file, what was done with it, its first faults."""
    done = "the whole file is set aside" if file.whole else f"{file.faulty} of {file.lines} lines are set aside"
    more = max(file.faulty, len(file.faults)) - SHOWN_FAULTS
    return (
        f"{file.source}: {done}, a copy lies under {file.key}",
        *(f"{file.source}: {fault}" for fault in file.faults[:SHOWN_FAULTS]),
        *((f"{file.source}: and more, see {LINES}",) if more > 0 else ()),
    )


def _enter(cursor: Any, *, database: str, pipeline: str, file: FaultyFile, release: str, at: str) -> None:
    """Open the file's entry, anew if it was cleared, and replace its lines. When it was found first stays."""
    key = (pipeline, file.source, file.sha256)
    day = None if file.logical_date is None else file.logical_date.isoformat()
    values = {
        **dict(zip(_KEY, key, strict=True)),
        "LOGICAL_DATE": day,
        "PART": file.part,
        "WHOLE_FILE": file.whole,
        "REASON": file.reason,
        "LINES": file.lines,
        "FAULTY_LINES": file.faulty,
        "LANDING_KEY": file.key,
        "RELEASE": release,
        "FOUND_AT": at,
    }
    selected = ", ".join(f"%s::{_CASTS.get(name, 'VARCHAR')} AS {name}" for name in values)
    updated = ", ".join(f"{name} = s.{name}" for name in values if name not in (*_KEY, "FOUND_AT"))
    cursor.execute(
        f"MERGE INTO {database}.{TABLE} t USING (SELECT {selected}) s "
        f"ON {' AND '.join(f't.{name} = s.{name}' for name in _KEY)} "
        f"WHEN MATCHED THEN UPDATE SET {updated}, CLEARED_AT = NULL, CLEARED_BY = NULL "
        f"WHEN NOT MATCHED THEN INSERT ({', '.join(values)}) VALUES ({', '.join(f's.{name}' for name in values)})",
        tuple(values.values()),
    )
    cursor.execute(f"DELETE FROM {database}.{LINES} WHERE {_where(_KEY)}", key)
    rows = [(*key, fault.line, fault.column, fault.reason, fault.text) for fault in file.faults]
    for start in range(0, len(rows), LINES_AT_ONCE):
        _insert_lines(cursor, database=database, rows=rows[start : start + LINES_AT_ONCE])


def _insert_lines(cursor: Any, *, database: str, rows: Sequence[tuple[Any, ...]]) -> None:
    casts = ", ".join(f"column{n}::{_CASTS.get(name, 'VARCHAR')}" for n, name in enumerate(_LINE_COLUMNS, start=1))
    places = ", ".join([f"({', '.join(['%s'] * len(_LINE_COLUMNS))})"] * len(rows))
    cursor.execute(
        f"INSERT INTO {database}.{LINES} ({', '.join(_LINE_COLUMNS)}) SELECT {casts} FROM VALUES {places}",
        tuple(value for row in rows for value in row),
    )


def _where(names: Sequence[str]) -> str:
    return " AND ".join(f"{name} = %s" for name in names)


def _entry(row: Sequence[Any]) -> Entry:
    values: Mapping[str, Any] = dict(zip(_SELECTED, row, strict=True))
    return Entry(
        source=values["SOURCE"],
        content_sha256=values["CONTENT_SHA256"],
        logical_date=values["LOGICAL_DATE"],
        part=values["PART"],
        whole=bool(values["WHOLE_FILE"]),
        reason=values["REASON"],
        lines=int(values["LINES"]),
        faulty=int(values["FAULTY_LINES"]),
        landing_key=values["LANDING_KEY"],
    )
