"""Where staged files are: objects of S3 buckets, and the folders of internal stages."""

from __future__ import annotations

import hashlib
import shutil
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from snowflake.connector.errors import ProgrammingError

from slipway.sandbox.snowflake import error

S3_SCHEMES = ("s3://", "s3a://", "s3n://")
CONNECT_TIMEOUT, READ_TIMEOUT = 5, 60  # seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class StagedFile:
    """One file of a stage. `path` is relative to the stage's own location."""

    path: str
    shown: str  # as LIST and COPY name it
    size: int  # bytes
    digest: str  # MD5 of the bytes or the object's ETag: changes when the content does
    modified: datetime


class Bucket:
    """A prefix of an S3 bucket. The client takes its endpoint and keys from the environment, as every AWS tool does."""

    def __init__(self, url: str, client: Any) -> None:
        self.url = url
        bucket, _, self._prefix = url.split("://", 1)[1].partition("/")
        self._bucket, self._client = bucket, client

    def find(self, path: str) -> StagedFile | None:
        """Return one file by its path, or None."""
        try:
            head = self._client.head_object(Bucket=self._bucket, Key=self._prefix + path)
        except ClientError as failure:
            if failure.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise _refused(failure) from failure
        except BotoCoreError as failure:
            raise _unreachable(failure) from failure
        return self._file(path, head["ContentLength"], head["ETag"], head["LastModified"])

    def list(self, prefix: str) -> list[StagedFile]:
        """Return the files whose path begins with `prefix`, in the order of their names."""
        pages = self._client.get_paginator("list_objects_v2")
        try:
            found = [
                self._file(o["Key"][len(self._prefix) :], o["Size"], o["ETag"], o["LastModified"])
                for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix)
                for o in page.get("Contents", ())
                if not o["Key"].endswith("/")
            ]
        except ClientError as failure:
            raise _refused(failure) from failure
        except BotoCoreError as failure:
            raise _unreachable(failure) from failure
        return sorted(found, key=lambda file: file.path)

    def _file(self, path: str, size: int, etag: str, modified: datetime) -> StagedFile:
        return StagedFile(path=path, shown=self.url + path, size=size, digest=etag.strip('"'), modified=modified)

    def fetch(self, file: StagedFile, target: Path) -> Path:
        """Bring a file to `target` on this machine and return where it is."""
        try:
            self._client.download_file(self._bucket, self._prefix + file.path, str(target))
        except ClientError as failure:
            raise _refused(failure) from failure
        except BotoCoreError as failure:
            raise _unreachable(failure) from failure
        return target

    def remove(self, file: StagedFile) -> None:
        """Delete a file."""
        try:
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + file.path)
        except ClientError as failure:
            raise _refused(failure) from failure


class Folder:
    """The folder of an internal stage."""

    def __init__(self, path: Path, stage: str) -> None:
        self.path = path
        self._stage = stage

    def find(self, path: str) -> StagedFile | None:
        """Return one file by its path, or None."""
        found = (self.path / path).resolve()
        if not found.is_relative_to(self.path.resolve()) or not found.is_file():
            return None
        return self._file(found)

    def list(self, prefix: str) -> list[StagedFile]:
        """Return the files whose path begins with `prefix`, in the order of their names."""
        files = (self._file(path.resolve()) for path in self.path.rglob("*") if path.is_file())
        return sorted((file for file in files if file.path.startswith(prefix)), key=lambda file: file.path)

    def _file(self, path: Path) -> StagedFile:
        inside = path.relative_to(self.path.resolve()).as_posix()
        facts = path.stat()
        return StagedFile(
            path=inside,
            shown=f"{self._stage.lower()}/{inside}",
            size=facts.st_size,
            digest=hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest(),
            modified=datetime.fromtimestamp(facts.st_mtime, tz=UTC),
        )

    def fetch(self, file: StagedFile, target: Path) -> Path:
        """Return where the file is; it is on this machine already."""
        return self.path / file.path

    def remove(self, file: StagedFile) -> None:
        """Delete a file."""
        (self.path / file.path).unlink(missing_ok=True)


Location = Bucket | Folder


class Storage:
    """Gives locations: one S3 client for the instance, made at first use, and a folder for internal stages."""

    def __init__(self, folder: Path, client: Any = None) -> None:
        self._folder = folder
        self._client = client
        self._mutex = threading.Lock()

    def at(self, url: str) -> Bucket:
        """Return the location of an external stage or a URL. Raises for anything but S3."""
        if not url.startswith(S3_SCHEMES):
            raise error.unsupported(f"locations other than s3:// ({url.split('://')[0]}://)")
        return Bucket(url, self._s3())

    def inside(self, folder: str, stage: str) -> Folder:
        """Return the location of an internal stage. Side effects: makes its folder."""
        path = self._folder / folder
        path.mkdir(parents=True, exist_ok=True)
        return Folder(path, stage)

    def discard(self, folder: str) -> None:
        """Remove the files of a dropped internal stage."""
        shutil.rmtree(self._folder / folder, ignore_errors=True)

    def _s3(self) -> Any:
        with self._mutex:
            if self._client is None:
                import boto3
                from botocore.config import Config

                config = Config(connect_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT, retries={"max_attempts": 2})
                self._client = boto3.client("s3", config=config)
            return self._client


def _refused(failure: ClientError) -> ProgrammingError:
    facts = failure.response.get("Error", {})
    status = failure.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
    return ProgrammingError(
        msg=f"Failure using stage area. Cause: [{facts.get('Message', '')} (Status Code: {status}; "
        f"Error Code: {facts.get('Code', '')})]",
        errno=91003,
        sqlstate="22000",
    )


def _unreachable(failure: BotoCoreError) -> ProgrammingError:
    return ProgrammingError(msg=f"Failure using stage area. Cause: [{failure}]", errno=91003, sqlstate="22000")
