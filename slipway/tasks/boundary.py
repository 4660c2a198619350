"""The edge between a command and the library: errors become one message and an exit code, signals a clean stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar, cast

import psutil
from invoke.exceptions import Exit

from slipway.errors import ConfigurationError, Interrupted, SlipwayError
from slipway.progress import Progress

PROJECT = Path(__file__).resolve().parents[2]
_Body = TypeVar("_Body", bound=Callable[..., Any])
_STOPPING = "stopping at the next boundary between steps; again to stop at once"
stopping = threading.Event()  # set by the first INT or TERM; obeyed at the next boundary between steps


def boundary(body: _Body) -> _Body:
    """Turn our errors into invoke's `Exit` with the documented code; anything else is a bug and keeps its traceback.

    Adapters that do not know the environment's name write `--env ENV` into a fix; here it is filled in.
    """

    @wraps(body)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        try:
            return body(*arguments, **options)
        except KeyboardInterrupt as error:
            raise Exit("stopped; the same command again goes on where it was", code=Interrupted.exit_code) from error
        except SlipwayError as error:
            text = f"error: {error}"
            if options.get("env"):
                text = text.replace("--env ENV", f"--env {options['env']}")
            raise Exit(text, code=error.exit_code) from error

    return cast(_Body, wrapped)


def seconds_since_start() -> float:
    """Return how long this process has run, `./invoke` setting itself up included."""
    began = float(psutil.Process().create_time())
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return time.time() - began
    # On Linux a process began as long after the machine as its kernel says; when that was is known to the second only.
    return time.clock_gettime(time.CLOCK_BOOTTIME) - (began - float(psutil.boot_time()))


def require_positive(option: str, number: int) -> None:
    """Raise `ConfigurationError` when an option that counts something is not at least 1."""
    if number < 1:
        raise ConfigurationError(f"{option} {number}: a number from 1 is wanted", fix=f"give {option} 10")


@contextmanager
def progress() -> Iterator[Progress]:
    """Give what tells of progress; the live line is gone when the block ends, however it ends."""
    shown = Progress()
    try:
        yield shown
    finally:
        shown.close()


@contextmanager
def stops_at_boundaries(tell: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Give a question: was a stop asked for? The first INT or TERM asks; a second one ends the command at once."""

    def ask(number: int, frame: FrameType | None) -> None:
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()
        # Apart, because the signal may have come in the middle of a word to the same stream.
        threading.Thread(target=tell, args=(_STOPPING,), daemon=True).start()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
