"""Pick partners' files, the newest sound version of each day, and copy them to the landing bucket.

A file belongs to the day in its name, whenever it comes: a run looks at its own day and at `lookback_days` before it,
so late files and corrections are found by the runs that follow, and a rerun of any day ends in the same state.

A faulty file stops nothing: it is copied to the quarantine with the reasons, and the version before it counts until it
is corrected. Of a file that may be loaded without its faulty lines, what is left is landed in its place.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from etl.batch import NOTHING, Batch, Fault, FaultyFile, Part
from etl.dataset import Dataset, FileSeries
from etl.inspection import BLOCK, PLAIN_LIMIT, Inspection, inspect
from etl.window import Window

QUARANTINE = "quarantine"  # prefix in the landing bucket
LARGEST_COPY = 5 * 1024**3  # bytes that S3 copies by one request, and leaves the name of the content as it is
_NAME = re.compile(r"(?P<day>\d{4}-\d{2}-\d{2})(?:_v(?P<version>\d+))?")


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveredFile:
    """A delivered file, recognised by its name."""

    part: str
    day: date
    version: int
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What a series has for a run to look at.

    Attributes:
        days: in order, for each its versions, the newest first.
        unreadable: keys of the series' prefix whose name cannot be read. A correction under a misspelt name must not be
            passed over.
    """

    days: tuple[tuple[DeliveredFile, ...], ...]
    unreadable: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What a delivered file holds.

    Attributes:
        head: all of it, or one byte more than may be judged: a worker's memory is not the partner's to fill.
        sha256: of all of it.
        etag: S3's name of it.
    """

    head: bytes
    sha256: str
    etag: str


def pick(keys: Iterable[str], *, series: FileSeries, since: date | None, until: date) -> Delivery:
    """Return the files for each day from `since` to `until`, both included. No side effects."""
    by_day: dict[date, list[DeliveredFile]] = {}
    unreadable = []
    for key in keys:
        file = _recognise(key, series)
        if file is None:
            unreadable.append(key)
        elif (since is None or file.day >= since) and file.day <= until:
            by_day.setdefault(file.day, []).append(file)
    return Delivery(
        days=tuple(tuple(sorted(by_day[day], key=lambda file: (-file.version, file.key))) for day in sorted(by_day)),
        unreadable=tuple(sorted(unreadable)),
    )


def version_of(key: str) -> int:
    """Return the version number in a file's key, 1 when it has none."""
    found = re.search(r"_v(\d+)\.", key)
    return int(found[1]) if found else 1


def first_day(dataset: Dataset, window: Window) -> date | None:
    """Return the earliest day whose files a run looks at; None: any. No side effects."""
    return None if window.since is None else window.logical_date - timedelta(days=dataset.drop.lookback_days)


def awaited(part: str, day: date, *, dataset: Dataset) -> Part:
    """Return what stands for a file that has not come yet. No side effects."""
    return Part(
        name=part,
        logical_date=day,
        source=None,
        key=None,
        sha256=NOTHING,
        rows=0,
        amount=None if dataset.amount is None else Decimal("0.00"),
    )


def extract(s3: Any, *, dataset: Dataset, window: Window, sources_bucket: str, landing_bucket: str) -> Batch:
    """Copy the files of `window` and of the days looked back on to the landing bucket; return the batch.

    A series without a sound file for the run's own day gets a part without key: the ledger then says that it was
    awaited.

    Side effects: in the landing bucket one object per file under `<pipeline>/<day>/`, and for each faulty one a copy
    under `quarantine/`, all named by their digest.
    """
    since = first_day(dataset, window)
    buckets = _Buckets(s3=s3, sources=sources_bucket, landing=landing_bucket)
    parts: list[Part] = []
    faulty: list[FaultyFile] = []
    for series in dataset.drop.series:
        listed = _list(s3, sources_bucket, series.prefix)
        delivery = pick(listed, series=series, since=since, until=window.logical_date)
        faulty += [_set_aside_unreadable(buckets, key, series=series, dataset=dataset) for key in delivery.unreadable]
        landed = [_land_day(buckets, versions, dataset=dataset, faulty=faulty) for versions in delivery.days]
        sound = [part for part in landed if part]
        if not any(part.logical_date == window.logical_date for part in sound):
            sound.append(awaited(series.part, window.logical_date, dataset=dataset))
        parts += sound
    return Batch(
        pipeline=dataset.pipeline,
        logical_date=window.logical_date,
        parts=tuple(parts),
        since=since,
        faulty=tuple(faulty),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Buckets:
    """Where files are, and where they go."""

    s3: Any
    sources: str
    landing: str

    def read(self, key: str) -> Content:
        """Return what a delivered file holds."""
        response = self.s3.get_object(Bucket=self.sources, Key=key)
        head = response["Body"].read(PLAIN_LIMIT + 1)
        sha256 = hashlib.sha256(head)
        for block in response["Body"].iter_chunks(BLOCK):
            sha256.update(block)
        return Content(head=head, sha256=sha256.hexdigest(), etag=response["ETag"])

    def copy(self, key: str, *, to: str, etag: str) -> None:
        """Copy a delivered file to the landing bucket if it is still the one that was read."""
        from boto3.s3.transfer import TransferConfig  # not while DAG files are parsed

        source = {"Bucket": self.sources, "Key": key}
        in_one = TransferConfig(multipart_threshold=LARGEST_COPY)
        self.s3.copy(source, self.landing, to, ExtraArgs={"CopySourceIfMatch": etag}, Config=in_one)


def _recognise(key: str, series: FileSeries) -> DeliveredFile | None:
    if not key.endswith(series.suffix):
        return None
    found = _NAME.fullmatch(key.removeprefix(series.prefix).removesuffix(series.suffix))
    if not found:
        return None
    try:
        day = date.fromisoformat(found["day"])
    except ValueError:
        return None
    return DeliveredFile(part=series.part, day=day, version=int(found["version"] or 1), key=key)


def _land_day(
    buckets: _Buckets, versions: Sequence[DeliveredFile], *, dataset: Dataset, faulty: list[FaultyFile]
) -> Part | None:
    """Land the newest version that may be loaded and return its part; add the faulty ones met to `faulty`."""
    for file in versions:
        content = buckets.read(file.key)
        sha256, etag = content.sha256, content.etag
        found = inspect(content.head, dataset=dataset, name=file.key)
        name = f"{dataset.pipeline}/{file.day}/{file.part}-"
        if found.faults:
            copy = f"{QUARANTINE}/{name}{sha256[:16]}{_suffix(file.key)}"
            buckets.copy(file.key, to=copy, etag=etag)
            faulty.append(_faulty(file, found, sha256=sha256, key=copy))
        if found.whole:
            continue
        if found.cleaned is not None:
            sha256 = hashlib.sha256(found.cleaned).hexdigest()
            key = f"{name}{sha256[:16]}.cleaned.csv.gz"
            packed = gzip.compress(found.cleaned, compresslevel=1, mtime=0)
            buckets.s3.put_object(Bucket=buckets.landing, Key=key, Body=packed)
        else:
            key = f"{name}{sha256[:16]}{_suffix(file.key)}"
            buckets.copy(file.key, to=key, etag=etag)
        return Part(
            name=file.part,
            logical_date=file.day,
            source=file.key,
            key=key,
            sha256=sha256,
            rows=found.rows,
            amount=found.amount,
        )
    return None


def _faulty(file: DeliveredFile, found: Inspection, *, sha256: str, key: str) -> FaultyFile:
    return FaultyFile(
        part=file.part,
        logical_date=file.day,
        source=file.key,
        sha256=sha256,
        key=key,
        whole=found.whole,
        lines=found.lines,
        faulty=found.faulty,
        faults=found.faults,
    )


def _set_aside_unreadable(buckets: _Buckets, key: str, *, series: FileSeries, dataset: Dataset) -> FaultyFile:
    """Copy a file whose name cannot be read to the quarantine and return it."""
    content = buckets.read(key)
    sha256 = content.sha256
    copy = f"{QUARANTINE}/{dataset.pipeline}/unnamed/{sha256[:16]}-{key.rpartition('/')[2]}"
    buckets.copy(key, to=copy, etag=content.etag)
    wanted = f"{series.prefix}YYYY-MM-DD{series.suffix}, or with _v2, _v3 .. before {series.suffix}"
    fault = Fault(line=None, column=None, reason=f"its name cannot be read, expected {wanted}: rename or remove it")
    return FaultyFile(
        part=None,
        logical_date=None,
        source=key,
        sha256=sha256,
        key=copy,
        whole=True,
        lines=0,
        faulty=0,
        faults=(fault,),
    )


def _suffix(key: str) -> str:
    return key[key.index(".") :]


def _list(s3: Any, bucket: str, prefix: str) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]
