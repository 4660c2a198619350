"""Files that bring lines of other files: a file under another day's or series' name, or one that repeats another.

Rules:
- no two files of a dataset may have a key in common: a line would count twice, and which file it belongs to is not ours
  to say;
- what RAW holds stays, unless the same batch replaces it: files that changed places are loaded together;
- of files that come together the one of the earlier day counts, and of one day the one of the series declared first;
- a file that may not be loaded is faulty as a whole, however few of its lines are elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from etl import files, statement
from etl.batch import Batch, Fault, FaultyFile, Part
from etl.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Overlap:
    """How many keys a staged file has in common with another.

    Attributes:
        is_loaded: True when RAW has those of the other, False when they are staged too.
    """

    source: str
    other: str
    is_loaded: bool
    keys: int


def read(cursor: Any, *, dataset: Dataset, database: str, stage: str) -> tuple[Overlap, ...]:
    """Return what the staged files have in common with each other and with what is loaded."""
    cursor.execute(statement.shared_keys(dataset, database=database, stage=stage))
    return tuple(Overlap(source, other, bool(loaded), int(keys)) for source, other, loaded, keys in cursor.fetchall())


def refuse(
    due: Iterable[Part], overlaps: Sequence[Overlap], *, replaced: Mapping[Part, str]
) -> dict[Part, tuple[Overlap, ...]]:
    """Return the parts that may not be loaded, with what each has in common with others. No side effects.

    Args:
        due: in the order of their series.
        replaced: of a part the source that RAW holds for its day and series, if any.
    """
    accepted, refused = sorted(due, key=lambda part: part.logical_date), dict[Part, tuple[Overlap, ...]]()
    while found := _first_refused(accepted, overlaps, replaced):
        part, shared = found
        accepted.remove(part)
        refused[part] = shared
    return refused


def set_aside(batch: Batch, refused: Mapping[Part, tuple[Overlap, ...]], *, dataset: Dataset) -> Batch:
    """Return the batch with the refused parts as faulty files, those of the run's own day awaited. No side effects."""
    known = {file.source: file for file in batch.faulty if not file.whole}
    parts = [
        files.awaited(part.name, part.logical_date, dataset=dataset) if part in refused else part
        for part in batch.parts
        if part not in refused or part.logical_date == batch.logical_date
    ]
    sources = {part.source for part in refused}
    others = [file for file in batch.faulty if file.whole or file.source not in sources]
    faulty = [_faulty(part, shared, known=known) for part, shared in refused.items()]
    return replace(batch, parts=tuple(parts), faulty=(*others, *faulty))


def _first_refused(
    accepted: Sequence[Part], overlaps: Sequence[Overlap], replaced: Mapping[Part, str]
) -> tuple[Part, tuple[Overlap, ...]] | None:
    """Return a part that cannot stand beside what stays loaded, or else beside the accepted parts before it."""
    leaving = {source for part in accepted for source in (part.source, replaced.get(part))}
    for part in accepted:
        if shared := tuple(o for o in overlaps if o.source == part.source and o.is_loaded and o.other not in leaving):
            return part, shared
    for place, part in enumerate(accepted):
        before = {other.source for other in accepted[:place]}
        if shared := tuple(o for o in overlaps if o.source == part.source and not o.is_loaded and o.other in before):
            return part, shared
    return None


def _faulty(part: Part, shared: Sequence[Overlap], *, known: Mapping[str, FaultyFile]) -> FaultyFile:
    """Return a refused part as a faulty file, with the faults it has besides."""
    if part.source is None or part.key is None:
        raise ValueError(f"{part.name} of {part.logical_date} has no file")
    faults = tuple(
        Fault(line=None, column=None, reason=f"{one.keys} of {part.rows} lines have keys of {one.other}")
        for one in shared
    )
    if file := known.get(part.source):
        return replace(file, whole=True, faults=(*faults, *file.faults))
    return FaultyFile(
        part=part.name,
        logical_date=part.logical_date,
        source=part.source,
        sha256=part.sha256,
        key=part.key,
        whole=True,
        lines=part.rows,
        faulty=0,
        faults=faults,
    )
