"""Extract a window of a PostgreSQL feed into gzip CSV parts in the landing bucket.

Rules:
- the rows and the control totals come from one REPEATABLE READ snapshot, the totals by a query of their own;
- rows are ordered, so the same source content gives the same parts, the same bytes and the same digests;
- a key is never split over two parts, so that each part can be judged by itself;
- memory is bounded by one compressed part, however long the window is.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from etl.batch import Batch, Part
from etl.dataset import Dataset, Type
from etl.window import Window

if TYPE_CHECKING:
    import psycopg

BLOCK_ROWS = 2_000  # rows handed to the compressor at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class _Piece:
    """A part before its totals are known."""

    body: bytes
    sha256: str
    first_key: str | None


def extract(
    connection: psycopg.Connection[Any],
    s3: Any,
    *,
    dataset: Dataset,
    window: Window,
    source_schema: str,
    bucket: str,
    part_rows: int | None = None,
) -> Batch:
    """Write the rows of `window` to `bucket` and return the batch; an empty window gives one part without rows.

    Args:
        connection: to the source, with no transaction open.
        s3: a boto3 S3 client.
        part_rows: in place of what the dataset's declared volume asks for.

    Side effects: one object per part under `<pipeline>/<logical date>/`, named by its digest, so that a repeated
    extract of unchanged rows writes what is there already.
    """
    relation = f"{source_schema}.{dataset.feed.table}"
    limit = part_rows or dataset.volume.part_rows
    with _snapshot(connection):
        first_keys: list[str] = []
        landed: list[tuple[str, str]] = []
        for piece in _pieces(_rows(connection, dataset=dataset, relation=relation, window=window), limit):
            key = f"{dataset.pipeline}/{window.logical_date}/{len(landed):03d}-{piece.sha256[:16]}.csv.gz"
            s3.put_object(Bucket=bucket, Key=key, Body=piece.body)
            landed.append((key, piece.sha256))
            if piece.first_key is not None:
                first_keys.append(piece.first_key)
        totals = _totals(connection, dataset=dataset, relation=relation, window=window, first_keys=first_keys)
    return Batch(
        pipeline=dataset.pipeline,
        logical_date=window.logical_date,
        parts=tuple(
            Part(
                name=f"{n:03d}",
                logical_date=window.logical_date,
                source=relation,
                key=key,
                sha256=sha256,
                rows=totals[n][0],
                amount=totals[n][1],
            )
            for n, (key, sha256) in enumerate(landed)
        ),
    )


def source_totals(
    connection: psycopg.Connection[Any], *, dataset: Dataset, source_schema: str, until: datetime
) -> tuple[int, Decimal | None]:
    """Return distinct keys and sum of newest amounts of everything the feed brought before `until`."""
    window = Window(logical_date=until.date(), since=None, until=until)
    relation = f"{source_schema}.{dataset.feed.table}"
    with _snapshot(connection):
        return _totals(connection, dataset=dataset, relation=relation, window=window, first_keys=[])[0]


@contextmanager
def _snapshot(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """One REPEATABLE READ, READ ONLY transaction; the connection's own settings stay as they are.

    https://www.postgresql.org/docs/current/sql-set-transaction.html: holds for the current transaction only.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _rows(connection: psycopg.Connection[Any], *, dataset: Dataset, relation: str, window: Window) -> Iterator[bytes]:
    """Yield the CSV header, then one line per row: the server sends each row of a COPY as a message of its own.

    https://www.postgresql.org/docs/current/protocol-message-formats.html, CopyData.
    """
    columns = ", ".join(name.lower() for name in dataset.names)
    order = ", ".join((_key(dataset), *(name.lower() for name in dataset.names if name not in dataset.key)))
    condition, bounds = _condition(dataset, window)
    query = f"COPY (SELECT {columns} FROM {relation} WHERE {condition} ORDER BY {order}) TO STDOUT (FORMAT csv, HEADER)"
    with connection.cursor().copy(query, bounds) as copy:
        for row in copy:
            yield bytes(row)


def _pieces(rows: Iterator[bytes], part_rows: int) -> Iterator[_Piece]:
    """Cut the lines into compressed parts of about `part_rows` rows, each with the header; always at least one."""
    header = next(rows)
    pending = next(rows, None)
    if pending is None:
        yield _compress(iter([header]), first_key=None)
        return
    while pending is not None:
        first, rest = pending, _Run(rows, part_rows)
        yield _compress(_blocks(header, first, rest), first_key=next(csv.reader([first.decode()]))[0])
        pending = rest.next_line


class _Run:
    """Iterates lines until `limit` is passed and the key changes; the line that began the next part is `next_line`.

    The key is the first column. Its raw bytes up to the first comma serve as its identity: equal keys have equal
    bytes, and that two keys might share theirs only makes a part longer.
    """

    def __init__(self, rows: Iterator[bytes], limit: int) -> None:
        self._rows, self._limit = rows, limit
        self.next_line: bytes | None = None

    def lines(self, first: bytes) -> Iterator[bytes]:
        yield first
        key = first.partition(b",")[0]
        for count, line in enumerate(self._rows, start=2):
            if count > self._limit and line.partition(b",")[0] != key:
                self.next_line = line
                return
            if count >= self._limit:
                key = line.partition(b",")[0]
            yield line


def _blocks(header: bytes, first: bytes, run: _Run) -> Iterator[bytes]:
    block = [header]
    for line in run.lines(first):
        block.append(line)
        if len(block) >= BLOCK_ROWS:
            yield b"".join(block)
            block.clear()
    yield b"".join(block)


def _compress(blocks: Iterator[bytes], *, first_key: str | None) -> _Piece:
    """Return the compressed part: no time stamp in the gzip header, so that equal content gives equal bytes."""
    digest, target = hashlib.sha256(), io.BytesIO()
    with gzip.GzipFile(fileobj=target, mode="wb", compresslevel=1, mtime=0, filename="") as packed:
        for block in blocks:
            digest.update(block)
            packed.write(block)
    return _Piece(body=target.getvalue(), sha256=digest.hexdigest(), first_key=first_key)


def _totals(
    connection: psycopg.Connection[Any], *, dataset: Dataset, relation: str, window: Window, first_keys: list[str]
) -> list[tuple[int, Decimal | None]]:
    """Return (distinct keys, sum of newest amounts) per part, the parts being given by their first keys."""
    condition, bounds = _condition(dataset, window)
    amount = "NULL::numeric" if dataset.amount is None else dataset.amount.lower()
    order = ", ".join(
        (_key(dataset), f"{dataset.feed.changed.lower()} DESC", *(_ordered(dataset, name) for name in dataset.others))
    )
    cuts = "bigint[]" if dataset.type_of(dataset.key[0]) is Type.INTEGER else "text[]"
    query = f"""
        SELECT greatest(width_bucket({_key(dataset)}, %(cuts)s::{cuts}), 1) - 1, count(*), sum(amount)
        FROM (SELECT DISTINCT ON ({_key(dataset)}) {dataset.key[0].lower()}, {amount} AS amount
              FROM {relation} WHERE {condition} ORDER BY {order}) AS newest
        GROUP BY 1
    """
    cut_values = first_keys or ["0"]
    rows = connection.execute(query, {**bounds, "cuts": cut_values}).fetchall()
    found = {int(part): (int(count), None if total is None else Decimal(total)) for part, count, total in rows}
    empty = (0, None if dataset.amount is None else Decimal("0.00"))
    return [found.get(part, empty) for part in range(len(cut_values))]


def _key(dataset: Dataset) -> str:
    """The key as an ordered expression."""
    return _ordered(dataset, dataset.key[0])


def _ordered(dataset: Dataset, name: str) -> str:
    """A column to order by; text by its bytes, as the warehouse does, whatever the database's collation."""
    return f'{name.lower()} COLLATE "C"' if dataset.type_of(name) is Type.TEXT else name.lower()


def _condition(dataset: Dataset, window: Window) -> tuple[str, dict[str, Any]]:
    changed = dataset.feed.changed.lower()
    if window.since is None:
        return f"{changed} < %(until)s", {"until": window.until}
    return f"{changed} >= %(since)s AND {changed} < %(until)s", {"since": window.since, "until": window.until}
