"""Object Lock as S3 has it: what is kept cannot be deleted, and how long it is kept cannot be cut short.

Moto 5.2.5 keeps a locked version from deletion, but

1. lets any retention be shortened, changed and removed. S3: in compliance mode nobody can; in governance mode only who
   bypasses it. Longer is always allowed.
2. takes the header `x-amz-bypass-governance-retention: false` for a bypass.
3. answers a question for an object's retention with the object itself.
4. takes a retention without a mode, without a date, with an unknown mode, or that is over already.
5. gives no default retention to what arrives in parts or by a form.
6. lets versioning of a locked bucket be suspended, and a lock be switched off.
7. changes the default retention of an empty bucket only.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html (1, 4, 5)
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html (1, 2)
https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectRetention.html (3)
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-configure.html (6, 7)
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.s3.exceptions import (
    AccessDeniedByLock,
    InvalidArgumentError,
    InvalidBucketState,
    MalformedXML,
    MissingKey,
    S3ClientError,
)
from moto.s3.models import FakeKey, S3Backend
from moto.s3.responses import S3Response

from slipway.sandbox.aws.permission import asks_bypass
from slipway.sandbox.aws.seam import replace_method

_MODES = ("COMPLIANCE", "GOVERNANCE")


def amend_object_lock() -> None:
    """Mend moto's Object Lock in this process."""
    replace_method(S3Response, "_key_response_get", _with_retention)
    replace_method(S3Response, "_get_lock_details", _with_checked_details)
    replace_method(S3Response, "put_object_retention", _never_cut_short)
    replace_method(S3Response, "delete_object", _with_a_bypass_that_says_so)
    replace_method(S3Backend, "put_object", _with_default_retention)
    replace_method(S3Backend, "put_bucket_versioning", _never_suspended_under_lock)
    replace_method(S3Backend, "put_object_lock_configuration", _whatever_the_bucket_holds)


def _with_retention(original: Callable[..., Any]) -> Callable[..., Any]:
    def _key_response_get(self: S3Response, query: dict[str, Any], key_name: str) -> Any:
        if "retention" not in query:
            return original(self, query, key_name)
        key, _ = self._get_key()
        if not key.lock_mode or not key.lock_until:
            raise S3ClientError(
                "NoSuchObjectLockConfiguration", "The specified object does not have a ObjectLock configuration"
            )
        self.data["Action"] = "GetObjectRetention"
        until = _moment(key.lock_until)
        return self.serialized(ActionResult({"Retention": {"Mode": key.lock_mode, "RetainUntilDate": until}}))

    return _key_response_get


def _with_checked_details(original: Callable[..., Any]) -> Callable[..., Any]:
    def _get_lock_details(self: S3Response, *arguments: Any) -> Any:
        mode = self.headers.get("x-amz-object-lock-mode")
        until = self.headers.get("x-amz-object-lock-retain-until-date")
        if bool(mode) != bool(until):
            told = "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied"
            raise InvalidArgumentError(told, "x-amz-object-lock-mode", mode or "")
        if mode and until:
            _require_fit(mode, until)
        return original(self, *arguments)

    return _get_lock_details


def _never_cut_short(original: Callable[..., Any]) -> Callable[..., Any]:
    def put_object_retention(self: S3Response) -> Any:
        key = self.backend.get_object(self.bucket_name, self.parse_key_name(), version_id=self._get_param("versionId"))
        if not isinstance(key, FakeKey):
            raise MissingKey(key=self.parse_key_name())
        mode, until = self._mode_until_from_body()
        if mode or until:
            _require_fit(mode or "", until or "")
        if _is_kept(key):
            longer = mode == key.lock_mode and until is not None and _moment(until) >= _moment(key.lock_until or "")
            may_bypass = key.lock_mode == "GOVERNANCE" and asks_bypass(self)
            if not (longer or may_bypass):
                raise AccessDeniedByLock
        return original(self)

    return put_object_retention


def _with_a_bypass_that_says_so(original: Callable[..., Any]) -> Callable[..., Any]:
    def delete_object(self: S3Response) -> Any:
        if not asks_bypass(self):
            name = "X-Amz-Bypass-Governance-Retention"
            self.headers = {key: value for key, value in self.headers.items() if key.lower() != name.lower()}
        return original(self)

    return delete_object


def _with_default_retention(original: Callable[..., Any]) -> Callable[..., Any]:
    def put_object(self: S3Backend, bucket_name: str, *arguments: Any, **named: Any) -> Any:
        bucket = self.get_bucket(bucket_name)
        if bucket.has_default_lock and not named.get("lock_mode"):
            named |= {"lock_mode": bucket.default_lock_mode, "lock_until": bucket.default_retention()}
        return original(self, bucket_name, *arguments, **named)

    return put_object


def _never_suspended_under_lock(original: Callable[..., Any]) -> Callable[..., Any]:
    def put_bucket_versioning(self: S3Backend, bucket_name: str, status: str) -> Any:
        if self.get_bucket(bucket_name).object_lock_enabled and status != "Enabled":
            raise InvalidBucketState(
                "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
            )
        return original(self, bucket_name, status)

    return put_bucket_versioning


def _whatever_the_bucket_holds(original: Callable[..., Any]) -> Callable[..., Any]:
    def put_object_lock_configuration(
        self: S3Backend,
        bucket_name: str,
        lock_enabled: bool,
        mode: str | None = None,
        days: int | None = None,
        years: int | None = None,
    ) -> None:
        bucket = self.get_bucket(bucket_name)
        if not bucket.is_versioned:
            raise InvalidBucketState("Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration")
        if not lock_enabled or (mode is not None and (mode not in _MODES or not (days or years))):
            raise MalformedXML
        bucket.object_lock_enabled = True
        bucket.default_lock_mode = mode
        bucket.default_lock_days, bucket.default_lock_years = days or 0, years or 0

    return put_object_lock_configuration


def _require_fit(mode: str, until: str) -> None:
    if mode not in _MODES:
        raise InvalidArgumentError("Unknown wormMode directive.", "x-amz-object-lock-mode", mode)
    try:
        ends = _moment(until)
    except ValueError as error:
        raise InvalidArgumentError("The retain until date is not a date.", "RetainUntilDate", until) from error
    if ends <= datetime.now(UTC):
        raise InvalidArgumentError("The retain until date must be in the future!", "RetainUntilDate", until)


def _is_kept(key: FakeKey) -> bool:
    return key.lock_mode in _MODES and _moment(key.lock_until or "") > datetime.now(UTC)


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
