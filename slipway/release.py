"""Releases: an immutable, content-addressed bundle of everything one commit would deploy.

Rules:
- A release is its files. Its manifest lists every file's sha256 by component; its id is the digest of the manifest.
  The commit is provenance, not identity: a commit that changes nothing deployable makes the same release.
- A version is a release as one environment runs it: the release plus the environment's settings. Airflow knows
  versions, so configuration moves forward and back together with code.
- Archives are deterministic: the same content makes the same bytes, on every machine.
"""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Literal

from slipway.config import Environment
from slipway.documents import Document, canonical, digest_of
from slipway.errors import ConfigurationError
from slipway.slot import slot_of

Component = Literal["dags", "dbt", "migrations", "infra"]

FOLDERS: Mapping[Component, str] = {
    "dags": "dags",
    "dbt": "dbt",
    "migrations": "snowflake_migrations",
    "infra": "terraform",
}
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # no name, no time, unknown system
_BLOCK = 0xFFFF  # bytes in a stored block
NOT_DEPLOYED = ("README.md", ".gitignore", ".gitkeep")  # file names that change no behaviour


class Manifest(Document):
    """Every file of a release, by component: path below the component's folder -> sha256."""

    components: dict[Component, dict[str, str]]

    @property
    def release(self) -> str:
        """The release's id."""
        return self.digest

    def component_digest(self, component: Component) -> str:
        """Return the digest of one component's files."""
        return digest_of(self.components[component])

    @property
    def slot(self) -> str:
        """The slot that this release's dbt component is built into."""
        return slot_of(self.component_digest("dbt"))


class Provenance(Document):
    """Where a release came from: not part of its identity, kept beside it."""

    commit: str
    committed_at: str  # ISO 8601
    subject: str
    authors: tuple[str, ...]  # author, committer and co-authors of the commit


@dataclass(frozen=True, kw_only=True)
class Release:
    """A release with its content in memory (about a hundred small text files)."""

    manifest: Manifest
    provenance: Provenance
    files: Mapping[str, bytes]  # path below the repository's root -> content

    @property
    def id(self) -> str:
        """The release's id, 64 hex digits."""
        return self.manifest.release

    @property
    def short_id(self) -> str:
        """The first 12 digits of the id, as people read it."""
        return short(self.id)

    @property
    def slot(self) -> str:
        """The slot of the dbt component."""
        return self.manifest.slot

    @cached_property
    def archive(self) -> bytes:
        """The release as a deterministic tar.gz of its files."""
        return archive_of(self.files)


class Version(Document):
    """A release as one environment runs it. `version.json` beside the DAGs is this document and its `version`."""

    environment: str
    release: str
    slot: str
    settings: dict[str, str | int]

    @property
    def version(self) -> str:
        """What Airflow calls it: release and settings, e.g. `3f2a9c1b04de-77aa01bc`."""
        return f"{short(self.release)}-{digest_of(self.settings)[:8]}"

    @property
    def config_digest(self) -> str:
        """The digest of the settings."""
        return digest_of(self.settings)


def build_release(files: Mapping[str, bytes], provenance: Provenance) -> Release:
    """Return the release made of `files` (path below the repository's root -> content). No side effects.

    Raises:
        ConfigurationError: a component has no files.
    """
    components: dict[Component, dict[str, str]] = {}
    kept: dict[str, bytes] = {}
    for component, folder in FOLDERS.items():
        chosen = {path: content for path, content in files.items() if _belongs(path, folder)}
        if not chosen:
            raise ConfigurationError(
                f"the commit {provenance.commit[:12]} has no files under {folder}/", fix=f"git status -- {folder}"
            )
        kept.update(chosen)
        components[component] = {
            path[len(folder) + 1 :]: hashlib.sha256(content).hexdigest() for path, content in sorted(chosen.items())
        }
    return Release(manifest=Manifest(components=components), provenance=provenance, files=dict(sorted(kept.items())))


def version_of(release: Release, environment: Environment) -> Version:
    """Return the version that `environment` would run of `release`."""
    return Version(
        environment=environment.name,
        release=release.id,
        slot=release.slot,
        settings=environment.runtime_settings(),
    )


def version_archive(release: Release, version: Version) -> bytes:
    """Return what Airflow unpacks for `version`: `dags/`, `dbt/` and `version.json`, deterministic."""
    files = {path: content for path, content in release.files.items() if path.startswith(("dags/", "dbt/"))}
    return archive_of(
        {**files, "version.json": canonical({"version": version.version, **version.model_dump(mode="json")})}
    )


def archive_of(files: Mapping[str, bytes]) -> bytes:
    """Return a tar.gz whose bytes depend on nothing but `files`."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return _gzip(plain.getvalue())


def _gzip(content: bytes) -> bytes:
    """Return a gzip stream of `content` that is stored, not compressed: libraries do not agree on how to compress.

    https://www.rfc-editor.org/rfc/rfc1952 and https://www.rfc-editor.org/rfc/rfc1951#page-11 (non-compressed blocks)
    """
    blocks = [content[start : start + _BLOCK] for start in range(0, len(content), _BLOCK)] or [b""]
    stored = [
        struct.pack("<BHH", number == len(blocks), len(block), len(block) ^ 0xFFFF) + block
        for number, block in enumerate(blocks, start=1)
    ]
    ending = struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFFFFFF)
    return _GZIP_HEADER + b"".join(stored) + ending


def files_in(archive: bytes, *, origin: str) -> dict[str, bytes]:
    """Return the files of an archive made by `archive_of`; raise `ConfigurationError` if it is none."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as opened:
            return {entry.name: opened.extractfile(entry).read() for entry in opened if entry.isfile()}  # type: ignore[union-attr]
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ConfigurationError(f"{origin} is not a release archive: {error}") from error


def short(release_id: str) -> str:
    """Return the first 12 digits of an id."""
    return release_id[:12]


def _belongs(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/") and PurePosixPath(path).name not in NOT_DEPLOYED
