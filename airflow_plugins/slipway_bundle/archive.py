"""An archive becomes a folder: verified before it is opened, there whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
import time
from pathlib import Path

from slipway_bundle.pointer import Refused

DRAFT_PREFIX = ".draft-"
DRAFT_AGE_S = 900  # older ones were left by a process that was killed
NAME = "version.json"


def materialise(content: bytes, *, version: str, sha256: str, subdir: str, target: Path) -> None:
    """Have the archive's tree at `target`.

    Side effects: creates `target` by one rename; nothing when the archive is refused.

    Raises:
        Refused: the digest differs, it is no archive, a member would leave the folder, `subdir` is missing, or
            `version.json` names another version.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise Refused(f"the archive of {version} has sha256 {found[:12]}.., expected {sha256[:12]}..")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=DRAFT_PREFIX, dir=target.parent))
    try:
        _extract(content, draft, version)
        _check(draft, version, subdir)
        draft.chmod(0o755)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def touch(folder: Path) -> None:
    """Give every file the present time, so that Airflow parses it again even when the release is an old one.

    Side effects: modification times.
    """
    now = time.time()
    for file in folder.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            os.utime(file, (now, now))


def point(link: Path, name: str) -> None:
    """Make `link` a symbolic link to its sibling `name`, replacing what it pointed to in one step."""
    draft = link.with_name(f"{DRAFT_PREFIX}{link.name}-{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(name)
    draft.replace(link)


def pointed(link: Path) -> str | None:
    """Return the name of the sibling a link points to; None when there is no link or nothing at its end."""
    return os.readlink(link) if link.is_symlink() and link.exists() else None


def superseded(folder: Path, *, live: str | None, keep: int) -> tuple[Path, ...]:
    """Return the versions beside the live one that are beyond the `keep` newest, and drafts left behind.

    Newest by the time they were last made live. No side effects.
    """
    if not folder.is_dir():
        return ()
    trees = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    dated = sorted(((path.stat().st_mtime, path) for path in trees if path.name != live), reverse=True)
    versions = [path for _, path in dated if not path.name.startswith(DRAFT_PREFIX)]
    drafts = [path for when, path in dated if path.name.startswith(DRAFT_PREFIX) and time.time() - when > DRAFT_AGE_S]
    return (*versions[keep:], *drafts)


def _extract(content: bytes, draft: Path, version: str) -> None:
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            archive.extractall(draft, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise Refused(f"the archive of {version} cannot be opened: {error}") from error


def _check(tree: Path, version: str, subdir: str) -> None:
    if not (tree / subdir).is_dir():
        raise Refused(f"the archive of {version} has no folder {subdir}/")
    try:
        named = json.loads((tree / NAME).read_bytes())["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(f"the archive of {version} has no readable {NAME}") from error
    if named != version:
        raise Refused(f"the archive of {version} says it is {named}")
