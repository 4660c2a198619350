"""An embedded AWS for as long as a block runs: what tests and short-lived tools use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slipway.adapters.surroundings import without_aws
from slipway.errors import Unavailable

_START_S = 60.0
_STOP_S = 10.0
# What runs for a block only has nobody to protect: the key that tests of clients use is the operator's, too.
_SERVE = (sys.executable, "-m", "slipway.sandbox.aws", "serve")


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """Where a running embedded AWS is."""

    pid: int
    port: int
    proxy_port: int

    @classmethod
    def from_file(cls, ready_file: Path) -> Instance:
        """Return what a readiness file says."""
        return cls(**json.loads(ready_file.read_text()))


@contextmanager
def running(folder: Path) -> Iterator[Instance]:
    """Start an embedded AWS on free ports, with its readiness file and log in `folder`; end it after the block.

    Raises:
        Unavailable: it did not start; the message holds the end of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ready_file, log_file = folder / "aws.json", folder / "aws.log"
    ready_file.unlink(missing_ok=True)
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [*_SERVE, "--ready-file", str(ready_file)],
            cwd=Path(__file__).parents[3],
            env=without_aws(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_ready(process, ready_file, log_file)
        yield Instance.from_file(ready_file)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_ready(process: subprocess.Popen[bytes], ready_file: Path, log_file: Path) -> None:
    deadline = time.monotonic() + _START_S
    while not ready_file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            said = log_file.read_text(errors="replace").strip()[-1000:]
            raise Unavailable(f"the embedded AWS did not start:\n{said}")
        time.sleep(0.05)
