"""An environment root on the embedded AWS: what an apply makes, and what plans say of it afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipway.adapters.terraform import Terraform
from slipway.errors import SlipwayError
from slipway.sandbox.aws import terraform_environment
from slipway.sandbox.aws.instance import Instance
from tests.terraform.conftest import ROOT, Applied

Client = Callable[[str], Any]
ENVIRONMENTS = ("dev", "staging", "prod")
ACCOUNT = "123456789012"


def test_the_first_plan_only_creates_and_the_second_is_empty(staging: Applied, tmp_path: Path) -> None:
    assert staging.first.has_changes
    assert len(staging.first.summary.creates) == len(staging.first.summary.changes) > 20
    assert not staging.first.summary.destroys_data

    second = staging.terraform.plan(tmp_path / "second.tfplan")
    assert not second.has_changes
    assert second.summary.changes == ()


def test_an_apply_tells_of_every_resource_as_it_is_made(staging: Applied) -> None:
    made = [one["hook"]["resource"]["addr"] for one in staging.events if one["type"] == "apply_complete"]

    assert set(staging.first.summary.creates) <= set(made)


def test_the_state_knows_its_serial_and_every_resource(staging: Applied) -> None:
    state = staging.terraform.observe_state()

    assert state.serial == staging.terraform.serial() > 0
    assert len(state.lineage) == 36
    assert state.resources == len(staging.first.summary.creates)


def test_nothing_is_written_into_the_configuration(staging: Applied) -> None:
    found = {path.name for path in staging.terraform.root.iterdir()}

    assert found == {"main.tf", "outputs.tf", "variables.tf", "versions.tf", ".terraform.lock.hcl"}


def test_outputs_name_what_slipway_uses(staging: Applied) -> None:
    outputs = staging.terraform.outputs()

    assert outputs["buckets"] == {one: f"finedge-staging-{one}" for one in ("evidence", "landing", "releases")}
    assert outputs["deployments_table"] == "finedge-staging-deployments"
    assert outputs["deployments_topic_arn"] == f"arn:aws:sns:eu-west-1:{ACCOUNT}:finedge-staging-deployments"
    assert {key["alias"] for key in outputs["keys"].values()} == {
        f"alias/finedge-staging-{purpose}" for purpose in ("approvals", "data", "evidence")
    }
    assert set(outputs["secret_arns"]) == {"postgres/core", "warehouse/loader", "warehouse/transformer"}
    assert set(outputs["role_arns"]) == {"airflow", "approver", "deployer"}


@pytest.mark.parametrize(
    ("bucket", "versioning"), [("evidence", "Enabled"), ("releases", "Enabled"), ("landing", None)]
)
def test_buckets_are_private_and_encrypted(
    staging: Applied, client: Client, bucket: str, versioning: str | None
) -> None:
    s3, name = client("s3"), f"finedge-staging-{bucket}"
    rule = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"][0]
    block = s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]

    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert all(block.values())
    assert s3.get_bucket_versioning(Bucket=name).get("Status") == versioning
    assert "aws:SecureTransport" in s3.get_bucket_policy(Bucket=name)["Policy"]
    s3.put_object(Bucket=name, Key="probe", Body=b"1")
    s3.delete_object(Bucket=name, Key="probe")


def test_evidence_is_locked_from_the_moment_it_is_written(staging: Applied, client: Client) -> None:
    s3, name = client("s3"), "finedge-staging-evidence"
    configuration = s3.get_object_lock_configuration(Bucket=name)["ObjectLockConfiguration"]
    retention = configuration["Rule"]["DefaultRetention"]

    assert configuration["ObjectLockEnabled"] == "Enabled"
    assert (retention["Mode"], retention["Days"]) == ("GOVERNANCE", 30)


def test_the_deployment_table_is_a_numbered_stream_that_can_be_restored(staging: Applied, client: Client) -> None:
    dynamodb, name = client("dynamodb"), "finedge-staging-deployments"
    table = dynamodb.describe_table(TableName=name)["Table"]
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]

    assert [(one["AttributeName"], one["KeyType"]) for one in table["KeySchema"]] == [
        ("stream", "HASH"),
        ("seq", "RANGE"),
    ]
    assert {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]} == {
        "stream": "S",
        "seq": "N",
    }
    assert table["SSEDescription"]["SSEType"] == "KMS"
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"


@pytest.mark.parametrize(("key", "role"), [("evidence", "deployer"), ("approvals", "approver")])
def test_each_signing_key_can_be_used_by_one_role_only(staging: Applied, client: Client, key: str, role: str) -> None:
    kms = client("kms")
    found = kms.describe_key(KeyId=f"alias/finedge-staging-{key}")["KeyMetadata"]
    policy = json.loads(kms.get_key_policy(KeyId=found["KeyId"], PolicyName="default")["Policy"])
    signing = [one for one in policy["Statement"] if "kms:Sign" in json.dumps(one["Action"])]

    assert (found["KeySpec"], found["KeyUsage"]) == ("ECC_NIST_P256", "SIGN_VERIFY")
    assert [one["Condition"] for one in signing] == [
        {"ArnEquals": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/finedge-staging-{role}"}}
    ]


def test_no_role_may_do_everything_or_delete_history(staging: Applied, client: Client) -> None:
    iam = client("iam")
    for role in staging.terraform.outputs()["role_arns"]:
        document = iam.get_role_policy(RoleName=f"finedge-staging-{role}", PolicyName="permissions")["PolicyDocument"]
        actions = [one for statement in document["Statement"] for one in listed(statement["Action"])]
        resources = [one for statement in document["Statement"] for one in listed(statement["Resource"])]
        assert actions
        assert not [one for one in actions if one.endswith("*") or one.startswith("dynamodb:Delete")]
        assert "*" not in resources


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_a_changed_input_plans_that_change_and_no_other(staging: Applied, tmp_path: Path) -> None:
    plan = staging.terraform.plan(tmp_path / "p.tfplan", variables={"deployer_principals": people("ann")})

    assert plan.summary.updates == ("module.platform.module.deployer.aws_iam_role.this",)
    (change,) = plan.summary.changes
    assert change.grants_access
    assert [field.name for field in change.fields] == ["assume_role_policy"]
    assert "user/ann" in change.fields[0].after


def test_approvers_from_an_identity_center_are_named_by_its_tag(staging: Applied, tmp_path: Path) -> None:
    tag = "${aws:PrincipalTag/userName}"
    role = f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Approvers_0123456789"
    named = {"approver_session_name": tag, "approver_principals": json.dumps([role])}
    plan = staging.terraform.plan(tmp_path / "p.tfplan", variables=named)

    assert plan.summary.updates == ("module.platform.module.approver.aws_iam_role.this",)
    statement = json.loads(json.loads(plan.summary.changes[0].fields[0].after))["Statement"][0]
    assert statement["Principal"] == {"AWS": role}
    assert statement["Condition"] == {"StringEquals": {"sts:RoleSessionName": tag}}


def test_a_session_named_by_a_tag_that_anyone_may_set_is_refused(staging: Applied, tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match="needs approver_principals"):
        staging.terraform.plan(
            tmp_path / "p.tfplan", variables={"approver_session_name": "${aws:PrincipalTag/userName}"}
        )


def people(*names: str) -> str:
    return json.dumps([f"arn:aws:iam::{ACCOUNT}:user/{name}" for name in names])


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_the_environments_not_applied_here_are_valid(
    environment: str, instance: Instance, build: Path, backend: dict[str, str]
) -> None:
    terraform = Terraform(
        ROOT / "terraform/environments" / environment,
        build=build,
        environment=terraform_environment(instance.proxy_port),
    )
    terraform.init(key=f"{environment}.tfstate", **backend)

    assert terraform.validate() == ()


def test_the_environments_differ_in_their_own_name_protection_and_retention_only() -> None:
    folder = ROOT / "terraform/environments"
    assert {path.name for path in folder.iterdir()} == set(ENVIRONMENTS)
    for name in ("outputs.tf", "variables.tf", "versions.tf", ".terraform.lock.hcl"):
        assert len({(folder / environment / name).read_text() for environment in ENVIRONMENTS}) == 1
    assert "protected                   = true" in (folder / "prod/main.tf").read_text()
    assert 'evidence_lock = { mode = "COMPLIANCE", days = 2557 }' in (folder / "prod/main.tf").read_text()


def test_the_lock_file_serves_linux_and_apple_machines() -> None:
    content = (ROOT / "terraform/environments/prod/.terraform.lock.hcl").read_text()

    assert content.count('"h1:') == 2


def test_the_provider_is_configured_as_in_production() -> None:
    files = sorted((ROOT / "terraform").rglob("*.tf"))
    assert len(files) > 20
    for path in files:
        content = path.read_text()
        for crutch in ("skip_", "endpoints", "127.0.0.1", "localhost", "access_key", "s3_use_path_style"):
            assert crutch not in content, f"{path}: {crutch}"


def test_every_file_is_formatted(staging: Applied) -> None:
    code, said, _ = staging.terraform.cmd("fmt", str(ROOT / "terraform"), check=True, recursive=True)

    assert (code, said) == (0, "")
