"""The lease in DynamoDB: the right to change one environment, for one deployment at a time.

Rules:
- Taken by a conditional write; every taking raises the fencing token by one, for good. So does breaking it.
- Kept by a heartbeat; a lease whose heartbeat stopped for its time to live (`TTL_S`) may be taken by another.
- Asked for before every effect, by renewing it under the condition that the token is still the one it was taken with:
  another token there means this deployment does nothing more. The journal has the token checked with every write.
- While the table does not answer, nothing is done; when the lease's own time has run out meanwhile, it counts as lost.
  How long ago it was confirmed is told by this process's monotonic clock, whether it is held by the token alone.
- When a lease runs out is told by DynamoDB's clock, the only one its contenders share.
- That of a holder known dead (`holder`) is taken at once.
- Given back at the end if that succeeds; if not, it runs out. Neither hides how the deployment ended.
- Taking it knows no patience: a table that does not answer means no deployment.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import botocore.exceptions

from slipway.adapters.aws import code_of, translated
from slipway.adapters.holder import Holder, machine_id, start_of
from slipway.adapters.journal import DynamoJournal, now_iso
from slipway.deployment import Event
from slipway.errors import ConfigurationError, JournalError, Locked, NotBootstrapped, SlipwayError, Unavailable
from slipway.patience import Patience

STREAM = "lease"
TTL_S = 60.0  # seconds without a heartbeat until the lease may be taken
HEARTBEATS = 4  # in that time
_HASTE = 5  # times sooner than the next heartbeat, one that failed is tried again
_CLOCK_S = 2.0  # seconds; a difference below is the resolution of an HTTP date and the way of the answer
_BREAKS = 5  # attempts, when the holder writes to the journal at the same time
_KEY = {"stream": {"S": STREAM}, "seq": {"N": "0"}}


class DynamoLease:
    """A context: the lease is held inside it, by a heartbeat of its own.

    Args:
        by: who takes or breaks it.
        ttl_s: seconds without a heartbeat until another may take it.
        patience: of the deployment that holds it, with a table that does not answer.
        clock: the wall clock of this machine, in seconds since 1970; corrected by DynamoDB's.
    """

    def __init__(
        self,
        dynamodb: Any,
        table: str,
        *,
        environment: str,
        by: str,
        ttl_s: float = TTL_S,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.patience = patience or Patience()
        self._dynamodb, self._table, self._environment, self._by = dynamodb, table, environment, by
        self._ttl_s, self._heartbeat_s = ttl_s, ttl_s / HEARTBEATS
        self._clock = _Clock(clock)
        self._confirmed_at = 0.0  # by time.monotonic
        self._token = 0
        self._claim = secrets.token_hex(16)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease-heartbeat", daemon=True)

    def __enter__(self) -> Self:
        holder = self.holder()
        if holder is not None and not holder.may_be_taken():
            raise self._locked(holder)
        self._take(holder if holder is not None and not holder.has_run_out else None)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=self._heartbeat_s)
        with suppress(_Taken, SlipwayError):
            self._update("SET expires = :nil", self._held(), condition=_IS_MINE)

    def holder(self) -> Holder | None:
        """Return who holds the environment, run out or not; None when nobody does.

        Raises:
            JournalError: what is in the table is no lease.
            Unavailable: the table does not answer or does not exist.
        """
        asked_at = time.monotonic()
        with self._translated():
            answer = self._dynamodb.get_item(TableName=self._table, Key=_KEY, ConsistentRead=True)
        self._clock.learn(answer, asked_at=asked_at)
        item = answer.get("Item")
        try:
            return Holder.from_item(item, now=self._clock.now()) if item else None
        except (KeyError, TypeError, ValueError) as error:
            raise JournalError(
                f"the lease in {self._table} is not one a deployment writes: {type(error).__name__}: {error}",
                fix="have the item with stream 'lease' looked at before anything else is deployed",
            ) from error

    def check(self) -> None:
        """Return when the lease is held, for its time to live from now; raise `Locked` once it was lost.

        Raises:
            Locked: another took it or it was broken, or nothing confirmed it for its time to live.
            Unavailable: the table does not answer, and the patience ended before that time.

        Side effects: renews the lease; waits for a table that does not answer.
        """
        try:
            self.patience.ask(self._renew, within_s=self._remaining_s())
        except _Taken as error:
            raise self._lost(self._who_took_it()) from error
        except Unavailable as error:
            if isinstance(error, NotBootstrapped) or self._remaining_s() > 0:
                raise
            raise self._lost(f"{self._table} did not confirm it for {self._ttl_s:.0f} s") from error

    def guard(self) -> dict[str, Any]:
        """Return, as an item of a DynamoDB transaction, that this lease was neither lost nor given back."""
        return {
            "ConditionCheck": {
                "TableName": self._table,
                "Key": _KEY,
                "ConditionExpression": _IS_MINE,
                "ExpressionAttributeNames": _NAMES,
                "ExpressionAttributeValues": self._held(),
            }
        }

    def break_hold(self, holder: Holder, *, journal: DynamoJournal, reason: str) -> Event | None:
        """Fence `holder` off, free the lease and record it, in one transaction; return the event.

        Args:
            holder: as it was read, so that nobody is broken whom the person who asks has not seen.
            journal: where it is recorded, as `lock-broken`.

        Returns:
            None when the lease was given back meanwhile: nothing was broken, nothing recorded.

        Raises:
            ConfigurationError: there is no reason.
            Locked: someone else took it meanwhile; nothing was broken.
            Unavailable: the table does not answer; `holder` tells, once it does, whether it was broken.
        """
        require_reason(reason, environment=self._environment)
        facts = {
            "by": self._by,
            "reason": reason.strip(),
            "holder": holder.who,
            "since": holder.since,
            "token": holder.token,
        }
        for _ in range(_BREAKS):
            try:
                return journal.fenced_by(_Break(self._table, holder.token)).append("", "lock-broken", facts)
            except Locked:  # given back, taken by another, or the holder wrote its next event first
                now = self.holder()
                if now is None:
                    return None
                if now.token != holder.token:
                    raise self._locked(now) from None
        raise Unavailable(
            f"{holder.who} wrote to the journal whenever the lock was to be broken", fix="give the same command again"
        )

    def _take(self, dead: Holder | None) -> None:
        """Take a lease that is free or ran out, or that of a holder known dead."""
        free, values = "attribute_not_exists(expires) OR expires < :now", {}
        if dead is not None:
            free, values = "#token = :dead", {":dead": {"N": str(dead.token)}}
        machine = machine_id()
        asked_at = time.monotonic()
        try:
            item = self._update(
                "SET expires = :expires, heartbeat = :now, who = :who, since = :since, machine = :machine, "
                "process = :process, claim = :claim ADD #token :one",
                {
                    **self._times(),
                    ":who": {"S": self._by},
                    ":since": {"S": now_iso()},
                    ":machine": {"S": machine} if machine else {"NULL": True},
                    ":process": {"S": f"{os.getpid()} {start_of(os.getpid())}"},
                    ":claim": {"S": self._claim},
                    ":one": {"N": "1"},
                    **values,
                },
                condition=free,
            )
            self._token = int(item["token"]["N"])
        except _Taken as error:
            # An answer can be lost on its way, and the SDK asks again: then the holder is this very lease.
            holder = self.holder()
            if holder is None or holder.claim != self._claim:
                raise self._locked(holder) from error
            self._token = holder.token
        self._confirmed_at = asked_at

    def _beat(self) -> None:
        pause_s = self._heartbeat_s
        while not self._stop.wait(pause_s):
            pause_s = self._heartbeat_s
            try:
                self._renew()
            except _Taken:
                return  # for good; check() says so, before the next effect
            except SlipwayError:
                pause_s /= _HASTE

    def _renew(self) -> None:
        """Begin the time to live anew; raise `_Taken` when the lease is not held any more."""
        asked_at = time.monotonic()
        self._update("SET expires = :expires, heartbeat = :now", {**self._times(), **self._held()}, condition=_IS_MINE)
        self._confirmed_at = max(self._confirmed_at, asked_at)

    def _held(self) -> dict[str, Any]:
        """Return the values of `_IS_MINE`."""
        return {**_held(self._token), ":mine": {"S": self._claim}}

    def _remaining_s(self) -> float:
        """Return the seconds until the lease, as it was last confirmed, has run out by this process's own clock."""
        return max(self._confirmed_at + self._ttl_s - time.monotonic(), 0)

    def _times(self) -> dict[str, Any]:
        now = self._clock.now()
        return {":now": {"N": f"{now:.3f}"}, ":expires": {"N": f"{now + self._ttl_s:.3f}"}}

    def _update(self, change: str, values: Mapping[str, Any], *, condition: str) -> dict[str, Any]:
        """Return the item as a conditional change left it; raise `_Taken` when the condition does not hold."""
        asked_at = time.monotonic()
        with self._translated():
            try:
                answer = self._dynamodb.update_item(
                    TableName=self._table,
                    Key=_KEY,
                    UpdateExpression=change,
                    ConditionExpression=condition,
                    ExpressionAttributeNames=_NAMES,
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_NEW",
                )
            except botocore.exceptions.ClientError as error:
                if code_of(error) == "ConditionalCheckFailedException":
                    raise _Taken from error
                raise
        self._clock.learn(answer, asked_at=asked_at)
        item: dict[str, Any] = answer["Attributes"]
        return item

    def _translated(self) -> AbstractContextManager[None]:
        return translated(f"lease {self._table}", self._dynamodb)

    def _locked(self, holder: Holder | None) -> Locked:
        who = f"{holder.who} since {holder.since}" if holder else "another deployment"  # that is over already
        return Locked(
            f"{self._environment} is held by {who}",
            fix=f"wait for it, or see invoke lock.show --env {self._environment}",
        )

    def _lost(self, why: str) -> Locked:
        return Locked(
            f"this deployment lost its hold on {self._environment} and stops before the next effect: {why}",
            fix=f"invoke history --env {self._environment}",
        )

    def _who_took_it(self) -> str:
        with suppress(SlipwayError):
            holder = self.holder()
            if holder is not None:
                return f"{holder.who} holds it since {holder.since}"
        return "it was taken or broken"


def require_reason(reason: str, *, environment: str) -> None:
    """Return when there is one; raise `ConfigurationError` otherwise."""
    if not reason.strip():
        raise ConfigurationError(
            "a lock is broken for a reason, which the journal keeps; nothing was changed",
            fix=f'invoke lock.break --env {environment} --reason "..."',
        )


_NAMES = {"#token": "token"}  # a reserved word
_IS_HELD = "#token = :held AND expires > :nil"  # by who took it with that token; 0 is given back
_IS_MINE = f"{_IS_HELD} AND claim = :mine"  # in a table that was made anew, another has the same token


def _held(token: int) -> dict[str, Any]:
    """Return the values of `_IS_HELD`."""
    return {":held": {"N": str(token)}, ":nil": {"N": "0"}}


class _Taken(Exception):
    """The condition of a write did not hold."""


class _Break:
    """A fence that is no question but a change: it raises the token and frees the lease, if `token` still holds it."""

    def __init__(self, table: str, token: int) -> None:
        self.patience = Patience(limit_s=0)
        self._table, self._token = table, token

    def guard(self) -> dict[str, Any]:
        update = {
            "TableName": self._table,
            "Key": _KEY,
            "UpdateExpression": "SET expires = :nil ADD #token :one",
            "ConditionExpression": _IS_HELD,
            "ExpressionAttributeNames": _NAMES,
            "ExpressionAttributeValues": {**_held(self._token), ":one": {"N": "1"}},
        }
        return {"Update": update}


class _Clock:
    """DynamoDB's clock, as its answers tell it, to a second or two."""

    def __init__(self, local: Callable[[], float]) -> None:
        self._local, self._ahead_s = local, 0.0

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return self._local() + self._ahead_s

    def learn(self, answer: Mapping[str, Any], *, asked_at: float) -> None:
        """Take the time from an answer's `Date`, where the local clock differs by more than the two can tell apart.

        Args:
            asked_at: by time.monotonic. The time in an answer that was long under way is past.
        """
        if time.monotonic() - asked_at > _CLOCK_S:
            return
        said = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        if said is not None:
            ahead_s = parsedate_to_datetime(said).timestamp() - self._local()
            self._ahead_s = ahead_s if abs(ahead_s) > _CLOCK_S else 0.0
