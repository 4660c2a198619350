"""What terraform says when it fails, and which of our errors that is."""

from __future__ import annotations

import json

import pytest

from slipway.adapters.terraform_failure import LockVanished, translate
from slipway.adapters.terraform_process import Completed
from slipway.errors import ConfigurationError, Interrupted, Locked, SlipwayError, Stale, StepFailed, Unavailable


def failed(
    output: str = "", errors: str = "", *, code: int = 1, stopped: bool = False, late: bool = False
) -> Completed:
    return Completed(
        code=code, output=output, errors=errors, interrupted=stopped or late, timed_out=late, signal_was_ours=stopped
    )


def event(summary: str, detail: str = "", **more: object) -> str:
    diagnostic = {"severity": "error", "summary": summary, "detail": detail} | more
    return json.dumps({"type": "diagnostic", "diagnostic": diagnostic})


LOCK = """operation error S3: PutObject, https response error StatusCode: 412, PreconditionFailed
Lock Info:
  ID:        1d2c3b4a-0000-4000-8000-000000000000
  Path:      finedge-staging-tfstate/staging.tfstate
  Operation: OperationTypeApply
  Who:       ann@laptop
  Version:   1.11.4
  Created:   2026-03-01 10:00:00 +0000 UTC
"""

CASES: tuple[tuple[str, str, type[SlipwayError], str], ...] = (
    ("Error acquiring the state lock", LOCK, Locked, "locked by ann@laptop since 2026-03-01 10:00:00"),
    ("Saved plan is stale", "The given plan file can no longer be applied", Stale, "moved since the plan was made"),
    ("Failed to query available provider packages", "no such host", ConfigurationError, "TF_PLUGIN_MIRROR"),
    ("Required plugins are not installed", "", ConfigurationError, "TF_PLUGIN_MIRROR"),
    ('Failed to get existing workspaces: S3 bucket "b" does not exist.', "", ConfigurationError, "infra.bootstrap"),
    ("Error refreshing state", "dial tcp 127.0.0.1:1: connect: connection refused", Unavailable, "sandbox.status"),
    ("No valid credential sources found", "", Unavailable, "credentials"),
    ("Unsupported argument", 'An argument named "nmae" is not expected here.', ConfigurationError, "nmae"),
    ("Unsupported Terraform Core version", "", ConfigurationError, "Core version"),
    ("AWS account ID not allowed: 1", "", ConfigurationError, "not allowed"),
    ("creating S3 Bucket (x): BucketAlreadyExists", "", StepFailed, "BucketAlreadyExists"),
)


@pytest.mark.parametrize(("summary", "detail", "kind", "said"), CASES)
def test_each_cause_has_its_error(summary: str, detail: str, kind: type[SlipwayError], said: str) -> None:
    error = translate("plan", failed(event(summary, detail)), timeout_s=None)

    assert type(error) is kind
    assert said in str(error)


def test_a_lock_names_the_command_that_takes_it_away() -> None:
    error = translate("apply", failed(event("Error acquiring the state lock", LOCK)), timeout_s=None)

    assert error.fix == "invoke infra.unlock --env ENV --lock-id 1d2c3b4a-0000-4000-8000-000000000000"
    assert "wait for it to end" in error.message


def test_a_lock_that_was_given_back_meanwhile_is_told_apart() -> None:
    detail = (
        "api error PreconditionFailed\nunable to retrieve file from S3 bucket 'b' with key 'k.tflock': NoSuchKey: \n"
    )
    error = translate("plan", failed(event("Error acquiring the state lock", detail)), timeout_s=None)

    assert type(error) is LockVanished
    assert error.fix == "give the same command again"


def test_an_error_names_resource_and_line() -> None:
    place = {"filename": "main.tf", "start": {"line": 12, "column": 1}}
    error = translate("apply", failed(event("refused", address="aws_sns_topic.this", range=place)), timeout_s=None)

    assert "aws_sns_topic.this (main.tf:12): refused" in str(error)


def test_all_errors_are_told_up_to_a_readable_number() -> None:
    error = translate("plan", failed("\n".join(event(f"problem {n}") for n in range(7))), timeout_s=None)

    assert "problem 0" in str(error)
    assert "problem 4" in str(error)
    assert "and 2 more" in str(error)


def test_commands_without_events_are_read_from_standard_error() -> None:
    errors = "\x1b[31m╷\x1b[0m\n\x1b[31m│\x1b[0m Error: Invalid index\n│ \n│   on main.tf line 3\n╵\n"
    error = translate("output", failed(errors=errors), timeout_s=None)

    assert str(error).startswith("terraform output failed:\n  Invalid index")
    assert "\x1b" not in str(error)
    assert "│" not in str(error)


def test_silence_is_told_with_the_exit_code() -> None:
    assert "exit code 1 without a message" in str(translate("show", failed(), timeout_s=None))


def test_a_stop_is_no_failure_whatever_terraform_said() -> None:
    said = event("execution halted")

    assert type(translate("apply", failed(said, stopped=True), timeout_s=None)) is Interrupted
    late = translate("apply", failed(said, late=True), timeout_s=30)
    assert type(late) is StepFailed
    assert "longer than 30 s" in str(late)
    killed = translate("apply", failed(said, stopped=True, code=-9), timeout_s=None)
    assert type(killed) is StepFailed
    assert "may be locked" in str(killed)
