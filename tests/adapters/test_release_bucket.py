"""The release bucket."""

from __future__ import annotations

import hashlib

import pytest

from slipway.adapters.aws import Aws
from slipway.adapters.release_bucket import ReleaseBucket
from slipway.errors import ConfigurationError, Stale
from slipway.observation import Pointer
from slipway.release import version_archive
from slipway.step import UploadVersion
from tests.core.conftest import release_of, version_in_staging

from .conftest import BUCKET


def uploaded(aws: Aws) -> tuple[ReleaseBucket, UploadVersion]:
    release = release_of()
    version = version_in_staging(release)
    bucket = ReleaseBucket(aws.s3, BUCKET)
    bucket.choose(release, version)
    sha256 = hashlib.sha256(version_archive(release, version)).hexdigest()
    step = UploadVersion(release=release.id, version=version.version, archive_sha256=sha256)
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


def test_the_pointer_moves_only_from_where_it_was_expected(aws: Aws) -> None:
    bucket = ReleaseBucket(aws.s3, BUCKET)
    first = Pointer(version="a-1", release="a", config="1", sha256="0", etag="")
    bucket.put_pointer(first, expected=None)
    seen = bucket.pointer()
    assert seen is not None
    with pytest.raises(Stale):
        bucket.put_pointer(first, expected=None)
    bucket.put_pointer(first.model_copy(update={"version": "b-1"}), expected=seen)
    with pytest.raises(Stale):
        bucket.put_pointer(first.model_copy(update={"version": "c-1"}), expected=seen)
    now = bucket.pointer()
    assert now is not None
    assert now.version == "b-1"
