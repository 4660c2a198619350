"""Git: what a commit holds and where it came from. Releases are built from commits, never from the work tree."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
from pathlib import Path, PurePosixPath

from slipway.errors import ConfigurationError
from slipway.release import FOLDERS, NOT_DEPLOYED, Provenance, Release, build_release

# Modes in trees: https://git-scm.com/docs/git-fast-import (filemodify)
_UNFIT = {"120000": "symbolic link", "160000": "submodule"}
_SHOWN = 5  # files in one message
_COAUTHOR = re.compile(r"^co-authored-by:\s*(.+)$", re.IGNORECASE | re.MULTILINE)

_FIELDS = "%cI%x00%s%x00%an <%ae>%x00%cn <%ce>%x00%B"
_COUNT = 6  # of them, the commit's own name included


class Git:
    """One repository."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def release_at(self, revision: str = "HEAD") -> Release:
        """Return the release that the commit `revision` makes.

        Raises:
            ConfigurationError: no repository, no commit, an unknown revision, or files that are no files.
        """
        commit = self._run("rev-parse", "--verify", f"{revision}^{{commit}}").decode().strip()
        present = [folder for folder in FOLDERS.values() if self._run("ls-tree", "--name-only", commit, folder)]
        self._refuse_unfit(commit, present)
        archive = self._run("archive", "--format=tar", commit, *present)
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            files = {entry.name: opened.extractfile(entry).read() for entry in opened if entry.isfile()}  # type: ignore[union-attr]
        return build_release(files, self.provenance(commit))

    def provenance(self, commit: str) -> Provenance:
        """Return who made a commit, when, and its subject; co-authors are read from its trailers."""
        fields = self._run("show", "--no-patch", f"--format={_FIELDS}", commit).decode()
        return _provenance(commit, *fields.split("\0", _COUNT - 2))

    def commits_between(self, live: str, head: str) -> tuple[Provenance, ...]:
        """Return the commits that one of the two has and the other does not, oldest first: going back is a change too.

        Raises:
            ConfigurationError: one of them is not in this repository, or its history is cut short.
        """
        if self._run("rev-parse", "--is-shallow-repository").strip() == b"true":
            raise ConfigurationError(
                "this is a shallow clone, so who wrote what since the live release is not known",
                fix="git fetch --unshallow origin",
            )
        for commit in (live, head):
            try:
                self._run("cat-file", "-e", f"{commit}^{{commit}}")
            except ConfigurationError as error:
                raise ConfigurationError(
                    f"commit {commit[:12]} is not in this repository, so who wrote what since it is not known",
                    fix="git fetch --unshallow origin, or git fetch origin",
                ) from error
        # Fields and commits alike end in NUL, which git lets into no message and no name.
        log = self._run("log", "-z", "--reverse", f"--format=%H%x00{_FIELDS}", f"{live}...{head}").decode()
        fields = log.split("\0")
        return tuple(
            _provenance(*fields[start : start + _COUNT]) for start in range(0, len(fields) - _COUNT + 1, _COUNT)
        )

    def author(self) -> str:
        """Return who a commit made now would be of: "Name <address>".

        Raises:
            ConfigurationError: git was not told.
        """
        try:
            said = self._run("-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT").decode()
        except ConfigurationError as error:
            raise ConfigurationError("git does not know who you are", fix="git config user.email YOU@...") from error
        return said.rpartition(">")[0] + ">"

    def dirty_files(self) -> tuple[str, ...]:
        """Return the deployable files whose work tree differs from the commit, untracked ones included."""
        status = self._run("status", "--porcelain", "--untracked-files=all", "--", *FOLDERS.values(), "config").decode()
        return tuple(line[3:] for line in status.splitlines())

    def refuse_dirty(self) -> None:
        """Raise `ConfigurationError` when the work tree holds changes that the commit does not."""
        dirty = self.dirty_files()
        if dirty:
            shown = ", ".join(dirty[:5]) + (f" and {len(dirty) - 5} more" if len(dirty) > 5 else "")
            raise ConfigurationError(
                f"the work tree has changes that are not committed: {shown}", fix="git commit, or git stash, then again"
            )

    def _refuse_unfit(self, commit: str, folders: list[str]) -> None:
        """Raise `ConfigurationError` for what a release cannot hold: it would be missing from it without a word."""
        entries = self._run("ls-tree", "-r", "-z", "--full-tree", commit, *folders).decode(errors="replace").split("\0")
        unfit = [
            f"{path} ({_UNFIT[mode]})"
            for mode, path in ((entry[:6], entry.partition("\t")[2]) for entry in entries)
            if mode in _UNFIT and PurePosixPath(path).name not in NOT_DEPLOYED
        ]
        if unfit:
            more = f" and {len(unfit) - _SHOWN} more" if len(unfit) > _SHOWN else ""
            raise ConfigurationError(
                f"a release holds files only; commit {commit[:12]} has {', '.join(unfit[:_SHOWN])}{more}",
                fix="put the files themselves in their place, then git commit",
            )

    def _run(self, *arguments: str) -> bytes:
        try:
            done = subprocess.run(
                ["git", "--no-replace-objects", "-C", str(self._root), *arguments],
                capture_output=True,
                env={**os.environ, "GIT_GRAFT_FILE": os.devnull},  # neither of the two may hide a commit
            )
        except FileNotFoundError as error:
            raise ConfigurationError("git is not installed", fix="install git, then again") from error
        if done.returncode:
            raise ConfigurationError(f"git {arguments[0]}: {done.stderr.decode().strip()}", fix="git status")
        return done.stdout


def _provenance(commit: str, when: str, subject: str, author: str, committer: str, body: str) -> Provenance:
    people = dict.fromkeys([author, committer, *(name.strip() for name in _COAUTHOR.findall(body))])
    return Provenance(commit=commit, committed_at=when, subject=subject, authors=tuple(people))
