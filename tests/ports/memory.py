"""The journal and the lease in memory: the same rules as in DynamoDB (`contract/`), and faults where a test wants them.

Tests of the core use these. Nothing here waits: what does not answer is `Unavailable` at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from slipway.deployment import GENESIS, Event, EventKind
from slipway.documents import canonical
from slipway.errors import ConfigurationError, Locked, SlipwayError, Unavailable

Moment = Literal["before", "after"]


@dataclass
class Faults:
    """Lets the k-th call of everything that shares it fail, before or after its effect.

    Attributes:
        at: which call, from 1; None never.
        moment: a call that fails before its effect did nothing; one that fails after it did all, and did not say so.
        error: what it raises.
        calls: the names of the calls so far, in order; also of the one that failed.
    """

    at: int | None = None
    moment: Moment = "before"
    error: SlipwayError = field(default_factory=lambda: Unavailable("the table does not answer"))
    calls: list[str] = field(default_factory=list)

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Run one call."""
        self.calls.append(name)
        fails = len(self.calls) == self.at
        if fails and self.moment == "before":
            raise self.error
        yield
        if fails:
            raise self.error


@dataclass
class MemoryTable:
    """What the journal and the lease of one environment share, and what tells the time in it.

    Attributes:
        token: the fencing token; every taking and every breaking raises it.
        holder: who holds the lease; None when it is free.
    """

    events: list[Event] = field(default_factory=list)
    token: int = 0
    holder: str | None = None
    since: str = ""
    has_run_out: bool = False

    def now(self) -> str:
        """Return the time, which moves one second with each event."""
        seq = len(self.events) + 1
        return f"2026-11-01T{seq // 3600:02d}:{seq // 60 % 60:02d}:{seq % 60:02d}.000+00:00"


class MemoryJournal:
    """A journal in a list.

    Args:
        table: shared with the lease and with other readers; one of its own without.
        clock: tells the time of an event; the table's without.
    """

    def __init__(
        self,
        table: MemoryTable | None = None,
        *,
        fence: MemoryLease | None = None,
        faults: Faults | None = None,
        clock: Callable[[], str] | None = None,
    ) -> None:
        self.table = table if table is not None else MemoryTable()
        self.faults = faults if faults is not None else Faults()
        self._fence, self._clock = fence, clock or self.table.now

    @property
    def written(self) -> list[Event]:
        """The events themselves, for a test to change."""
        return self.table.events

    def fenced_by(self, fence: MemoryLease) -> MemoryJournal:
        """Return the same journal for the holder of a lease."""
        return MemoryJournal(self.table, fence=fence, faults=self.faults, clock=self._clock)

    def events(self) -> tuple[Event, ...]:
        """Return every event, oldest first."""
        with self.faults.call("events"):
            return tuple(self.table.events)

    def append(self, deployment: str, kind: EventKind, data: Mapping[str, Any]) -> Event:
        """Write the next event; raise `Locked` when the lease was lost or another writer was first."""
        with self.faults.call(f"append {kind}"):
            seen = list(self.table.events)
            event = Event(
                seq=len(seen) + 1,
                previous=seen[-1].sha256 if seen else GENESIS,
                at=self._clock(),
                deployment=deployment,
                kind=kind,
                data=json.loads(canonical(dict(data))),
            )
            if len(self.table.events) != len(seen):
                raise Locked("another deployment writes to the journal; this one stops")
            if self._fence is not None and not self._fence.is_held:
                raise Locked("this deployment lost its hold on the environment; it writes nothing more and stops")
            self.table.events.append(event)
            return event


class MemoryLease:
    """A lease in memory, held inside its block.

    Args:
        checks: it is lost after that many questions; None never by itself. A lease with a table must be taken first.
    """

    def __init__(
        self,
        checks: int | None = None,
        *,
        table: MemoryTable | None = None,
        environment: str = "staging",
        by: str = "ann",
        faults: Faults | None = None,
    ) -> None:
        self.checks, self.by, self.environment = checks, by, environment
        self.faults = faults if faults is not None else Faults()
        self.table = table if table is not None else MemoryTable()
        self._token = 0
        if table is None:  # nobody to take it from
            self._take()

    def __enter__(self) -> Self:
        with self.faults.call("take"):
            if self.table.holder is not None and not self.table.has_run_out and not self.is_held:
                raise Locked(f"{self.environment} is held by {self.table.holder} since {self.table.since}")
            self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_held:
            self.table.holder = None

    @property
    def is_held(self) -> bool:
        """Whether nobody took it since, and it was neither given back nor broken."""
        return self.table.holder is not None and self.table.token == self._token

    def check(self) -> None:
        """Return while the lease is held; raise `Locked` once it was lost."""
        with self.faults.call("check"):
            if self.checks is not None:
                self.checks -= 1
            if not self.is_held or (self.checks is not None and self.checks < 0):
                raise Locked(f"this deployment lost its hold on {self.environment} and stops before the next effect")
            self.table.has_run_out = False

    def break_hold(self, token: int, *, journal: MemoryJournal, reason: str) -> Event | None:
        """Fence off who took the lease with `token`, free it and record it; None when it was given back."""
        if not reason.strip():
            raise ConfigurationError("a lock is broken for a reason")
        with self.faults.call("break"):
            if self.table.holder is None:
                return None
            if self.table.token != token:
                raise Locked(f"{self.environment} is held by {self.table.holder} since {self.table.since}")
            facts = {"by": self.by, "reason": reason.strip(), "holder": self.table.holder, "since": self.table.since}
            event = journal.append("", "lock-broken", {**facts, "token": token})
            self.table.token, self.table.holder = token + 1, None
            return event

    def _take(self) -> None:
        self.table.token += 1
        self._token = self.table.token
        self.table.holder, self.table.since, self.table.has_run_out = self.by, self.table.now(), False
