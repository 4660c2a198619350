"""Pick partners' files, the newest version of each day, and copy them to the landing bucket.

A file belongs to the day in its name, whenever it comes: a run looks at its own day and at `lookback_days` before it,
so late files and corrections are found by the runs that follow, and a rerun of any day ends in the same state.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from etl.batch import NOTHING, Batch, Part
from etl.dataset import Dataset, FileSeries
from etl.error import ExtractError
from etl.window import Window

_NAME = re.compile(r"(?P<day>\d{4}-\d{2}-\d{2})(?:_v(?P<version>\d+))?")


@dataclass(frozen=True, kw_only=True, slots=True)
class PickedFile:
    """A delivered file, recognised by its name."""

    part: str
    day: date
    version: int
    key: str


def pick(keys: Iterable[str], *, series: FileSeries, since: date | None, until: date) -> tuple[PickedFile, ...]:
    """Return the newest version for each day from `since` to `until`, both included, in order. No side effects.

    Raises ExtractError for names of the series' prefix that cannot be read: a correction under a misspelt name must
    not be passed over.
    """
    newest: dict[date, PickedFile] = {}
    unreadable = []
    for key in keys:
        file = _recognise(key, series)
        if file is None:
            unreadable.append(key)
        elif (since is None or file.day >= since) and file.day <= until:
            held = newest.get(file.day)
            newest[file.day] = file if held is None or held.version < file.version else held
    if unreadable:
        raise ExtractError(
            f"{', '.join(sorted(unreadable))}: expected {series.prefix}YYYY-MM-DD{series.suffix}, "
            f"or with _v2, _v3 .. before {series.suffix}; rename or remove"
        )
    return tuple(newest[day] for day in sorted(newest))


def version_of(key: str) -> int:
    """Return the version number in a file's key, 1 when it has none."""
    found = re.search(r"_v(\d+)\.", key)
    return int(found[1]) if found else 1


def first_day(dataset: Dataset, window: Window) -> date | None:
    """Return the earliest day whose files a run looks at; None: any. No side effects."""
    return None if window.since is None else window.logical_date - timedelta(days=dataset.drop.lookback_days)


def extract(s3: Any, *, dataset: Dataset, window: Window, sources_bucket: str, landing_bucket: str) -> Batch:
    """Copy the files of `window` and of the days looked back on to the landing bucket; return the batch.

    A series without a file for the run's own day gets a part without key: the ledger then says that it was awaited.

    Side effects: one object per file under `<pipeline>/<day>/` in the landing bucket, named by its digest.
    """
    since = first_day(dataset, window)
    parts: list[Part] = []
    for series in dataset.drop.series:
        listed = _list(s3, sources_bucket, series.prefix)
        picked = pick(listed, series=series, since=since, until=window.logical_date)
        parts += [_land(s3, file, dataset=dataset, source=sources_bucket, landing=landing_bucket) for file in picked]
        if not picked or picked[-1].day != window.logical_date:
            parts.append(_awaited(series, window.logical_date, dataset=dataset))
    return Batch(pipeline=dataset.pipeline, logical_date=window.logical_date, parts=tuple(parts))


def _recognise(key: str, series: FileSeries) -> PickedFile | None:
    if not key.endswith(series.suffix):
        return None
    found = _NAME.fullmatch(key.removeprefix(series.prefix).removesuffix(series.suffix))
    if not found:
        return None
    try:
        day = date.fromisoformat(found["day"])
    except ValueError:
        return None
    return PickedFile(part=series.part, day=day, version=int(found["version"] or 1), key=key)


def _land(s3: Any, file: PickedFile, *, dataset: Dataset, source: str, landing: str) -> Part:
    """Read the file's digest and totals, copy it if it is still the one read, and return its part."""
    response = s3.get_object(Bucket=source, Key=file.key)
    body = response["Body"].read()
    sha256 = hashlib.sha256(body).hexdigest()
    rows, amount = count(_plain(body, file.key), dataset=dataset, name=file.key)
    suffix = file.key[file.key.index(".") :]
    key = f"{dataset.pipeline}/{file.day}/{file.part}-{sha256[:16]}{suffix}"
    s3.copy_object(
        Bucket=landing,
        Key=key,
        CopySource={"Bucket": source, "Key": file.key},
        CopySourceIfMatch=response["ETag"],
    )
    return Part(
        name=file.part, logical_date=file.day, source=file.key, key=key, sha256=sha256, rows=rows, amount=amount
    )


def count(content: bytes, *, dataset: Dataset, name: str) -> tuple[int, Decimal | None]:
    """Return distinct lines and the sum of their amounts, of a plain CSV file. No side effects.

    Raises ExtractError when the header is another one, a line is shorter or longer, or an amount is no number.
    """
    try:
        lines = [tuple(line) for line in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ExtractError(f"{name}: not a CSV file in UTF-8: {error}") from error
    found = ",".join(lines[0]) if lines else "an empty file"
    if found != dataset.header:
        raise ExtractError(f"{name}: expected the header {dataset.header}, found {found}")
    distinct = set(lines[1:])
    width = len(dataset.columns)
    if wrong := sorted(line for line in distinct if len(line) != width):
        raise ExtractError(f"{name}: expected {width} fields, found {len(wrong[0])}: {','.join(wrong[0])}")
    if dataset.amount is None:
        return len(distinct), None
    position = dataset.names.index(dataset.amount)
    try:
        return len(distinct), sum((Decimal(line[position]) for line in distinct), Decimal("0.00"))
    except ArithmeticError as error:
        raise ExtractError(f"{name}: a line has no amount in column {position + 1}") from error


def _plain(body: bytes, name: str) -> bytes:
    """Return the content of a file as delivered, unpacked if its name says that it is packed."""
    if not name.endswith(".gz"):
        return body
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error) as error:
        raise ExtractError(f"{name}: not a whole gzip file: {error}") from error


def _awaited(series: FileSeries, day: date, *, dataset: Dataset) -> Part:
    return Part(
        name=series.part,
        logical_date=day,
        source=None,
        key=None,
        sha256=NOTHING,
        rows=0,
        amount=None if dataset.amount is None else Decimal("0.00"),
    )


def _list(s3: Any, bucket: str, prefix: str) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]
