"""The people of the embedded platform, their keys, and what survives the end of the process: users, sessions, locks."""

from __future__ import annotations

import json
import os
import stat
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from slipway.adapters.aws import Aws
from slipway.errors import NotBootstrapped
from slipway.sandbox.aws.environment import REGION, authority_path
from slipway.sandbox.aws.instance import Instance
from slipway.sandbox.aws.people import OPERATOR, PEOPLE, ensure_people, read_people
from slipway.sandbox.platform import Platform, answers
from slipway.sandbox.process import Process, port_for
from tests.aws.conftest import Client

PROJECT = Path(__file__).parents[2]
ROLE = "finedge-staging-approver"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
            "Condition": {
                "StringEquals": {"sts:RoleSessionName": "${aws:username}"},
                "Bool": {"aws:MultiFactorAuthPresent": "true"},
            },
        }
    ],
}
KNOWN = f"AWS4-HMAC-SHA256 Credential=embedded/20261123/{REGION}/s3/aws4_request, SignedHeaders=host, Signature=0"
OWN = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::kept/approvals/*/${aws:userid}"}
    ],
}


class Served:
    """The AWS part of a platform, started as the platform starts it."""

    def __init__(self, root: Path) -> None:
        self.platform = Platform(root)
        self.part = Process(self.platform.root, "aws")
        self.start()

    def start(self) -> None:
        root = self.platform.root
        ports = {"http": port_for(root, "aws"), "proxy": port_for(root, "aws-proxy")}
        command = [sys.executable, "-m", "slipway.sandbox.aws", "serve", "--port", str(ports["http"])]
        command += ["--proxy-port", str(ports["proxy"]), "--ready-file", str(root / "ready.json")]
        command += ["--state", str(root / "aws")]
        self.part.ensure(command, environment={"PATH": os.environ["PATH"]}, ports=ports, cwd=PROJECT)
        self.part.wait_ready(lambda: answers(f"http://127.0.0.1:{ports['http']}/moto-api/"), timeout_s=60)
        ensure_people(self.platform.aws_endpoint, self.platform.people_file)

    def restart(self) -> None:
        self.part.stop()
        self.start()

    def acting(self, profile: str | None, role: str | None = None) -> Aws:
        credentials = self.platform.aws_credentials(profile, role)
        return Aws(region=REGION, endpoint=self.platform.aws_endpoint, credentials=credentials)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("platform")
    (root / ".sandbox").mkdir()
    found = Served(root)
    iam = found.acting(None).client("iam")
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.put_role_policy(RoleName=ROLE, PolicyName="own", PolicyDocument=json.dumps(OWN))
    yield found
    found.part.stop()


def test_everyone_has_a_key_that_only_this_user_of_the_machine_can_read(served: Served) -> None:
    file = served.platform.people_file

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert tuple(read_people(file)) == PEOPLE
    for name in PEOPLE:
        assert served.acting(name).caller().arn == f"arn:aws:iam::123456789012:user/{name}"


def test_the_keys_are_profiles_that_every_aws_tool_reads(served: Served) -> None:
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = str(served.platform.people_file)
    session = boto3.session.Session(profile_name="ben", region_name=REGION)
    arn = session.client("sts", endpoint_url=served.platform.aws_endpoint).get_caller_identity()["Arn"]

    assert arn.endswith("user/ben")


def test_a_second_start_changes_no_key(served: Served) -> None:
    before = served.platform.people_file.read_bytes()
    ensure_people(served.platform.aws_endpoint, served.platform.people_file)

    assert served.platform.people_file.read_bytes() == before


def test_a_lost_file_gives_everyone_a_new_key_and_ends_the_old_one(served: Served) -> None:
    old = served.acting("ana")
    served.platform.people_file.unlink()
    ensure_people(served.platform.aws_endpoint, served.platform.people_file)

    assert served.acting("ana").caller().arn.endswith("user/ana")
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        old.sts.get_caller_identity()


@pytest.mark.parametrize("profile", [None, "nobody"])
def test_whoever_is_unknown_acts_as_the_operator(served: Served, profile: str | None) -> None:
    assert served.platform.aws_credentials(profile, None) == OPERATOR
    assert served.platform.aws_credentials(profile, ROLE) == OPERATOR
    assert served.acting(profile).caller().arn == "arn:aws:iam::123456789012:root"


def test_a_person_enters_a_role_under_their_own_name(served: Served) -> None:
    caller = served.acting("ben", ROLE).caller()

    assert caller.arn == f"arn:aws:sts::123456789012:assumed-role/{ROLE}/ben"
    assert caller.user_id.startswith("AROA")
    assert caller.user_id.endswith(":ben")


def test_a_role_that_is_not_there_yet_is_said_to_be_missing(served: Served) -> None:
    with pytest.raises(NotBootstrapped, match="no role finedge-prod-approver yet"):
        served.platform.aws_credentials("ben", "finedge-prod-approver")


def test_people_sessions_and_locks_outlive_the_process(served: Served) -> None:
    operator, ben = served.acting(None), served.acting("ben", ROLE)
    place = {"LocationConstraint": REGION}
    operator.s3.create_bucket(Bucket="kept", ObjectLockEnabledForBucket=True, CreateBucketConfiguration=place)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 10}}
    configuration = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    operator.s3.put_object_lock_configuration(Bucket="kept", ObjectLockConfiguration=configuration)
    key = f"approvals/p1/{ben.caller().user_id}"
    version = {"Bucket": "kept", "Key": key}
    version["VersionId"] = ben.s3.put_object(**version, Body=b"ben's")["VersionId"]
    before, keys = ben.caller(), served.platform.people_file.read_bytes()
    retention = operator.s3.get_object_retention(**version)["Retention"]

    served.restart()

    assert (ben.caller(), served.platform.people_file.read_bytes()) == (before, keys)
    assert operator.s3.get_object_retention(**version)["Retention"] == retention
    assert operator.s3.get_object(**version)["Body"].read() == b"ben's"
    with pytest.raises(ClientError, match="AccessDenied"):
        operator.s3.delete_object(**version, BypassGovernanceRetention=True)
    sooner = {"Mode": "COMPLIANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(days=1)}
    with pytest.raises(ClientError, match="AccessDenied"):
        operator.s3.put_object_retention(**version, Retention=sooner)
    with pytest.raises(ClientError, match="s3:PutObject"):
        ben.s3.put_object(Bucket="kept", Key="approvals/p1/AROAX:chris", Body=b"not ben's")
    operator.s3.put_object(Bucket="kept", Key="later", Body=b"x")
    assert operator.s3.get_object_retention(Bucket="kept", Key="later")["Retention"]["Mode"] == "COMPLIANCE"


def credentials(**changed: str) -> dict[str, Any]:
    return {"aws_access_key_id": "embedded", "aws_secret_access_key": "embedded", "region_name": REGION} | changed


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("s3", "list_buckets", "InvalidAccessKeyId"),
        ("kms", "list_keys", "UnrecognizedClientException"),
        ("dynamodb", "list_tables", "UnrecognizedClientException"),
        ("iam", "list_users", "InvalidClientTokenId"),
        ("sts", "get_caller_identity", "InvalidClientTokenId"),
    ],
)
def test_a_key_that_nobody_has_opens_nothing(served: Served, service: str, operation: str, code: str) -> None:
    unknown = credentials(aws_access_key_id="AKIAIOSFODNN7EXAMPLE")
    client = boto3.client(service, endpoint_url=served.platform.aws_endpoint, **unknown)

    with pytest.raises(ClientError, match=code):
        getattr(client, operation)()


def test_a_session_is_nobody_without_its_token_and_after_its_end(served: Served) -> None:
    given = dict(served.platform.aws_credentials("ben", ROLE))
    endpoint = served.platform.aws_endpoint
    for token in (None, "another"):
        client = boto3.client("sts", endpoint_url=endpoint, **{**given, "aws_session_token": token}, region_name=REGION)
        with pytest.raises(ClientError, match="InvalidClientTokenId"):
            client.get_caller_identity()
    unchecked = Config(parameter_validation=False)  # AWS's shortest session is 15 minutes
    person = served.platform.aws_credentials("ben", None)
    sts = boto3.client("sts", endpoint_url=endpoint, region_name=REGION, config=unchecked, **person)
    arn = f"arn:aws:iam::123456789012:role/{ROLE}"
    ended = sts.assume_role(RoleArn=arn, RoleSessionName="ben", DurationSeconds=0)["Credentials"]
    over = {
        "aws_access_key_id": ended["AccessKeyId"],
        "aws_secret_access_key": ended["SecretAccessKey"],
        "aws_session_token": ended["SessionToken"],
    }
    for service, operation, code in (("sts", "get_caller_identity", "ExpiredToken"), ("s3", "list_buckets", "Expired")):
        client = boto3.client(service, endpoint_url=endpoint, region_name=REGION, **over)
        with pytest.raises(ClientError, match=code):
            getattr(client, operation)()


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "AccessDenied"),
        ({"Authorization": KNOWN.replace("embedded", "")}, "AccessDenied"),
        ({"Authorization": KNOWN, "x-moto-account-id": "999999999999"}, "InvalidAccessKeyId"),
    ],
    ids=["nobody", "an empty name", "moto's way into another account"],
)
def test_a_request_without_a_name_of_this_account_is_refused(
    served: Served, headers: dict[str, str], code: str
) -> None:
    request = urllib.request.Request(f"{served.platform.aws_endpoint}/some-bucket", headers=headers)
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request, timeout=10)

    assert refusal.value.code == 403
    assert f"<Code>{code}</Code>" in refusal.value.read().decode()


def test_people_can_do_nothing_but_enter_roles(served: Served) -> None:
    ben = served.acting("ben")
    with pytest.raises(ClientError, match=r"user/ben is not authorized to perform: iam:PutUserPolicy"):
        ben.client("iam").put_user_policy(UserName="ben", PolicyName="more", PolicyDocument="{}")
    with pytest.raises(ClientError, match=r"s3:ListAllMyBuckets"):
        ben.s3.list_buckets()
    with pytest.raises(ClientError, match=r"kms:CreateKey"):
        ben.kms.create_key()


@pytest.mark.parametrize("door", ["server", "proxy"])
def test_both_doors_refuse_alike(door: str, instance: Instance, through_server: Client) -> None:
    iam, name = through_server("iam"), f"dora-{door}"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    way = {
        "server": {"endpoint_url": f"http://127.0.0.1:{instance.port}"},
        "proxy": {
            "config": Config(proxies={"https": f"http://127.0.0.1:{instance.proxy_port}"}),
            "verify": str(authority_path()),
        },
    }[door]
    own = credentials(aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
    s3, sts = boto3.client("s3", **way, **own), boto3.client("sts", **way, **own)

    assert sts.get_caller_identity()["Arn"].endswith(f"user/{name}")
    with pytest.raises(ClientError, match=f"user/{name} is not authorized to perform: s3:CreateBucket on resource"):
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    with pytest.raises(ClientError, match="403"):
        s3.head_bucket(Bucket=name)
