"""The lease in DynamoDB."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slipway.adapters.aws import Aws
from slipway.adapters.lease import _KEY, DynamoLease, machine_id
from slipway.errors import Locked, SlipwayError

from .conftest import TABLE
from .door import LOST, Answer, Door


def lease(aws: Aws, who: str = "ann", table: str = TABLE) -> DynamoLease:
    return DynamoLease(aws.dynamodb, table, environment="staging", by=who)


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
    aws.dynamodb.update_item(
        TableName=TABLE,
        Key=_KEY,
        UpdateExpression="SET expires = :long_ago",
        ExpressionAttributeValues={":long_ago": {"N": "1"}},
    )
    with lease(aws, "bob") as taken:
        with pytest.raises(Locked, match="lost its hold"):
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
aws = Aws(region="eu-west-1", endpoint="{endpoint}",
          credentials=dict(aws_access_key_id="test", aws_secret_access_key="test"))
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
