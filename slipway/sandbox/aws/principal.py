"""Who asks: the owner of an access key, as IAM and STS of the embedded AWS know them.

The access key `embedded` is the account's operator: Terraform, the platform itself, and whoever gives no name. It is
the account's root user and, at signing keys, stands for the deployer roles.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from moto.core.utils import utcnow
from moto.iam.models import IAMBackend, User, iam_backends
from moto.sts.models import AssumedRole, sts_backends

from slipway.sandbox.aws.environment import ACCESS_KEY, ACCOUNT_ID
from slipway.sandbox.aws.policy import Document, Question

PARTITION = "aws"
ROOT_ARN = f"arn:{PARTITION}:iam::{ACCOUNT_ID}:root"
_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/")


class UnknownKey(Exception):
    """No user and no session has this access key, or the key is switched off."""


class WrongToken(Exception):
    """The session token is missing, or is another session's."""


class ExpiredToken(Exception):
    """The session is over."""


class Anonymous(Exception):
    """The request names nobody."""


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who asks.

    Args:
        arn: as `GetCallerIdentity` and a denial say it.
        policies: their identity policies.
        session_policy: what a session was narrowed to when it began; it must allow, too.
        context: what condition keys and policy variables know of them.
        names: ARNs by which a resource's policy may name them.
    """

    arn: str
    policies: tuple[Document, ...]
    context: Mapping[str, str]
    names: frozenset[str]
    session_policy: Document | None = None
    is_operator: bool = False

    def question(self, action: str, resource: str, context: Mapping[str, str] | None = None) -> Question:
        """Return what this principal asks when a request needs `action` on `resource`."""
        known = {**self.context, **(context or {})}
        return Question(action=action, resource=resource, context=known, names=self.names, account=ROOT_ARN)


def principal_of(headers: Mapping[str, str], url: str) -> Principal:
    """Return who signed a request, by header or by presigned address; signatures are not checked.

    Raises:
        Anonymous, UnknownKey, WrongToken, ExpiredToken: the credentials are not good.
    """
    query = parse_qs(urlsplit(url).query)
    signed = _CREDENTIAL.search(headers.get("Authorization", ""))
    key = signed[1] if signed else query.get("X-Amz-Credential", [""])[0].partition("/")[0]
    token = headers.get("X-Amz-Security-Token") or query.get("X-Amz-Security-Token", [None])[0]
    if not key:
        raise Anonymous
    if key == ACCESS_KEY:
        return operator()
    for session in reversed(list(sts_backends[ACCOUNT_ID][PARTITION].assumed_roles)):
        if session.access_key_id == key:
            return _of_session(session, token)
    for user in list(_iam().users.values()):
        if any(one.access_key_id == key and one.status == "Active" for one in user.access_keys):
            if token:
                raise WrongToken
            return _of_user(user)
    raise UnknownKey


def operator() -> Principal:
    """Return the account's operator."""
    return Principal(
        arn=ROOT_ARN,
        policies=({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]},),
        context=_context(ROOT_ARN, ACCOUNT_ID, "Account"),
        names=frozenset({ROOT_ARN}),
        is_operator=True,
    )


def deployer_roles() -> Iterator[str]:
    """Yield the ARNs of the account's deployer roles."""
    yield from (str(role.arn) for role in list(_iam().roles.values()) if role.name.endswith("-deployer"))


def trust_policy(role_arn: str) -> Document | None:
    """Return a role's trust policy; None when there is no such role."""
    found = next((role for role in list(_iam().roles.values()) if role.arn == role_arn), None)
    return json.loads(found.assume_role_policy_document) if found else None


def _of_user(user: User) -> Principal:
    return Principal(
        arn=user.arn,
        policies=tuple(_policies_of_user(user)),
        # Nobody can show a second factor here: the embedded people's keys count as used with one.
        context=_context(user.arn, user.id, "User") | {"aws:username": user.name, "aws:multifactorauthpresent": "true"},
        names=frozenset({user.arn}),
    )


def _of_session(session: AssumedRole, token: str | None) -> Principal:
    if token != session.session_token:
        raise WrongToken
    if session.expiration < utcnow():
        raise ExpiredToken
    role = next((one for one in list(_iam().roles.values()) if one.arn == session.role_arn), None)
    if role is None:
        raise UnknownKey
    return Principal(
        arn=session.arn,
        policies=tuple(_policies_of(role)),
        context=_context(role.arn, session.user_id, "AssumedRole"),
        names=frozenset({session.arn, role.arn}),
        session_policy=json.loads(session.policy) if session.policy else None,
    )


def _context(arn: str, user_id: str, kind: str) -> dict[str, str]:
    """Return the condition keys that are known of everyone.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html; both doors count as TLS.
    """
    return {
        "aws:principalaccount": ACCOUNT_ID,
        "aws:principalarn": arn,
        "aws:principaltype": kind,
        "aws:securetransport": "true",
        "aws:userid": user_id,
    }


def _iam() -> IAMBackend:
    return iam_backends[ACCOUNT_ID][PARTITION]


def _policies_of_user(user: User) -> Iterator[Document]:
    for owner in (user, *_iam().get_groups_for_user(user.name)):
        yield from _policies_of(owner)


def _policies_of(owner: Any) -> Iterator[Document]:
    """Yield the inline and attached policies of a user, a group or a role."""
    yield from (json.loads(text) for text in list(owner.policies.values()))
    for managed in list(owner.managed_policies.values()):
        yield from (json.loads(version.document) for version in managed.versions if version.is_default)
