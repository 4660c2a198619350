"""What a plan's JSON becomes: counts a person agrees with, no secret, one digest for the same changes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from slipway.adapters.terraform_summary import EMPTY, SENSITIVE, UNKNOWN, Summary, mask, summarise


def resource(address: str, actions: list[str], **change: Any) -> dict[str, Any]:
    outside = {name: change.pop(name) for name in ("action_reason", "previous_address") if name in change}
    return {"address": address, "type": address.split(".")[-2], "change": {"actions": actions} | change} | outside


def summary_of(*resources: dict[str, Any], **more: Any) -> Summary:
    return summarise(json.dumps({"format_version": "1.2", "resource_changes": resources} | more))


REPLACED_TABLE = resource(
    "module.platform.aws_dynamodb_table.this",
    ["delete", "create"],
    before={"hash_key": "a", "arn": "arn:1"},
    after={"hash_key": "b"},
    after_unknown={"arn": True},
    replace_paths=[["hash_key"]],
    action_reason="replace_because_cannot_update",
)
DELETED_TOPIC = resource("aws_sns_topic.this", ["delete"], before={"name": "t"}, after=None)


def test_a_replacement_counts_once() -> None:
    found = summary_of(REPLACED_TABLE, DELETED_TOPIC)

    assert found.replaces == ("module.platform.aws_dynamodb_table.this",)
    assert found.deletes == ("aws_sns_topic.this",)
    assert (found.creates, found.updates) == ((), ())


def test_only_what_holds_data_is_said_to_lose_it() -> None:
    found = summary_of(REPLACED_TABLE, DELETED_TOPIC)

    assert found.destroys_data == ("module.platform.aws_dynamodb_table.this",)


def test_a_replacement_says_why() -> None:
    (change,) = summary_of(REPLACED_TABLE).changes

    assert change.reason == "replace_because_cannot_update"
    assert change.forced_by == ("hash_key",)
    assert [(one.name, one.after) for one in change.fields] == [("arn", f'"{UNKNOWN}"'), ("hash_key", '"b"')]


def test_what_stays_as_it_is_or_is_only_read_is_left_out() -> None:
    same = resource("aws_s3_bucket.this", ["no-op"], before={"a": 1}, after={"a": 1})
    read = resource("data.aws_iam_policy_document.this", ["read"], before=None, after={"a": 1})

    assert summary_of(same, read) == EMPTY


def test_a_move_is_a_change() -> None:
    moved = resource("aws_s3_bucket.new", ["no-op"], before={}, after={}, previous_address="aws_s3_bucket.old")
    (change,) = summary_of(moved).changes

    assert (change.action, change.previous_address) == ("move", "aws_s3_bucket.old")


SECRET = "hunter2"


def test_sensitive_values_are_masked_wherever_they_are() -> None:
    changed = resource(
        "aws_db_instance.this",
        ["update"],
        before={"settings": [{"value": SECRET, "name": "a"}], "user": "u"},
        after={"settings": [{"value": SECRET + "3", "name": "a"}], "user": "u"},
        before_sensitive={"settings": [{"value": True}]},
        after_sensitive={"settings": [{"value": True}]},
    )
    found = summary_of(changed)

    assert SECRET not in repr(found)
    assert [one.name for one in found.changes[0].fields] == ["settings"]
    assert SENSITIVE in found.changes[0].fields[0].after


@pytest.mark.parametrize("name", ["password", "master_password", "secret_string", "private_key_pem", "auth_token"])
def test_what_is_named_like_a_secret_is_masked_though_the_provider_forgot(name: str) -> None:
    found = summary_of(resource("x_thing.this", ["create"], before=None, after={name: SECRET, "names": {name: SECRET}}))

    assert SECRET not in repr(found)


def test_masking_leaves_everything_else_alone() -> None:
    value = {"a": [1, None, {"b": "x"}], "c": True}

    assert mask(value, {}) == value
    assert mask(value, {"a": [True]}) == {"a": [SENSITIVE, None, {"b": "x"}], "c": True}
    assert mask(value, True) == SENSITIVE


def test_the_digest_does_not_depend_on_the_order_of_resources_and_does_on_their_content() -> None:
    one, other = REPLACED_TABLE, DELETED_TOPIC
    changed = resource("aws_sns_topic.this", ["delete"], before={"name": "other"}, after=None)

    assert summary_of(one, other).digest == summary_of(other, one).digest
    assert summary_of(one, other).digest != summary_of(one, changed).digest


def test_numbers_that_are_not_whole_have_a_digest_too() -> None:
    assert summary_of(resource("x_thing.this", ["create"], before=None, after={"ratio": 0.1})).digest


def test_access_is_named_by_what_can_grant_it() -> None:
    types = {"aws_iam_role": True, "aws_kms_key": True, "aws_kms_alias": False, "aws_s3_bucket": False}
    changes = summary_of(*(resource(f"{one}.this", ["create"], before=None, after={}) for one in types)).changes

    assert {one.type: one.grants_access for one in changes} == types


def test_drift_is_told_where_the_plan_relied_on_it() -> None:
    drift = [resource(f"aws_iam_role.{name}", ["update"], before={}, after={}) for name in ("used", "unused")]
    found = summary_of(
        resource_drift=drift, relevant_attributes=[{"resource": "aws_iam_role.used", "attribute": ["arn"]}]
    )

    assert found.drift == ("aws_iam_role.used",)


def test_changed_outputs_are_named() -> None:
    found = summary_of(output_changes={"same": {"actions": ["no-op"]}, "new": {"actions": ["create"]}})

    assert found.outputs == ("new",)


def test_what_is_no_plan_is_refused() -> None:
    with pytest.raises(ValueError, match="not a Terraform plan"):
        summarise("{}")
