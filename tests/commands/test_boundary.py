"""The edge of a command: what a shell does to it ends it without a word too many."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
TALKATIVE = """
from invoke.exceptions import Exit
from slipway.tasks.boundary import boundary

@boundary
def task(lines):
    print("a line\\n" * lines, end="")

try:
    task({lines})
except Exit as ended:
    raise SystemExit(ended.code)
"""


def test_a_reader_that_has_read_enough_gets_no_traceback() -> None:
    for lines in (3, 100_000):  # what a buffer holds until the end, and what it does not
        with subprocess.Popen(
            [sys.executable, "-c", TALKATIVE.format(lines=lines)],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait(20) == 128 + signal.SIGPIPE
