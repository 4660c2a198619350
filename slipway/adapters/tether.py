"""A program that ends when the process that asked for it does, even when that one is killed with -9. Linux only.

Run as a script, with the number of that process and the command: it asks the kernel to be killed with its parent
(https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html) and becomes the command. The request outlives exec.

Why a program and not `preexec_fn`: that one runs Python between fork and exec of a process with threads, where a lock
may be held by a thread that is not there any more. For the kernel the parent is the thread that forked; it waits for
the child until its end, see `process.run`. What the child itself started is not reached.

This file is given to an isolated interpreter: it imports the standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def tethered(command: Sequence[str]) -> list[str]:
    """Return the command that runs `command` for as long as this process lives; as it is where that cannot be had."""
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def become(parent: int, command: list[str]) -> None:
    """Replace this process by `command`, bound to `parent`; end it when that one is gone already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it ended before the kernel was asked
        os._exit(128 + signal.SIGKILL)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # this interpreter ignores them, and exec would keep that
        signal.signal(number, signal.SIG_DFL)
    os.execvpe(command[0], command, _given())  # noqa: S606 - an argument list


def _given() -> dict[bytes, bytes]:
    """Return the environment as this process was given it: an interpreter adds LC_CTYPE to a bare one (PEP 538)."""
    entries = Path("/proc/self/environ").read_bytes().split(b"\0")
    return dict(entry.split(b"=", 1) for entry in entries if b"=" in entry)


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
