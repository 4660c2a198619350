"""The pointer: which version Airflow follows, and the digest its archive must have."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")  # a folder name and an object key: no way out of either
SHA256 = re.compile(r"[0-9a-f]{64}")


class Refused(Exception):
    """What the store holds cannot be made live. The version that is live stays."""


@dataclass(frozen=True, kw_only=True)
class Pointer:
    """A version and the sha256 of its archive."""

    version: str
    sha256: str

    @classmethod
    def from_bytes(cls, content: bytes) -> Pointer:
        """Return the pointer in `content`, whatever other keys it has; raise `Refused` that says what is wrong."""
        try:
            document = json.loads(content)
        except ValueError as error:
            raise Refused(f"the pointer is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise Refused("the pointer is not a JSON object")
        return cls(version=checked_version(document.get("version")), sha256=checked_sha256(document.get("sha256")))


def checked_version(value: object) -> str:
    """Return a version that is safe as a file name; raise `Refused` otherwise."""
    if isinstance(value, str) and VERSION.fullmatch(value) and ".." not in value:
        return value
    raise Refused(f"{value!r} is no version")


def checked_sha256(value: object) -> str:
    """Return 64 lower-case hex digits; raise `Refused` otherwise."""
    if isinstance(value, str) and SHA256.fullmatch(value.strip()):
        return value.strip()
    raise Refused(f"{value!r} is no sha256")
