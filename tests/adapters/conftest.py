"""The adapters' tests: a real AWS API on loopback, with the bucket and the table an environment has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from slipway.adapters.aws import Aws
from slipway.sandbox.aws.instance import running

TABLE = "finedge-staging-deployments"
BUCKET = "finedge-staging-releases"


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("aws")) as instance:
        yield f"http://127.0.0.1:{instance.port}"


@pytest.fixture
def aws(endpoint: str) -> Iterator[Aws]:
    client = Aws(
        region="eu-west-1",
        endpoint=endpoint,
        credentials={"aws_access_key_id": "test", "aws_secret_access_key": "test"},
    )
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
