"""A child process run to its end: argument lists only, its lines passed on, bounded in time, no orphan left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from slipway.adapters.tether import tethered
from slipway.errors import ConfigurationError, StepFailed

GRACE_S = 15  # seconds between asking a child to stop, asking again, and ending it
WATCH_S = 10.0  # seconds between two looks at what a child depends on


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    on_line: Callable[[str], None],
    timeout_s: float,
    folder: Path | None = None,
    watch: Callable[[], None] | None = None,
) -> tuple[int, list[str]]:
    """Run `command` and return its exit code and every line it printed, both streams as they came.

    The child does not outlive this process, however that one ends.

    Args:
        watch: called every `WATCH_S` seconds, in a thread of its own, while the child runs. When it raises, the child
            is killed, and the error raised here: what the child depends on is gone, and it would wait for it.

    Raises:
        ConfigurationError: the program does not exist, or cannot be executed.
        StepFailed: it did not end within `timeout_s` seconds, and was ended.
    """
    if shutil.which(command[0], path=environment.get("PATH")) is None:
        raise ConfigurationError(f"{command[0]} is not installed", fix="./invoke --list (sets the tools up)")
    child = subprocess.Popen(
        tethered(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=dict(environment),
        cwd=folder,
        start_new_session=True,
    )
    guard = _Guard(child, timeout_s=timeout_s, watch=watch)
    lines: list[str] = []
    try:
        assert child.stdout is not None  # noqa: S101 - PIPE was asked for
        for line in child.stdout:
            lines.append(line.rstrip("\n"))
            on_line(lines[-1])
        code = child.wait()
    except BaseException:
        guard.dismiss()
        _end(child)
        raise
    finally:
        _kill_group(child)  # what the child left behind
    guard.dismiss()
    guard.wait()
    if guard.error is not None:
        raise guard.error
    if guard.is_late:
        raise StepFailed(f"{Path(command[0]).name} did not end within {timeout_s:.0f} s and was stopped")
    return code, lines


class _Guard:
    """Ends a child whose time is over, or that lost what it depends on, from a thread of its own."""

    def __init__(self, child: subprocess.Popen[str], *, timeout_s: float, watch: Callable[[], None] | None) -> None:
        self._child, self._over, self._watch = child, time.monotonic() + timeout_s, watch
        self._is_dismissed = threading.Event()
        self.is_late = False
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._stand, daemon=True)
        self._thread.start()

    def dismiss(self) -> None:
        """Let the child alone from now on; a look that is under way goes on."""
        self._is_dismissed.set()

    def wait(self) -> None:
        """Return once no look is under way: the caller may look over the same connection."""
        self._thread.join()

    def _stand(self) -> None:
        while (left_s := self._over - time.monotonic()) > 0:
            if self._is_dismissed.wait(min(left_s, WATCH_S) if self._watch else left_s):
                return
            if self._watch and (error := _error_of(self._watch)) and not self._is_dismissed.is_set():
                self.error = error
                _kill_group(self._child)
                return
        if self._is_dismissed.is_set():  # during the last look
            return
        self.is_late = True
        _end(self._child)


def _error_of(watch: Callable[[], None]) -> Exception | None:
    try:
        watch()
    except Exception as error:
        return error
    return None


def _end(child: subprocess.Popen[str]) -> None:
    """Ask the whole group to stop, then end what is left of it, so that nobody holds the pipe any more."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a job of a shell without job control ignores the first
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=GRACE_S)
            break
    _kill_group(child)
    child.wait()


def _kill_group(child: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
