"""The journal in DynamoDB."""

from __future__ import annotations

import itertools

import pytest

from slipway.adapters.aws import Aws
from slipway.adapters.journal import DynamoJournal
from slipway.deployment import GENESIS
from slipway.errors import Locked, Unavailable

from .conftest import TABLE


def test_events_come_back_in_order_chained_by_digest(aws: Aws) -> None:
    journal = DynamoJournal(aws.dynamodb, TABLE)
    for number in range(12):
        journal.append("d-1", "step-started", {"kind": "infra", "summary": f"number {number}"})
    events = DynamoJournal(aws.dynamodb, TABLE).events()
    assert [event.seq for event in events] == list(range(1, 13))
    assert events[0].previous == GENESIS
    assert all(after.previous == before.sha256 for before, after in itertools.pairwise(events))
    assert events == journal.events()


def test_of_two_writers_the_second_one_stops(aws: Aws) -> None:
    class Slow(DynamoJournal):
        """Reads, then lets the other one write first."""

        def _put(self, event):  # type: ignore[no-untyped-def]
            DynamoJournal(aws.dynamodb, TABLE).append("d-2", "began", {"other": True})
            super()._put(event)

    with pytest.raises(Locked):
        Slow(aws.dynamodb, TABLE).append("d-1", "began", {})
    assert [event.deployment for event in DynamoJournal(aws.dynamodb, TABLE).events()] == ["d-2"]


def test_a_table_that_is_not_there_is_said_so(aws: Aws) -> None:
    with pytest.raises(Unavailable, match=r"infra\.bootstrap"):
        DynamoJournal(aws.dynamodb, "finedge-nowhere-deployments").events()
