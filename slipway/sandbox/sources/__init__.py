"""Seeded sources of the embedded platform: a PostgreSQL schema and partner files in S3, with the flaws of real feeds.

    summary = load(postgres_dsn=dsn, s3=boto3.client("s3"), bucket="finedge-sources", day0=date.today())

Same seed, sizes and first day give the same rows and the same bytes. What is there is kept: a second call adds only
what is missing, and a call with a later `day0` adds the days between, as a living source would.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from typing import Any

import psycopg

from slipway.sandbox.sources import bucket as bucket_module
from slipway.sandbox.sources import database
from slipway.sandbox.sources.scale import Period, Scale
from slipway.sandbox.sources.summary import SourceSummary, TableSummary

__all__ = ["Period", "Scale", "SourceSummary", "TableSummary", "load"]


def load(
    *,
    postgres_dsn: str,
    s3: Any,
    bucket: str,
    day0: date,
    on_progress: Callable[[str], None] = lambda line: None,
    scale: Scale | None = None,
    late_files: bool = True,
) -> SourceSummary:
    """Make the database and the bucket hold the sources up to, not including, `day0`; return what they hold.

    Args:
        postgres_dsn: an existing database that this user may create schemas in.
        s3: a boto3 S3 client; the bucket is created when missing.
        day0: the day after the last one generated (UTC). Earlier than what is held: nothing is taken away.
        on_progress: called with one line of text per finished part.
        scale: sizes and seed; the full size when None.
        late_files: False leaves out the files of the last three days that arrive late; a later call brings them.

    Side effects: replaces the schemas `core` and `seeding` and the bucket's content when they hold another seed,
    other sizes or another first day.
    """
    started = time.monotonic()
    held = _held(postgres_dsn)
    wanted = _wanted(held, day0=day0, scale=scale or Scale())
    period = database.fill(postgres_dsn, period=wanted, on_progress=on_progress)
    uploaded = bucket_module.fill(s3, bucket=bucket, dsn=postgres_dsn, period=period, late_files=late_files)
    on_progress(f"s3://{bucket}: {uploaded} files uploaded" if uploaded else f"s3://{bucket}: complete")
    return SourceSummary(
        first_day=period.first_day,
        day0=period.day0,
        tables=database.summarise(postgres_dsn),
        files=bucket_module.count_files(s3, bucket),
        generated=uploaded > 0 or held != period,
        seconds=time.monotonic() - started,
    )


def _held(dsn: str) -> Period | None:
    with psycopg.connect(dsn) as connection:
        return database.held_period(connection)


def _wanted(held: Period | None, *, day0: date, scale: Scale) -> Period:
    """Return the period to hold: the one held carried on to `day0`, or a first load that ends there."""
    if held is not None and held.scale == scale:
        return Period(scale=scale, first_day=held.first_day, day0=max(day0, held.day0))
    return Period.ending(day0, scale)
