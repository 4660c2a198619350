"""Card-scheme settlement files, gzip CSV, one per scheme and day, read off the captures in the source database.

A transaction settles the day after its capture reached us. Now and then a scheme skips a day and sends its lines,
dated as they were, in the next day's file; some lines come twice; a few never come. Corrections, reversals and
refunds are settled by nobody here: settled and booked amounts differ by them, as they do in life.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import date

import psycopg

from slipway.sandbox.sources.draw import Draw
from slipway.sandbox.sources.scale import Period

SCHEMES = {"VI": "visa", "MC": "mastercard"}  # by the first letters of the card id
FEE = "0.0045"
SKIPPING = "mastercard"
SKIPPED_EVERY = 23  # about one day in so many
HEADER = "scheme,settlement_date,batch_id,transaction_id,gross_amount,fee_amount,net_amount,currency"


def file_keys(period: Period, *, late_from: date | None = None) -> tuple[str, ...]:
    """Return the keys of the files of this period: those of a skipped day do not exist.

    Args:
        late_from: files of the first scheme from this day on have not arrived yet; None: all have.
    """
    return tuple(
        key(scheme, day)
        for day in period.days()[1:]
        for scheme in SCHEMES.values()
        if not is_skipped(scheme, day, seed=period.scale.seed)
        and not (late_from is not None and day >= late_from and scheme == "visa")
    )


def key(scheme: str, day: date) -> str:
    return f"settlement/{scheme}/{scheme}_{day}.csv.gz"


def is_skipped(scheme: str, day: date, *, seed: int) -> bool:
    return scheme == SKIPPING and (day.toordinal() + seed) % SKIPPED_EVERY == 0


def files(
    connection: psycopg.Connection[tuple[object, ...]], *, period: Period, keys: frozenset[str]
) -> Iterator[tuple[str, bytes]]:
    """Yield (key, content) for those of `keys` that the database has captures for, one file in memory at a time."""
    if not keys:
        return
    with connection.cursor(name="settlement_files") as cursor:
        cursor.itersize = 8
        cursor.execute(_query(period))
        for scheme, day, lines in cursor:
            if (name := key(str(scheme), date.fromisoformat(str(day)))) in keys:
                yield name, gzip.compress(f"{HEADER}\n{lines}\n".encode(), compresslevel=1, mtime=0)


def _query(period: Period) -> str:
    """Return the query that renders each file's lines as one text, ordered by scheme and day of the file."""
    seed = period.scale.seed
    number = Draw("substr(transaction_id, 2)::bigint", seed)
    ordinal = "(settled - date '0001-01-01' + 1)"  # as date.toordinal() counts
    skipped = f"(scheme = '{SKIPPING}' AND ({ordinal} + {seed}) % {SKIPPED_EVERY} = 0)"
    return f"""
    WITH capture AS (
        SELECT DISTINCT ON (transaction_id) transaction_id, amount, currency, updated_at::date + 1 AS settled,
               CASE left(card_id, 2) WHEN 'VI' THEN 'visa' ELSE 'mastercard' END AS scheme
        FROM core.card_transactions ORDER BY transaction_id, updated_at
    ), line AS (
        SELECT scheme, settled, transaction_id, amount, currency, round(amount * {FEE}, 2) AS fee,
               settled + {skipped}::int AS file_day
        FROM capture
        WHERE {number.below(2000, 200)} <> 0 AND settled < date '{period.day0}'
    ), sent AS (
        SELECT * FROM line UNION ALL SELECT * FROM line WHERE {number.below(500, 201)} = 0
    )
    SELECT scheme, file_day::text,
           string_agg(concat_ws(',', scheme, settled,
                                upper(scheme) || '-' || to_char(file_day, 'YYYYMMDD') || '-'
                                    || {number.below(3, 202)} + 1,
                                transaction_id, amount, fee, amount - fee, currency),
                      E'\\n' ORDER BY transaction_id COLLATE "C")
    FROM sent GROUP BY scheme, file_day ORDER BY scheme, file_day
    """
