"""Whether a request may be answered: judged by IAM as AWS does, in front of everything moto does.

- The operator (access key `embedded`) may do everything, with three exceptions: to sign with a key whose policy lets
  others sign only, to enter a role whose trust policy does not let it, and to go around a retention where the bucket's
  policy forbids that. At signing keys the operator stands for the deployer roles.
- Users and sessions of roles need an Allow for every permission of their request and no Deny, by their own policies and
  by the resource's; a key is used by whom its policy lets, a role is entered by whom its trust policy lets.
  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
  https://docs.aws.amazon.com/kms/latest/developerguide/policy-evaluation.html
- Access keys exist, session tokens are theirs, and sessions end. Signatures of requests are not checked; permission
  boundaries and policies of an organisation are not known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from moto.core.responses import ActionResult, BaseResponse
from moto.s3.responses import S3Response
from moto.sts.responses import TokenResponse

from slipway.sandbox.aws.denial import Refusal
from slipway.sandbox.aws.environment import ACCOUNT_ID
from slipway.sandbox.aws.permission import Permission, asks_bypass, operation_of, permissions_of
from slipway.sandbox.aws.policy import Answer, ask_identity, ask_resource
from slipway.sandbox.aws.principal import (
    ROOT_ARN,
    Anonymous,
    ExpiredToken,
    Principal,
    UnknownKey,
    WrongToken,
    deployer_roles,
    principal_of,
    trust_policy,
)
from slipway.sandbox.aws.seam import replace_method

_ALWAYS = "sts:GetCallerIdentity"  # nobody can be denied this: the API reference says so
_REFUSALS = {UnknownKey: "unknown key", WrongToken: "wrong token", ExpiredToken: "expired", Anonymous: "anonymous"}
_OWN_PAGES = frozenset({None, "moto_api"})  # moto's own readiness page is no service of AWS


def enforce() -> None:
    """Judge every request in this process before moto answers it.

    Side effects: wraps moto's request entries.
    """
    replace_method(S3Response, "setup_class", _judged)  # it knows the bucket only when its own part is done
    replace_method(BaseResponse, "setup_class", _judged_unless_s3)
    replace_method(TokenResponse, "get_caller_identity", _naming_the_operator)


def judge(response: BaseResponse) -> None:
    """Return when a request may be answered.

    Raises:
        Refusal: it may not; the message names who, what and on which resource, as AWS's does.
    """
    if response.service_name in _OWN_PAGES:
        return
    try:
        principal = principal_of(response.headers, response.uri)
    except tuple(_REFUSALS) as error:
        raise Refusal(response, _REFUSALS[type(error)]) from error
    if "x-moto-account-id" in response.headers:  # moto's own way into another account
        raise Refusal(response, "unknown key")
    if principal.is_operator and not _concerns_operator(response):
        return
    for permission in permissions_of(response):
        if (reason := _why_not(principal, permission)) is not None:
            raise Refusal(response, "denied", _told(principal, permission, reason))


def _concerns_operator(response: BaseResponse) -> bool:
    """Return whether a request is one of the few that the operator may be refused; cheap, as most requests are its."""
    if response.service_name == "kms":
        return operation_of(response) == "Sign"
    return response.service_name == "sts" or (response.service_name == "s3" and asks_bypass(response))


def _why_not(principal: Principal, permission: Permission) -> str | None:
    """Return the end of AWS's message, the reason of a denial, maybe empty; None when the permission is given."""
    if permission.action == _ALWAYS:
        return None
    question = principal.question(permission.action, permission.resource, permission.context)
    own = ask_identity(principal.policies, question)
    if principal.session_policy is not None:
        narrowed = ask_identity([principal.session_policy], question)
        own = Answer(denies=own.denies or narrowed.denies, allows=own.allows and narrowed.allows)
    if own.denies:
        return "with an explicit deny in an identity-based policy"
    match permission.action.partition(":")[0]:
        case "kms" if permission.policy is not None:
            return _by_key(principal, permission, own)
        case "sts":
            return _by_trust(principal, permission, own)
        case _:
            answer = Answer() if permission.policy is None else ask_resource(permission.policy, question)
            if answer.denies:
                return "with an explicit deny in a resource-based policy"
            return None if own.allows or answer.allows else _no_policy("identity", permission)


def _by_key(principal: Principal, permission: Permission, own: Answer) -> str | None:
    """Return why a key may not be used; its policy decides, and may leave it to the account's own policies."""
    policy = permission.policy or {}
    question = principal.question(permission.action, permission.resource, permission.context)
    answers = [ask_resource(policy, question)]
    if principal.is_operator and permission.action == "kms:Sign":
        # As each deployer role would be answered: the operator deploys on the embedded platform.
        answers += [
            ask_resource(policy, replace(question, context={**question.context, "aws:principalarn": role}))
            for role in deployer_roles()
        ]
    if answers[0].denies:
        return "with an explicit deny in a resource-based policy"
    if any(one.allows for one in answers):
        return None
    if any(one.allows_account for one in answers):
        return None if own.allows else _no_policy("identity", permission)
    return _no_policy("resource", permission)


def _by_trust(principal: Principal, permission: Permission, own: Answer) -> str | None:
    """Return why a role may not be entered. AWS does not say which of the two policies is missing, nor whether the role
    exists. Sessions of other kinds there are none: no identity provider is here to vouch for anyone."""
    trust = trust_policy(permission.resource) if permission.action == "sts:AssumeRole" else None
    if trust is None:
        return "" if permission.action.startswith("sts:AssumeRole") or not own.allows else None
    answer = ask_resource(trust, principal.question(permission.action, permission.resource, permission.context))
    allowed = answer.allows or (answer.allows_account and own.allows)
    return None if allowed and not answer.denies else ""


def _no_policy(kind: str, permission: Permission) -> str:
    return f"because no {kind}-based policy allows the {permission.action} action"


def _told(principal: Principal, permission: Permission, reason: str) -> str:
    resource = permission.resource
    if permission.action.startswith("s3:"):
        resource = f'"{resource}"'  # S3 alone quotes it
    denied = f"User: {principal.arn} is not authorized to perform: {permission.action}"
    return f"{denied} on resource: {resource} {reason}".rstrip()


def _judged(original: Callable[..., Any]) -> Callable[..., Any]:
    def setup_class(response: BaseResponse, *arguments: Any, **named: Any) -> Any:
        result = original(response, *arguments, **named)
        judge(response)
        return result

    return setup_class


def _judged_unless_s3(original: Callable[..., Any]) -> Callable[..., Any]:
    judged = _judged(original)

    def setup_class(response: BaseResponse, *arguments: Any, **named: Any) -> Any:
        return (original if isinstance(response, S3Response) else judged)(response, *arguments, **named)

    return setup_class


def _naming_the_operator(original: Callable[..., Any]) -> Callable[..., Any]:
    """Have the operator be the account's root user, whose user id is the account's own.

    https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
    """

    def get_caller_identity(response: TokenResponse) -> Any:
        if principal_of(response.headers, response.uri).is_operator:
            return ActionResult({"UserId": ACCOUNT_ID, "Account": ACCOUNT_ID, "Arn": ROOT_ARN})
        return original(response)

    return get_caller_identity
