"""How much the generator makes, and from which day to which."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

GENERATOR = 1  # raise when generated content changes: databases and buckets of an older number are filled anew


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Sizes of one set of sources.

    Attributes:
        customers: rows of `core.customers` (those deleted again come on top).
        transactions: distinct transaction ids at least present after `days` days.
        days: calendar days of the first load, the last one being the day before `day0`.
        seed: same seed, same sizes, same first day: same rows and bytes.
    """

    customers: int = 40_000
    transactions: int = 500_000
    days: int = 60
    seed: int = 7

    @property
    def transactions_per_day(self) -> int:
        """Ids booked each day: 2% more than asked for, because captures of the last days arrive only after `day0`."""
        return math.ceil(self.transactions * 1.02 / self.days)


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """What a database or a bucket holds: this scale, from `first_day` up to, not including, `day0`."""

    scale: Scale
    first_day: date
    day0: date

    @classmethod
    def ending(cls, day0: date, scale: Scale) -> Period:
        """Return the period of a first load that ends at `day0`."""
        return cls(scale=scale, first_day=day0 - timedelta(days=scale.days), day0=day0)

    def extends(self, held: Period | None) -> bool:
        """True when `held` is the beginning of this period, so that only what lies between has to be added."""
        return (
            held is not None
            and held.scale == self.scale
            and held.first_day == self.first_day
            and held.day0 <= self.day0
        )

    def days(self) -> tuple[date, ...]:
        return tuple(self.first_day + timedelta(days=n) for n in range((self.day0 - self.first_day).days))

    def to_dict(self) -> dict[str, Any]:
        return {
            "generator": GENERATOR,
            "scale": asdict(self.scale),
            "first_day": self.first_day.isoformat(),
            "day0": self.day0.isoformat(),
        }

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Period | None:
        """Return the period written by `to_dict`, or None when an older generator wrote it."""
        if document.get("generator") != GENERATOR:
            return None
        return cls(
            scale=Scale(**document["scale"]),
            first_day=date.fromisoformat(document["first_day"]),
            day0=date.fromisoformat(document["day0"]),
        )
