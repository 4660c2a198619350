"""The adapters' tests: a real AWS API on loopback, with the bucket and the table an environment has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from slipway.adapters.aws import Aws
from slipway.sandbox.aws.instance import running

from .door import Door, before

TABLE = "finedge-staging-deployments"
BUCKET = "finedge-staging-releases"
CREDENTIALS = {"aws_access_key_id": "embedded", "aws_secret_access_key": "embedded"}


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("aws")) as instance:
        yield f"http://127.0.0.1:{instance.port}"


@pytest.fixture
def aws(endpoint: str) -> Iterator[Aws]:
    client = Aws(region="eu-west-1", endpoint=endpoint, credentials=CREDENTIALS)
    client.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    client.dynamodb.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "stream", "KeyType": "HASH"}, {"AttributeName": "seq", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "stream", "AttributeType": "S"},
            {"AttributeName": "seq", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    yield client
    client.dynamodb.delete_table(TableName=TABLE)
    for item in client.s3.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.s3.delete_object(Bucket=BUCKET, Key=item["Key"])
    client.s3.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def door(endpoint: str) -> Iterator[Door]:
    """A way to the embedded AWS on which answers can be lost."""
    with before(endpoint) as opened:
        yield opened


@pytest.fixture
def behind(aws: Aws, door: Door) -> Aws:
    """The same account as `aws`, reached through the door."""
    return Aws(region=aws.region, endpoint=door.endpoint, credentials=CREDENTIALS)
