"""The lease in DynamoDB."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from slipway.adapters.aws import Aws
from slipway.adapters.lease import _KEY, DynamoLease
from slipway.errors import Locked, SlipwayError

from .conftest import TABLE


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


def test_a_lease_of_a_process_that_is_dead_on_this_machine_is_taken_at_once(aws: Aws, endpoint: str) -> None:
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
    with lease(aws, "bob") as held:
        held.check()


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
