"""Who holds an environment: a process, of which only its own machine knows whether it lives.

The same machine is the same host name, the same boot and the same process namespace. Two containers or two machines
with one name know nothing of each other's processes.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Who holds an environment, as it stood when it was read.

    Attributes:
        since: ISO 8601, UTC, by the holder's clock.
        machine: the holder's `machine_id()`.
        process: its number and when it began, `machine_id` tells where.
        token: the fencing token it was taken with.
        claim: what tells one taking from another.
        heartbeat_age_s: seconds since it last said that it lives; None when it never did.
        remaining_s: seconds until it may be taken by another; not above 0 when that is so already.
    """

    who: str
    since: str
    machine: str | None
    process: tuple[int, str]
    token: int
    claim: str
    heartbeat_age_s: float | None
    remaining_s: float

    @classmethod
    def from_item(cls, item: Mapping[str, Any], *, now: float) -> Holder | None:
        """Return the holder a DynamoDB item tells of; None when it was given back or broken.

        Args:
            now: DynamoDB's time, in seconds since 1970.

        Raises:
            KeyError, TypeError, ValueError: it is not the item of a lease.
        """
        expires = float(item["expires"]["N"])
        if expires == 0:
            return None
        pid, started = item["process"]["S"].split()
        heartbeat = item.get("heartbeat")
        return cls(
            who=item["who"]["S"],
            since=item["since"]["S"],
            machine=item["machine"].get("S"),
            process=(int(pid), started),
            token=int(item["token"]["N"]),
            claim=item["claim"]["S"],
            heartbeat_age_s=max(now - float(heartbeat["N"]), 0) if heartbeat else None,
            remaining_s=expires - now,
        )

    @property
    def has_run_out(self) -> bool:
        """Whether another may take it, because its heartbeat stopped."""
        return self.remaining_s <= 0

    def may_be_taken(self) -> bool:
        """Return whether nobody works behind it any more, as far as can be known from here."""
        return self.has_run_out or self.is_known_dead()

    def is_known_dead(self) -> bool:
        """Return whether it was a process of this machine that is gone; another machine's is never known dead."""
        here = machine_id()
        if here is None or self.machine != here:
            return False
        pid, started = self.process
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass  # another user's, and there
        now = start_of(pid)
        return now is not None and now != started


def machine_id() -> str | None:
    """Return what tells apart machines, boots and process namespaces; None on a system that does not say.

    Linux says: https://man7.org/linux/man-pages/man5/proc_sys_kernel.5.html (random/boot_id), pid_namespaces(7).
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return None
    return f"{socket.gethostname()} {boot} {namespace}"


def start_of(pid: int) -> str | None:
    """Return when a process began, in clock ticks after the boot: no correction of the clock moves it.

    Field 22 of https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html; None where that is not to be read.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
