"""Object Lock, as S3's user guide says it holds; also for the account's operator."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws.conftest import Client


@pytest.fixture
def s3(through_server: Client) -> Any:
    return through_server("s3")


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"b-{uuid.uuid4().hex}"
    s3.create_bucket(
        Bucket=name, ObjectLockEnabledForBucket=True, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    return name


def in_days(days: float) -> datetime:
    return (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)


def kept(s3: Any, bucket: str, mode: str, *, days: float = 10) -> dict[str, Any]:
    done = s3.put_object(
        Bucket=bucket, Key="k", Body=b"kept", ObjectLockMode=mode, ObjectLockRetainUntilDate=in_days(days)
    )
    return {"Bucket": bucket, "Key": "k", "VersionId": done["VersionId"]}


def by_default(s3: Any, bucket: str, mode: str = "COMPLIANCE", days: int = 10) -> None:
    rule = {"DefaultRetention": {"Mode": mode, "Days": days}}
    configuration = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=configuration)


@pytest.mark.parametrize("mode", ["COMPLIANCE", "GOVERNANCE"])
def test_a_kept_version_cannot_be_deleted_alone_or_among_others(s3: Any, bucket: str, mode: str) -> None:
    version = kept(s3, bucket, mode)
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(**version)
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(**version, BypassGovernanceRetention=False)
    one = {"Key": "k", "VersionId": version["VersionId"]}
    errors = s3.delete_objects(Bucket=bucket, Delete={"Objects": [one]})["Errors"]

    assert [error["Code"] for error in errors] == ["AccessDenied"]
    assert s3.get_object(**version)["Body"].read() == b"kept"


def test_a_kept_version_outlives_a_delete_and_an_overwrite(s3: Any, bucket: str) -> None:
    version = kept(s3, bucket, "COMPLIANCE")
    s3.put_object(Bucket=bucket, Key="k", Body=b"later")
    s3.delete_object(Bucket=bucket, Key="k")
    listed = s3.list_object_versions(Bucket=bucket)

    assert version["VersionId"] in [one["VersionId"] for one in listed["Versions"]]
    assert len(listed["Versions"]) == 2
    assert [one["IsLatest"] for one in listed["DeleteMarkers"]] == [True]
    assert s3.get_object(**version)["Body"].read() == b"kept"


@pytest.mark.parametrize("bypass", [False, True])
@pytest.mark.parametrize(
    "retention",
    [
        {"Mode": "COMPLIANCE", "RetainUntilDate": in_days(1)},
        {"Mode": "GOVERNANCE", "RetainUntilDate": in_days(20)},
        {},
    ],
    ids=["sooner", "weaker", "none"],
)
def test_compliance_is_never_cut_short(s3: Any, bucket: str, retention: dict[str, Any], bypass: bool) -> None:
    version = kept(s3, bucket, "COMPLIANCE")
    before = s3.get_object_retention(**version)["Retention"]
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object_retention(**version, Retention=retention, BypassGovernanceRetention=bypass)

    assert s3.get_object_retention(**version)["Retention"] == before


def test_governance_is_cut_short_only_by_who_says_so(s3: Any, bucket: str) -> None:
    version, sooner = kept(s3, bucket, "GOVERNANCE"), {"Mode": "GOVERNANCE", "RetainUntilDate": in_days(1)}
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object_retention(**version, Retention=sooner)
    s3.put_object_retention(**version, Retention=sooner, BypassGovernanceRetention=True)

    assert s3.get_object_retention(**version)["Retention"] == sooner
    s3.delete_object(**version, BypassGovernanceRetention=True)
    assert "Versions" not in s3.list_object_versions(Bucket=bucket)


@pytest.mark.parametrize("mode", ["COMPLIANCE", "GOVERNANCE"])
def test_a_retention_may_always_be_made_longer(s3: Any, bucket: str, mode: str) -> None:
    version, longer = kept(s3, bucket, mode), {"Mode": mode, "RetainUntilDate": in_days(30)}
    s3.put_object_retention(**version, Retention=longer)

    assert s3.get_object_retention(**version)["Retention"] == longer


def test_what_comes_without_a_retention_gets_the_default_however_it_comes(s3: Any, bucket: str) -> None:
    by_default(s3, bucket)
    s3.put_object(Bucket=bucket, Key="whole", Body=b"x")
    upload = {"Bucket": bucket, "Key": "parts"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    part = s3.upload_part(**upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    s3.complete_multipart_upload(**upload, MultipartUpload=parts)

    for key in ("whole", "parts"):
        retention = s3.get_object_retention(Bucket=bucket, Key=key)["Retention"]
        assert retention["Mode"] == "COMPLIANCE", key
        assert retention["RetainUntilDate"] > in_days(9)
        version = s3.head_object(Bucket=bucket, Key=key)["VersionId"]
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.delete_object(Bucket=bucket, Key=key, VersionId=version)


@pytest.mark.parametrize(
    "given",
    [
        {"ObjectLockMode": "COMPLIANCE"},
        {"ObjectLockRetainUntilDate": in_days(1)},
        {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": in_days(-1)},
        {"ObjectLockMode": "FOREVER", "ObjectLockRetainUntilDate": in_days(1)},
    ],
    ids=["no date", "no mode", "over already", "no such mode"],
)
def test_half_a_retention_is_refused(s3: Any, bucket: str, given: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="InvalidArgument"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", **given)

    assert "Versions" not in s3.list_object_versions(Bucket=bucket)


def test_the_default_changes_for_what_comes_later_only(s3: Any, bucket: str) -> None:
    by_default(s3, bucket, days=10)
    s3.put_object(Bucket=bucket, Key="before", Body=b"x")
    by_default(s3, bucket, days=100)
    s3.put_object(Bucket=bucket, Key="after", Body=b"x")
    until = {key: s3.get_object_retention(Bucket=bucket, Key=key)["Retention"] for key in ("before", "after")}

    assert until["before"]["RetainUntilDate"] < in_days(11)
    assert until["after"]["RetainUntilDate"] > in_days(99)


def test_a_lock_is_never_switched_off(s3: Any, bucket: str) -> None:
    with pytest.raises(ClientError, match="InvalidBucketState"):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    with pytest.raises(ClientError, match="MalformedXML"):
        s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Disabled"})
    kept(s3, bucket, "COMPLIANCE")
    with pytest.raises(ClientError, match="BucketNotEmpty"):
        s3.delete_bucket(Bucket=bucket)

    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


def test_an_object_without_a_retention_says_so(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")

    with pytest.raises(ClientError, match="NoSuchObjectLockConfiguration"):
        s3.get_object_retention(Bucket=bucket, Key="k")
