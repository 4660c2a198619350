"""Two places with one contract: memory, and DynamoDB on the embedded AWS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import boto3
import pytest
from botocore.config import Config

from slipway.adapters.aws import Aws
from slipway.adapters.journal import DynamoJournal, now_iso
from slipway.adapters.lease import _KEY, DynamoLease
from slipway.deployment import Event
from slipway.sandbox.aws.instance import running
from tests.adapters.door import LOST, Answer, Door, before
from tests.ports.memory import Faults, MemoryJournal, MemoryLease, MemoryTable

TABLE = "finedge-staging-deployments"
CREDENTIALS = {"aws_access_key_id": "embedded", "aws_secret_access_key": "embedded"}


class Place(Protocol):
    """Where a journal and a lease are; each call gives a new reader, writer or contender."""

    def journal(self, clock: Callable[[], str] | None = None) -> Any: ...

    def lease(self, by: str = "ann") -> Any: ...

    def let_run_out(self) -> None:
        """Let the lease's time to live pass without a heartbeat."""

    def break_lease(self, lease: Any, reason: str) -> Event | None:
        """Break what `lease` holds."""

    def refuse_next(self) -> None:
        """Let the next call meet a table that does not answer."""

    def lose_next(self) -> None:
        """Let the next append happen, and its answer be lost."""


@dataclass
class Memory:
    """Both in memory."""

    table: MemoryTable
    faults: Faults

    def journal(self, clock: Callable[[], str] | None = None) -> MemoryJournal:
        return MemoryJournal(self.table, faults=self.faults, clock=clock)

    def lease(self, by: str = "ann") -> MemoryLease:
        return MemoryLease(table=self.table, by=by, faults=self.faults)

    def let_run_out(self) -> None:
        self.table.has_run_out = True

    def break_lease(self, lease: MemoryLease, reason: str) -> Event | None:
        return self.lease("pat").break_hold(self.table.token, journal=self.journal(), reason=reason)

    def refuse_next(self) -> None:
        self.faults.at, self.faults.moment = len(self.faults.calls) + 1, "before"

    def lose_next(self) -> None:
        self.faults.at, self.faults.moment = len(self.faults.calls) + 1, "after"


@dataclass
class Dynamo:
    """Both in a table of the embedded AWS, behind a door."""

    client: Any  # asks once
    door: Door

    def journal(self, clock: Callable[[], str] | None = None) -> DynamoJournal:
        return DynamoJournal(self.client, TABLE, clock=clock or now_iso)

    def lease(self, by: str = "ann") -> DynamoLease:
        return DynamoLease(self.client, TABLE, environment="staging", by=by)

    def let_run_out(self) -> None:
        self.client.update_item(
            TableName=TABLE,
            Key=_KEY,
            UpdateExpression="SET expires = :long_ago",
            ExpressionAttributeValues={":long_ago": {"N": "1"}},
        )

    def break_lease(self, lease: DynamoLease, reason: str) -> Event | None:
        holder = lease.holder()
        assert holder is not None
        return self.lease("pat").break_hold(holder, journal=self.journal(), reason=reason)

    def refuse_next(self) -> None:
        self.door.next("DynamoDB", Answer(status=503))

    def lose_next(self) -> None:
        self.door.next("TransactWriteItems", LOST)


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with running(tmp_path_factory.mktemp("aws")) as instance:
        yield Aws(region="eu-west-1", endpoint=f"http://127.0.0.1:{instance.port}", credentials=CREDENTIALS)


@pytest.fixture
def dynamo(account: Aws) -> Iterator[Dynamo]:
    account.dynamodb.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "stream", "KeyType": "HASH"}, {"AttributeName": "seq", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "stream", "AttributeType": "S"},
            {"AttributeName": "seq", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    once = Config(retries={"total_max_attempts": 1})
    with before(account.dynamodb.meta.endpoint_url) as door:
        yield Dynamo(
            client=boto3.client(
                "dynamodb", endpoint_url=door.endpoint, region_name=account.region, config=once, **CREDENTIALS
            ),
            door=door,
        )
    account.dynamodb.delete_table(TableName=TABLE)


@pytest.fixture(params=["memory", "dynamodb"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "memory":
        return Memory(table=MemoryTable(), faults=Faults())
    found: Dynamo = request.getfixturevalue("dynamo")
    return found
