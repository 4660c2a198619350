"""AWS clients, and the one place where what boto3 raises becomes an error of ours.

Rules:
- In the cloud, region, profile and credentials are found as every AWS SDK finds them.
- An endpoint with credentials of its own, such as the embedded platform, is asked with these and nothing else: no
  profile, no configuration file and no AWS variable of the user's has a say, and loopback is never asked by a proxy.
- What the user mends by signing in or by configuring is a `ConfigurationError`; what an administrator mends by a
  permission is a `StepFailed` that names it; what mends itself is `Unavailable`.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from threading import RLock
from typing import Any, cast
from urllib.parse import urlsplit

import boto3
import botocore.exceptions
import botocore.session
from botocore.config import Config
from botocore.utils import parse_timestamp

from slipway.errors import ConfigurationError, NotBootstrapped, SlipwayError, StepFailed, Unavailable

_SIGN_IN = "sign in again, e.g. aws sso login, and see that: aws sts get-caller-identity  answers"
_AGAIN = "give the same command again in a minute"
_NETWORK = "invoke sandbox.status, or check the network"

_CONNECTIONS = 64  # kept open by a client: an audit reads four kinds of objects at a time, with 16 readers each
_HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")  # RFC 9110, 5.6.7
_ISO_8601 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
_FORMS = (_HTTP_DATE, _ISO_8601)
_NOT_THERE = frozenset({"NoSuchBucket", "ResourceNotFoundException"})
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html (error codes), and the common errors of each API.
_CREDENTIALS = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    }
)
_FORBIDDEN = frozenset(
    {
        "403",  # an answer without a body, to HEAD
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "Forbidden",
        "UnauthorizedOperation",
    }
)
_BUSY = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "InternalServerError",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
_UNFIT = (
    botocore.exceptions.ConfigNotFound,
    botocore.exceptions.ConfigParseError,
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.InvalidConfigError,
    botocore.exceptions.InvalidRegionError,
    botocore.exceptions.LoginError,
    botocore.exceptions.NoAuthTokenError,
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.NoRegionError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.ProfileNotFound,
    botocore.exceptions.SSOError,  # an expired single sign-on, too
    botocore.exceptions.TokenRetrievalError,
    botocore.exceptions.UnknownCredentialError,
)
# Where the permission is not named like the operation.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
_PERMISSIONS: Mapping[tuple[str, str], str] = {
    ("s3", "HeadObject"): "s3:GetObject",
    ("s3", "HeadBucket"): "s3:ListBucket",
    ("s3", "ListObjectsV2"): "s3:ListBucket",
    ("dynamodb", "TransactWriteItems"): "dynamodb:PutItem and dynamodb:ConditionCheckItem",
}
# "User: ARN is not authorized to perform: ACTION on resource: ..."
_DENIAL = re.compile(r"(?:User: (?P<who>\S+) )?is not authorized to perform: (?P<action>[\w:-]+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who asks, as AWS says it.

    Args:
        user_id: unique in the account, for good: `AIDA...` of a user, `AROA...:SESSION` of a role's session. It is what
            `${aws:userid}` stands for in a policy.
            https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
    """

    arn: str
    user_id: str


class Aws:
    """The clients of one account, each made once, when first asked for: making one takes longer than a request.

    Args:
        endpoint: where the embedded AWS answers; None is AWS itself.
        credentials: `aws_access_key_id`, `aws_secret_access_key` and, of a session, `aws_session_token`; None leaves
            them to the SDK's own search.

    Raises:
        ConfigurationError: the user's profile or configuration file is not fit.
    """

    def __init__(
        self, *, region: str, endpoint: str | None = None, credentials: Mapping[str, str] | None = None
    ) -> None:
        session = _session_without_user() if endpoint and credentials else botocore.session.Session()
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment)
        self._options: dict[str, Any] = {"endpoint_url": endpoint, "config": _config(endpoint)}
        self.region = region
        with translated("AWS"):
            self._session = boto3.session.Session(region_name=region, botocore_session=session, **(credentials or {}))
        self._lock = RLock()  # a session makes one client at a time

    @cached_property
    def s3(self) -> Any:
        """Releases, evidence and state."""
        return self.client("s3")

    @cached_property
    def dynamodb(self) -> Any:
        """The lock and the journal: asked for short answers, so that a table which gives none is noticed soon."""
        hasty = Config(connect_timeout=5, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})
        return self.client("dynamodb", config=self._options["config"].merge(hasty))

    @cached_property
    def kms(self) -> Any:
        """Keys that sign."""
        return self.client("kms")

    @cached_property
    def sns(self) -> Any:
        """Notifications."""
        return self.client("sns")

    @cached_property
    def sts(self) -> Any:
        """Who asks."""
        return self.client("sts")

    def caller(self) -> Caller:
        """Return who asks, as AWS says it."""
        with translated("AWS identity", self.sts):
            found = self.sts.get_caller_identity()
        return Caller(arn=str(found["Arn"]), user_id=str(found["UserId"]))

    def identity(self) -> str:
        """Return the ARN of the caller, as AWS says it."""
        return self.caller().arn

    def client(self, service: str, **options: Any) -> Any:
        """Return a new client of any service, with the same credentials and settings apart from `options`."""
        with self._lock, translated("AWS"):
            return self._session.client(service, **{**self._options, **options})


def code_of(error: botocore.exceptions.ClientError) -> str:
    """Return AWS's code of a refused call, e.g. `ConditionalCheckFailedException`."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def translated(what: str, client: Any = None) -> Iterator[None]:
    """Turn what boto3 raises into an error of ours; what only a mistake of ours can cause keeps its traceback.

    Args:
        what: what is asked, e.g. the name of a table; the message begins with it.
        client: who asks; with it the message knows the region and the permission.

    Raises:
        ConfigurationError: credentials, profile or region are missing, wrong or expired.
        NotBootstrapped: the bucket or table is not there.
        StepFailed: the identity may not do this.
        Unavailable: AWS does not answer, or asks for patience.
        SlipwayError: any other refusal.
    """
    try:
        yield
    except botocore.exceptions.ClientError as error:
        raise _refusal(what, error, client) from error
    except botocore.exceptions.ParamValidationError:
        raise
    except _UNFIT as error:
        raise ConfigurationError(f"{what}: {error}", fix=_fix_of(error)) from error
    except botocore.exceptions.BotoCoreError as error:
        raise Unavailable(f"{what}: AWS does not answer: {error}", fix=_NETWORK) from error


def _refusal(what: str, error: botocore.exceptions.ClientError, client: Any) -> SlipwayError:
    code, status = code_of(error), int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    told = f"{error.response.get('Error', {}).get('Message') or 'no message'} ({code})"
    if code in _NOT_THERE:
        asked = f"; asked in {client.meta.region_name}" if client is not None else ""
        return NotBootstrapped(f"{what}: {told}{asked}", fix="invoke infra.bootstrap --env ENV")
    if code in _CREDENTIALS:
        fix = "set this machine's clock" if code == "RequestTimeTooSkewed" else _SIGN_IN
        return ConfigurationError(f"{what}: AWS does not accept the credentials: {told}", fix=fix)
    if code in _FORBIDDEN:
        return _denial(what, told, error.operation_name, client)
    if code in _BUSY or status == 429 or status >= 500:
        return Unavailable(f"{what}: AWS asks for patience: {told}", fix=_AGAIN)
    return SlipwayError(f"{what}: AWS refused: {told}")


def _denial(what: str, told: str, operation: str, client: Any) -> StepFailed:
    service = client.meta.service_model.signing_name if client is not None else ""
    action = _PERMISSIONS.get((service, operation)) or (f"{service}:{operation}" if service else operation)
    said = _DENIAL.search(told)
    if said:
        action = said["action"]
    who = (said and said["who"]) or "this AWS identity"
    return StepFailed(
        f"{what}: {who} may not {action}: {told}",
        fix=f"act in the environment's deployer role, or allow {action} to {who}",
    )


def _fix_of(error: botocore.exceptions.BotoCoreError) -> str:
    match error:
        case botocore.exceptions.ProfileNotFound():
            return "unset AWS_PROFILE, or set it to one of: aws configure list-profiles"
        case botocore.exceptions.NoRegionError() | botocore.exceptions.InvalidRegionError():
            return "set aws.region in the environment's configuration"
        case botocore.exceptions.ConfigParseError() | botocore.exceptions.ConfigNotFound():
            return "mend the AWS configuration file, or unset AWS_CONFIG_FILE"
        case _:
            return _SIGN_IN


def _session_without_user() -> botocore.session.Session:
    """Return a session that reads no file and no variable of the user's."""
    variables = {
        name: (None, None, default, convert)
        for name, (_, _, default, convert) in botocore.session.Session.SESSION_VARIABLES.items()
    }
    nowhere = (None, None, os.devnull, None)
    return botocore.session.Session(
        session_vars={**variables, "config_file": nowhere, "credentials_file": nowhere},
    )


def moment(value: str | float) -> datetime:
    """Return the moment an answer names, as botocore does; what AWS nearly always writes is read without a guess.

    Guessing the format takes an eighth of the time of a small request.

    Raises:
        ValueError: it is no moment.
    """
    if isinstance(value, str) and (form := next((one for one in _FORMS if one.fullmatch(value)), None)):
        try:
            return datetime.fromisoformat(value) if form is _ISO_8601 else parsedate_to_datetime(value)
        except ValueError:  # the 31st of February
            pass
    return cast("datetime", parse_timestamp(value))


def _config(endpoint: str | None) -> Config:
    # Only an explicit empty mapping keeps botocore from looking for HTTP_PROXY.
    # A loopback address has no buckets as subdomains, and looking for them takes a third of a request's time.
    here = endpoint and _is_loopback(endpoint)
    direct: dict[str, Any] = {"proxies": {}, "s3": {"addressing_style": "path"}} if here else {}
    return Config(
        retries={"mode": "standard", "max_attempts": 4},
        connect_timeout=5,  # seconds
        read_timeout=30,  # seconds
        max_pool_connections=_CONNECTIONS,
        **direct,
    )


def _is_loopback(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
