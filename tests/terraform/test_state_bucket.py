"""The bucket under everything: made once, brought back to what it must be every time."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from slipway.adapters.terraform_state import ensure_state_bucket
from slipway.sandbox.aws.environment import REGION


def bucket() -> str:
    return f"finedge-{uuid.uuid4().hex[:8]}-tfstate"


def test_the_bucket_is_made_once(client: Callable[[str], Any]) -> None:
    name = bucket()

    assert ensure_state_bucket(client("s3"), name, REGION) is True
    assert ensure_state_bucket(client("s3"), name, REGION) is False


def test_it_is_versioned_encrypted_private_and_forgets_old_versions(client: Callable[[str], Any]) -> None:
    s3, name = client("s3"), bucket()
    ensure_state_bucket(s3, name, REGION)
    rules = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]

    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] == REGION
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    assert s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert all(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())
    assert [one["NoncurrentVersionExpiration"]["NoncurrentDays"] for one in rules] == [90]


def test_what_was_loosened_is_tightened_again(client: Callable[[str], Any]) -> None:
    s3, name = client("s3"), bucket()
    ensure_state_bucket(s3, name, REGION)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    s3.delete_public_access_block(Bucket=name)
    ensure_state_bucket(s3, name, REGION)

    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    assert s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]["BlockPublicAcls"]
