"""The journal in DynamoDB."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords

from slipway.adapters.aws import Aws
from slipway.adapters.journal import DynamoJournal, now_iso
from slipway.adapters.lease import _KEY, DynamoLease
from slipway.deployment import GENESIS
from slipway.errors import JournalError, Locked, NotBootstrapped, SlipwayError, Unavailable
from slipway.patience import Patience

from .conftest import CREDENTIALS, TABLE
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


def test_an_event_that_is_refused_for_good_is_not_written_again_and_again(aws: Aws, behind: Aws, door: Door) -> None:
    refused = {
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled",
        "CancellationReasons": [{"Code": "ValidationError"}, {"Code": "None"}],
    }
    door.next("TransactWriteItems", Answer(status=400, body=json.dumps(refused).encode()))
    with lease(aws, "ann") as held, pytest.raises(SlipwayError, match="AWS refused") as said:
        DynamoJournal(behind.dynamodb, TABLE).fenced_by(held).append("d-1", "began", {})
    assert not isinstance(said.value, Unavailable)
    assert deployments(aws) == []


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


AWAY = Answer(status=503)


@pytest.fixture
def asking_once(aws: Aws, door: Door) -> Any:
    """A client behind the door that does not ask again by itself."""
    once = Config(retries={"total_max_attempts": 1})
    return boto3.client("dynamodb", endpoint_url=door.endpoint, region_name=aws.region, config=once, **CREDENTIALS)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.mark.parametrize("request_name", ["Query", "TransactWriteItems"])
def test_within_a_deployment_a_table_that_is_away_for_a_while_is_asked_again(
    aws: Aws, asking_once: Any, door: Door, told: list[str], request_name: str
) -> None:
    patience = Patience(tell=told.append)
    with DynamoLease(asking_once, TABLE, environment="staging", by="ann", patience=patience) as held:
        for _ in range(3):
            door.next(request_name, AWAY)
        DynamoJournal(asking_once, TABLE).fenced_by(held).append("d-1", "began", {})
    assert not door.incidents
    assert [re.sub(r": .*;", ":", line) for line in told] == [f"journal {TABLE}: trying again (0 s of 90)"]
    assert deployments(aws) == ["d-1"]


def test_an_answer_that_is_lost_before_the_table_goes_away_leaves_one_event(
    aws: Aws, asking_once: Any, door: Door
) -> None:
    with DynamoLease(asking_once, TABLE, environment="staging", by="ann") as held:
        journal = DynamoJournal(asking_once, TABLE).fenced_by(held)
        door.next("TransactWriteItems", LOST)
        door.next("TransactWriteItems", AWAY)
        door.next("GetItem", AWAY)  # also when it is asked what stands there
        first = journal.append("d-1", "began", {"steps": ("infra", "build")})
        second = journal.append("d-1", "verifying", {})
    assert not door.incidents
    assert DynamoJournal(aws.dynamodb, TABLE).events() == (first, second)


def test_patience_ends_and_then_it_is_over_until_there_is_an_answer(aws: Aws, asking_once: Any, door: Door) -> None:
    patience = Patience(limit_s=1)
    with DynamoLease(asking_once, TABLE, environment="staging", by="ann", patience=patience) as held:
        journal = DynamoJournal(asking_once, TABLE).fenced_by(held)
        journal.append("d-1", "began", {})
        for _ in range(50):
            door.next("Query", AWAY)
        began = time.monotonic()
        with pytest.raises(Unavailable, match="asks for patience"):
            journal.append("d-1", "verifying", {})
        ended = time.monotonic()
        left = len(door.incidents)
        with pytest.raises(Unavailable):
            journal.append("d-1", "failed", {})
        assert 1 <= ended - began < 10
        assert len(door.incidents) == left - 1
        door.incidents.clear()
        journal.append("d-1", "failed", {})
    assert [event.kind for event in DynamoJournal(aws.dynamodb, TABLE).events()] == ["began", "failed"]


def test_outside_of_a_deployment_it_is_asked_once(asking_once: Any, door: Door) -> None:
    door.next("Query", AWAY)
    with pytest.raises(Unavailable):
        DynamoJournal(asking_once, TABLE).events()
    assert not door.incidents


def test_a_table_that_is_not_there_is_not_waited_for(aws: Aws, told: list[str]) -> None:
    patience = Patience(tell=told.append)
    with DynamoLease(aws.dynamodb, TABLE, environment="staging", by="ann", patience=patience) as held:
        journal = DynamoJournal(aws.dynamodb, "finedge-nowhere-deployments").fenced_by(held)
        with pytest.raises(NotBootstrapped):
            journal.append("d-1", "began", {})
    assert told == []


@pytest.mark.parametrize(("tell_every_s", "lines"), [(0.0, 3), (20.0, 1)])
def test_waiting_is_told_now_and_then_with_how_long(tell_every_s: float, lines: int) -> None:
    told: list[str] = []
    answers = iter([False, False, False, True])

    def question() -> str:
        if not next(answers):
            raise Unavailable("away")
        return "there"

    patience = Patience(limit_s=30, tell=told.append, tell_every_s=tell_every_s)
    assert patience.ask(question, within_s=20) == "there"
    assert len(told) == lines
    assert all(re.fullmatch(r"away; trying again \(\d+ s of 20\)", line) for line in told)


def test_an_event_is_returned_as_it_will_be_read(aws: Aws) -> None:
    written = DynamoJournal(aws.dynamodb, TABLE).append("d-1", "began", {"dags": ("a", "b"), "nested": {"one": (1,)}})
    assert DynamoJournal(aws.dynamodb, TABLE).events() == (written,)


def test_items_are_told_as_they_are_stored_page_by_page(aws: Aws) -> None:
    journal = DynamoJournal(aws.dynamodb, TABLE)
    written = [journal.append("d-1", "failed", {"message": "x" * 300_000}) for _ in range(5)]
    stored = DynamoJournal(aws.dynamodb, TABLE).items()
    assert [item.seq for item in stored] == [1, 2, 3, 4, 5]
    assert [item.sha256 for item in stored] == [event.sha256 for event in written]
    assert [item.text.encode() for item in stored] == [event.to_bytes() for event in written]
    assert DynamoJournal(aws.dynamodb, TABLE).events() == tuple(written)


@pytest.mark.parametrize("text", [{"S": "{"}, {"S": "{}"}, {"S": "[]"}, {"N": "1"}, None])
def test_nothing_is_written_on_top_of_an_item_that_holds_no_event(aws: Aws, text: dict[str, str] | None) -> None:
    item = {"stream": {"S": "journal"}, "seq": {"N": "1"}} | ({"event": text} if text else {})
    aws.dynamodb.put_item(TableName=TABLE, Item=item)
    journal = DynamoJournal(aws.dynamodb, TABLE)
    with pytest.raises(JournalError, match=rf"journal {TABLE} #1"):
        journal.append("d-1", "began", {})
    assert [(one.seq, one.sha256) for one in journal.items()] == [(1, "")]


# ---- what was bent beside Slipway ----------------------------------------------------------------------------------


Item = dict[str, Any]
Bend = Callable[[Item, Item], Item]  # an item and the one after it -> what stands in the item's place


def _bent_text(item: Item, _: Item) -> Item:
    return {**item, "event": {"S": item["event"]["S"].replace("number 2", "number 9")}}


def _with_own_digest(item: Item, after: Item) -> Item:
    """Return another event with the digest that belongs to it: only the next one contradicts it."""
    text = _bent_text(item, after)["event"]["S"]
    return {**item, "event": {"S": text}, "sha256": {"S": hashlib.sha256(text.encode()).hexdigest()}}


BENDS: dict[str, Bend] = {
    "another text": _bent_text,
    "another text with a digest of its own": _with_own_digest,
    "another digest": lambda item, _: {**item, "sha256": {"S": "0" * 64}},
    "no digest": lambda item, _: {name: value for name, value in item.items() if name != "sha256"},
    "the next event": lambda item, after: {**after, "seq": item["seq"]},
}


@pytest.mark.parametrize("bend", BENDS.values(), ids=BENDS)
def test_nothing_is_read_from_or_written_to_a_journal_that_was_bent(aws: Aws, bend: Bend) -> None:
    journal = DynamoJournal(aws.dynamodb, TABLE)
    for number in range(1, 5):
        journal.append("d-1", "step-started", {"kind": "infra", "summary": f"number {number}"})
    items = [stored(aws, seq) for seq in (2, 3)]
    aws.dynamodb.put_item(TableName=TABLE, Item=bend(*items))

    again = DynamoJournal(aws.dynamodb, TABLE)
    with pytest.raises(JournalError, match=r"event [23] was changed, or does not follow") as refused:
        again.events()
    assert (refused.value.fix or "").startswith("invoke audit.verify ")
    with pytest.raises(JournalError):
        again.append("d-1", "failed", {"message": "on top of it"})
    assert [item.seq for item in again.items()] == [1, 2, 3, 4]


def test_an_event_that_stands_under_another_number_is_noticed(aws: Aws) -> None:
    journal = DynamoJournal(aws.dynamodb, TABLE)
    journal.append("d-1", "step-started", {"kind": "infra", "summary": "one"})
    item = stored(aws, 1)
    aws.dynamodb.delete_item(TableName=TABLE, Key={"stream": {"S": "journal"}, "seq": {"N": "1"}})
    aws.dynamodb.put_item(TableName=TABLE, Item={**item, "seq": {"N": "9"}})
    with pytest.raises(JournalError, match="event 1 was changed, or does not follow"):
        DynamoJournal(aws.dynamodb, TABLE).events()


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_an_event_that_is_missing_before_the_last_is_noticed(aws: Aws, gone: int) -> None:
    journal = DynamoJournal(aws.dynamodb, TABLE)
    for _ in range(4):
        journal.append("d-1", "verifying", {})
    aws.dynamodb.delete_item(TableName=TABLE, Key={"stream": {"S": "journal"}, "seq": {"N": str(gone)}})

    with pytest.raises(JournalError, match=f"event {gone + 1} was changed, or does not follow"):
        DynamoJournal(aws.dynamodb, TABLE).events()


def test_what_was_read_before_the_bent_event_stays_known(aws: Aws) -> None:
    journal, reader = DynamoJournal(aws.dynamodb, TABLE), DynamoJournal(aws.dynamodb, TABLE)
    first = journal.append("d-1", "began", {})
    assert reader.events() == (first,)
    journal.append("d-1", "verifying", {})
    good = stored(aws, 2)
    aws.dynamodb.put_item(TableName=TABLE, Item={**good, "sha256": {"S": "0" * 64}})
    with pytest.raises(JournalError):
        reader.events()
    aws.dynamodb.put_item(TableName=TABLE, Item=good)

    assert reader.events() == journal.events()


def stored(aws: Aws, seq: int) -> Item:
    key = {"stream": {"S": "journal"}, "seq": {"N": str(seq)}}
    found: Item = aws.dynamodb.get_item(TableName=TABLE, Key=key, ConsistentRead=True)["Item"]
    return found


# ---- how long is patient -------------------------------------------------------------------------------------------


def test_work_that_went_on_for_long_has_not_used_up_the_patience_for_what_then_misses_an_answer() -> None:
    patience, asked = Patience(limit_s=0.3, first_pause_s=0.01), []

    def question() -> str:
        asked.append(time.monotonic())
        if len(asked) == 1:
            time.sleep(0.5)  # a build, say: longer than the patience, and then its last answer is missed
        if len(asked) < 5:
            raise Unavailable("away")
        return "there"

    assert patience.ask(question) == "there"
    assert len(asked) == 5


def test_after_a_long_attempt_the_patience_is_the_whole_one_and_ends() -> None:
    patience, asked = Patience(limit_s=0.3, first_pause_s=0.02), []

    def question() -> str:
        asked.append(time.monotonic())
        if len(asked) == 1:
            time.sleep(0.5)
        raise Unavailable("away")

    with pytest.raises(Unavailable):
        patience.ask(question)
    ended, missed = time.monotonic(), asked[0] + 0.5  # when the long attempt missed its answer
    assert len(asked) > 2
    assert 0.3 <= ended - missed < 2


def test_what_is_away_for_longer_than_the_patience_each_time_is_not_asked_for_ever() -> None:
    """A part that hangs: each attempt ends in a time-out that is longer than the limit."""
    patience, asked = Patience(limit_s=0.2, first_pause_s=0.01), []

    def question() -> str:
        asked.append(1)
        if len(asked) > 5:
            raise AssertionError("it is asked for ever")
        time.sleep(0.25)
        raise Unavailable("timed out")

    with pytest.raises(Unavailable):
        patience.ask(question)
