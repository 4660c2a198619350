"""Where moto is mended: what AWS's own documentation says must hold."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS

from tests.aws.conftest import Client

MESSAGE = b"plan 3f2a9c1b"


def signing_key(kms: Any, spec: str) -> tuple[str, Any]:
    key = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec=spec)["KeyMetadata"]["KeyId"]
    return key, serialization.load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])


@pytest.mark.parametrize("door", ["through_server", "through_proxy"])
def test_a_signature_over_a_digest_verifies_as_one_over_the_message(door: str, request: pytest.FixtureRequest) -> None:
    kms = request.getfixturevalue(door)("kms")
    key, public = signing_key(kms, "ECC_NIST_P256")
    for kind, content in (("DIGEST", hashlib.sha256(MESSAGE).digest()), ("RAW", MESSAGE)):
        signed = kms.sign(KeyId=key, Message=content, MessageType=kind, SigningAlgorithm="ECDSA_SHA_256")

        public.verify(signed["Signature"], MESSAGE, ec.ECDSA(hashes.SHA256()))
        with pytest.raises(InvalidSignature):
            public.verify(signed["Signature"], MESSAGE + b"!", ec.ECDSA(hashes.SHA256()))


def test_rsa_signatures_over_a_digest_verify_too(through_server: Client) -> None:
    kms = through_server("kms")
    key, public = signing_key(kms, "RSA_2048")
    digest = hashlib.sha256(MESSAGE).digest()
    signed = kms.sign(KeyId=key, Message=digest, MessageType="DIGEST", SigningAlgorithm="RSASSA_PSS_SHA_256")

    public.verify(signed["Signature"], MESSAGE, PSS(MGF1(hashes.SHA256()), PSS.AUTO), hashes.SHA256())


def test_kms_verifies_a_digest_as_it_signed_it(through_server: Client) -> None:
    kms = through_server("kms")
    key, _ = signing_key(kms, "ECC_NIST_P256")
    asked = {"KeyId": key, "SigningAlgorithm": "ECDSA_SHA_256"}
    digest = hashlib.sha256(MESSAGE).digest()
    signature = kms.sign(Message=MESSAGE, MessageType="RAW", **asked)["Signature"]

    assert kms.verify(Message=digest, MessageType="DIGEST", Signature=signature, **asked)["SignatureValid"]
    assert kms.verify(Message=MESSAGE, MessageType="RAW", Signature=signature, **asked)["SignatureValid"]


def test_a_digest_of_another_length_is_refused(through_server: Client) -> None:
    kms = through_server("kms")
    key, _ = signing_key(kms, "ECC_NIST_P256")

    with pytest.raises(ClientError, match="ValidationException"):
        kms.sign(KeyId=key, Message=b"short", MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256")


def policy(bucket: str, **statement: Any) -> str:
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    common = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": resources}
    return json.dumps({"Version": "2012-10-17", "Statement": [common | statement]})


def test_a_bucket_that_refuses_plain_transport_still_takes_objects(through_server: Client) -> None:
    s3, bucket = through_server("s3"), f"b-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, Condition={"Bool": {"aws:SecureTransport": "false"}}))
    s3.put_object(Bucket=bucket, Key="k", Body=b"v")

    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"v"


def test_a_bucket_that_refuses_everything_takes_nothing(through_server: Client) -> None:
    s3, bucket = through_server("s3"), f"b-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket))

    with pytest.raises(ClientError, match=r"403|AccessDenied|Forbidden"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"v")


def test_a_list_of_versions_tells_all_and_leaves_every_content_where_it_is(through_server: Client) -> None:
    s3, bucket = through_server("s3"), f"b-{uuid.uuid4()}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    put = [s3.put_object(Bucket=bucket, Key="a", Body=content) for content in (b"first", b"second!")]
    s3.delete_object(Bucket=bucket, Key="a")
    for _ in range(2):
        listed = s3.list_object_versions(Bucket=bucket)
        assert [(one["VersionId"], one["ETag"], one["Size"], one["IsLatest"]) for one in listed["Versions"]] == [
            (put[1]["VersionId"], put[1]["ETag"], 7, False),
            (put[0]["VersionId"], put[0]["ETag"], 5, False),
        ]
        assert [one["IsLatest"] for one in listed["DeleteMarkers"]] == [True]
    for answer, content in zip(put, (b"first", b"second!"), strict=True):
        assert s3.get_object(Bucket=bucket, Key="a", VersionId=answer["VersionId"])["Body"].read() == content


Item = dict[str, dict[str, Any]]
KEYS: dict[str, list[Any]] = {
    "N": ["10", "9", "100", "2", "1", "30", "5"],  # by their text they have another order
    "S": ["b", "a", "ba", "", "é", "c", "Z"],
}


def table_of(dynamodb: Any, kind: str) -> str:
    """Return a table with one stream "a" of the keys above, each item of 300 kB, and one "b" with the same."""
    table = f"t-{uuid.uuid4()}"
    dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "h", "KeyType": "HASH"}, {"AttributeName": "r", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "h", "AttributeType": "S"},
            {"AttributeName": "r", "AttributeType": kind},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    for value in filter(None, KEYS[kind]):
        for stream in ("a", "b"):
            item = {"h": {"S": stream}, "r": {kind: value}, "v": {"S": stream.ljust(300_000)}}
            dynamodb.put_item(TableName=table, Item=item)
    return table


def pages_of(dynamodb: Any, table: str, *, forward: bool, size: int | None) -> list[list[Item]]:
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="h = :h",
        ExpressionAttributeValues={":h": {"S": "a"}},
        ScanIndexForward=forward,
        PaginationConfig={} if size is None else {"PageSize": size},
    )
    return [page["Items"] for page in pages]


@pytest.mark.parametrize("kind", sorted(KEYS))
@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("size", [None, 2], ids=["by bytes", "by number"])
def test_the_pages_of_a_query_are_all_that_is_asked_for_in_order_and_once(
    through_server: Client, kind: str, forward: bool, size: int | None
) -> None:
    dynamodb = through_server("dynamodb")
    pages = pages_of(dynamodb, table_of(dynamodb, kind), forward=forward, size=size)
    told = [item["r"][kind] for page in pages for item in page]

    assert len(pages) > 1
    assert {item["v"]["S"].strip() for page in pages for item in page} == {"a"}
    in_order = sorted(filter(None, KEYS[kind]), key=int if kind == "N" else None, reverse=not forward)
    assert told == in_order


def test_a_page_comes_after_a_start_that_is_gone_meanwhile(through_server: Client) -> None:
    dynamodb = through_server("dynamodb")
    table = table_of(dynamodb, "N")
    start = {"h": {"S": "a"}, "r": {"N": "9"}}
    dynamodb.delete_item(TableName=table, Key=start)

    assert numbers(dynamodb, table, start) == ["10", "30", "100"]


def test_a_start_in_another_stream_is_as_moto_has_it(through_server: Client) -> None:
    dynamodb = through_server("dynamodb")
    start = {"h": {"S": "A"}, "r": {"N": "9"}}  # before all of stream "a"

    assert numbers(dynamodb, table_of(dynamodb, "N"), start)[:2] == ["1", "2"]


def numbers(dynamodb: Any, table: str, start: Item) -> list[str]:
    """Return the numbers on the page of stream "a" that begins after `start`."""
    page = dynamodb.query(
        TableName=table,
        KeyConditionExpression="h = :h",
        ExpressionAttributeValues={":h": {"S": "a"}},
        ExclusiveStartKey=start,
    )
    return [item["r"]["N"] for item in page["Items"]]
