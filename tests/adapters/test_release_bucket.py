"""The release bucket."""

from __future__ import annotations

import gzip
import hashlib

import pytest

from slipway.adapters.aws import Aws
from slipway.adapters.release_bucket import ReleaseBucket
from slipway.errors import ConfigurationError, Stale, StepFailed
from slipway.observation import Pointer
from slipway.release import archive_of, version_archive
from slipway.step import UploadVersion
from tests.core.conftest import policy_of, release_of, version_in_staging

from .conftest import BUCKET
from .door import LOST, Answer, Door

FIRST = Pointer(version="a-1", release="a", config="1", sha256="0", etag="")


def chosen(aws: Aws) -> tuple[ReleaseBucket, UploadVersion]:
    release = release_of()
    version = version_in_staging(release)
    bucket = ReleaseBucket(aws.s3, BUCKET)
    bucket.choose(release, version)
    sha256 = hashlib.sha256(version_archive(release, version)).hexdigest()
    return bucket, UploadVersion(release=release.id, version=version.version, archive_sha256=sha256)


def uploaded(aws: Aws) -> tuple[ReleaseBucket, UploadVersion]:
    bucket, step = chosen(aws)
    assert not bucket.is_uploaded(step)
    bucket.upload(step, lambda line: None)
    return bucket, step


def test_a_release_comes_back_the_same_with_its_settings(aws: Aws) -> None:
    bucket, step = uploaded(aws)
    release = release_of()
    assert bucket.is_uploaded(step)
    assert bucket.release(release.id) == release
    assert bucket.version(step.version) == version_in_staging(release)


def test_an_archive_that_was_changed_is_no_longer_uploaded(aws: Aws) -> None:
    bucket, step = uploaded(aws)
    aws.s3.put_object(Bucket=BUCKET, Key=f"airflow/versions/{step.version}.tar.gz", Body=b"other")
    assert not bucket.is_uploaded(step)
    with pytest.raises(ConfigurationError, match="not a release archive"):
        bucket.version(step.version)


@pytest.mark.parametrize(
    "changes",
    [
        {"dags/customers.py": b"drop everything"},
        {"terraform/environments/staging/main.tf": b"# something"},
        {"snowflake_migrations/undo/U1.0.0__tables.sql": None},
        {"dbt/models/finance/more.sql": b"select 2"},
    ],
    ids=["changed dag", "changed infrastructure", "missing", "added"],
)
def test_a_release_whose_files_are_not_what_its_id_says_is_refused(aws: Aws, changes: dict[str, bytes | None]) -> None:
    bucket, step = uploaded(aws)
    aws.s3.put_object(Bucket=BUCKET, Key=f"releases/{step.release}.tar.gz", Body=archive_of(release_of(changes).files))
    (path,) = changes
    with pytest.raises(ConfigurationError, match=f"not what its id says: {path}\n") as refused:
        bucket.release(step.release)
    assert "earlier version" in (refused.value.fix or "")
    assert not bucket.is_uploaded(step)


def test_a_manifest_of_another_release_is_refused(aws: Aws) -> None:
    bucket, step = uploaded(aws)
    record = aws.s3.get_object(Bucket=BUCKET, Key=f"releases/{step.release}.json")["Body"].read()
    aws.s3.put_object(Bucket=BUCKET, Key=f"releases/{'0' * 64}.json", Body=record)
    with pytest.raises(ConfigurationError, match="another release"):
        bucket.manifest("0" * 64)
    aws.s3.put_object(Bucket=BUCKET, Key=f"releases/{step.release}.json", Body=b"<html>")
    with pytest.raises(ConfigurationError, match="no document"):
        bucket.release(step.release)


@pytest.mark.parametrize("object_", ["releases/", "airflow/versions/"])
def test_an_upload_that_did_not_arrive_fails(aws: Aws, behind: Aws, door: Door, object_: str) -> None:
    bucket, step = chosen(behind)
    aws.s3.put_object(Bucket=BUCKET, Key=f"releases/{step.release}.tar.gz", Body=archive_of({"dags/a.py": b"other"}))
    door.next(f"PUT /{BUCKET}/{object_}", Answer(status=200))
    with pytest.raises(StepFailed, match="not what was sent"):
        bucket.upload(step, lambda line: None)
    assert not door.incidents


def test_the_digest_of_a_version_is_that_of_the_archive_which_is_stored(aws: Aws) -> None:
    bucket, step = uploaded(aws)
    assert bucket.version_sha256(step.version) == step.archive_sha256
    assert bucket.version_sha256("000000000000-00000000") is None

    release = release_of()
    again = gzip.compress(gzip.decompress(version_archive(release, version_in_staging(release))), compresslevel=1)
    sha256 = hashlib.sha256(again).hexdigest()
    aws.s3.put_object(Bucket=BUCKET, Key=f"airflow/versions/{step.version}.tar.gz", Body=again)
    assert bucket.version_sha256(step.version) is None
    aws.s3.put_object(Bucket=BUCKET, Key=f"airflow/versions/{step.version}.sha256", Body=sha256.encode())
    assert bucket.version_sha256(step.version) == sha256 != step.archive_sha256
    assert bucket.has_version(step.version)


def test_a_version_under_another_name_is_refused(aws: Aws) -> None:
    bucket, step = uploaded(aws)
    archive = aws.s3.get_object(Bucket=BUCKET, Key=f"airflow/versions/{step.version}.tar.gz")["Body"].read()
    aws.s3.put_object(Bucket=BUCKET, Key="airflow/versions/000000000000-00000000.tar.gz", Body=archive)
    with pytest.raises(ConfigurationError, match=f"holds version {step.version}"):
        bucket.version("000000000000-00000000")


def test_the_pointer_moves_only_from_where_it_was_expected(aws: Aws) -> None:
    bucket = ReleaseBucket(aws.s3, BUCKET)
    bucket.put_pointer(FIRST, expected=None)
    seen = bucket.pointer()
    assert seen is not None
    with pytest.raises(Stale):
        bucket.put_pointer(FIRST.model_copy(update={"version": "b-1"}), expected=None)
    bucket.put_pointer(FIRST.model_copy(update={"version": "b-1"}), expected=seen)
    with pytest.raises(Stale):
        bucket.put_pointer(FIRST.model_copy(update={"version": "c-1"}), expected=seen)
    now = bucket.pointer()
    assert now is not None
    assert now.version == "b-1"
    aws.s3.delete_object(Bucket=BUCKET, Key="airflow/CURRENT")
    with pytest.raises(Stale):
        bucket.put_pointer(FIRST, expected=now)


@pytest.mark.parametrize(
    "incident",
    [LOST, Answer(status=409, body=b"<Error><Code>ConditionalRequestConflict</Code></Error>")],
    ids=["an answer that was lost", "another write at the same time"],
)
def test_nobody_is_blamed_for_moving_the_pointer_where_we_wanted_it(
    aws: Aws, behind: Aws, door: Door, incident: Answer | None
) -> None:
    bucket = ReleaseBucket(behind.s3, BUCKET)
    bucket.put_pointer(FIRST, expected=None)
    seen = bucket.pointer()
    door.next(f"PUT /{BUCKET}/airflow/CURRENT", incident)
    bucket.put_pointer(FIRST.model_copy(update={"version": "b-1"}), expected=seen)
    assert not door.incidents
    now = ReleaseBucket(aws.s3, BUCKET).pointer()
    assert now is not None
    assert now.version == "b-1"


def test_digests_are_of_what_is_kept_and_a_copy_counts_for_its_own_version_alone(aws: Aws) -> None:
    names = ("one", "two", "three")
    aws.s3.create_bucket(Bucket="versioned", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    aws.s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    bucket = ReleaseBucket(aws.s3, "versioned")
    for name in names:
        aws.s3.put_object(Bucket="versioned", Key=f"policies/{name}.json", Body=name.encode())
    found = [bucket.stored(f"policies/{name}.json") for name in names]
    copies = {(one.key, str(one.version)): b"a copy" for one in found if one is not None}
    aws.s3.put_object(Bucket="versioned", Key="policies/two.json", Body=b"zwei")
    aws.s3.delete_object(Bucket="versioned", Key="policies/three.json")
    plainly = {"one": hashlib.sha256(b"one").hexdigest(), "two": hashlib.sha256(b"zwei").hexdigest()}

    assert bucket.digests("policies", names) == plainly
    assert bucket.digests("policies", names, copies) == {**plainly, "one": hashlib.sha256(b"a copy").hexdigest()}
    aws.s3.put_object(Bucket=BUCKET, Key="policies/one.json", Body=b"one")
    assert [one.version for one in [ReleaseBucket(aws.s3, BUCKET).stored("policies/one.json")] if one] == [None]
    assert ReleaseBucket(aws.s3, "finedge-nowhere-releases").digests("policies", names, copies) == {}


def test_a_policy_is_what_its_name_says_or_none_at_all(aws: Aws) -> None:
    strict, weak = policy_of(), policy_of(environments={})
    bucket = ReleaseBucket(aws.s3, BUCKET)
    assert bucket.policy(strict.digest) is None
    aws.s3.put_object(Bucket=BUCKET, Key=f"policies/{strict.digest}.json", Body=weak.to_bytes())
    with pytest.raises(ConfigurationError, match="not what its name says"):
        bucket.policy(strict.digest)
