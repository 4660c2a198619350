"""The journal in DynamoDB: one item per event, written only if its sequence number is free, chained by digest."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import botocore.exceptions

from slipway.adapters.aws import code_of, translated
from slipway.deployment import GENESIS, Event, EventKind
from slipway.documents import canonical
from slipway.errors import Locked

STREAM = "journal"


def now_iso() -> str:
    """Return the current time as the journal writes it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class DynamoJournal:
    """Appends events to one table and reads them back in order."""

    def __init__(self, dynamodb: Any, table: str, *, clock: Callable[[], str] = now_iso) -> None:
        self._dynamodb, self._table, self._clock = dynamodb, table, clock
        self._events: list[Event] = []

    def events(self) -> tuple[Event, ...]:
        """Return every event, oldest first. Reads only what came since the last call.

        Raises:
            Unavailable: the table does not answer or does not exist.
        """
        after = self._events[-1].seq if self._events else 0
        key: dict[str, Any] | None = None
        while True:
            options: dict[str, Any] = {"ExclusiveStartKey": key} if key else {}
            with translated(f"journal {self._table}"):
                page = self._dynamodb.query(
                    TableName=self._table,
                    KeyConditionExpression="stream = :stream AND seq > :after",
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
            Locked: someone else wrote an event meanwhile: two deployers are at work.
        """
        last = self.events()[-1] if self.events() else None
        event = Event(
            seq=(last.seq if last else 0) + 1,
            previous=last.sha256 if last else GENESIS,
            at=self._clock(),
            deployment=deployment,
            kind=kind,
            data=dict(data),
        )
        try:
            with translated(f"journal {self._table}"):
                self._put(event)
        except _Taken as error:
            raise Locked(
                "another deployment writes to the journal; this one stops", fix="invoke history --env ENV"
            ) from error
        self._events.append(event)
        return event

    def _put(self, event: Event) -> None:
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item={
                    "stream": {"S": STREAM},
                    "seq": {"N": str(event.seq)},
                    "sha256": {"S": event.sha256},
                    "event": {"S": canonical(event.model_dump(mode="json")).decode()},
                },
                ConditionExpression="attribute_not_exists(seq)",
            )
        except botocore.exceptions.ClientError as error:
            if code_of(error) == "ConditionalCheckFailedException":
                raise _Taken from error
            raise

    def _read(self, item: Mapping[str, Any]) -> Event:
        return Event.from_mapping(json.loads(item["event"]["S"]), origin=f"journal {self._table} #{item['seq']['N']}")


class _Taken(Exception):
    """The sequence number is not free any more."""
