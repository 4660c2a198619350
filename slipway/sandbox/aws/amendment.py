"""Where moto 5.2.5 answers differently from AWS in what Slipway relies on, mended in place.

Each amendment names the behaviour of AWS it restores. All of them refuse to start over a moto whose insides have moved,
because one that silently stopped applying would show up as a signature that does not verify.

1. KMS `Sign` and `Verify` with `MessageType=DIGEST` use the given digest as it is; moto hashes it once more.
   https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html (MessageType)
2. A bucket policy that denies requests without TLS (`aws:SecureTransport` is false) denies nothing to requests that
   have it; moto reads no condition in bucket policies and would deny everything. Both doors count as TLS: loopback.
   https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html (aws:SecureTransport)
3. A conditional write is one step: of many at once whose condition can hold once, one wins. Moto looks first and writes
   later, in threads, and lists what another thread is adding to; here S3 and DynamoDB answer one request at a time.
   https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
   https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithItems.html (conditional writes)
4. Object Lock: `object_lock.py` has a list of its own. Who may do what: `authorisation.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import cache
from inspect import getsource, signature
from io import BytesIO
from threading import RLock
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from moto import backends
from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table
from moto.dynamodb.responses import DynamoHandler
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.kms.exceptions import ValidationException
from moto.kms.responses import KmsResponse
from moto.kms.utils import ECDSAPrivateKey, RSAPrivateKey
from moto.s3 import models
from moto.s3.models import FakeBucket, FakeKey
from moto.s3.responses import S3Response

from slipway.sandbox.aws.object_lock import amend_object_lock
from slipway.sandbox.aws.seam import replace_method

_modules = backends.list_of_moto_modules
_is_digest: ContextVar[bool] = ContextVar("message_is_digest", default=False)  # per request: doors serve in threads
_page: ContextVar[tuple[Any, Any] | None] = ContextVar("page_begins_after", default=None)  # hash and range, of a query
_amended: set[type] = set()


def amend() -> None:
    """Mend moto's classes in this process; does nothing the second time.

    Raises:
        AttributeError: this moto is not the one the amendments were written for.
    """
    if KmsResponse in _amended:
        return
    replace_method(KmsResponse, "sign", _noting_message_type)
    replace_method(KmsResponse, "verify", _noting_message_type)
    replace_method(ECDSAPrivateKey, "_ECDSAPrivateKey__hash_algorithm", _hash_of_digest)
    replace_method(RSAPrivateKey, "_RSAPrivateKey__padding_and_hash_algorithm", _padding_and_hash_of_digest)
    replace_method(FakeBucket, "get_permission", _with_transport_condition)
    amend_object_lock()
    replace_method(BaseJSONSerializer, "_serialize_type_structure", _values_as_they_are)
    if getsource(models).count("deepcopy(") != 1 or hasattr(FakeKey, "__deepcopy__"):  # a list of versions
        raise AttributeError("moto copies objects of S3 where it did not")
    FakeKey.__deepcopy__ = _without_content
    replace_method(Table, "all_items", _sorted_by_values)
    replace_method(Table, "query", _looking_ahead_only)
    replace_method(DynamoType, "__eq__", _equal_by_text)
    replace_method(DynamoType, "__ne__", _different_by_text)
    backends.list_of_moto_modules = cache(lambda: frozenset(_modules()))
    storage, tables = _OneAtATime(), _OneAtATime()
    replace_method(S3Response, "_key_response", storage)
    replace_method(S3Response, "_bucket_response", storage)
    replace_method(DynamoHandler, "call_action", tables)
    _amended.add(KmsResponse)


class _OneAtATime:
    """An amendment: of all that one object of this amends, one call runs at a time."""

    def __init__(self) -> None:
        self._lock = RLock()  # one request may be answered by way of another

    def __call__(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def answer(*arguments: Any, **named: Any) -> Any:
            with self._lock:
                return original(*arguments, **named)

        return answer


def _values_as_they_are(original: Callable[..., Any]) -> Callable[..., Any]:
    """Not a mend but haste: a value of a DynamoDB item is answered as it is kept, not put together from its shape."""

    def serialize(self: BaseJSONSerializer, serialized: Any, value: Any, shape: Any, key: str) -> None:
        if shape.name == "AttributeValue" and type(value) is dict and key:
            serialized[key] = value
        else:
            original(self, serialized, value, shape, key)

    return serialize


def _sorted_by_values(original: Callable[..., Any]) -> Callable[..., Any]:
    """Not a mend but haste: a value is made of a key once, not whenever two are compared. A query that goes on with the
    next page looks at what comes after its start only."""

    def all_items(self: Table) -> list[Item]:
        if self.range_key_attr is None:
            return list(original(self))
        after = _page.get()
        keyed = (
            ((item.hash_key.cast_value, item.range_key.cast_value), item)
            for by_range in self.items.values()
            for item in by_range.values()
        )
        wanted = keyed if after is None else (one for one in keyed if one[0][0] == after[0] and one[0][1] > after[1])
        return [item for _, item in sorted(wanted, key=lambda one: one[0])]

    return all_items


def _looking_ahead_only(original: Callable[..., Any]) -> Callable[..., Any]:
    """Not a mend but haste: what the pages before answered is not put in order, and passed over, once more.

    For queries forward, by the table's own keys, that begin where one like it ended; all others are moto's.
    """
    asks = signature(original)
    if not {"hash_key", "exclusive_start_key", "scan_index_forward", "index_name"} <= asks.parameters.keys():
        raise AttributeError("moto asks tables otherwise than it did")

    def query(self: Table, *arguments: Any, **named: Any) -> Any:
        asked = asks.bind(self, *arguments, **named)
        asked.apply_defaults()
        start = _start_of(self, asked.arguments)
        if start is None:
            return original(self, *arguments, **named)
        token = _page.set(start)
        try:
            return original(self, *arguments, **named)
        finally:
            _page.reset(token)

    return query


def _start_of(table: Table, asked: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """Return the values of the key that a page of a query comes after; None where haste is not safe."""
    start = asked["exclusive_start_key"]
    if not start or asked["index_name"] or asked["scan_index_forward"] is not True:
        return None
    if not {table.hash_key_attr, table.range_key_attr} <= start.keys():
        return None
    hash_key, range_key = DynamoType(start[table.hash_key_attr]), DynamoType(start[table.range_key_attr])
    types = {one["AttributeName"]: one["AttributeType"] for one in table.attr}
    if hash_key != asked["hash_key"] or range_key.type != types.get(table.range_key_attr):
        return None
    return hash_key.cast_value, range_key.cast_value


def _equal_by_text(original: Callable[..., Any]) -> Callable[..., Any]:
    """Not a mend but haste: what is written alike is alike, and two texts that differ are not."""

    def equal(self: DynamoType, other: DynamoType) -> bool:
        if self.type == other.type == "S":
            return bool(self.value == other.value)
        return bool(original(self, other))

    return equal


def _different_by_text(original: Callable[..., Any]) -> Callable[..., Any]:
    """The same haste for the opposite, asked of every item that is passed over to find where a page begins."""

    def different(self: DynamoType, other: DynamoType) -> bool:
        if self.type == other.type == "S":
            return bool(self.value != other.value)
        return bool(original(self, other))

    return different


def _without_content(self: FakeKey, memo: dict[int, Any]) -> FakeKey:
    """Return what a list tells of an object. Not a mend but haste: moto copies the contents of the whole bucket."""
    _ = self.etag  # made of the content, once
    listed = object.__new__(FakeKey)  # moto's own keeps every object that it made
    listed.__dict__.update(self.__dict__, _value_buffer=BytesIO(), multipart=None, disposed=True)
    memo[id(self)] = listed
    return listed


def _noting_message_type(original: Callable[..., Any]) -> Callable[..., Any]:
    def answer(self: KmsResponse) -> Any:
        token = _is_digest.set(self._get_param("MessageType") == "DIGEST")
        try:
            return original(self)
        except ValueError as error:  # cryptography's, for a digest of another algorithm's length
            raise ValidationException(f"Digest is invalid length for algorithm: {error}") from error
        finally:
            _is_digest.reset(token)

    return answer


def _hash_of_digest(original: Callable[..., Any]) -> Callable[..., Any]:
    def hash_algorithm(self: ECDSAPrivateKey, signing_algorithm: str) -> Any:
        algorithm = original(self, signing_algorithm)
        return Prehashed(algorithm) if _is_digest.get() else algorithm

    return hash_algorithm


def _padding_and_hash_of_digest(original: Callable[..., Any]) -> Callable[..., Any]:
    def padding_and_hash_algorithm(self: RSAPrivateKey, signing_algorithm: str) -> Any:
        padding, algorithm = original(self, signing_algorithm)
        return padding, Prehashed(algorithm) if _is_digest.get() else algorithm

    return padding_and_hash_algorithm


def _with_transport_condition(original: Callable[..., Any]) -> Callable[..., Any]:
    def get_permission(self: FakeBucket, action: str, resource: str) -> Any:
        if self.policy is None:
            return original(self, action, resource)
        policy = json.loads(self.policy)
        statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
        policy["Statement"] = [one for one in statements if not _denies_only_plain_transport(one)]
        if not policy["Statement"]:
            return PermissionResult.NEUTRAL
        return IAMPolicy(json.dumps(policy)).is_action_permitted(action, resource)

    return get_permission


def _denies_only_plain_transport(statement: dict[str, Any]) -> bool:
    return statement["Effect"] == "Deny" and statement.get("Condition") in (
        {"Bool": {"aws:SecureTransport": "false"}},
        {"Bool": {"aws:SecureTransport": ["false"]}},
    )
