"""The lease in DynamoDB."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from slipway.adapters.aws import Aws
from slipway.adapters.holder import Holder, machine_id
from slipway.adapters.journal import DynamoJournal, now_iso
from slipway.adapters.lease import _KEY, DynamoLease, _Clock
from slipway.errors import ConfigurationError, JournalError, Locked, SlipwayError, Unavailable
from slipway.patience import Patience

from .conftest import CREDENTIALS, TABLE
from .door import LOST, Answer, Door


def lease(aws: Aws, who: str = "ann", table: str = TABLE, **options: Any) -> DynamoLease:
    return DynamoLease(aws.dynamodb, table, environment="staging", by=who, **options)


def let_run_out(aws: Aws) -> None:
    aws.dynamodb.update_item(
        TableName=TABLE,
        Key=_KEY,
        UpdateExpression="SET expires = :long_ago",
        ExpressionAttributeValues={":long_ago": {"N": "1"}},
    )


def held_by(held: DynamoLease) -> Holder:
    holder = held.holder()
    assert holder is not None
    return holder


def test_one_holds_it_and_the_other_hears_who_and_since_when(aws: Aws) -> None:
    with lease(aws, "ann") as held:
        held.check()
        with pytest.raises(Locked, match=r"staging is held by ann since \d{4}-"), lease(aws, "bob"):
            pytest.fail("two held it")
        held.check()


def test_it_is_free_again_when_the_block_ends_however_it_ends(aws: Aws) -> None:
    with pytest.raises(RuntimeError), lease(aws, "ann"):
        raise RuntimeError
    with lease(aws, "bob") as held:
        held.check()


def test_a_holder_whose_lease_was_taken_does_nothing_more(aws: Aws) -> None:
    sleeper = lease(aws, "ann")
    sleeper.__enter__()
    let_run_out(aws)
    with lease(aws, "bob") as taken:
        with pytest.raises(Locked, match=r"lost its hold on staging .*bob holds it since"):
            sleeper.check()
        sleeper.__exit__(None, None, None)
        taken.check()


@pytest.fixture
def left(aws: Aws, endpoint: str) -> None:
    """A lease whose holder was a process of this machine, and was killed."""
    program = f"""
import os
from slipway.adapters.aws import Aws
from slipway.adapters.lease import DynamoLease
aws = Aws(region="eu-west-1", endpoint="{endpoint}", credentials={CREDENTIALS})
DynamoLease(aws.dynamodb, "{TABLE}", environment="staging", by="ann").__enter__()
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == -9


def test_a_lease_of_a_process_that_is_dead_on_this_machine_is_taken_at_once(aws: Aws, left: None) -> None:
    if machine_id() is None:  # a system that does not say which machine it is
        with pytest.raises(Locked, match="held by ann"), lease(aws, "bob"):
            pytest.fail("nobody knew that the holder was dead")
        return
    with lease(aws, "bob") as held:
        held.check()


def test_a_machine_is_its_name_its_boot_and_its_namespace_of_processes() -> None:
    boot = Path("/proc/sys/kernel/random/boot_id")
    says = [socket.gethostname(), boot.read_text().strip(), os.readlink("/proc/self/ns/pid")] if boot.exists() else []
    assert (machine_id() or "").split() == says


@pytest.mark.parametrize("part", ["host name", "boot", "namespace", "everything"])
def test_only_the_same_machine_boot_and_namespace_calls_a_holder_dead(aws: Aws, left: None, part: str) -> None:
    here = machine_id() or "name boot namespace"
    parts = dict(zip(("host name", "boot", "namespace"), here.split(), strict=True)) | {part: "other"}
    there = {"NULL": True} if part == "everything" else {"S": " ".join(parts.values())}
    aws.dynamodb.update_item(
        TableName=TABLE, Key=_KEY, UpdateExpression="SET machine = :other", ExpressionAttributeValues={":other": there}
    )
    with pytest.raises(Locked, match="held by ann"), lease(aws, "bob"):
        pytest.fail("two held it")


def test_a_number_that_another_process_has_now_is_not_the_holder(aws: Aws) -> None:
    lease(aws, "ann").__enter__()
    process = aws.dynamodb.get_item(TableName=TABLE, Key=_KEY)["Item"]["process"]["S"]
    pid, started = process.split()
    if started == "None":  # a system that does not say
        return
    aws.dynamodb.update_item(
        TableName=TABLE,
        Key=_KEY,
        UpdateExpression="SET process = :earlier",
        ExpressionAttributeValues={":earlier": {"S": f"{pid} {int(started) - 1}"}},
    )
    with lease(aws, "bob") as held:
        held.check()


def refused() -> Answer:
    said = {"__type": "com.amazon.coral.service#AccessDeniedException", "Message": "not any more"}
    return Answer(status=400, body=json.dumps(said).encode())


def test_what_ended_the_block_is_told_though_the_lease_cannot_be_given_back(aws: Aws, behind: Aws, door: Door) -> None:
    def end_badly() -> None:
        door.next("UpdateItem", refused())
        raise RuntimeError("the real error")

    with pytest.raises(RuntimeError, match="the real error"), lease(behind, "ann"):
        end_badly()
    assert not door.incidents


def test_a_success_stays_one_though_the_lease_cannot_be_given_back(aws: Aws, behind: Aws, door: Door) -> None:
    with lease(behind, "ann"):
        door.next("UpdateItem", refused())
    assert not door.incidents
    with pytest.raises(Locked, match="held by ann"), lease(aws, "bob"):
        pytest.fail("it runs out, and not at once")


def test_a_lease_whose_answer_was_lost_is_held_by_who_asked(aws: Aws, behind: Aws, door: Door) -> None:
    door.next("UpdateItem", LOST)
    with lease(behind, "ann") as held:
        assert not door.incidents
        held.check()
        with pytest.raises(Locked, match="held by ann"), lease(aws, "bob"):
            pytest.fail("two held it")


def test_of_many_that_race_one_wins(aws: Aws) -> None:
    def contend(number: int) -> str:
        try:
            contender = lease(aws, f"d{number}")
            contender.__enter__()
        except Locked:
            return "refused"
        return "held"

    with ThreadPoolExecutor(max_workers=8) as pool:
        outcomes = list(pool.map(contend, range(8)))
    assert sorted(outcomes) == ["held"] + ["refused"] * 7


def test_a_table_that_does_not_answer_means_no_deployment(aws: Aws) -> None:
    with pytest.raises(SlipwayError), lease(aws, table="finedge-nowhere-deployments"):
        pytest.fail("held nothing")


AWAY = Answer(status=503)


@pytest.fixture
def asking_once(aws: Aws, door: Door) -> Any:
    """A client behind the door that does not ask again by itself."""
    once = Config(retries={"total_max_attempts": 1})
    return boto3.client("dynamodb", endpoint_url=door.endpoint, region_name=aws.region, config=once, **CREDENTIALS)


def behind_door(client: Any, **options: Any) -> DynamoLease:
    return DynamoLease(client, TABLE, environment="staging", by="ann", **options)


def test_nobody_holds_it_before_and_after(aws: Aws) -> None:
    assert lease(aws).holder() is None
    with lease(aws):
        pass
    assert lease(aws).holder() is None


def test_a_holder_is_told_with_all_that_is_known(aws: Aws) -> None:
    with lease(aws, "ann", ttl_s=40.0):
        holder = held_by(lease(aws, "bob"))
    assert holder.who == "ann"
    assert (holder.machine, holder.process[0]) == (machine_id(), os.getpid())
    assert holder.token == 1
    assert holder.heartbeat_age_s is not None
    assert 0 <= holder.heartbeat_age_s < 5
    assert 35 < holder.remaining_s <= 40
    assert not holder.has_run_out
    assert not holder.is_known_dead()


def test_a_dead_holder_is_told_as_dead(aws: Aws, left: None) -> None:
    assert held_by(lease(aws)).is_known_dead() == (machine_id() is not None)


def test_a_heartbeat_keeps_it_beyond_its_time_to_live(aws: Aws) -> None:
    with lease(aws, "ann", ttl_s=1.5) as held:
        until = time.monotonic() + 2.2
        while time.monotonic() < until:
            with pytest.raises(Locked, match="held by ann"), lease(aws, "bob"):
                pytest.fail("two held it")
        held.check()


def test_a_lease_that_ran_out_and_that_nobody_took_is_held_on(aws: Aws) -> None:
    with lease(aws, "ann") as held:
        let_run_out(aws)
        assert held_by(held).has_run_out
        held.check()
        assert not held_by(held).has_run_out
        with pytest.raises(Locked, match="held by ann"), lease(aws, "bob"):
            pytest.fail("two held it")


def test_a_lease_that_was_given_back_is_not_held_on(aws: Aws) -> None:
    with lease(aws, "ann") as held:
        pass
    with pytest.raises(Locked, match="lost its hold"):
        held.check()
    assert held.holder() is None


@pytest.mark.parametrize("wrong_s", [-600.0, 600.0])
def test_a_clock_that_is_wrong_takes_nothing_from_anyone(aws: Aws, wrong_s: float) -> None:
    def wrong() -> float:
        return time.time() + wrong_s

    with lease(aws, "ann"), pytest.raises(Locked, match="held by ann"), lease(aws, "bob", clock=wrong):
        pytest.fail("two held it")
    with lease(aws, "ann", clock=wrong) as held:
        assert 55 < held_by(lease(aws)).remaining_s < 65
        with pytest.raises(Locked, match="held by ann"), lease(aws, "bob"):
            pytest.fail("two held it")
        held.check()


def test_within_a_deployment_the_table_may_be_away_for_a_while(aws: Aws, asking_once: Any, door: Door) -> None:
    told: list[str] = []
    with behind_door(asking_once, patience=Patience(tell=told.append)) as held:
        for _ in range(3):
            door.next("UpdateItem", AWAY)
        held.check()
        assert not door.incidents
    assert [re.sub(r": .*;", ":", line) for line in told] == [f"lease {TABLE}: trying again (0 s of 60)"]


def test_what_is_not_confirmed_for_its_time_to_live_counts_as_lost(aws: Aws, asking_once: Any, door: Door) -> None:
    with behind_door(asking_once, ttl_s=1.0) as held:
        began = time.monotonic()
        for _ in range(200):
            door.next("DynamoDB", AWAY)
        with pytest.raises(Locked, match=r"lost its hold on staging .* did not confirm it for 1 s"):
            held.check()
        assert time.monotonic() - began < 10


def test_a_check_never_passes_without_an_answer(aws: Aws, asking_once: Any, door: Door) -> None:
    with behind_door(asking_once, patience=Patience(limit_s=0)) as held:
        door.next("UpdateItem", AWAY)
        with pytest.raises(Unavailable):
            held.check()
        held.check()


@pytest.mark.parametrize("request_name", ["GetItem", "UpdateItem"])
def test_taking_it_knows_no_patience(asking_once: Any, door: Door, request_name: str) -> None:
    told: list[str] = []
    door.next(request_name, AWAY)
    with pytest.raises(Unavailable), behind_door(asking_once, patience=Patience(tell=told.append)):
        pytest.fail("held nothing")
    assert (told, door.incidents) == ([], [])


@pytest.mark.parametrize("attribute", ["expires", "who", "process", "machine", "token"])
def test_a_lease_that_no_deployment_wrote_is_neither_taken_nor_broken(aws: Aws, attribute: str) -> None:
    lease(aws, "ann").__enter__()
    aws.dynamodb.update_item(
        TableName=TABLE,
        Key=_KEY,
        UpdateExpression="SET #one = :nonsense",
        ExpressionAttributeNames={"#one": attribute},
        ExpressionAttributeValues={":nonsense": {"BOOL": True} if attribute == "machine" else {"S": "nonsense"}},
    )
    if attribute in ("who", "machine"):
        aws.dynamodb.update_item(TableName=TABLE, Key=_KEY, UpdateExpression=f"REMOVE {attribute}")
    with pytest.raises(JournalError, match="is not one a deployment writes"), lease(aws, "bob"):
        pytest.fail("held it")


def break_(aws: Aws, holder: Holder, *, journal: DynamoJournal | None = None, reason: str = "gone") -> Any:
    return lease(aws, "pat").break_hold(holder, journal=journal or DynamoJournal(aws.dynamodb, TABLE), reason=reason)


def test_a_broken_hold_is_lost_and_recorded_and_the_environment_is_free(aws: Aws) -> None:
    with lease(aws, "ann") as held:
        journal = DynamoJournal(aws.dynamodb, TABLE).fenced_by(held)
        began = journal.append("d-1", "began", {})
        holder = held_by(held)
        event = break_(aws, holder, reason=" laptop stolen ")
        assert lease(aws).holder() is None
        with pytest.raises(Locked, match="lost its hold"):
            held.check()
        with pytest.raises(Locked, match="lost its hold"):
            journal.append("d-1", "verifying", {})
        with lease(aws, "bob") as next_one:
            assert held_by(next_one).token == holder.token + 2
    assert DynamoJournal(aws.dynamodb, TABLE).events() == (began, event)
    assert (event.deployment, event.kind) == ("", "lock-broken")
    assert event.data == {
        "by": "pat",
        "reason": "laptop stolen",
        "holder": "ann",
        "since": holder.since,
        "token": holder.token,
    }


def test_breaking_and_recording_are_one_request(aws: Aws) -> None:
    asked: list[tuple[str, list[str]]] = []

    def listen(params: dict[str, Any], model: Any, **_: Any) -> None:
        asked.append((model.name, [name for item in params.get("TransactItems", ()) for name in item]))

    with lease(aws, "ann") as held:
        holder = held_by(held)
        aws.dynamodb.meta.events.register("provide-client-params.dynamodb", listen)
        break_(aws, holder)
        aws.dynamodb.meta.events.unregister("provide-client-params.dynamodb", listen)
    writes = [one for one in asked if one[0] not in ("Query", "GetItem")]
    assert writes == [("TransactWriteItems", ["Put", "Update"])]


def test_breaking_whose_answer_was_lost_is_recorded_once(aws: Aws, behind: Aws, door: Door) -> None:
    with lease(aws, "ann") as held:
        door.next("TransactWriteItems", LOST)
        event = break_(behind, held_by(held))
        assert not door.incidents
    assert DynamoJournal(aws.dynamodb, TABLE).events() == (event,)


def test_nothing_is_broken_when_it_cannot_be_recorded(aws: Aws, asking_once: Any, door: Door) -> None:
    with lease(aws, "ann") as held:
        door.next("TransactWriteItems", AWAY)
        with pytest.raises(Unavailable):
            break_(aws, held_by(held), journal=DynamoJournal(asking_once, TABLE))
        held.check()
    assert DynamoJournal(aws.dynamodb, TABLE).events() == ()


def test_a_holder_that_writes_at_the_same_time_is_broken_all_the_same(aws: Aws) -> None:
    with lease(aws, "ann") as held:
        holders = DynamoJournal(aws.dynamodb, TABLE).fenced_by(held)
        late = iter([lambda: holders.append("d-1", "began", {})])

        def clock() -> str:
            next(late, lambda: None)()  # between reading and writing, the first time
            return now_iso()

        break_(aws, held_by(held), journal=DynamoJournal(aws.dynamodb, TABLE, clock=clock))
        with pytest.raises(Locked):
            held.check()
    assert [one.kind for one in DynamoJournal(aws.dynamodb, TABLE).events()] == ["began", "lock-broken"]


def test_what_was_given_back_meanwhile_is_not_broken(aws: Aws) -> None:
    with lease(aws, "ann") as held:
        holder = held_by(held)
    assert break_(aws, holder) is None
    assert DynamoJournal(aws.dynamodb, TABLE).events() == ()


def test_who_took_it_meanwhile_is_not_broken_for_another(aws: Aws) -> None:
    with lease(aws, "ann") as held:
        holder = held_by(held)
    with lease(aws, "bob") as other:
        with pytest.raises(Locked, match="held by bob since"):
            break_(aws, holder)
        other.check()
    assert DynamoJournal(aws.dynamodb, TABLE).events() == ()


def test_of_two_that_break_it_one_does(aws: Aws) -> None:
    with lease(aws, "ann") as held:
        holder = held_by(held)
        with ThreadPoolExecutor(max_workers=4) as pool:
            broken = list(pool.map(lambda _: break_(aws, holder), range(4)))
    assert sum(one is not None for one in broken) == 1
    assert [one.kind for one in DynamoJournal(aws.dynamodb, TABLE).events()] == ["lock-broken"]


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_it_is_not_broken_without_a_reason(aws: Aws, reason: str) -> None:
    with lease(aws, "ann") as held:
        with pytest.raises(ConfigurationError, match="for a reason"):
            break_(aws, held_by(held), reason=reason)
        held.check()


def test_in_a_table_that_was_made_anew_an_old_holder_holds_nothing(aws: Aws) -> None:
    """Tokens begin again there, so the new holder has the old one's."""
    old = lease(aws, "ann").__enter__()
    aws.dynamodb.delete_item(TableName=TABLE, Key=_KEY)
    with lease(aws, "bob") as new:
        with pytest.raises(Locked):
            old.check()
        with pytest.raises(Locked):
            DynamoJournal(aws.dynamodb, TABLE).fenced_by(old).append("d-1", "began", {})
        new.check()


@pytest.mark.parametrize(("took_s", "ahead_s"), [(0.0, 100.0), (600.0, 0.0)], ids=["at once", "long under way"])
def test_the_time_in_an_answer_that_was_long_under_way_is_past(took_s: float, ahead_s: float) -> None:
    clock = _Clock(lambda: 1_000_000.0)
    answer = {"ResponseMetadata": {"HTTPHeaders": {"date": format_datetime(datetime.fromtimestamp(1_000_100, UTC))}}}
    clock.learn(answer, asked_at=time.monotonic() - took_s)
    assert clock.now() == 1_000_000.0 + ahead_s
