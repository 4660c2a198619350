"""A child does not outlive a parent that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from slipway.adapters.process import run

PROJECT = Path(__file__).parents[2]
GONE_S = 2.0  # seconds a child may be there after its parent
CHILD = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(600)"
# What deploys: in its main thread, or in one of a pool as the checks do; `sys.argv`: where, folder of the number
PARENT = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from slipway.adapters.process import run

def wait():
    run([sys.executable, "-c", sys.argv[3], sys.argv[2]], environment=os.environ, on_line=print, timeout_s=600)

if sys.argv[1] == "thread":
    with ThreadPoolExecutor() as pool:
        pool.submit(wait).result()
else:
    wait()
"""


@contextmanager
def deployer(where: str, file: Path) -> Iterator[tuple[subprocess.Popen[bytes], psutil.Process]]:
    """Give a process that waits for a child, and the child; both are gone at the end of the block."""
    command = [sys.executable, "-c", PARENT, where, str(file), CHILD]
    parent = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(PROJECT)})
    try:
        yield parent, psutil.Process(number_in(file))
    finally:
        parent.kill()
        parent.wait()
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ValueError):
            psutil.Process(int(file.read_text())).kill()


def number_in(file: Path) -> int:
    deadline = time.monotonic() + 20
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline, "the child did not begin"
        time.sleep(0.02)
    return int(file.read_text())


def seconds_until_gone(process: psutil.Process) -> float:
    began = time.monotonic()
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() - began < GONE_S, f"process {process.pid} is still there"
        time.sleep(0.01)
    return time.monotonic() - began


@pytest.mark.parametrize("where", ["main", "thread"])
def test_a_child_is_gone_when_its_deployer_was_killed(where: str, tmp_path: Path) -> None:
    with deployer(where, tmp_path / "pid") as (parent, child):
        assert child.ppid() == parent.pid
        assert psutil.Process(child.pid).cmdline()[1:3] == ["-c", CHILD], "it is the program, not what started it"
        parent.send_signal(signal.SIGKILL)
        print(f"\ngone in {seconds_until_gone(child) * 1000:.0f} ms")


def test_a_child_whose_parent_ended_before_it_could_ask_does_not_begin(tmp_path: Path) -> None:
    """A shell in between is the parent then, as init would be."""
    tether = PROJECT / "slipway" / "adapters" / "tether.py"
    stranger = str(os.getpid() + 1_000_000)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(tether), stranger, "touch", str(tmp_path / "began")], timeout=20
    )
    assert done.returncode == 128 + signal.SIGKILL
    assert not (tmp_path / "began").exists()


def test_a_child_begins_with_the_signals_of_a_fresh_program() -> None:
    command = ["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"]
    fresh = subprocess.run(command, capture_output=True, text=True, start_new_session=True, timeout=20).stdout
    code, lines = run(command, environment=os.environ, on_line=lambda line: None, timeout_s=20)
    assert (code, lines) == (0, fresh.splitlines())
    assert len(lines) == 2


def test_a_child_is_given_its_environment_and_nothing_of_what_ran_before_it() -> None:
    own = {"PATH": os.environ["PATH"], "PYTHONSTARTUP": "/nowhere", "NAME": "ä"}
    code, lines = run(["env"], environment=own, on_line=lambda line: None, timeout_s=20)
    assert code == 0
    assert set(lines) == {f"{name}={value}" for name, value in own.items()}
