"""Where releases are read from: an S3 prefix, or a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 20
ABSENT = {"NoSuchKey", "NoSuchBucket", "404"}


class Store(Protocol):
    """Reads objects by key."""

    def read(self, key: str) -> bytes | None:
        """Return an object's content, or None when there is no such object."""


class Folder:
    """A store in a local folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, key: str) -> bytes | None:
        try:
            return (self._path / key).read_bytes()
        except FileNotFoundError:
            return None


class Bucket:
    """A store under an S3 prefix. The client is made at the first read: making one takes half a second."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket, self._prefix = bucket, prefix
        self._client: Any = None

    def read(self, key: str) -> bytes | None:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import ClientError

        if self._client is None:
            config = Config(
                connect_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S, retries={"total_max_attempts": 2}
            )
            self._client = boto3.client("s3", config=config)
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=f"{self._prefix}/{key}" if self._prefix else key)
            return bytes(answer["Body"].read())
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ABSENT:
                return None
            raise


def open_store(source: str) -> Store:
    """Return the store at `s3://bucket/prefix` or at an absolute folder; raise `ValueError` for anything else."""
    if source.startswith("s3://"):
        bucket, _, prefix = source.removeprefix("s3://").partition("/")
        if bucket:
            return Bucket(bucket, prefix.strip("/"))
    elif Path(source).is_absolute():
        return Folder(Path(source))
    raise ValueError(f"{source!r} is neither s3://bucket/prefix nor an absolute folder")
