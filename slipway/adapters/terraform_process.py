"""One run of the terraform program: its output as it comes, and an end that is always clean.

Rules:
- Terraform gets a session of its own: Ctrl-C at the terminal reaches it once, from here, and its providers never.
- The first INT, TERM or HUP is passed on as SIGINT and waited for: terraform finishes what is in flight, saves the
  state and releases its lock. Only after `grace_s` it is asked a second time, then killed with everything it started.
- Its output goes to a file without a name, not a pipe: if this process is killed, terraform goes on to the end and
  still releases the lock, where a broken pipe would kill it in the middle. Nothing readable is left behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from types import FrameType
from typing import IO, Any

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_S = 0.05
_LAST_GRACE_S = 10.0  # between the second request and the kill


@dataclass(frozen=True, kw_only=True, slots=True)
class Completed:
    """How a run ended. `interrupted`: a stop was asked for; `timed_out`: by the clock and not by a signal."""

    code: int
    output: str
    errors: str
    interrupted: bool
    timed_out: bool
    signal_was_ours: bool  # no handler of the caller's was told of the signal

    @property
    def killed(self) -> bool:
        """True when it did not end by itself."""
        return self.code == -signal.SIGKILL


class Run:
    """A run that can be stopped from any thread."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        on_line: Callable[[str], None],
        timeout_s: float | None,
        grace_s: float,
    ) -> None:
        self._arguments = list(arguments)
        self._folder = folder
        self._environment = dict(environment)
        self._on_line = on_line
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._grace_s = grace_s
        self._stop_asked = threading.Event()
        self._interrupting, self._was_interrupted = threading.Lock(), False
        self._timed_out = False
        self._caller_told = False

    def stop(self) -> None:
        """Ask for a clean end; returns at once. Asking again changes nothing."""
        self._stop_asked.set()

    def complete(self) -> Completed:
        """Run to the end and say how it was.

        Raises:
            OSError: the program could not be started.

        Side effects: takes over INT, TERM and HUP meanwhile, when called in the main thread.
        """
        with TemporaryFile() as output, TemporaryFile() as errors, self._taking_signals():
            process = subprocess.Popen(
                self._arguments,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
            try:
                self._follow(process, output)
            except BaseException:  # of `on_line`: terraform must not be left behind alone
                self.stop()
                self._wait_stopping(process)
                _kill_group(process)
                raise
            if self._stop_asked.is_set():
                _kill_group(process)  # what terraform abandoned when it stopped, e.g. a command of a provisioner
            return Completed(
                code=process.returncode,
                output=_content(output),
                errors=_content(errors),
                interrupted=self._stop_asked.is_set(),
                timed_out=self._timed_out,
                signal_was_ours=not self._caller_told,
            )

    def _follow(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        lines = _Lines(output)
        asked_at: float | None = None
        while process.poll() is None:
            for line in lines.arrived():
                self._on_line(line)
            now = time.monotonic()
            if self._deadline is not None and now > self._deadline and not self._stop_asked.is_set():
                self._timed_out = True
                self.stop()
            if self._stop_asked.is_set():
                if asked_at is None:
                    asked_at = now
                    self._interrupt_once(process)
                elif now > asked_at + self._grace_s:
                    self._end(process)
            time.sleep(_POLL_S)
        for line in lines.arrived(last=True):
            self._on_line(line)

    def _interrupt_once(self, process: subprocess.Popen[bytes]) -> None:
        """Ask for a clean end, unless that was done: asked twice, terraform gives up and may lose what it knows.

        In a thread of its own: a second Ctrl-C can raise between any two lines of the main one, so that terraform would
        be waited for and never asked.
        """
        asking = threading.Thread(target=self._interrupt_unless_done, args=(process,))
        asking.start()
        asking.join()

    def _interrupt_unless_done(self, process: subprocess.Popen[bytes]) -> None:
        with self._interrupting:
            if not self._was_interrupted:
                self._was_interrupted = True
                _interrupt(process)

    def _wait_stopping(self, process: subprocess.Popen[bytes]) -> None:
        self._interrupt_once(process)
        try:
            process.wait(self._grace_s)
        except subprocess.TimeoutExpired:
            self._end(process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        _interrupt(process)  # the second request: terraform gives up at once, but still writes what it knows
        try:
            process.wait(_LAST_GRACE_S)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            process.wait()

    @contextlib.contextmanager
    def _taking_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in STOP_SIGNALS}

        def take(number: int, frame: FrameType | None) -> None:
            self.stop()
            theirs = previous[signal.Signals(number)]
            if callable(theirs) and theirs is not signal.default_int_handler:
                self._caller_told = True
                theirs(number, frame)

        for number in STOP_SIGNALS:
            if previous[number] is not signal.SIG_IGN:  # nohup
                signal.signal(number, take)
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


class _Lines:
    """The whole lines of a file that another process is still writing."""

    def __init__(self, file: IO[bytes]) -> None:
        self._descriptor = file.fileno()
        self._offset = 0
        self._rest = b""

    def arrived(self, *, last: bool = False) -> list[str]:
        """Return the lines complete since the last call; with `last`, what is left too."""
        # pread, because both processes share the file's own position.
        while chunk := os.pread(self._descriptor, 1 << 16, self._offset):
            self._offset += len(chunk)
            self._rest += chunk
        *lines, self._rest = self._rest.split(b"\n")
        if last and self._rest:
            lines.append(self._rest)
            self._rest = b""
        return [line.decode(errors="replace") for line in lines]


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _content(file: IO[bytes]) -> str:
    size = os.fstat(file.fileno()).st_size
    parts, offset = [], 0
    while offset < size:
        part = os.pread(file.fileno(), size - offset, offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
    return b"".join(parts).decode(errors="replace")
