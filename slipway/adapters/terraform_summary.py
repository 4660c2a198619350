"""What a saved Terraform plan would do, in a form that may be shown and signed: no side effects, no secrets.

Rules:
- `terraform show -json PLAN` holds sensitive values in clear. They leave this module as "(sensitive)": whatever the
  provider marked, and whatever is named like a secret where it forgot to.
- A replacement counts as one replace, not as one create and one delete.
- A delete or replace of a resource that holds data is named apart, with terraform's reason.
- Drift is shown where the plan relied on it; the rest is providers filling in their own defaults.
- The digest is over the canonical bytes of all this, and over the digest of what is masked and of the configuration, so
  that two plans of the same changes have the same digest, and a plan file of other secrets or provisioners has another.
https://developer.hashicorp.com/terraform/internals/json-format (plan representation)
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from slipway.documents import digest_of

Action = Literal["create", "update", "replace", "delete", "forget", "move"]

SENSITIVE = "(sensitive)"
UNKNOWN = "(known after apply)"

# Losing one of these loses something no later apply brings back.
HOLDS_DATA = (
    "aws_db_instance",
    "aws_dynamodb_table",
    "aws_ebs_volume",
    "aws_efs_file_system",
    "aws_kms_key",
    "aws_mwaa_environment",
    "aws_rds_cluster",
    "aws_s3_bucket",
    "aws_s3_object",
    "aws_secretsmanager_secret",
    "aws_secretsmanager_secret_version",
    "snowflake_database",
    "snowflake_schema",
    "snowflake_stage",
    "snowflake_table",
)
# Full names of types, or beginnings of them that end in an underscore.
GRANTS_ACCESS = (
    "aws_iam_",
    "aws_kms_grant",
    "aws_kms_key",
    "aws_kms_key_policy",
    "aws_s3_bucket_policy",
    "aws_s3_bucket_public_access_block",
    "aws_secretsmanager_secret_policy",
    "aws_sns_topic_policy",
    "snowflake_account_role",
    "snowflake_grant_",
    "snowflake_network_policy",
    "snowflake_service_user",
)

_SECRET_NAME = re.compile(r"password|passphrase|secret_string|secret_binary|private_key|access_key$|token$", re.I)
_ACTIONS: Mapping[tuple[str, ...], Action] = {
    ("create",): "create",
    ("update",): "update",
    ("delete",): "delete",
    ("delete", "create"): "replace",
    ("create", "delete"): "replace",
    ("forget",): "forget",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One attribute that changes; values as compact JSON, secrets masked."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One resource that changes.

    Attributes:
        reason: terraform's, for a delete or replace, e.g. `replace_because_cannot_update`.
        forced_by: the attributes whose change forces the replacement.
    """

    address: str
    type: str
    action: Action
    fields: tuple[Field, ...]
    reason: str | None = None
    forced_by: tuple[str, ...] = ()
    previous_address: str | None = None

    @property
    def destroys_data(self) -> bool:
        """True when something is lost that an apply does not bring back."""
        return self.action in ("delete", "replace") and self.type in HOLDS_DATA

    @property
    def grants_access(self) -> bool:
        """True when it may change who is allowed what."""
        return any(self.type == one or (one.endswith("_") and self.type.startswith(one)) for one in GRANTS_ACCESS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """Everything a plan would change, in the order of addresses."""

    changes: tuple[Change, ...] = ()
    outputs: tuple[str, ...] = ()  # names of those that change
    drift: tuple[str, ...] = ()  # addresses changed by someone else that the plan relied on
    digest: str = ""  # of the canonical bytes of the above

    @property
    def creates(self) -> tuple[str, ...]:
        return self._addresses("create")

    @property
    def updates(self) -> tuple[str, ...]:
        return self._addresses("update")

    @property
    def replaces(self) -> tuple[str, ...]:
        return self._addresses("replace")

    @property
    def deletes(self) -> tuple[str, ...]:
        return self._addresses("delete")

    @property
    def destroys_data(self) -> tuple[str, ...]:
        return tuple(one.address for one in self.changes if one.destroys_data)

    def _addresses(self, action: Action) -> tuple[str, ...]:
        return tuple(one.address for one in self.changes if one.action == action)


def summarise(content: str) -> Summary:
    """Return the summary of what `terraform show -json PLAN` printed.

    Raises:
        ValueError: not the plan representation.
    """
    plan = json.loads(content, parse_float=str)  # no floats: they have more than one spelling
    if "format_version" not in plan:
        raise ValueError("not a Terraform plan in JSON: format_version is missing")
    changes = sorted(filter(None, map(_change, plan.get("resource_changes", ()))), key=lambda pair: pair[0].address)
    outputs = sorted(name for name, one in plan.get("output_changes", {}).items() if one["actions"] != ["no-op"])
    drift = _relevant_drift(plan)
    canonical = {
        "changes": [document for _, document in changes],
        "outputs": outputs,
        "drift": drift,
        "whole": _digest_of_all(plan),
    }
    return Summary(
        changes=tuple(change for change, _ in changes),
        outputs=tuple(outputs),
        drift=tuple(drift),
        digest=digest_of(canonical),
    )


def _digest_of_all(plan: Mapping[str, Any]) -> str:
    """Return the digest of what may not be shown: values behind masks, and what else runs, such as provisioners."""
    changing = {
        one["address"]: one["change"]
        for one in plan.get("resource_changes", ())
        if tuple(one["change"]["actions"]) in _ACTIONS
    }
    whole = {"changes": changing, "configuration": plan.get("configuration")}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def _change(resource: Mapping[str, Any]) -> tuple[Change, dict[str, Any]] | None:
    """Return one change and what its digest is over, or None when nothing changes."""
    change, previous = resource["change"], resource.get("previous_address")
    action = _ACTIONS.get(tuple(change["actions"]))
    if action is None:  # "no-op" and "read"
        if not previous:
            return None
        action = "move"
    before, after = _shown(change, "before"), _shown(change, "after")
    forced_by = tuple(".".join(map(str, path)) for path in change.get("replace_paths") or ())
    shown = Change(
        address=resource["address"],
        type=resource["type"],
        action=action,
        fields=_fields(change, before, after),
        reason=resource.get("action_reason"),
        forced_by=forced_by,
        previous_address=previous,
    )
    document = {
        "address": shown.address,
        "action": action,
        "reason": shown.reason,
        "forced_by": list(forced_by),
        "previous_address": previous,
        "before": before,
        "after": after,
    }
    return shown, document


def _shown(change: Mapping[str, Any], side: Literal["before", "after"]) -> Any:
    value = mask(change.get(side), change.get(f"{side}_sensitive"))
    return _with_unknown(value, change.get("after_unknown")) if side == "after" else value


def mask(value: Any, sensitive: Any, name: str = "") -> Any:
    """Return `value` without what `sensitive`, terraform's mirror of it, or its own name says is secret."""
    if sensitive is True or (_SECRET_NAME.search(name) and isinstance(value, str) and value):
        return SENSITIVE
    match value:
        case dict():
            marks = sensitive if isinstance(sensitive, dict) else {}
            return {key: mask(item, marks.get(key), key) for key, item in value.items()}
        case list():
            marks_of = sensitive if isinstance(sensitive, list) else []
            return [mask(item, marks_of[i] if i < len(marks_of) else None, name) for i, item in enumerate(value)]
        case _:
            return value


def _with_unknown(value: Any, unknown: Any) -> Any:
    if unknown is True:
        return UNKNOWN
    if isinstance(unknown, dict):
        known = value if isinstance(value, dict) else {}
        extra = {key: _with_unknown(known.get(key), mark) for key, mark in unknown.items() if mark}
        return {**known, **extra} if known or extra else value
    if isinstance(unknown, list) and isinstance(value, list):
        return [_with_unknown(item, unknown[i] if i < len(unknown) else None) for i, item in enumerate(value)]
    return value


def _fields(change: Mapping[str, Any], before: Any, after: Any) -> tuple[Field, ...]:
    """Return the attributes that differ. Sensitive ones are compared in clear and shown masked."""
    clear_before, clear_after = change.get("before") or {}, change.get("after") or {}
    before, after = before or {}, after or {}
    names = sorted(set(before) | set(after))
    return tuple(
        Field(name=name, before=_compact(before.get(name)), after=_compact(after.get(name)))
        for name in names
        if before.get(name) != after.get(name) or clear_before.get(name) != clear_after.get(name)
    )


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _relevant_drift(plan: Mapping[str, Any]) -> list[str]:
    relevant = {one["resource"] for one in plan.get("relevant_attributes", ())}
    return sorted(one["address"] for one in plan.get("resource_drift", ()) if one["address"] in relevant)


EMPTY = summarise('{"format_version": "1.2"}')  # of a plan that changes nothing
