"""The people of the embedded platform: users of its IAM, with access keys in a file for the machine's user only.

Everyone may enter the approver and deployer roles of every environment; what a role may do, and under which name it is
entered, the role itself says. One machine's user holds everyone's keys: this separates hats, not heads.
"""

from __future__ import annotations

import configparser
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway.adapters.aws import Aws, translated
from slipway.errors import NotBootstrapped, StepFailed
from slipway.sandbox.aws.environment import ACCESS_KEY, ACCOUNT_ID, REGION

PEOPLE = ("ana", "ben", "chris", "pat")  # data engineers, and pat of the platform team
OPERATOR: Mapping[str, str] = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": ACCESS_KEY}
_KEYS = ("aws_access_key_id", "aws_secret_access_key")
_MAY_ENTER = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Resource": [f"arn:aws:iam::{ACCOUNT_ID}:role/*-{role}" for role in ("approver", "deployer")],
            }
        ],
    }
)


def ensure_people(endpoint: str, file: Path) -> None:
    """Have everyone be a user with an access key, and the keys in `file`.

    Side effects: users of the embedded IAM; `file`, with mode 0600. Keys that are good stay as they are.
    """
    iam = _aws(endpoint, OPERATOR).client("iam")
    kept = read_people(file)
    with translated("IAM of the embedded platform", iam):
        there = {user["UserName"] for user in iam.list_users()["Users"]}
        found = {name: _ensure_person(iam, name, is_new=name not in there, kept=kept.get(name)) for name in PEOPLE}
    if found != kept:
        _write(file, found)


def read_people(file: Path) -> dict[str, dict[str, str]]:
    """Return profile to credentials; nothing when the file is not there."""
    profiles = configparser.RawConfigParser()
    profiles.read(file)
    return {name: {key: profiles[name][key] for key in _KEYS} for name in profiles.sections()}


def enter(endpoint: str, person: Mapping[str, str], *, role: str, session_name: str) -> dict[str, str]:
    """Return credentials of a session of `role`, entered with a person's own.

    Raises:
        NotBootstrapped: there is no such role yet.
        StepFailed: the role does not let this person in.
    """
    sts = _aws(endpoint, person).sts
    arn = f"arn:aws:iam::{ACCOUNT_ID}:role/{role}"
    try:
        with translated(f"role {role}", sts):
            given = sts.assume_role(RoleArn=arn, RoleSessionName=session_name)["Credentials"]
    except StepFailed as error:  # AWS does not say whether the role exists
        if _exists(endpoint, role):
            raise
        environment = role.rsplit("-", 2)[-2] if role.count("-") > 1 else "ENV"
        fix = f"invoke deploy --env {environment}  (makes the environment)"
        raise NotBootstrapped(f"there is no role {role} yet", fix=fix) from error
    return {
        "aws_access_key_id": str(given["AccessKeyId"]),
        "aws_secret_access_key": str(given["SecretAccessKey"]),
        "aws_session_token": str(given["SessionToken"]),
    }


def _exists(endpoint: str, role: str) -> bool:
    iam = _aws(endpoint, OPERATOR).client("iam")
    with translated(f"role {role}", iam):
        try:
            iam.get_role(RoleName=role)
        except iam.exceptions.NoSuchEntityException:
            return False
        return True


def _ensure_person(iam: Any, name: str, *, is_new: bool, kept: Mapping[str, str] | None) -> dict[str, str]:
    if is_new:
        iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="roles", PolicyDocument=_MAY_ENTER)
    keys = [one["AccessKeyId"] for one in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]]
    if kept is not None and kept["aws_access_key_id"] in keys:
        return dict(kept)
    for key in keys:  # nobody knows their secrets any more
        iam.delete_access_key(UserName=name, AccessKeyId=key)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return {"aws_access_key_id": str(made["AccessKeyId"]), "aws_secret_access_key": str(made["SecretAccessKey"])}


def _write(file: Path, people: Mapping[str, Mapping[str, str]]) -> None:
    """Write all of the file in one rename; it is never readable for others."""
    profiles = configparser.RawConfigParser()
    profiles.read_dict(people)
    text = io.StringIO()
    profiles.write(text)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(text.getvalue())
    draft.replace(file)


def _aws(endpoint: str, credentials: Mapping[str, str]) -> Aws:
    return Aws(region=REGION, endpoint=endpoint, credentials=credentials)
