"""What an extract hands to a load: the parts that lie in the landing bucket, with the source's own totals."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from typing import Any

NOTHING = hashlib.sha256(b"").hexdigest()  # content of a file that has not come yet


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One object to load.

    Attributes:
        logical_date: the day it belongs to: a file's own day, or the run's for a part of a feed.
        source: where it came from; None while a partner's file is awaited.
        key: object key in the landing bucket; None when there is nothing to load.
        sha256: of the CSV before compression (feed), of the file as delivered, or of what was left of it without its
            faulty lines.
        rows: distinct keys (feed) or distinct lines (file) that the source counts.
        amount: sum of the amount over those, exact; None where the dataset has no amount.
    """

    name: str
    logical_date: date
    source: str | None
    key: str | None
    sha256: str
    rows: int
    amount: Decimal | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "logical_date": self.logical_date.isoformat(),
            "source": self.source,
            "key": self.key,
            "sha256": self.sha256,
            "rows": self.rows,
            "amount": None if self.amount is None else str(self.amount),
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Part:
        amount = document["amount"]
        return cls(
            **{
                **document,
                "logical_date": date.fromisoformat(document["logical_date"]),
                "amount": None if amount is None else Decimal(amount),
            }
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What is wrong in one place of a delivered file.

    Attributes:
        line: as an editor counts, the header being 1; None for a fault of the whole file.
        column: None for a fault of the whole line.
        text: the line as delivered, or its beginning.
    """

    line: int | None
    column: str | None
    reason: str
    text: str | None = None

    def __str__(self) -> str:
        place = "" if self.line is None else f"line {self.line}: "
        return f"{place}{f'{self.column} ' if self.column else ''}{self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultyFile:
    """A delivered file that is not loaded, or not all of it.

    Attributes:
        part: its series; None, as its day is, when the name cannot be read.
        sha256: of the file as delivered.
        key: of its copy in the landing bucket.
        whole: True when none of its lines is loaded.
        lines, faulty: data lines, and how many of those are faulty; both 0 when the file cannot be read.
        faults: the first of them, at least one.
    """

    part: str | None
    logical_date: date | None
    source: str
    sha256: str
    key: str
    whole: bool
    lines: int
    faulty: int
    faults: tuple[Fault, ...]

    @property
    def reason(self) -> str:
        """The first fault, and how many lines are faulty unless it is one of the whole file."""
        if not self.faulty or self.faults[0].line is None:
            return str(self.faults[0])
        return f"{self.faulty} of {self.lines} lines faulty, first {self.faults[0]}"

    def to_dict(self) -> dict[str, Any]:
        day = None if self.logical_date is None else self.logical_date.isoformat()
        return {**asdict(self), "logical_date": day, "faults": [asdict(fault) for fault in self.faults]}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> FaultyFile:
        day = document["logical_date"]
        return cls(
            **{
                **document,
                "logical_date": None if day is None else date.fromisoformat(day),
                "faults": tuple(Fault(**fault) for fault in document["faults"]),
            }
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """The parts of one run.

    Attributes:
        since: earliest day whose files the run looked at; None: any.
        faulty: the files among those that go to quarantine.
    """

    pipeline: str
    logical_date: date
    parts: tuple[Part, ...]
    since: date | None = None
    faulty: tuple[FaultyFile, ...] = ()

    def name_of(self, part: Part) -> str:
        """The value of `_BATCH` in the rows of a part."""
        return f"{self.pipeline}/{part.logical_date}/{part.name}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "pipeline": self.pipeline,
            "logical_date": self.logical_date.isoformat(),
            "parts": [part.to_dict() for part in self.parts],
            "since": None if self.since is None else self.since.isoformat(),
            "faulty": [file.to_dict() for file in self.faulty],
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Batch:
        since = document["since"]
        return cls(
            pipeline=document["pipeline"],
            logical_date=date.fromisoformat(document["logical_date"]),
            parts=tuple(Part.from_dict(part) for part in document["parts"]),
            since=None if since is None else date.fromisoformat(since),
            faulty=tuple(FaultyFile.from_dict(file) for file in document["faulty"]),
        )
