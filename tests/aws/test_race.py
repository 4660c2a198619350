"""Many writers at once: of conditional writes whose condition can hold once, exactly one wins, at either door.

Grants and expressions are long, so that whoever looked first has not written yet when the next one looks.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws.conftest import Client

WRITERS = 8
ROUNDS = 2  # moto as it comes lets several win in the first
CLAUSES = range(200)
READERS = ",".join(f"id={n}" for n in range(6000))


def race(write: Callable[[int], Any]) -> Counter[str]:
    """Return how often each outcome came: `won`, or the error code, of `WRITERS` that began together."""
    together = Barrier(WRITERS)

    def attempt(number: int) -> str:
        together.wait(10)
        try:
            write(number)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "won"

    with ThreadPoolExecutor(WRITERS) as pool:
        return Counter(pool.map(attempt, range(WRITERS)))


@pytest.fixture(params=["through_server", "through_proxy"])
def client(request: pytest.FixtureRequest) -> Client:
    found: Client = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def table(client: Client) -> str:
    name = f"t-{uuid.uuid4().hex}"
    client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "stream", "KeyType": "HASH"}, {"AttributeName": "seq", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "stream", "AttributeType": "S"},
            {"AttributeName": "seq", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


@pytest.fixture
def bucket(client: Client) -> str:
    name = f"b-{uuid.uuid4().hex}"
    client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return name


def test_one_of_many_makes_an_object_that_must_not_exist(client: Client, bucket: str) -> None:
    s3 = client("s3")
    for turn in range(ROUNDS):
        outcomes = race(
            lambda n, key=f"k{turn}": s3.put_object(
                Bucket=bucket, Key=key, Body=b"x", GrantRead=READERS, IfNoneMatch="*"
            )
        )

        assert outcomes == {"won": 1, "PreconditionFailed": WRITERS - 1}


def test_one_of_many_replaces_the_object_all_of_them_read(client: Client, bucket: str) -> None:
    s3 = client("s3")
    for _ in range(ROUNDS):
        etag = s3.put_object(Bucket=bucket, Key="k", Body=uuid.uuid4().bytes)["ETag"]
        outcomes = race(
            lambda n, read=etag: s3.put_object(Bucket=bucket, Key="k", Body=bytes([n]), GrantRead=READERS, IfMatch=read)
        )

        assert outcomes == {"won": 1, "PreconditionFailed": WRITERS - 1}


def test_one_of_many_takes_a_free_sequence_number(client: Client, table: str) -> None:
    dynamodb = client("dynamodb")
    is_free = " AND ".join(["attribute_not_exists(seq)", *(f"attribute_not_exists(f{n})" for n in CLAUSES)])
    for turn in range(ROUNDS):
        outcomes = race(
            lambda n, seq=str(turn): dynamodb.put_item(
                TableName=table,
                Item={"stream": {"S": "s"}, "seq": {"N": seq}, "writer": {"N": str(n)}},
                ConditionExpression=is_free,
            )
        )

        assert outcomes == {"won": 1, "ConditionalCheckFailedException": WRITERS - 1}


def test_no_increment_is_lost_and_no_update_is_made_on_an_old_value(client: Client, table: str) -> None:
    dynamodb, key = client("dynamodb"), {"stream": {"S": "lease"}, "seq": {"N": "0"}}
    noted = ", ".join(f"n{n} = :one" for n in CLAUSES[:30])
    count = {"TableName": table, "Key": key, "UpdateExpression": f"SET {noted} ADD fence :one"}
    for turn in range(ROUNDS):
        outcomes = race(
            lambda n, last=str(turn): dynamodb.update_item(
                **count,
                ConditionExpression="attribute_not_exists(fence) OR fence = :last",
                ExpressionAttributeValues={":one": {"N": "1"}, ":last": {"N": last}},
            )
        )
        assert outcomes == {"won": 1, "ConditionalCheckFailedException": WRITERS - 1}

    race(lambda n: dynamodb.update_item(**count, ExpressionAttributeValues={":one": {"N": "1"}}))

    assert dynamodb.get_item(TableName=table, Key=key)["Item"]["fence"] == {"N": str(ROUNDS + WRITERS)}


def test_what_is_listed_while_others_write_is_whole(client: Client, table: str, bucket: str) -> None:
    s3, dynamodb = client("s3"), client("dynamodb")

    def write_and_list(number: int) -> None:
        for turn in range(4):
            s3.put_object(Bucket=bucket, Key=f"{number}/{turn}", Body=b"x")
            dynamodb.put_item(TableName=table, Item={"stream": {"S": "s"}, "seq": {"N": str(number * 100 + turn)}})
            mine = s3.list_objects_v2(Bucket=bucket, Prefix=f"{number}/")["KeyCount"]
            all_items = dynamodb.query(
                TableName=table,
                KeyConditionExpression="stream = :s",
                ExpressionAttributeValues={":s": {"S": "s"}},
                ConsistentRead=True,
            )["Count"]
            assert mine == turn + 1
            assert all_items >= turn + 1

    assert race(write_and_list) == {"won": WRITERS}
