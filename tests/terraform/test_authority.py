"""Who may do what in an environment: the roles as Terraform made them, judged as IAM judges."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from slipway.adapters.aws import Aws, translated
from slipway.errors import NotBootstrapped, StepFailed
from slipway.sandbox.aws.environment import REGION
from slipway.sandbox.aws.instance import Instance
from slipway.sandbox.aws.people import OPERATOR, ensure_people, enter, read_people
from tests.terraform.conftest import Applied

ACCOUNT = "123456789012"
BUCKET = "finedge-staging-evidence"
TABLE = "finedge-staging-deployments"
DIGEST = {"Message": bytes(32), "MessageType": "DIGEST", "SigningAlgorithm": "ECDSA_SHA_256"}
As = Callable[[str, str | None], Aws]


@pytest.fixture(scope="module")
def endpoint(instance: Instance) -> str:
    return f"http://127.0.0.1:{instance.port}"


@pytest.fixture(scope="module")
def people(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    file = tmp_path_factory.mktemp("people") / "aws-credentials"
    ensure_people(endpoint, file)
    return read_people(file)


@pytest.fixture(scope="module")
def acting(staging: Applied, endpoint: str, people: dict[str, dict[str, str]]) -> As:
    """Return the account as someone sees it: a person, in a role or without one; or the operator."""

    @cache
    def act(person: str, role: str | None = None) -> Aws:
        own = people.get(person, dict(OPERATOR))
        credentials = own if role is None else enter(endpoint, own, role=f"finedge-staging-{role}", session_name=person)
        return Aws(region=REGION, endpoint=endpoint, credentials=credentials)

    return act


@pytest.fixture(scope="module")
def written(acting: As) -> dict[str, Any]:
    """A bundle that the deployer wrote."""
    key = "deployments/d1/00000007.dsse.json"
    done = acting("ana", "deployer").s3.put_object(Bucket=BUCKET, Key=key, Body=b"{}")
    return {"Bucket": BUCKET, "Key": key, "VersionId": done["VersionId"]}


def refused(call: Callable[[], object], action: str, who: str) -> None:
    with pytest.raises(ClientError) as refusal:
        call()
    error = refusal.value.response["Error"]
    assert error["Code"] in ("AccessDenied", "AccessDeniedException", "AuthorizationError")
    assert f"{who} is not authorized to perform: {action} on resource: " in error["Message"]


def session(role: str, person: str) -> str:
    return f"arn:aws:sts::{ACCOUNT}:assumed-role/finedge-staging-{role}/{person}"


def test_a_caller_is_named_by_the_session_and_known_by_a_lasting_id(acting: As) -> None:
    caller = acting("ben", "approver").caller()
    role_id = acting("nobody").client("iam").get_role(RoleName="finedge-staging-approver")["Role"]["RoleId"]

    assert caller.arn == session("approver", "ben") == acting("ben", "approver").identity()
    assert caller.user_id == f"{role_id}:ben"
    assert role_id.startswith("AROA")
    assert acting("ben").caller().arn == f"arn:aws:iam::{ACCOUNT}:user/ben"
    assert acting("nobody").caller().arn == f"arn:aws:iam::{ACCOUNT}:root"


@pytest.mark.parametrize(
    ("person", "role", "key", "may"),
    [
        ("ben", "approver", "approvals", True),
        ("ben", "approver", "evidence", False),
        ("ana", "deployer", "evidence", True),
        ("ana", "deployer", "approvals", False),
        ("ben", None, "approvals", False),
        ("ben", None, "evidence", False),
        ("operator", None, "evidence", True),
        ("operator", None, "approvals", False),
    ],
)
def test_a_key_signs_for_its_own_role_only(acting: As, person: str, role: str | None, key: str, may: bool) -> None:
    kms = acting(person, role).kms
    alias = f"alias/finedge-staging-{key}"
    if may:
        assert kms.sign(KeyId=alias, **DIGEST)["Signature"]
        assert kms.get_public_key(KeyId=alias)["PublicKey"]
        return
    who = session(role, person) if role else {"operator": "root", "ben": "user/ben"}[person]
    refused(lambda: kms.sign(KeyId=alias, **DIGEST), "kms:Sign", who)


def test_no_other_name_of_the_key_opens_it(acting: As) -> None:
    operator = acting("operator").kms
    found = operator.describe_key(KeyId="alias/finedge-staging-approvals")["KeyMetadata"]
    alias_arn = found["Arn"].replace(f"key/{found['KeyId']}", "alias/finedge-staging-approvals")
    for name in (found["KeyId"], found["Arn"], alias_arn):
        for kms in (operator, acting("ana", "deployer").kms):
            with pytest.raises(ClientError, match="is not authorized to perform: kms:Sign"):
                kms.sign(KeyId=name, **DIGEST)


def said_to(endpoint: str, service: str, body: str, **headers: str) -> tuple[int, str]:
    """Return the answer to a request that no SDK would make; the operator's."""
    scope = f"embedded/20261123/{REGION}/{service}/aws4_request"
    headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
    request = urllib.request.Request(endpoint, data=body.encode(), headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize("operation", ["Sign", "sign", "SIGN"])
def test_no_other_spelling_signs(staging: Applied, endpoint: str, operation: str) -> None:
    asked = {"KeyId": "alias/finedge-staging-approvals", "SigningAlgorithm": "ECDSA_SHA_256", "MessageType": "RAW"}
    body = json.dumps({**asked, "Message": "eA=="})
    status, said = said_to(endpoint, "kms", body, **{"X-Amz-Target": f"TrentService.{operation}"})

    assert status >= 400
    assert '"Signature"' not in said


@pytest.mark.parametrize(
    "operation", ["AssumeRole", "assumeRole", "assume_role", "AssumeROLE", "AssumeRoleWithWebIdentity"]
)
def test_no_other_spelling_enters_a_role(staging: Applied, endpoint: str, operation: str) -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/finedge-staging-approver"
    asked = {"Action": operation, "RoleArn": role, "RoleSessionName": "ben", "WebIdentityToken": "x" * 20}
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    status, said = said_to(endpoint, "sts", urllib.parse.urlencode({**asked, "Version": "2011-06-15"}), **kind)

    assert status >= 400
    assert "SecretAccessKey" not in said


def test_both_roles_read_both_public_keys(acting: As) -> None:
    for person, role in (("ana", "deployer"), ("ben", "approver")):
        for key in ("approvals", "evidence"):
            assert acting(person, role).kms.get_public_key(KeyId=f"alias/finedge-staging-{key}")["PublicKey"]


@pytest.mark.parametrize("key", ["approvals/p1/AROAX:ana.dsse.json", "reviews/d1/AROAX:ana.dsse.json", "other.json"])
def test_the_deployer_writes_neither_approvals_nor_reviews(acting: As, key: str) -> None:
    s3 = acting("ana", "deployer").s3
    refused(lambda: s3.put_object(Bucket=BUCKET, Key=key, Body=b"x"), "s3:PutObject", session("deployer", "ana"))


def test_not_even_a_policy_attached_later_lets_the_deployer_approve(acting: As) -> None:
    iam = acting("operator").client("iam")
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    named = {"RoleName": "finedge-staging-deployer", "PolicyName": "later"}
    iam.put_role_policy(PolicyDocument=json.dumps(everything), **named)
    try:
        deployer = acting("ana", "deployer")
        with pytest.raises(ClientError, match="explicit deny"):
            deployer.s3.put_object(Bucket=BUCKET, Key="approvals/p1/x.dsse.json", Body=b"x")
        with pytest.raises(ClientError, match="kms:Sign"):
            deployer.kms.sign(KeyId="alias/finedge-staging-approvals", **DIGEST)
    finally:
        iam.delete_role_policy(**named)


def test_what_is_encrypted_needs_its_key_too(acting: As, written: dict[str, Any]) -> None:
    iam = acting("operator").client("iam")
    no_key = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "kms:*", "Resource": "*"}]}
    named = {"RoleName": "finedge-staging-deployer", "PolicyName": "later"}
    iam.put_role_policy(PolicyDocument=json.dumps(no_key), **named)
    try:
        s3, who = acting("ana", "deployer").s3, session("deployer", "ana")
        key = "deployments/d1/00000009.dsse.json"
        refused(lambda: s3.put_object(Bucket=BUCKET, Key=key, Body=b"x"), "kms:GenerateDataKey", who)
        refused(lambda: s3.get_object(**written), "kms:Decrypt", who)
    finally:
        iam.delete_role_policy(**named)


def test_the_deployer_writes_and_reads_evidence_checkpoints_and_plans(acting: As, written: dict[str, Any]) -> None:
    deployer = acting("ana", "deployer")
    deployer.s3.put_object(Bucket=BUCKET, Key="checkpoints/00000007.dsse.json", Body=b"{}")
    sooner = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": datetime.now(UTC) + timedelta(hours=1)}
    with pytest.raises(ClientError, match="PutObjectRetention"):  # a writer may not choose a shorter one
        deployer.s3.put_object(Bucket=BUCKET, Key="checkpoints/00000008.dsse.json", Body=b"{}", **sooner)
    deployer.s3.put_object(Bucket="finedge-staging-releases", Key="terraform-plans/x.tfplan", Body=b"x")

    assert deployer.s3.get_object(**written)["Body"].read() == b"{}"
    assert deployer.s3.get_object_retention(**written)["Retention"]["Mode"] == "GOVERNANCE"
    assert deployer.s3.list_object_versions(Bucket=BUCKET, Prefix="deployments/")["Versions"]
    assert deployer.s3.list_objects_v2(Bucket=BUCKET)["Contents"]


@pytest.mark.parametrize(("person", "role"), [("ana", "deployer"), ("ben", "approver")])
def test_no_role_deletes_a_version_or_bends_its_retention(
    acting: As, written: dict[str, Any], person: str, role: str
) -> None:
    s3, who = acting(person, role).s3, session(role, person)
    locked = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
    refused(lambda: s3.delete_object(**written), "s3:DeleteObjectVersion", who)
    refused(lambda: s3.delete_object(**written, BypassGovernanceRetention=True), "s3:DeleteObjectVersion", who)
    refused(
        lambda: s3.delete_objects(
            Bucket=BUCKET, Delete={"Objects": [{"Key": written["Key"], "VersionId": written["VersionId"]}]}
        ),
        "s3:DeleteObjectVersion",
        who,
    )
    refused(
        lambda: s3.put_object_lock_configuration(Bucket=BUCKET, ObjectLockConfiguration=locked),
        "s3:PutBucketObjectLockConfiguration",
        who,
    )


def test_the_operator_deletes_no_locked_version_by_any_way(acting: As, written: dict[str, Any]) -> None:
    s3 = acting("operator").s3
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(**written)
    with pytest.raises(ClientError, match=r"s3:BypassGovernanceRetention .* explicit deny in a resource-based policy"):
        s3.delete_object(**written, BypassGovernanceRetention=True)
    sooner = {"Mode": "GOVERNANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(days=1)}
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object_retention(**written, Retention=sooner)

    assert s3.get_object(**written)["Body"].read() == b"{}"


@pytest.mark.parametrize("folder", ["approvals/p1", "reviews/d1"])
def test_the_approver_writes_under_their_own_user_id_only(acting: As, folder: str) -> None:
    ben, chris = acting("ben", "approver"), acting("chris", "approver")
    own, other = ben.caller().user_id, chris.caller().user_id
    ben.s3.put_object(Bucket=BUCKET, Key=f"{folder}/{own}.dsse.json", Body=b"ben's")

    for key in (f"{folder}/{other}.dsse.json", f"{folder}/{own}", f"{folder}/x.dsse.json", f"{folder}/*.dsse.json"):
        refused(
            lambda key=key: ben.s3.put_object(Bucket=BUCKET, Key=key, Body=b"not ben's"),
            "s3:PutObject",
            session("approver", "ben"),
        )
    assert chris.s3.get_object(Bucket=BUCKET, Key=f"{folder}/{own}.dsse.json")["Body"].read() == b"ben's"


def test_the_approver_writes_neither_evidence_nor_journal_nor_releases(acting: As, written: dict[str, Any]) -> None:
    ben, who = acting("ben", "approver"), session("approver", "ben")
    item = {"stream": {"S": "journal"}, "seq": {"N": "1"}}
    for bucket, key in (
        (BUCKET, "deployments/d1/00000008.dsse.json"),
        (BUCKET, "checkpoints/00000008.dsse.json"),
        ("finedge-staging-releases", "approvals/p1.json"),
        ("finedge-staging-releases", "airflow/CURRENT"),
    ):
        refused(
            lambda bucket=bucket, key=key: ben.s3.put_object(Bucket=bucket, Key=key, Body=b"x"), "s3:PutObject", who
        )
    refused(lambda: ben.dynamodb.put_item(TableName=TABLE, Item=item), "dynamodb:PutItem", who)
    refused(
        lambda: ben.dynamodb.transact_write_items(TransactItems=[{"Put": {"TableName": TABLE, "Item": item}}]),
        "dynamodb:PutItem",
        who,
    )
    assert ben.s3.get_object(**written)["Body"].read() == b"{}"
    assert "Item" not in ben.dynamodb.get_item(TableName=TABLE, Key=item)


def test_the_approver_reads_releases_but_no_plan_file(acting: As) -> None:
    acting("ana", "deployer").s3.put_object(Bucket="finedge-staging-releases", Key="terraform-plans/y.tfplan", Body=b"")
    acting("ana", "deployer").s3.put_object(Bucket="finedge-staging-releases", Key="plans/y.json", Body=b"{}")
    s3 = acting("ben", "approver").s3

    assert s3.get_object(Bucket="finedge-staging-releases", Key="plans/y.json")["Body"].read() == b"{}"
    refused(
        lambda: s3.get_object(Bucket="finedge-staging-releases", Key="terraform-plans/y.tfplan"),
        "s3:GetObject",
        session("approver", "ben"),
    )


def test_a_role_does_nothing_that_it_has_no_policy_for(acting: As) -> None:
    ben, who = acting("ben", "approver"), session("approver", "ben")
    topic = f"arn:aws:sns:{REGION}:{ACCOUNT}:finedge-staging-deployments"
    refused(lambda: ben.sns.publish(TopicArn=topic, Message="m"), "sns:Publish", who)
    refused(lambda: ben.client("iam").list_users(), "iam:ListUsers", who)
    refused(lambda: ben.s3.list_buckets(), "s3:ListAllMyBuckets", who)
    refused(lambda: acting("ben").s3.list_objects_v2(Bucket=BUCKET), "s3:ListBucket", "user/ben")

    assert acting("ana", "deployer").sns.publish(TopicArn=topic, Message="m")["MessageId"]


def test_a_session_is_called_like_its_person(acting: As, endpoint: str) -> None:
    for own, name in ((acting("ben"), "chris"), (acting("ben"), "ben2"), (acting("operator"), "ben")):
        arn = f"arn:aws:iam::{ACCOUNT}:role/finedge-staging-approver"
        with pytest.raises(ClientError, match=r"not authorized to perform: sts:AssumeRole on resource: .*-approver"):
            own.sts.assume_role(RoleArn=arn, RoleSessionName=name)
    assert enter(endpoint, OPERATOR, role="finedge-staging-deployer", session_name="ci")["aws_session_token"]


def test_a_role_that_was_never_made_says_how_to_make_it(
    staging: Applied, endpoint: str, people: dict[str, dict[str, str]]
) -> None:
    ben = people["ben"]
    with pytest.raises(NotBootstrapped, match="finedge-prod-approver") as missing:
        enter(endpoint, ben, role="finedge-prod-approver", session_name="ben")
    assert "--env prod" in str(missing.value)
    with pytest.raises(StepFailed, match="sts:AssumeRole"):
        enter(endpoint, ben, role="finedge-staging-approver", session_name="chris")


def test_a_denial_names_the_permission_to_ask_for(acting: As) -> None:
    kms = acting("ana", "deployer").kms
    with pytest.raises(StepFailed, match=r"may not kms:Sign") as denied, translated("approval", kms):
        kms.sign(KeyId="alias/finedge-staging-approvals", **DIGEST)

    assert session("deployer", "ana") in str(denied.value)


def test_a_key_of_nobody_is_refused(endpoint: str) -> None:
    for service, call in (("s3", "list_buckets"), ("kms", "list_keys"), ("iam", "list_users")):
        client = boto3.client(
            service,
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
            aws_secret_access_key="x",
        )
        with pytest.raises(ClientError, match=r"InvalidAccessKeyId|UnrecognizedClient|InvalidClientTokenId"):
            getattr(client, call)()
