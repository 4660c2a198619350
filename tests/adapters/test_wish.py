"""What people want of a backfill that another process works at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from slipway.adapters.aws import Aws
from slipway.adapters.release_bucket import ReleaseBucket
from slipway.adapters.wish import leave_wish, wish_of

from .conftest import BUCKET


def test_the_last_wish_counts_and_is_about_one_backfill(aws: Aws) -> None:
    bucket = ReleaseBucket(aws.s3, BUCKET)
    assert wish_of(bucket, "mark") is None
    leave_wish(bucket, "mark", "pause", by="ana")
    last = leave_wish(bucket, "mark", "cancel", by="ben")
    assert wish_of(bucket, "mark") == last
    assert (last.wants, last.by) == ("cancel", "ben")
    assert wish_of(bucket, "another") is None


def test_a_wish_of_before_is_told_from_one_that_came_meanwhile(aws: Aws) -> None:
    now = datetime.now(UTC)
    wish = leave_wish(ReleaseBucket(aws.s3, BUCKET), "mark", "pause", by="ana")
    assert wish.is_younger_than(now - timedelta(seconds=1))
    assert not wish.is_younger_than(now + timedelta(hours=1))
