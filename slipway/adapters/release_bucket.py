"""The release bucket: releases, versions, plans, build manifests, and the one pointer that Airflow follows.

Layout:
    releases/<id>.tar.gz, releases/<id>.json      the release and its manifest with provenance; immutable
    airflow/versions/<version>.tar.gz, .sha256    what Airflow unpacks; immutable
    airflow/CURRENT                               the pointer; the only object that changes
    plans/<id>.json                               every plan that people were shown or that was applied
    policies/<digest>.json                        every policy that plans were judged by
    terraform-plans/<digest>.tfplan               Terraform's plan files that were reviewed; for deployers only
    backfills/<mark>.json                         what somebody wants of a backfill: that it pauses, or ends
    dbt/<slot>/manifest.json                      what dbt built into a slot, to tell what changed since

Rules:
- Content is judged by digests of files, not of archives: machines do not agree on how gzip packs the same bytes. The
  digest of a version's archive is that of the one which is stored (`version_sha256`).
- An answer can be lost on its way. What the pointer says is read before anyone else is blamed for moving it.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Literal, TypeVar

import botocore.exceptions

from slipway.adapters.aws import code_of, translated
from slipway.documents import canonical
from slipway.errors import ConfigurationError, Stale, StepFailed, Unavailable
from slipway.evidence import Stored
from slipway.observation import Pointer
from slipway.plan import Plan
from slipway.policy import Policy
from slipway.ports import Outcome, Progress
from slipway.release import FOLDERS, Manifest, Provenance, Release, Version, files_in, version_archive
from slipway.step import UploadVersion

_T = TypeVar("_T")
POINTER = "airflow/CURRENT"
_READERS = 16  # objects fetched at the same time
_ID_START = re.compile(r"[0-9a-f]{8,64}")  # eight digits tell plans apart
_SHOWN = 5  # files in one message
_ATTEMPTS = 5  # of the pointer, when S3 is still busy with another write of it
_PAUSE_S = 0.1  # before the second attempt; twice as long before each that follows
_BRING_BACK = "bring back the object's earlier version: the bucket keeps them"


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
        document = _object_in(content, origin=origin)
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

        return self._translated(POINTER, read)

    def has_version(self, version: str) -> bool:
        """Return whether the version's archive stands there and matches its digest."""
        return self.version_sha256(version) is not None

    def version_sha256(self, version: str) -> str | None:
        """Return the digest of the version's stored archive; None when it is not there or not what was stored."""
        archive, kept = self._get(_version_key(version)), self._get(_sha256_key(version))
        if archive is None or kept is None:
            return None
        sha256 = hashlib.sha256(archive[0]).hexdigest()
        return sha256 if sha256.encode() == kept[0] else None

    def manifest(self, release: str) -> Manifest | None:
        """Return the manifest of a stored release, or None."""
        record = self._record(release)
        return record[0] if record else None

    def release(self, release: str) -> Release:
        """Return a stored release with its content, every file of it compared with the manifest.

        Raises:
            ConfigurationError: no such release, or its bytes are not what its id says.
        """
        key = f"releases/{release}.tar.gz"
        archive, record = self._get(key), self._record(release)
        if archive is None or record is None:
            raise ConfigurationError(
                f"release {release[:12]} is not in s3://{self.bucket}", fix="invoke history --env ENV"
            )
        manifest, provenance = record
        files = files_in(archive[0], origin=f"s3://{self.bucket}/{key}")
        if others := differing(manifest, files):
            more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
            raise ConfigurationError(
                f"s3://{self.bucket}/{key} is not what its id says: {', '.join(others[:_SHOWN])}{more}",
                fix=_BRING_BACK,
            )
        return Release(manifest=manifest, provenance=provenance, files=files)

    def _record(self, release: str) -> tuple[Manifest, Provenance] | None:
        key = f"releases/{release}.json"
        found = self._get(key)
        if found is None:
            return None
        origin = f"s3://{self.bucket}/{key}"
        content = _object_in(found[0], origin=origin)
        manifest = Manifest.from_mapping(content.get("manifest", {}), origin=origin)
        if manifest.release != release:
            raise ConfigurationError(f"{origin} is the manifest of another release", fix=_BRING_BACK)
        return manifest, Provenance.from_mapping(content.get("provenance", {}), origin=origin)

    def version(self, version: str) -> Version:
        """Return a stored version, its settings included; raise `ConfigurationError` when it is not there."""
        archive = self._get(_version_key(version))
        if archive is None:
            raise ConfigurationError(f"version {version} is not in s3://{self.bucket}", fix="invoke history --env ENV")
        origin = f"s3://{self.bucket}/{_version_key(version)}"
        content = _object_in(files_in(archive[0], origin=origin).get("version.json", b""), origin=origin)
        content.pop("version", None)
        found = Version.from_mapping(content, origin=origin)
        if found.version != version:
            raise ConfigurationError(f"{origin} holds version {found.version}", fix=_BRING_BACK)
        return found

    def dbt_manifest(self, slot: str) -> bytes | None:
        """Return dbt's manifest of what was built into `slot`, or None."""
        found = self._get(f"dbt/{slot}/manifest.json")
        return found[0] if found else None

    def plan(self, start: str) -> Plan:
        """Return the plan whose id begins with `start`.

        Raises:
            ConfigurationError: there is none, there are several, or it is not what its id says.
        """
        keys = self._plan_keys(start) if _ID_START.fullmatch(start) else []
        if len(keys) != 1:
            said = "several plans begin" if keys else "no plan begins"
            raise ConfigurationError(
                f"{said} with {start!r} in s3://{self.bucket}", fix="invoke plan --env ENV shows and keeps one"
            )
        content = self._get(keys[0])
        plan = Plan.from_bytes(content[0] if content else b"", origin=f"s3://{self.bucket}/{keys[0]}")
        if keys[0] != f"plans/{plan.id}.json":
            raise ConfigurationError(f"s3://{self.bucket}/{keys[0]} is not what its id says", fix=_BRING_BACK)
        return plan

    def _plan_keys(self, start: str) -> list[str]:
        def read() -> list[str]:
            page = self._s3.list_objects_v2(Bucket=self.bucket, Prefix=f"plans/{start}", MaxKeys=2)
            return [one["Key"] for one in page.get("Contents", ())]

        return self._translated("plans/", read)

    def stored(self, key: str) -> Stored | None:
        """Return an object as it is kept, or None: `plans/<id>.json`, `policies/<digest>.json`."""

        def read() -> Stored | None:
            answer = self._ask(key)
            return Stored.from_answer(key, answer) if answer else None

        return self._translated(key, read)

    def document(self, found: Stored) -> dict[str, Any]:
        """Return what a JSON object holds. Raises `ConfigurationError` for what is none."""
        return _object_in(found.content, origin=f"s3://{self.bucket}/{found.key}")

    def digests(
        self,
        folder: Literal["plans", "policies"],
        names: Iterable[str],
        copies: Mapping[tuple[str, str], bytes] | None = None,
    ) -> dict[str, str]:
        """Return the digest of what is kept under each name; one that is not kept is left out.

        Args:
            copies: (key, version) -> content of objects that need not be fetched.
        """
        newest = self._newest(f"{folder}/") if copies else {}

        def digest(name: str) -> tuple[str, str] | None:
            key = f"{folder}/{name}.json"
            content = (copies or {}).get((key, newest.get(key, "")))
            if content is None:
                found = self._get(key)
                content = found[0] if found else None
            return (name, hashlib.sha256(content).hexdigest()) if content is not None else None

        with ThreadPoolExecutor(max_workers=_READERS) as pool:
            return dict(one for one in pool.map(digest, names) if one is not None)

    def _newest(self, prefix: str) -> dict[str, str]:
        """Return key -> newest version of every object below `prefix`: one request for a thousand of them."""

        def read() -> dict[str, str]:
            pages = self._s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix)
            try:
                return {
                    one["Key"]: one["VersionId"]
                    for page in pages
                    for one in page.get("Versions", ())
                    if one["IsLatest"]
                }
            except botocore.exceptions.ClientError as error:
                if code_of(error) == "NoSuchBucket":
                    return {}
                raise

        return self._translated(prefix, read)

    def policy(self, digest: str) -> Policy | None:
        """Return a policy that plans were judged by, or None when it is not kept."""
        found = self._get(f"policies/{digest}.json")
        if found is None:
            return None
        origin = f"s3://{self.bucket}/policies/{digest}.json"
        if hashlib.sha256(found[0]).hexdigest() != digest:
            raise ConfigurationError(f"{origin} is not what its name says", fix=_BRING_BACK)
        return Policy.from_bytes(found[0], origin=origin)

    def terraform_plan(self, digest: str) -> bytes | None:
        """Return a plan file of Terraform's that was reviewed, or None."""
        found = self._get(f"terraform-plans/{digest}.tfplan")
        return found[0] if found else None

    # ---- writing -----------------------------------------------------------------------------------------------

    def is_uploaded(self, step: UploadVersion) -> bool:
        """Probe of the upload step: the version's archive and every file of the release are what they should be."""
        if not self.has_version(step.version):
            return False
        try:
            self.release(step.release)
        except ConfigurationError:
            return False
        return True

    def upload(self, step: UploadVersion, progress: Progress) -> Outcome:
        """Put release and version there, then read both back and compare their digests.

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
            Unavailable: S3 does not get to it.
        """
        condition = {"IfMatch": expected.etag} if expected else {"IfNoneMatch": "*"}
        content = canonical(pointer.model_dump(mode="json", exclude={"etag"}))
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE_S * 2 ** (attempt - 1))
            try:
                self._put(POINTER, content, **condition)
            except _Moved as error:
                now = self.pointer()
                if now is not None and now.model_copy(update={"etag": pointer.etag}) == pointer:
                    return  # an earlier attempt arrived, and its answer did not
                if now != expected:
                    raise Stale("the DAG pointer was moved by someone else", fix="invoke status --env ENV") from error
            else:
                return
        raise Unavailable(
            f"s3://{self.bucket}/{POINTER} is being written by others; it is as it was",
            fix="invoke status --env ENV, then give the same command again",
        )

    def put_dbt_manifest(self, slot: str, content: bytes) -> None:
        """Keep dbt's manifest of a slot that was built."""
        self._put(f"dbt/{slot}/manifest.json", content)

    def put_plan(self, plan: Plan, policy: Policy) -> None:
        """Keep a plan under its id, and the policy it names under its digest."""
        self._put(f"plans/{plan.id}.json", plan.to_bytes())
        self._put(f"policies/{policy.digest}.json", policy.to_bytes())

    def put_terraform_plan(self, digest: str, content: bytes) -> None:
        """Keep a plan file of Terraform's under the digest of what it would change."""
        self._put(f"terraform-plans/{digest}.tfplan", content)

    def put_wish(self, mark: str, content: bytes) -> None:
        """Keep what somebody wants of the backfill with this mark."""
        self._put(f"backfills/{mark}.json", content)

    def _get(self, key: str) -> tuple[bytes, str] | None:
        def read() -> tuple[bytes, str] | None:
            answer = self._ask(key)
            return (answer["Body"].read(), answer["ETag"]) if answer else None

        return self._translated(key, read)

    def _ask(self, key: str) -> dict[str, Any] | None:
        try:
            answer: dict[str, Any] = self._s3.get_object(Bucket=self.bucket, Key=key)
        except botocore.exceptions.ClientError as error:
            if code_of(error) in ("NoSuchKey", "404", "NoSuchBucket"):
                return None
            raise
        return answer

    def _put(self, key: str, content: bytes, **condition: str) -> None:
        def write() -> None:
            try:
                self._s3.put_object(Bucket=self.bucket, Key=key, Body=content, **condition)
            except botocore.exceptions.ClientError as error:
                # NoSuchKey: what had to match is gone.
                if condition and code_of(error) in ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"):
                    raise _Moved from error
                raise

        self._translated(key, write)

    def _translated(self, key: str, call: Callable[[], _T]) -> _T:
        with translated(f"s3://{self.bucket}/{key}", self._s3):
            return call()


class _Moved(Exception):
    """The condition of a write did not hold."""


def differing(manifest: Manifest, files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the paths whose content is not what the manifest says, files missing or added included. No side effects.

    Args:
        files: path below the repository's root -> content.
    """
    wanted = {
        f"{FOLDERS[component]}/{path}": sha256
        for component, listed in manifest.components.items()
        for path, sha256 in listed.items()
    }
    found = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    return tuple(sorted({path for path, _ in wanted.items() ^ found.items()}))


def _object_in(content: bytes, *, origin: str) -> dict[str, Any]:
    try:
        return dict(json.loads(content))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{origin} is no document of Slipway's: {error}", fix=_BRING_BACK) from error


def _version_key(version: str) -> str:
    return f"airflow/versions/{version}.tar.gz"


def _sha256_key(version: str) -> str:
    return f"airflow/versions/{version}.sha256"
