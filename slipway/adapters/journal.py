"""The journal in DynamoDB: one item per event, chained by digest.

Rules:
- An event is written only if its sequence number is free.
- A journal that is fenced by a lease writes only while the lease's token is the one that was taken, and DynamoDB
  judges that in the same transaction: a deployer that lost its hold cannot write, however late its request arrives.
  https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
- An answer can be lost on its way. What stands under the sequence number is read before anyone else is blamed for it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import botocore.exceptions

from slipway.adapters.aws import code_of, translated
from slipway.deployment import GENESIS, Event, EventKind
from slipway.documents import canonical
from slipway.errors import Locked, Unavailable

STREAM = "journal"
_ATTEMPTS = 6  # of one event, when its transaction met another one, such as the lease's heartbeat
_PAUSE_S = 0.05  # before the second attempt; twice as long before each that follows
_TAKEN = "ConditionalCheckFailed"


class Fence(Protocol):
    """What must hold for an event to be written."""

    def condition(self) -> dict[str, Any]:
        """Return it as a `ConditionCheck` of a DynamoDB transaction."""


def now_iso() -> str:
    """Return the current time as the journal writes it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class DynamoJournal:
    """Appends events to one table and reads them back in order."""

    def __init__(
        self, dynamodb: Any, table: str, *, fence: Fence | None = None, clock: Callable[[], str] = now_iso
    ) -> None:
        self._dynamodb, self._table, self._fence, self._clock = dynamodb, table, fence, clock
        self._events: list[Event] = []

    def fenced_by(self, lease: Fence) -> DynamoJournal:
        """Return the same journal for the holder of `lease`: it writes nothing once the lease was lost."""
        fenced = DynamoJournal(self._dynamodb, self._table, fence=lease, clock=self._clock)
        fenced._events = list(self._events)
        return fenced

    def events(self) -> tuple[Event, ...]:
        """Return every event, oldest first. Reads only what came since the last call.

        Raises:
            Unavailable: the table does not answer or does not exist.
        """
        after = self._events[-1].seq if self._events else 0
        key: dict[str, Any] | None = None
        while True:
            options: dict[str, Any] = {"ExclusiveStartKey": key} if key else {}
            with translated(f"journal {self._table}", self._dynamodb):
                page = self._dynamodb.query(
                    TableName=self._table,
                    KeyConditionExpression="#stream = :stream AND #seq > :after",
                    ExpressionAttributeNames={"#stream": "stream", "#seq": "seq"},  # the first is a reserved word
                    ExpressionAttributeValues={":stream": {"S": STREAM}, ":after": {"N": str(after)}},
                    ConsistentRead=True,
                    **options,
                )
            self._events += [self._read(item) for item in page["Items"]]
            key = page.get("LastEvaluatedKey")
            if key is None:
                return tuple(self._events)

    def append(self, deployment: str, kind: EventKind, data: Mapping[str, Any]) -> Event:
        """Write the next event and return it.

        Raises:
            Locked: the lease was lost, or someone else wrote an event meanwhile; nothing was written.
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
            data=dict(data),
        )
        with translated(f"journal {self._table}", self._dynamodb):
            self._write(event)
        self._events.append(event)
        return event

    def _write(self, event: Event) -> None:
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE_S * 2 ** (attempt - 1))
            try:
                self._put(event)
            except botocore.exceptions.ClientError as error:
                if code_of(error) != "TransactionCanceledException":
                    raise
                refused = _reasons(error)
                if _TAKEN not in refused:
                    continue  # met by another transaction, or throttled
                if self._stands(event):  # an earlier attempt arrived, and its answer did not
                    return
                raise self._locked(lost=refused[0] != _TAKEN) from error
            else:
                return
        raise Unavailable(
            f"journal {self._table}: event {event.seq} met other writes {_ATTEMPTS} times",
            fix="give the same command again in a minute",
        )

    def _put(self, event: Event) -> None:
        put = {
            "TableName": self._table,
            "Item": {
                "stream": {"S": STREAM},
                "seq": {"N": str(event.seq)},
                "sha256": {"S": event.sha256},
                "event": {"S": canonical(event.model_dump(mode="json")).decode()},
            },
            "ConditionExpression": "attribute_not_exists(seq)",
        }
        items: list[dict[str, Any]] = [{"Put": put}]
        if self._fence is not None:
            items.append({"ConditionCheck": self._fence.condition()})
        self._dynamodb.transact_write_items(TransactItems=items)

    def _stands(self, event: Event) -> bool:
        """Return whether exactly this event is in the table."""
        key = {"stream": {"S": STREAM}, "seq": {"N": str(event.seq)}}
        found = self._dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return found is not None and self._read(found) == event

    def _locked(self, *, lost: bool) -> Locked:
        said = (
            "this deployment lost its hold on the environment; it writes nothing more and stops"
            if lost
            else "another deployment writes to the journal; this one stops"
        )
        return Locked(said, fix="invoke history --env ENV")

    def _read(self, item: Mapping[str, Any]) -> Event:
        return Event.from_mapping(json.loads(item["event"]["S"]), origin=f"journal {self._table} #{item['seq']['N']}")


def _reasons(error: botocore.exceptions.ClientError) -> tuple[str, ...]:
    """Return why a transaction was cancelled, one code for each of its items, "None" for those that would have been."""
    reasons = error.response.get("CancellationReasons", ())
    return tuple(str(one.get("Code", "None")) for one in reasons)
