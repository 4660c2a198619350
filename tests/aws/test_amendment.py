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


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("asked", [{}, {"Limit": 3}], ids=["by size", "by number"])
def test_the_pages_of_a_query_are_all_that_is_asked_for_in_order_and_once(
    through_server: Client, asked: dict[str, Any], forward: bool
) -> None:
    dynamodb, table = through_server("dynamodb"), f"t-{uuid.uuid4()}"
    keys = [{"AttributeName": "h", "KeyType": "HASH"}, {"AttributeName": "r", "KeyType": "RANGE"}]
    types = [{"AttributeName": "h", "AttributeType": "S"}, {"AttributeName": "r", "AttributeType": "N"}]
    dynamodb.create_table(TableName=table, KeySchema=keys, AttributeDefinitions=types, BillingMode="PAY_PER_REQUEST")
    for number in (10, 9, 100, 2, 1, 30, 5):  # by their text they have another order
        for stream in ("a", "b"):
            large = {"S": f"{stream}{number}".ljust(300_000)}
            dynamodb.put_item(TableName=table, Item={"h": {"S": stream}, "r": {"N": str(number)}, "v": large})
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="h = :h AND r > :r",
        ExpressionAttributeValues={":h": {"S": "a"}, ":r": {"N": "1"}},
        ScanIndexForward=forward,
        PaginationConfig={"PageSize": asked["Limit"]} if asked else {},
    )
    read = [page["Items"] for page in pages]

    assert len(read) > 1
    told = [item["v"]["S"].strip() for items in read for item in items]
    assert told == sorted(("a2", "a5", "a9", "a10", "a30", "a100"), key=lambda one: int(one[1:]), reverse=not forward)
