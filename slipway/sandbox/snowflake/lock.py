"""Two locks: one process per state folder, and statements against the few operations that move whole databases."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path


class FolderInUseError(Exception):
    """Another process holds the state folder."""

    def __init__(self, folder: Path, owner: str) -> None:
        self.folder, self.owner = folder, owner
        super().__init__(f"{folder} is in use by process {owner or 'unknown'}: stop it, or choose another state folder")


class FolderLock:
    """Holds a state folder for this process. The kernel lets go when the process dies, however it dies."""

    def __init__(self, folder: Path) -> None:
        """Take the lock. Raises `FolderInUseError`. Side effects: creates the folder and `lock` in it."""
        folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as failure:
            owner = os.read(self._descriptor, 32).decode().strip()
            os.close(self._descriptor)
            raise FolderInUseError(folder, owner) from failure
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, str(os.getpid()).encode())

    def release(self) -> None:
        """Let go of the folder."""
        os.close(self._descriptor)


class Gate:
    """Many statements at once, or one operation that detaches a database; a waiting operation goes first.

    Not reentrant: a thread that holds the gate must not ask for it again.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._statements = 0
        self._exclusive = False
        self._waiting = 0

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Hold the gate together with other statements."""
        with self._condition:
            while self._exclusive or self._waiting:
                self._condition.wait()
            self._statements += 1
        try:
            yield
        finally:
            with self._condition:
                self._statements -= 1
                self._condition.notify_all()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the gate alone, after the statements that are running have ended."""
        with self._condition:
            self._waiting += 1
            try:
                while self._exclusive or self._statements:
                    self._condition.wait()
            finally:
                self._waiting -= 1
            self._exclusive = True
        try:
            yield
        finally:
            with self._condition:
                self._exclusive = False
                self._condition.notify_all()
