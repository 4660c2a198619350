"""Someone who may do anything in the account: writes items and objects past Slipway, and goes around retentions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from slipway.adapters.journal import STREAM
from slipway.deployment import Event

from .world import Account

Item = dict[str, Any]
Versions = dict[str, dict[str, bytes | None]]  # key -> version id -> content; None: a delete marker, or not read


class Attacker:
    """Bends what an account keeps, and can put all of it back."""

    def __init__(self, site: Account) -> None:
        self.dynamodb, self.s3, self.table = site.aws.dynamodb, site.aws.s3, site.environment.deployments_table
        self.evidence, self.releases = site.evidence.bucket, site.bucket.bucket
        self._items = self.items()
        self._objects = {bucket: self._read(bucket) for bucket in (self.evidence, self.releases)}

    # ---- the journal -------------------------------------------------------------------------------------------

    def items(self) -> list[Item]:
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.table,
            KeyConditionExpression="#stream = :stream",
            ExpressionAttributeNames={"#stream": "stream"},
            ExpressionAttributeValues={":stream": {"S": STREAM}},
        )
        return [item for page in pages for item in page["Items"]]

    def put(self, item: Item) -> None:
        self.dynamodb.put_item(TableName=self.table, Item=item)

    def put_event(self, event: Event) -> None:
        """Write an event as Slipway would, with the digest that belongs to it."""
        self.put(item_of(event.seq, event.to_bytes().decode(), event.sha256))

    def cut(self, seqs: Iterable[int | str]) -> None:
        for seq in seqs:
            self.dynamodb.delete_item(TableName=self.table, Key=key_of(seq))

    def rewrite(self, events: Iterable[Event], *, previous: str, first: int) -> None:
        """Write events from number `first` on, each with the digest of the one before: a chain without a seam."""
        for seq, event in enumerate(events, start=first):
            again = event.model_copy(update={"seq": seq, "previous": previous})
            self.put_event(again)
            previous = again.sha256

    # ---- objects -----------------------------------------------------------------------------------------------

    def content(self, key: str, *, bucket: str | None = None) -> bytes:
        body: bytes = self.s3.get_object(Bucket=bucket or self.evidence, Key=key)["Body"].read()
        return body

    def overwrite(self, key: str, content: bytes, *, bucket: str | None = None) -> None:
        """Write another version."""
        self.s3.put_object(Bucket=bucket or self.evidence, Key=key, Body=content)

    def remove(self, key: str, *, bucket: str | None = None) -> None:
        """Delete an object as anyone would: a marker hides its versions."""
        self.s3.delete_object(Bucket=bucket or self.evidence, Key=key)

    def erase(self, key: str) -> None:
        """Delete every version of an object, around its retention."""
        for version in self._listed(self.evidence, key).get(key, {}):
            self._erase(self.evidence, key, version)

    def replace(self, key: str, content: bytes) -> None:
        """Put another content in an object's place, without a trace of the first."""
        self.erase(key)
        self.overwrite(key, content)

    # ---- as if nothing had been --------------------------------------------------------------------------------

    def undo(self) -> None:
        """Put everything back as it was when this attacker came; raise `AssertionError` when it is not."""
        now = {item["seq"]["N"]: item for item in self.items()}
        then = {item["seq"]["N"]: item for item in self._items}
        self.cut(now.keys() - then.keys())
        for seq, item in then.items():
            if now.get(seq) != item:
                self.put(item)
        for bucket, before in self._objects.items():
            self._undo(bucket, before)

    def _undo(self, bucket: str, before: Versions) -> None:
        now = self._listed(bucket)
        for key, versions in now.items():
            for version in versions.keys() - before.get(key, {}).keys():
                self._erase(bucket, key, version)
        for key, versions in before.items():
            if lost := versions.keys() - now.get(key, {}).keys():
                (version,) = lost  # nothing that is kept here has more than one
                again = self.s3.put_object(Bucket=bucket, Key=key, Body=versions[version])
                before[key] = {again["VersionId"]: versions[version]}

    def _erase(self, bucket: str, key: str, version: str) -> None:
        self.s3.delete_object(Bucket=bucket, Key=key, VersionId=version, BypassGovernanceRetention=True)

    def _read(self, bucket: str) -> Versions:
        found = self._listed(bucket)
        for key, versions in found.items():
            for version in versions:
                versions[version] = self.s3.get_object(Bucket=bucket, Key=key, VersionId=version)["Body"].read()
        return found

    def _listed(self, bucket: str, prefix: str = "") -> Versions:
        found: Versions = {}
        for page in self.s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
            for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                found.setdefault(one["Key"], {})[one["VersionId"]] = None
        return found


def key_of(seq: int | str) -> Item:
    return {"stream": {"S": STREAM}, "seq": {"N": str(seq)}}


def item_of(seq: int | str, text: str, sha256: str) -> Item:
    return {**key_of(seq), "sha256": {"S": sha256}, "event": {"S": text}}
