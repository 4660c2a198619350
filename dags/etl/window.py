"""The stretch of time a run is answerable for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Half-open interval [since, until) of a logical date, in UTC without zone, as the sources store their times.

    Attributes:
        since: None on the first logical date, whose run takes all history before it too.
    """

    logical_date: date
    since: datetime | None
    until: datetime

    @classmethod
    def of(cls, start: datetime, end: datetime, *, first: date) -> Window:
        """Return the window of the data interval [start, end); on the date `first` it is open at the left."""
        start, end = (moment.astimezone(UTC) if moment.tzinfo else moment for moment in (start, end))
        logical_date = start.date()
        return cls(
            logical_date=logical_date,
            since=None if logical_date == first else start.replace(tzinfo=None),
            until=end.replace(tzinfo=None),
        )

    @classmethod
    def of_day(cls, day: date, *, first: date) -> Window:
        """Return the window of one calendar day."""
        start = datetime(day.year, day.month, day.day)
        return cls.of(start, start + timedelta(days=1), first=first)
