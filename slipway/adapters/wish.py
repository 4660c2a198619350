"""What people want of a backfill that another process works at: that it pauses, or ends.

It is kept in the release bucket, under the mark of the backfill, and looked at by whoever works at it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from slipway.adapters.release_bucket import ReleaseBucket
from slipway.documents import Document


class Wish(Document):
    """Somebody's wish; `at` is ISO 8601 in UTC."""

    wants: Literal["pause", "cancel"]
    by: str
    at: str

    def is_younger_than(self, moment: datetime) -> bool:
        """Return whether it was made after a moment."""
        return datetime.fromisoformat(self.at) > moment


def wish_of(bucket: ReleaseBucket, mark: str) -> Wish | None:
    """Return the last wish about a backfill, or None."""
    found = bucket.stored(f"backfills/{mark}.json")
    return Wish.from_bytes(found.content, origin=f"s3://{bucket.bucket}/{found.key}") if found else None


def leave_wish(bucket: ReleaseBucket, mark: str, wants: Literal["pause", "cancel"], *, by: str) -> Wish:
    """Leave a wish in place of the one before. Side effects: an object of the release bucket."""
    wish = Wish(wants=wants, by=by, at=datetime.now(UTC).isoformat(timespec="milliseconds"))
    bucket.put_wish(mark, wish.to_bytes())
    return wish
