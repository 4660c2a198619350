"""What an extract hands to a load: the parts that lie in the landing bucket, with the source's own totals."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
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
        sha256: of the CSV before compression (feed) or of the file as delivered.
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
class Batch:
    """The parts of one run."""

    pipeline: str
    logical_date: date
    parts: tuple[Part, ...]

    def name_of(self, part: Part) -> str:
        """The value of `_BATCH` in the rows of a part."""
        return f"{self.pipeline}/{part.logical_date}/{part.name}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "pipeline": self.pipeline,
            "logical_date": self.logical_date.isoformat(),
            "parts": [part.to_dict() for part in self.parts],
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Batch:
        return cls(
            pipeline=document["pipeline"],
            logical_date=date.fromisoformat(document["logical_date"]),
            parts=tuple(Part.from_dict(part) for part in document["parts"]),
        )
