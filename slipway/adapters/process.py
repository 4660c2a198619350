"""A child process run to its end: argument lists only, its lines passed on, bounded in time, no orphan left."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from slipway.errors import ConfigurationError, StepFailed

GRACE_S = 15  # seconds between asking a child to stop, asking again, and ending it


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    on_line: Callable[[str], None],
    timeout_s: float,
    folder: Path | None = None,
) -> tuple[int, list[str]]:
    """Run `command` and return its exit code and every line it printed, both streams as they came.

    Raises:
        ConfigurationError: the program does not exist.
        StepFailed: it did not end within `timeout_s` seconds, and was ended.
    """
    try:
        child = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise ConfigurationError(f"{command[0]} is not installed", fix="./invoke --list (sets the tools up)") from error
    late = threading.Event()

    def expire() -> None:
        late.set()
        _end(child)

    timer = threading.Timer(timeout_s, expire)
    timer.start()
    lines: list[str] = []
    try:
        assert child.stdout is not None  # noqa: S101 - PIPE was asked for
        for line in child.stdout:
            lines.append(line.rstrip("\n"))
            on_line(lines[-1])
        code = child.wait()
    except BaseException:
        _end(child)
        raise
    finally:
        timer.cancel()
        _kill_group(child)  # what the child left behind
    if late.is_set():
        raise StepFailed(f"{Path(command[0]).name} did not end within {timeout_s:.0f} s and was stopped")
    return code, lines


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
