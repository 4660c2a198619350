"""The release bucket: releases, versions, plans, build manifests, and the one pointer that Airflow follows.

Layout:
    releases/<id>.tar.gz, releases/<id>.json      the release and its manifest with provenance; immutable
    airflow/versions/<version>.tar.gz, .sha256    what Airflow unpacks; immutable
    airflow/CURRENT                               the pointer; the only object that changes
    plans/<id>.json                               every plan that was applied
    dbt/<slot>/manifest.json                      what dbt built into a slot, to tell what changed since
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import botocore.exceptions

from slipway.adapters.aws import code_of, translated
from slipway.documents import canonical
from slipway.errors import ConfigurationError, Stale, StepFailed
from slipway.observation import Pointer
from slipway.plan import Plan
from slipway.ports import Outcome, Progress
from slipway.release import Manifest, Provenance, Release, Version, files_in, version_archive
from slipway.step import UploadVersion

_T = TypeVar("_T")
POINTER = "airflow/CURRENT"


class ReleaseBucket:
    """Reads and writes one environment's release bucket; implements `ports.Releases`."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3, self.bucket = s3, bucket
        self._chosen: tuple[Release, Version] | None = None

    def choose(self, release: Release, version: Version) -> None:
        """Say which release and version the upload step is about."""
        self._chosen = (release, version)

    # ---- reading -----------------------------------------------------------------------------------------------

    def pointer(self) -> Pointer | None:
        """Return what Airflow is pointed at, or None before the first deployment."""
        found = self._get(POINTER)
        if found is None:
            return None
        content, etag = found
        origin = f"s3://{self.bucket}/{POINTER}"
        try:
            document = dict(json.loads(content))
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"{origin} is no pointer: {error}", fix="restore the object's previous version in the bucket"
            ) from error
        return Pointer.from_mapping({**document, "etag": etag}, origin=origin)

    def pointer_moved_at(self) -> datetime | None:
        """Return when the pointer was last written, in whole seconds as S3 says it; None before the first time."""

        def read() -> datetime | None:
            try:
                moved_at: datetime = self._s3.head_object(Bucket=self.bucket, Key=POINTER)["LastModified"]
            except botocore.exceptions.ClientError as error:
                if code_of(error) in ("NoSuchKey", "404", "NoSuchBucket"):
                    return None
                raise
            return moved_at

        return _translated(f"s3://{self.bucket}/{POINTER}", read)

    def has_version(self, version: str) -> bool:
        """Return whether the version's archive stands there and matches its digest."""
        archive, sha256 = self._get(_version_key(version)), self._get(_sha256_key(version))
        if archive is None or sha256 is None:
            return False
        return hashlib.sha256(archive[0]).hexdigest() == sha256[0].decode()

    def manifest(self, release: str) -> Manifest | None:
        """Return the manifest of a stored release, or None."""
        found = self._get(f"releases/{release}.json")
        if found is None:
            return None
        return Manifest.from_mapping(json.loads(found[0])["manifest"], origin=f"release {release[:12]}")

    def release(self, release: str) -> Release:
        """Return a stored release with its content.

        Raises:
            ConfigurationError: no such release, or its bytes are not what its id says.
        """
        archive, record = self._get(f"releases/{release}.tar.gz"), self._get(f"releases/{release}.json")
        if archive is None or record is None:
            raise ConfigurationError(
                f"release {release[:12]} is not in s3://{self.bucket}", fix="invoke history --env ENV"
            )
        content = json.loads(record[0])
        manifest = Manifest.from_mapping(content["manifest"], origin=f"release {release[:12]}")
        found = Release(
            manifest=manifest,
            provenance=Provenance.from_mapping(content["provenance"], origin=f"release {release[:12]}"),
            files=files_in(archive[0], origin=f"s3://{self.bucket}/releases/{release}.tar.gz"),
        )
        if manifest.release != release:
            raise ConfigurationError(f"release {release[:12]} in s3://{self.bucket} has a manifest of another release")
        return found

    def version(self, version: str) -> Version:
        """Return a stored version, its settings included; raise `ConfigurationError` when it is not there."""
        archive = self._get(_version_key(version))
        if archive is None:
            raise ConfigurationError(f"version {version} is not in s3://{self.bucket}", fix="invoke history --env ENV")
        origin = f"s3://{self.bucket}/{_version_key(version)}"
        content = json.loads(files_in(archive[0], origin=origin)["version.json"])
        content.pop("version")
        return Version.from_mapping(content, origin=origin)

    def dbt_manifest(self, slot: str) -> bytes | None:
        """Return dbt's manifest of what was built into `slot`, or None."""
        found = self._get(f"dbt/{slot}/manifest.json")
        return found[0] if found else None

    # ---- writing -----------------------------------------------------------------------------------------------

    def is_uploaded(self, step: UploadVersion) -> bool:
        """Probe of the upload step."""
        return self.has_version(step.version) and self.manifest(step.release) is not None

    def upload(self, step: UploadVersion, progress: Progress) -> Outcome:
        """Put release and version there, then read the digest of what arrived.

        Raises:
            StepFailed: what is read back is not what was sent.
        """
        if self._chosen is None:
            raise StepFailed(f"no release was chosen to upload as {step.version}")
        release, version = self._chosen
        archive = version_archive(release, version)
        record = {
            "manifest": release.manifest.model_dump(mode="json"),
            "provenance": release.provenance.model_dump(mode="json"),
        }
        objects = {
            f"releases/{release.id}.tar.gz": release.archive,
            f"releases/{release.id}.json": canonical(record),
            _version_key(step.version): archive,
            _sha256_key(step.version): hashlib.sha256(archive).hexdigest().encode(),
        }
        for key, content in objects.items():
            progress(f"s3://{self.bucket}/{key}")
            self._put(key, content)
        if hashlib.sha256(archive).hexdigest() != step.archive_sha256 or not self.is_uploaded(step):
            raise StepFailed(f"version {step.version} in s3://{self.bucket} is not what was sent")
        size = sum(map(len, objects.values()))
        return Outcome(
            summary=f"{len(release.files)} files, {size / 1024:.0f} kB, digests read back",
            evidence={"objects": sorted(objects), "sha256": step.archive_sha256, "bytes": size},
        )

    def put_pointer(self, pointer: Pointer, *, expected: Pointer | None) -> None:
        """Replace the pointer, only if it still is what was expected.

        Raises:
            Stale: someone else moved it.
        """
        condition = {"IfMatch": expected.etag} if expected else {"IfNoneMatch": "*"}
        try:
            self._put(POINTER, canonical(pointer.model_dump(mode="json", exclude={"etag"})), **condition)
        except _Moved as error:
            raise Stale("the DAG pointer was moved by someone else", fix="invoke status --env ENV") from error

    def put_dbt_manifest(self, slot: str, content: bytes) -> None:
        """Keep dbt's manifest of a slot that was built."""
        self._put(f"dbt/{slot}/manifest.json", content)

    def put_plan(self, plan: Plan) -> None:
        """Keep a plan under its id."""
        self._put(f"plans/{plan.id}.json", plan.to_bytes())

    def _get(self, key: str) -> tuple[bytes, str] | None:
        def read() -> tuple[bytes, str] | None:
            try:
                answer = self._s3.get_object(Bucket=self.bucket, Key=key)
            except botocore.exceptions.ClientError as error:
                if code_of(error) in ("NoSuchKey", "404", "NoSuchBucket"):
                    return None
                raise
            return answer["Body"].read(), answer["ETag"]

        return _translated(f"s3://{self.bucket}/{key}", read)

    def _put(self, key: str, content: bytes, **condition: str) -> None:
        def write() -> None:
            try:
                self._s3.put_object(Bucket=self.bucket, Key=key, Body=content, **condition)
            except botocore.exceptions.ClientError as error:
                if code_of(error) in ("PreconditionFailed", "ConditionalRequestConflict"):
                    raise _Moved from error
                raise

        _translated(f"s3://{self.bucket}/{key}", write)


class _Moved(Exception):
    """The condition of a write did not hold."""


def _translated(what: str, call: Callable[[], _T]) -> _T:
    with translated(what):
        return call()


def _version_key(version: str) -> str:
    return f"airflow/versions/{version}.tar.gz"


def _sha256_key(version: str) -> str:
    return f"airflow/versions/{version}.sha256"
