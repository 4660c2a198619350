"""The journal in DynamoDB."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords

from slipway.adapters.aws import Aws
from slipway.adapters.journal import DynamoJournal, now_iso
from slipway.adapters.lease import _KEY, DynamoLease
from slipway.deployment import GENESIS
from slipway.errors import Locked, Unavailable

from .conftest import TABLE
from .door import LOST, Answer, Door


def deployments(aws: Aws) -> list[str]:
    return [event.deployment for event in DynamoJournal(aws.dynamodb, TABLE).events()]


def lease(aws: Aws, who: str) -> DynamoLease:
    return DynamoLease(aws.dynamodb, TABLE, environment="staging", by=who)


def test_events_come_back_in_order_chained_by_digest(aws: Aws) -> None:
    journal = DynamoJournal(aws.dynamodb, TABLE)
    for number in range(12):
        journal.append("d-1", "step-started", {"kind": "infra", "summary": f"number {number}"})
    events = DynamoJournal(aws.dynamodb, TABLE).events()
    assert [event.seq for event in events] == list(range(1, 13))
    assert events[0].previous == GENESIS
    assert all(after.previous == before.sha256 for before, after in itertools.pairwise(events))
    assert events == journal.events()


@pytest.mark.parametrize("is_fenced", [False, True])
def test_of_two_writers_the_second_one_stops(aws: Aws, is_fenced: bool) -> None:
    def late() -> str:
        DynamoJournal(aws.dynamodb, TABLE).append("d-2", "began", {"other": True})  # after the first one has read
        return now_iso()

    with lease(aws, "ann") as held:
        journal = DynamoJournal(aws.dynamodb, TABLE, clock=late)
        with pytest.raises(Locked, match="another deployment writes"):
            (journal.fenced_by(held) if is_fenced else journal).append("d-1", "began", {})
    assert deployments(aws) == ["d-2"]


def test_a_deployer_that_lost_its_lease_writes_nothing_more(aws: Aws) -> None:
    sleeper = lease(aws, "ann")
    sleeper.__enter__()
    journal = DynamoJournal(aws.dynamodb, TABLE).fenced_by(sleeper)
    journal.append("d-1", "began", {})
    aws.dynamodb.update_item(
        TableName=TABLE,
        Key=_KEY,
        UpdateExpression="SET expires = :long_ago",
        ExpressionAttributeValues={":long_ago": {"N": "1"}},
    )
    with lease(aws, "bob") as taken:
        with pytest.raises(Locked, match="lost its hold"):
            journal.append("d-1", "step-started", {"kind": "infra"})
        DynamoJournal(aws.dynamodb, TABLE).fenced_by(taken).append("d-2", "began", {})
        sleeper.__exit__(None, None, None)
        with pytest.raises(Locked, match="lost its hold"):
            journal.append("d-1", "failed", {"message": "too late"})
    assert deployments(aws) == ["d-1", "d-2"]


def test_a_lease_that_was_given_back_lets_nothing_be_written(aws: Aws) -> None:
    with lease(aws, "ann") as held:
        journal = DynamoJournal(aws.dynamodb, TABLE).fenced_by(held)
        journal.append("d-1", "began", {})
    with pytest.raises(Locked, match="lost its hold"):
        journal.append("d-1", "verifying", {})
    assert deployments(aws) == ["d-1"]


def test_a_fenced_journal_knows_what_was_read_before(aws: Aws) -> None:
    journal = DynamoJournal(aws.dynamodb, TABLE)
    journal.append("d-1", "began", {})
    with lease(aws, "ann") as held:
        fenced = journal.fenced_by(held)
        second = fenced.append("d-1", "verifying", {})
    assert second.previous == journal.events()[0].sha256
    assert journal.events() == fenced.events()


def test_an_event_whose_answer_was_lost_is_there_once_and_nobody_is_blamed(aws: Aws, behind: Aws, door: Door) -> None:
    with lease(aws, "ann") as held:
        journal = DynamoJournal(behind.dynamodb, TABLE).fenced_by(held)
        door.next("TransactWriteItems", LOST)
        event = journal.append("d-1", "began", {"number": 1})
        assert not door.incidents
        journal.append("d-1", "verifying", {})
    assert DynamoJournal(aws.dynamodb, TABLE).events()[0] == event
    assert deployments(aws) == ["d-1", "d-1"]


def test_an_event_that_meets_the_heartbeat_is_written_in_the_end(aws: Aws, behind: Aws, door: Door) -> None:
    met = {
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled",
        "CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict"}],
    }
    for _ in range(2):
        door.next("TransactWriteItems", Answer(status=400, body=json.dumps(met).encode()))
    with lease(aws, "ann") as held:
        DynamoJournal(behind.dynamodb, TABLE).fenced_by(held).append("d-1", "began", {})
    assert not door.incidents
    assert deployments(aws) == ["d-1"]


def test_no_expression_names_an_attribute_by_a_reserved_word(aws: Aws) -> None:
    said: list[str] = []

    def listen(params: dict[str, Any], **_: Any) -> None:
        said.extend(value for name, value in params.items() if name.endswith("Expression"))
        for item in params.get("TransactItems", ()):
            said.extend(one["ConditionExpression"] for one in item.values())

    aws.dynamodb.meta.events.register("provide-client-params.dynamodb", listen)
    with lease(aws, "ann") as held:
        DynamoJournal(aws.dynamodb, TABLE).fenced_by(held).append("d-1", "began", {})
        held.check()
    syntax = {"SET", "ADD", "AND", "OR"}
    words = {word for text in said for word in re.findall(r"(?<![#:\w])[A-Za-z_]+", text)}
    reserved = {word.upper() for word in ReservedKeywords.get_reserved_keywords()}

    assert "expires" in words
    assert {word for word in words - syntax if word.upper() in reserved} == set()


def test_a_table_that_is_not_there_is_said_so_with_the_region(aws: Aws) -> None:
    with pytest.raises(Unavailable, match=r"eu-west-1(.|\n)*infra\.bootstrap"):
        DynamoJournal(aws.dynamodb, "finedge-nowhere-deployments").events()
