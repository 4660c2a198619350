"""The lease in DynamoDB: the right to change one environment, for one deployment at a time.

Rules:
- Taken by a conditional write; every taking raises the fencing token by one, for good.
- Kept by a heartbeat; a lease whose heartbeat stopped for `TTL_S` may be taken by another.
- Asked for before every effect: another token there means this deployment does nothing more. The journal has the
  token checked with every write (`condition`).
- A holder is known dead only by the machine it runs on: same host name, same boot and same process namespace. Two
  containers or two machines with one name know nothing of each other's processes.
- Given back at the end if that succeeds; if not, it runs out. Neither hides how the deployment ended.
- A table that does not answer means no deployment.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import botocore.exceptions

from slipway.adapters.aws import code_of, translated
from slipway.adapters.journal import now_iso
from slipway.errors import Locked, SlipwayError

STREAM = "lease"
TTL_S = 60  # seconds without a heartbeat until the lease may be taken
HEARTBEAT_S = 15  # seconds


class DynamoLease:
    """A context: the lease is held inside it, by a heartbeat of its own."""

    def __init__(self, dynamodb: Any, table: str, *, environment: str, by: str) -> None:
        self._dynamodb, self._table, self._environment, self._by = dynamodb, table, environment, by
        self._token = 0
        self._claim = secrets.token_hex(16)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease-heartbeat", daemon=True)

    def __enter__(self) -> Self:
        holder = self._holder()
        if holder is not None and not _is_dead(holder):
            raise self._locked(holder)
        self._take(holder)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=HEARTBEAT_S)
        with suppress(_Taken, SlipwayError), self._translated():
            self._update("SET expires = :zero", {":zero": {"N": "0"}})

    def check(self) -> None:
        """Return while the lease is held; raise `Locked` once another deployment took it."""
        holder = self._holder()
        if holder is None or int(holder["token"]["N"]) != self._token:
            raise Locked(
                f"this deployment lost its hold on {self._environment} and stops before the next effect",
                fix=f"invoke history --env {self._environment}",
            )

    def condition(self) -> dict[str, Any]:
        """Return, as a `ConditionCheck` of a DynamoDB transaction, that this lease was neither lost nor given back."""
        return {
            "TableName": self._table,
            "Key": _KEY,
            "ConditionExpression": "#token = :mine AND expires > :zero",
            "ExpressionAttributeNames": {"#token": "token"},
            "ExpressionAttributeValues": {":mine": {"N": str(self._token)}, ":zero": {"N": "0"}},
        }

    def _holder(self) -> dict[str, Any] | None:
        with self._translated():
            answer = self._dynamodb.get_item(TableName=self._table, Key=_KEY, ConsistentRead=True)
        item: dict[str, Any] | None = answer.get("Item")
        return item if item and float(item["expires"]["N"]) > time.time() else None

    def _take(self, seen: dict[str, Any] | None) -> None:
        """Take a lease that is free, ran out, or whose holder on this machine is dead."""
        free = "attribute_not_exists(expires) OR expires < :now"
        values = {":now": {"N": str(time.time())}}
        if seen is not None:
            free = "#token = :seen"
            values = {":seen": seen["token"]}
        machine = machine_id()
        try:
            with self._translated():
                taken = self._update(
                    "SET expires = :expires, who = :who, since = :since, machine = :machine, process = :process, "
                    "claim = :claim ADD #token :one",
                    {
                        ":expires": {"N": str(time.time() + TTL_S)},
                        ":who": {"S": self._by},
                        ":since": {"S": now_iso()},
                        ":machine": {"S": machine} if machine else {"NULL": True},
                        ":process": {"S": f"{os.getpid()} {_start_of(os.getpid())}"},
                        ":claim": {"S": self._claim},
                        ":one": {"N": "1"},
                    },
                    condition=free,
                    condition_values=values,
                )["Attributes"]
        except _Taken as error:
            # An answer can be lost on its way, and the SDK asks again: then the holder is this very lease.
            taken = self._holder() or {}
            if taken.get("claim") != {"S": self._claim}:
                raise self._locked(taken) from error
        self._token = int(taken["token"]["N"])

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            try:
                with self._translated():
                    self._update("SET expires = :expires", {":expires": {"N": str(time.time() + TTL_S)}})
            except (_Taken, SlipwayError):
                continue  # check() says so, before the next effect

    def _update(
        self,
        change: str,
        values: dict[str, Any],
        *,
        condition: str = "#token = :mine",
        condition_values: dict[str, Any] | None = None,
    ) -> Any:
        extra = condition_values if condition_values is not None else {":mine": {"N": str(self._token)}}
        names = {"#token": "token"} if "#token" in change + condition else {}
        try:
            return self._dynamodb.update_item(
                TableName=self._table,
                Key=_KEY,
                UpdateExpression=change,
                ConditionExpression=condition,
                ExpressionAttributeValues={**values, **extra},
                **({"ExpressionAttributeNames": names} if names else {}),
                ReturnValues="ALL_NEW",
            )
        except botocore.exceptions.ClientError as error:
            if code_of(error) == "ConditionalCheckFailedException":
                raise _Taken from error
            raise

    def _translated(self) -> AbstractContextManager[None]:
        return translated(f"lease {self._table}", self._dynamodb)

    def _locked(self, holder: dict[str, Any]) -> Locked:
        who = holder.get("who", {}).get("S", "another deployment")
        since = holder.get("since", {}).get("S", "an unknown time")
        return Locked(
            f"{self._environment} is held by {who} since {since}",
            fix=f"wait for it, or see invoke history --env {self._environment}",
        )


_KEY = {"stream": {"S": STREAM}, "seq": {"N": "0"}}


class _Taken(Exception):
    """The condition of a write did not hold."""


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


def _is_dead(holder: dict[str, Any]) -> bool:
    """Return whether the holder was a process of this machine that is gone; another machine's is never known dead."""
    here, there = machine_id(), holder.get("machine", {}).get("S")
    if here is None or there != here:
        return False
    pid, started = holder["process"]["S"].split()
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # another user's, and there
    now = _start_of(int(pid))
    return now is not None and now != started


def _start_of(pid: int) -> str | None:
    """Return when a process began, in clock ticks after the boot: no correction of the clock moves it.

    Field 22 of https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html; None where that is not to be read.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
