"""A child process: its lines, its end, and nothing of it left."""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from slipway.adapters.process import run
from slipway.errors import ConfigurationError, StepFailed


def sh(script: str, *, timeout_s: float = 20) -> tuple[int, list[str]]:
    return run(["sh", "-c", script], environment=os.environ, on_line=lambda line: None, timeout_s=timeout_s)


def is_gone(file: Path) -> bool:
    """Return whether the process whose number the file holds ends within a moment."""
    for _ in range(100):
        try:
            if psutil.Process(int(file.read_text())).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def test_lines_of_both_streams_and_the_exit_code_come_back() -> None:
    assert sh("echo one; echo two >&2; exit 3") == (3, ["one", "two"])


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no-such-program is not installed"):
        run(["no-such-program"], environment=os.environ, on_line=lambda line: None, timeout_s=5)


def test_a_child_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="did not end within 1 s"):
        sh(f"sleep 60 & echo $! > {tmp_path}/pid; wait", timeout_s=1)
    assert is_gone(tmp_path / "pid")


def test_what_holds_the_pipe_after_the_child_has_gone_does_not_hold_us(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(StepFailed, match="did not end within 1 s"):
        sh(f"sleep 60 & echo $! > {tmp_path}/pid; exit 0", timeout_s=1)
    assert time.monotonic() - began < 30
    assert is_gone(tmp_path / "pid")


def test_a_listener_that_fails_ends_the_child(tmp_path: Path) -> None:
    def fail(line: str) -> None:
        raise KeyError(line)

    script = (
        "import os, pathlib, signal, time\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"  # shells without job control have it ignored
        "print('go', flush=True)\n"
        "time.sleep(60)"
    )
    with pytest.raises(KeyError):
        run([sys.executable, "-c", script], environment=os.environ, on_line=fail, timeout_s=20)
    assert is_gone(tmp_path / "pid")


@dataclass
class Look:
    """A look at what a child depends on, which takes its time."""

    seconds: float
    begun: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> None:
        self.begun.set()
        time.sleep(self.seconds)
        self.ended.set()

    def wait(self, line: str) -> None:
        """Return once it has begun."""
        assert self.begun.wait(10)


@pytest.fixture
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.adapters.process.WATCH_S", 0.05)


@pytest.mark.usefixtures("_looks_often")
def test_no_look_is_under_way_once_the_child_has_ended() -> None:
    """The caller looks over the same connection afterwards, and one connection is used by one thread at a time."""
    look = Look(0.5)
    run(["echo", "go"], environment=os.environ, on_line=look.wait, timeout_s=20, watch=look)
    assert look.ended.is_set()


@pytest.mark.usefixtures("_looks_often")
def test_a_child_that_ended_in_time_is_not_late_because_a_look_was() -> None:
    look = Look(2)
    assert run(["echo", "go"], environment=os.environ, on_line=look.wait, timeout_s=1, watch=look) == (0, ["go"])
    assert look.ended.is_set()


@pytest.mark.usefixtures("_looks_often")
def test_who_is_interrupted_waits_for_no_look() -> None:
    look = Look(30)

    def interrupt(line: str) -> None:
        look.wait(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(["echo", "go"], environment=os.environ, on_line=interrupt, timeout_s=60, watch=look)
    assert not look.ended.is_set()
