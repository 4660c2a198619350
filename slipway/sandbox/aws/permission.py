"""Which permissions a request needs, in IAM's own words: actions and the ARNs they are asked for.

The request is read through moto's own parsing, so that what is judged is what will be done. A request that this module
cannot name needs a permission that no policy grants.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote

import xmltodict  # type: ignore[import-untyped]  # as moto reads the same body
from moto.core.responses import BaseResponse
from moto.core.utils import camelcase_to_underscores
from moto.kms.models import kms_backends
from moto.s3.models import FakeBucket
from moto.s3.responses import S3Response
from moto.secretsmanager.models import secretsmanager_backends

from slipway.sandbox.aws.environment import ACCOUNT_ID
from slipway.sandbox.aws.policy import Document

ANY = "*"


@dataclass(frozen=True, kw_only=True)
class Permission:
    """One permission: an action on a resource, and the policy that the resource has of its own."""

    action: str
    resource: str = ANY
    policy: Document | None = None  # of the resource: a bucket policy, a key policy
    context: Mapping[str, str] = field(default_factory=dict)  # condition keys, in lower case


def permissions_of(response: BaseResponse) -> tuple[Permission, ...]:
    """Return what a request needs, all of it; never empty."""
    if isinstance(response, S3Response):
        return tuple(_of_s3(response))
    service, operation = str(response.service_name), operation_of(response)
    match service:
        case "dynamodb":
            return tuple(_of_dynamodb(response, operation))
        case "kms":
            return (of_key(f"kms:{operation}", response._get_param("KeyId"), response.region),)
        case "secretsmanager":
            return (Permission(action=f"{service}:{operation}", resource=_secret(response)),)
        case "sns":
            return tuple(_of_sns(response, operation))
        case "sts":
            context = {"sts:rolesessionname": response._get_param("RoleSessionName") or ""}
            role = response._get_param("RoleArn") or ANY
            return (Permission(action=f"sts:{operation}", resource=role, context=context),)
        case _:
            return (Permission(action=f"{service}:{operation}"),)


def operation_of(response: BaseResponse) -> str:
    """Return the operation that moto will run, however the request spells it: moto takes `sign` for `Sign`, too."""
    return "".join(part.capitalize() for part in camelcase_to_underscores(str(response._get_action())).split("_"))


# ---- keys, secrets, topics, tables ---------------------------------------------------------------------------------


def of_key(action: str, key_id: str | None, region: str) -> Permission:
    """Return a permission on a KMS key, named by id, ARN, alias or the alias's ARN."""
    keys = list(kms_backends[ACCOUNT_ID][region].keys.values())
    wanted = (key_id or "").partition(":key/")[2] or (key_id or "")
    alias = "alias/" + wanted.partition("alias/")[2]
    for key in keys:
        if wanted == key.id or alias in key.aliases:
            return Permission(action=action, resource=key.arn, policy=json.loads(key.policy))
    return Permission(action=action, resource=f"arn:aws:kms:{region}:{ACCOUNT_ID}:{wanted}" if wanted else ANY)


def _secret(response: BaseResponse) -> str:
    name = response._get_param("SecretId") or ""
    found = secretsmanager_backends[ACCOUNT_ID][response.region].secrets.get(name)
    return str(found.arn) if found else f"arn:aws:secretsmanager:{response.region}:{ACCOUNT_ID}:secret:{name}"


def _of_sns(response: BaseResponse, operation: str) -> Iterator[Permission]:
    topic = response._get_param("TopicArn") or response._get_param("TargetArn") or ANY
    yield Permission(action=f"sns:{operation}", resource=topic)


def _of_dynamodb(response: BaseResponse, operation: str) -> Iterator[Permission]:
    """Yield what a request to DynamoDB needs: a transaction needs the permissions of its parts.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
    """
    asked = json.loads(response.body or "{}")
    if operation in ("TransactWriteItems", "TransactGetItems"):
        parts = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "Get": "GetItem"}
        for item in asked["TransactItems"]:
            for part, content in item.items():
                yield _on_table(response.region, parts.get(part, "ConditionCheckItem"), content["TableName"])
    elif "RequestItems" in asked:
        yield from (_on_table(response.region, operation, table) for table in asked["RequestItems"])
    elif "TableName" in asked:
        index = f"/index/{asked['IndexName']}" if "IndexName" in asked else ""
        yield _on_table(response.region, operation, asked["TableName"], index)
    else:
        yield Permission(action=f"dynamodb:{operation}")


def _on_table(region: str, operation: str, table: str, index: str = "") -> Permission:
    arn = table if table.startswith("arn:") else f"arn:aws:dynamodb:{region}:{ACCOUNT_ID}:table/{table}"
    return Permission(action=f"dynamodb:{operation}", resource=arn + index)


# ---- S3 ------------------------------------------------------------------------------------------------------------

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
_BUCKET: Mapping[str, Mapping[str, str]] = {
    "HEAD": {"": "ListBucket"},
    "GET": {
        "": "ListBucket",
        "acl": "GetBucketAcl",
        "encryption": "GetEncryptionConfiguration",
        "lifecycle": "GetLifecycleConfiguration",
        "location": "GetBucketLocation",
        "object-lock": "GetBucketObjectLockConfiguration",
        "policy": "GetBucketPolicy",
        "publicAccessBlock": "GetBucketPublicAccessBlock",
        "tagging": "GetBucketTagging",
        "uploads": "ListBucketMultipartUploads",
        "versioning": "GetBucketVersioning",
        "versions": "ListBucketVersions",
    },
    "PUT": {
        "": "CreateBucket",
        "acl": "PutBucketAcl",
        "encryption": "PutEncryptionConfiguration",
        "lifecycle": "PutLifecycleConfiguration",
        "object-lock": "PutBucketObjectLockConfiguration",
        "policy": "PutBucketPolicy",
        "publicAccessBlock": "PutBucketPublicAccessBlock",
        "tagging": "PutBucketTagging",
        "versioning": "PutBucketVersioning",
    },
    "DELETE": {"": "DeleteBucket", "policy": "DeleteBucketPolicy"},
}
_OBJECT: Mapping[str, Mapping[str, str]] = {
    "HEAD": {"": "GetObject", "versionId": "GetObjectVersion"},
    "GET": {
        "": "GetObject",
        "acl": "GetObjectAcl",
        "attributes": "GetObjectAttributes",
        "legal-hold": "GetObjectLegalHold",
        "retention": "GetObjectRetention",
        "tagging": "GetObjectTagging",
        "uploadId": "ListMultipartUploadParts",
        "versionId": "GetObjectVersion",
    },
    "PUT": {
        "": "PutObject",
        "acl": "PutObjectAcl",
        "legal-hold": "PutObjectLegalHold",
        "retention": "PutObjectRetention",
        "tagging": "PutObjectTagging",
        "uploadId": "PutObject",
    },
    "POST": {"restore": "RestoreObject", "uploadId": "PutObject", "uploads": "PutObject"},
    "DELETE": {
        "": "DeleteObject",
        "tagging": "DeleteObjectTagging",
        "uploadId": "AbortMultipartUpload",
        "versionId": "DeleteObjectVersion",
    },
}
# What a header of a write adds to what the write needs.
_HEADERS: Mapping[str, str] = {
    "x-amz-acl": "PutObjectAcl",
    "x-amz-grant-full-control": "PutObjectAcl",
    "x-amz-grant-read": "PutObjectAcl",
    "x-amz-grant-read-acp": "PutObjectAcl",
    "x-amz-grant-write-acp": "PutObjectAcl",
    "x-amz-object-lock-legal-hold": "PutObjectLegalHold",
    "x-amz-object-lock-mode": "PutObjectRetention",
    "x-amz-object-lock-retain-until-date": "PutObjectRetention",
    "x-amz-tagging": "PutObjectTagging",
    "if-match": "GetObject",
}
# Parameters that shape an answer and choose nothing.
_SHAPES = frozenset(
    {
        "continuation-token",
        "delimiter",
        "encoding-type",
        "fetch-owner",
        "key-marker",
        "list-type",
        "marker",
        "max-keys",
        "partNumber",
        "prefix",
        "start-after",
        "version-id-marker",
        "x-id",
    }
)
_DATA_KEY = {"GetObject": "Decrypt", "GetObjectVersion": "Decrypt", "PutObject": "GenerateDataKey"}
BYPASS = "x-amz-bypass-governance-retention"


def asks_bypass(response: BaseResponse) -> bool:
    """Return whether a request wants to go around a retention in governance mode."""
    return str(response.headers.get(BYPASS, "")).lower() == "true"


def _of_s3(response: S3Response) -> Iterator[Permission]:
    bucket, key = response.bucket_name, response.parse_key_name()
    if not bucket:
        yield Permission(action="s3:ListAllMyBuckets")
        return
    query = parse_qs(response.parsed_url.query, keep_blank_values=True)
    found = response.backend.buckets.get(bucket)
    if not key and response.method == "POST" and "delete" in query:
        yield from _of_many_deletes(response, bucket, found)
        return
    table = (_OBJECT if key else _BUCKET).get(response.method, {})
    chosen = [name for name in query if name not in _SHAPES and not name.lower().startswith(("x-amz-", "response-"))]
    if "versionId" in chosen and len(chosen) > 1:
        chosen.remove("versionId")  # the other one's permission names no version here
    actions = [table.get(name, f"Unknown:{response.method}:{name}") for name in chosen or [""]]
    if key and response.method in ("PUT", "POST"):
        actions += [action for header, action in _HEADERS.items() if header in response.headers]
    if asks_bypass(response):
        actions.append("BypassGovernanceRetention")
    yield from _on_object(actions, f"{bucket}/{key}" if key else bucket, found)
    if source := unquote(response.headers.get("x-amz-copy-source", "")):
        path, _, version = source.removeprefix("/").partition("?versionId=")
        action = "GetObjectVersion" if version else "GetObject"
        yield from _on_object([action], path, response.backend.buckets.get(path.partition("/")[0]))


def _of_many_deletes(response: S3Response, bucket: str, found: FakeBucket | None) -> Iterator[Permission]:
    asked = xmltodict.parse(response.body, force_list=("Object",))["Delete"].get("Object") or [{"Key": ANY}]
    for one in asked:
        actions = ["DeleteObjectVersion" if one.get("VersionId") else "DeleteObject"]
        actions += ["BypassGovernanceRetention"] if asks_bypass(response) else []
        yield from _on_object(actions, f"{bucket}/{one['Key']}", found)


def _on_object(actions: list[str], path: str, bucket: FakeBucket | None) -> Iterator[Permission]:
    """Yield permissions on a bucket or an object, and on the key that encrypts what is read or written.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html (permissions)
    """
    policy = json.loads(bucket.policy) if bucket is not None and bucket.policy else None
    for action in dict.fromkeys(actions):
        yield Permission(action=f"s3:{action}", resource=f"arn:aws:s3:::{path}", policy=policy)
    if bucket is None or not bucket.encryption or "/" not in path:
        return
    default = bucket.encryption["Rule"]["ApplyServerSideEncryptionByDefault"]
    if key_id := default.get("KMSMasterKeyID"):
        for use in dict.fromkeys(_DATA_KEY[action] for action in actions if action in _DATA_KEY):
            yield of_key(f"kms:{use}", key_id, bucket.region_name)
