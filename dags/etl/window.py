"""The stretch of time a run is answerable for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta


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
    def of_day(cls, day: date, *, first: date) -> Window:
        """Return the window of one calendar day; on the date `first` it is open at the left."""
        start = datetime.combine(day, time())
        return cls(logical_date=day, since=None if day == first else start, until=start + timedelta(days=1))

    @classmethod
    def of_run(cls, logical_date: datetime, interval_end: datetime, *, first: date) -> Window:
        """Return the window of a run of a daily schedule.

        A logical date at midnight UTC names its day, in a scheduled run, a backfill and a run triggered by hand alike:
        Airflow gives the last the data interval before, the ledger would then show another date than the run does. A
        run triggered at some other moment takes the last whole day, which ends with its data interval.
        """
        moment = logical_date.astimezone(UTC)
        if moment.time() == time():
            return cls.of_day(moment.date(), first=first)
        return cls.of_day((interval_end.astimezone(UTC) - timedelta(days=1)).date(), first=first)
