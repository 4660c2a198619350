"""The journal in DynamoDB: one item per event, chained by digest.

Rules:
- An event is written only if its sequence number is free.
- A journal that is fenced writes only while its fence holds, and DynamoDB judges that in the same transaction: a
  deployer that lost its lease cannot write, however late its request arrives. A fence may change something instead of
  only asking; then the event and that change happen together or not at all.
  https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
- An answer can be lost on its way. An event is made once and asked for with the same number until it stands; what
  stands under that number is read before anyone else is blamed for it.
- Within a deployment a table that does not answer is asked again (`Patience`); outside of one it is not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from typing import Any, Protocol

import botocore.exceptions

from slipway.adapters.aws import code_of, translated
from slipway.audit import JournalItem
from slipway.deployment import GENESIS, Event, EventKind
from slipway.documents import canonical
from slipway.errors import ConfigurationError, JournalError, Locked, Unavailable
from slipway.patience import Patience

STREAM = "journal"
_ATTEMPTS = 6  # of one event, when its transaction met another one, such as the lease's heartbeat
_PAUSE_S = 0.05  # before the second attempt; twice as long before each that follows
_TAKEN = "ConditionalCheckFailed"
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html (cancellation reasons)
_PASSING = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
_BELOW_ALL = "-9.9E+125"  # the lowest number that DynamoDB holds, nearly


class Fence(Protocol):
    """What must hold for an event to be written."""

    @property
    def patience(self) -> Patience:
        """How long whoever writes behind this fence waits for the table."""

    def guard(self) -> dict[str, Any]:
        """Return it as one item of a DynamoDB transaction, e.g. `{"ConditionCheck": {...}}`."""


def now_iso() -> str:
    """Return the current time as the journal writes it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class DynamoJournal:
    """Appends events to one table and reads them back in order.

    Args:
        fence: what must hold for a write; with one, the journal is as patient as the fence is, without one not at all.
        clock: tells the time of an event.
    """

    def __init__(
        self, dynamodb: Any, table: str, *, fence: Fence | None = None, clock: Callable[[], str] = now_iso
    ) -> None:
        self._dynamodb, self._table, self._fence, self._clock = dynamodb, table, fence, clock
        self._patience = fence.patience if fence is not None else Patience(limit_s=0)
        self._events: list[Event] = []

    def fenced_by(self, fence: Fence) -> DynamoJournal:
        """Return the same journal for the holder of a lease: patient, and it writes nothing once the lease was lost."""
        fenced = DynamoJournal(self._dynamodb, self._table, fence=fence, clock=self._clock)
        fenced._events = list(self._events)
        return fenced

    def events(self) -> tuple[Event, ...]:
        """Return every event, oldest first. Reads only what came since the last call.

        Raises:
            JournalError: an item holds no event.
            Unavailable: the table does not answer or does not exist.
        """
        self._patience.ask(self._read_on)
        return tuple(self._events)

    def items(self) -> tuple[JournalItem, ...]:
        """Return every item as it is stored, in order, whatever it holds: for who audits the journal.

        Raises:
            Unavailable: the table does not answer or does not exist.
        """
        stored = self._patience.ask(lambda: list(chain.from_iterable(self._pages(after=_BELOW_ALL))))
        return tuple(_stored(item) for item in stored)

    def append(self, deployment: str, kind: EventKind, data: Mapping[str, Any]) -> Event:
        """Write the next event and return it as it will be read.

        Raises:
            Locked: the fence does not hold, or someone else wrote an event meanwhile; nothing was written.
            Unavailable: the table does not answer; whether the event is there is known when it is read again.
        """
        events = self.events()
        last = events[-1] if events else None
        event = Event(
            seq=(last.seq if last else 0) + 1,
            previous=last.sha256 if last else GENESIS,
            at=self._clock(),
            deployment=deployment,
            kind=kind,
            data=json.loads(canonical(dict(data))),
        )
        self._patience.ask(lambda: self._write(event))
        self._events.append(event)
        return event

    @property
    def _name(self) -> str:
        return f"journal {self._table}"

    def _read_on(self) -> None:
        """Read what came after the last event known, page by page; what was read stays known if a page fails."""
        for page in self._pages(after=self._events[-1].seq if self._events else 0):
            for item in page:
                self._events.append(self._next(item))

    def _next(self, item: Mapping[str, Any]) -> Event:
        """Return the event in `item`; raise `JournalError` unless it follows from the one before and is as written."""
        event, last = self._read(item), self._events[-1] if self._events else None
        follows = (event.seq, event.previous) == ((last.seq + 1, last.sha256) if last else (1, GENESIS))
        if not follows or item["seq"] != {"N": str(event.seq)} or item.get("sha256") != {"S": event.sha256}:
            raise JournalError(
                f"{self._name}: event {event.seq} was changed, or does not follow from the one before it",
                fix="invoke audit.verify --env ENV, before anything else is deployed",
            )
        return event

    def _pages(self, *, after: int | str) -> Iterator[Sequence[Mapping[str, Any]]]:
        """Yield the items after a sequence number, in order, as DynamoDB hands them out: up to 1 MB each time."""
        key: dict[str, Any] | None = None
        while True:
            options: dict[str, Any] = {"ExclusiveStartKey": key} if key else {}
            with translated(self._name, self._dynamodb):
                page = self._dynamodb.query(
                    TableName=self._table,
                    KeyConditionExpression="#stream = :stream AND #seq > :after",
                    ExpressionAttributeNames={"#stream": "stream", "#seq": "seq"},  # the first is a reserved word
                    ExpressionAttributeValues={":stream": {"S": STREAM}, ":after": {"N": str(after)}},
                    ConsistentRead=True,
                    **options,
                )
            yield page["Items"]
            key = page.get("LastEvaluatedKey")
            if key is None:
                return

    def _write(self, event: Event) -> None:
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE_S * 2 ** (attempt - 1))
            with translated(self._name, self._dynamodb):
                if self._try(event):
                    return
        raise Unavailable(
            f"{self._name}: event {event.seq} met other writes {_ATTEMPTS} times",
            fix="give the same command again in a minute",
        )

    def _try(self, event: Event) -> bool:
        """Return whether the event stands now; False: its transaction met another one, or was throttled."""
        try:
            self._put(event)
        except botocore.exceptions.ClientError as error:
            if code_of(error) != "TransactionCanceledException":
                raise
            refused = _reasons(error)
            if _TAKEN not in refused:
                if not set(refused) & _PASSING:
                    raise
                return False
            if not self._stands(event):  # otherwise an earlier attempt arrived, and its answer did not
                raise self._locked(lost=refused[0] != _TAKEN) from error
        return True

    def _put(self, event: Event) -> None:
        put = {
            "TableName": self._table,
            "Item": {
                **_key(event.seq),
                "sha256": {"S": event.sha256},
                "event": {"S": event.to_bytes().decode()},
            },
            "ConditionExpression": "attribute_not_exists(seq)",
        }
        guards = [self._fence.guard()] if self._fence is not None else []
        self._dynamodb.transact_write_items(TransactItems=[{"Put": put}, *guards])

    def _stands(self, event: Event) -> bool:
        """Return whether exactly this event is in the table."""
        answer = self._dynamodb.get_item(TableName=self._table, Key=_key(event.seq), ConsistentRead=True)
        found = answer.get("Item")
        return found is not None and self._read(found).sha256 == event.sha256

    def _locked(self, *, lost: bool) -> Locked:
        said = (
            "this deployment lost its hold on the environment; it writes nothing more and stops"
            if lost
            else "another deployment writes to the journal; this one stops"
        )
        return Locked(said, fix="invoke history --env ENV")

    def _read(self, item: Mapping[str, Any]) -> Event:
        origin = f"{self._name} #{item['seq']['N']}"
        try:
            return Event.from_mapping(json.loads(_text(item, "event")), origin=origin)
        except (ConfigurationError, ValueError) as error:
            said = error.message if isinstance(error, ConfigurationError) else f"{origin} is no event: {error}"
            raise JournalError(said, fix="invoke audit.verify --env ENV") from error


def _text(item: Mapping[str, Any], name: str) -> str:
    """Return a text of an item; empty when it has none."""
    return str(item.get(name, {}).get("S", ""))


def _key(seq: int) -> dict[str, Any]:
    return {"stream": {"S": STREAM}, "seq": {"N": str(seq)}}


def _stored(item: Mapping[str, Any]) -> JournalItem:
    """Return an item that anyone may have written: what is missing is empty, and a number may be no whole one."""
    return JournalItem(
        seq=int(Decimal(item["seq"]["N"])),
        sha256=_text(item, "sha256"),
        text=_text(item, "event"),
    )


def _reasons(error: botocore.exceptions.ClientError) -> tuple[str, ...]:
    """Return why a transaction was cancelled, one code for each of its items, "None" for those that would have been."""
    reasons = error.response.get("CancellationReasons", ())
    return tuple(str(one.get("Code", "None")) for one in reasons)
