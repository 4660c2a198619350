"""The sources bucket: what partners have delivered, with a marker object that says for which period."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import timedelta
from itertools import chain
from typing import Any

import psycopg

from slipway.sandbox.sources import rate, settlement
from slipway.sandbox.sources.scale import Period

MARKER = "seeding/period.json"
UPLOADS = 6  # at a time, each holding one file in memory


def fill(s3: Any, *, bucket: str, dsn: str, period: Period, late_files: bool) -> int:
    """Upload the files of `period` that `bucket` lacks and return how many that were.

    Args:
        s3: a boto3 S3 client.
        late_files: False leaves out what arrives late in the last three days (visa's files, FX corrections), to be
            brought by a later call.

    Side effects: creates the bucket when missing; deletes what an unlike period left in it.
    """
    _create(s3, bucket)
    held = _held_period(s3, bucket)
    present = _list(s3, bucket)
    if present and not (period.extends(held) or (held is not None and held.extends(period))):
        _delete(s3, bucket, present)
        present = frozenset()
    late_from = None if late_files else period.day0 - timedelta(days=3)
    rates = ((k, body) for k, body in rate.files(period, corrections_until=late_from) if k not in present)
    wanted = frozenset(settlement.file_keys(period, late_from=late_from)) - present
    with psycopg.connect(dsn) as connection:
        uploaded = _upload(s3, bucket, chain(rates, settlement.files(connection, period=period, keys=wanted)))
    if held is None or uploaded:
        s3.put_object(Bucket=bucket, Key=MARKER, Body=json.dumps(period.to_dict()).encode())
    return uploaded


def count_files(s3: Any, bucket: str) -> dict[str, int]:
    """Return the number of objects per top folder, the marker left out."""
    counts = {"fx": 0, "settlement": 0}
    for key in _list(s3, bucket):
        folder = key.split("/", 1)[0]
        if folder in counts:
            counts[folder] += 1
    return counts


def _create(s3: Any, bucket: str) -> None:
    try:
        s3.head_bucket(Bucket=bucket)
    except s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
            raise
        region = s3.meta.region_name
        extra = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=bucket, **extra)


def _held_period(s3: Any, bucket: str) -> Period | None:
    try:
        return Period.from_dict(json.loads(s3.get_object(Bucket=bucket, Key=MARKER)["Body"].read()))
    except s3.exceptions.NoSuchKey:
        return None


def _list(s3: Any, bucket: str) -> frozenset[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return frozenset(entry["Key"] for page in pages for entry in page.get("Contents", ()))


def _delete(s3: Any, bucket: str, keys: Iterable[str]) -> None:
    for key in sorted(keys, key=lambda k: k != MARKER):  # the marker first: without it the rest counts as unlike
        s3.delete_object(Bucket=bucket, Key=key)


def _upload(s3: Any, bucket: str, files: Iterator[tuple[str, bytes]]) -> int:
    """Upload in parallel, drawing the next file only when a place is free, and return the count."""
    count = 0
    pending: set[Future[Any]] = set()
    with ThreadPoolExecutor(UPLOADS) as pool:
        for key, body in files:
            if len(pending) >= UPLOADS:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
            pending.add(pool.submit(s3.put_object, Bucket=bucket, Key=key, Body=body))
            count += 1
        for future in pending:
            future.result()
    return count
