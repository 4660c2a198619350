"""The adapter itself: what it refuses, what it lets through, and what it leaves behind."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipway.adapters.terraform import Terraform, find_program
from slipway.errors import ConfigurationError, Stale, StepFailed
from slipway.sandbox.aws import terraform_environment
from slipway.sandbox.aws.instance import Instance
from tests.terraform.conftest import SLOW_ROOT, STATE_BUCKET


def test_before_the_first_apply_the_state_is_empty(slow: Terraform) -> None:
    state = slow.observe_state()

    assert (state.serial, state.lineage, state.resources) == (0, "", 0)


def test_a_plan_is_refused_once_the_state_has_moved(slow: Terraform, tmp_path: Path) -> None:
    one = slow.plan(tmp_path / "one.tfplan", variables={"content": "one"})
    other = slow.plan(tmp_path / "other.tfplan", variables={"content": "other"})
    assert one.summary.digest != other.summary.digest
    slow.apply(one.file, file_sha256=one.file_sha256)
    serial = slow.serial()

    with pytest.raises(Stale, match="moved since the plan was made"):
        slow.apply(other.file, file_sha256=other.file_sha256)
    assert slow.outputs() == {"content": "one"}
    assert slow.serial() == serial


def test_a_file_other_than_the_reviewed_one_is_refused(slow: Terraform, tmp_path: Path) -> None:
    one = slow.plan(tmp_path / "one.tfplan", variables={"content": "one"})
    other = slow.plan(tmp_path / "other.tfplan", variables={"content": "other"})

    with pytest.raises(Stale, match="is not the plan that was reviewed"):
        slow.apply(other.file, file_sha256=one.file_sha256)
    assert slow.serial() == 0


def test_the_same_changes_have_the_same_digest_and_an_empty_plan_none_of_them(slow: Terraform, tmp_path: Path) -> None:
    first, again = (slow.plan(tmp_path / f"{n}.tfplan") for n in range(2))
    assert first.summary == again.summary
    assert first.summary.creates == ("terraform_data.first", "terraform_data.second")
    assert first.summary.outputs == ("content",)
    slow.apply(again.file)

    empty = slow.plan(tmp_path / "empty.tfplan")
    assert not empty.has_changes
    assert empty.summary.digest != first.summary.digest


def test_apply_takes_no_options(slow: Terraform, tmp_path: Path) -> None:
    plan = slow.plan(tmp_path / "p.tfplan")

    with pytest.raises(ConfigurationError, match="applied as it is: target, var cannot be given"):
        slow.apply(plan.file, var=["a=b"], target="terraform_data.first")
    with pytest.raises(ConfigurationError, match="no saved plan"):
        slow.apply(tmp_path / "missing.tfplan")
    with pytest.raises(ConfigurationError, match="not run from here"):
        slow.destroy()


def test_an_end_is_planned_like_any_change(slow: Terraform, tmp_path: Path) -> None:
    slow.apply(slow.plan(tmp_path / "p.tfplan").file)
    plan = slow.plan(tmp_path / "end.tfplan", destroy=True)
    assert plan.summary.deletes == ("terraform_data.first", "terraform_data.second")
    slow.apply(plan.file)

    assert slow.observe_state().resources == 0


def test_a_misspelt_method_runs_nothing(slow: Terraform) -> None:
    with pytest.raises(AttributeError, match="Terraform has no 'aply'"):
        slow.aply()


def test_nothing_of_the_surroundings_changes_what_a_plan_says(
    instance: Instance, backend: dict[str, str], tmp_path: Path
) -> None:
    surroundings = dict(os.environ) | {
        "TF_VAR_content": "theirs",
        "TF_CLI_ARGS_plan": "-destroy",
        "TF_WORKSPACE": "theirs",
        "TF_DATA_DIR": str(tmp_path / "theirs"),
        "TF_CLI_CONFIG_FILE": str(tmp_path / "gone.tfrc"),
        "AWS_PROFILE": "theirs",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "https_proxy": "http://127.0.0.1:1",
    }
    terraform = Terraform(
        SLOW_ROOT,
        build=tmp_path / "build",
        environment=terraform_environment(instance.proxy_port),
        surroundings=surroundings,
    )
    terraform.init(key=f"slow/{tmp_path.name}.tfstate", **backend)
    terraform.apply(terraform.plan(tmp_path / "p.tfplan").file)

    assert terraform.outputs() == {"content": "a"}
    assert not (tmp_path / "theirs").exists()


def test_a_second_init_for_the_same_is_skipped_and_for_another_backend_is_not(
    slow: Terraform, backend: dict[str, str], tmp_path: Path
) -> None:
    assert slow.init(key=f"slow/{tmp_path.name}.tfstate", **backend) is False
    assert slow.init(key=f"slow/{tmp_path.name}-other.tfstate", **backend) is True


def test_plan_files_are_readable_by_their_owner_only(slow: Terraform, tmp_path: Path) -> None:
    plan = slow.plan(tmp_path / "folder" / "p.tfplan")

    assert stat.S_IMODE(plan.file.stat().st_mode) == 0o600


def test_no_file_with_variables_is_left_behind(slow: Terraform, tmp_path: Path) -> None:

    before = tempfile.tempdir
    tempfile.tempdir = str(tmp_path)
    try:
        slow.cmd("plan", input=False, no_color=True, var={"content": "secret"})
    except StepFailed:
        pass
    finally:
        tempfile.tempdir = before
    assert not list(tmp_path.rglob("*.tfvars.json"))


def test_errors_name_the_resource_and_the_place(slow: Terraform, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"undeclared variable"):
        slow.plan(tmp_path / "p.tfplan", variables={"misspelt": "x"})
    with pytest.raises(ConfigurationError, match=r"main.tf:\d+"):
        slow.plan(tmp_path / "p.tfplan", variables={"pause_s": "soon"})


def test_a_missing_state_bucket_is_a_matter_of_bootstrapping(instance: Instance, tmp_path: Path) -> None:
    terraform = Terraform(SLOW_ROOT, build=tmp_path, environment=terraform_environment(instance.proxy_port))

    with pytest.raises(ConfigurationError, match=r"does not exist(.|\n)*infra.bootstrap"):
        terraform.init(bucket="no-such-bucket", key="k", region="eu-west-1")


def test_a_machine_without_terraform_runs_the_packaged_one(tmp_path: Path) -> None:
    program = find_program({"PATH": str(tmp_path)})
    said = subprocess.run([*program, "version", "-json"], capture_output=True, text=True, check=True).stdout
    assert json.loads(said)["terraform_version"] >= "1.11"


def test_a_machine_without_any_terraform_is_told_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"install Terraform 1\.11 or newer"):
        find_program({"PATH": str(tmp_path)}, packaged=lambda: None)


def test_a_root_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="missing is no folder"):
        Terraform(tmp_path / "missing", build=tmp_path)


def test_a_lock_can_be_taken_from_a_holder_that_is_gone(
    slow: Terraform, client: Callable[[str], Any], tmp_path: Path
) -> None:
    lock = '{"ID": "5a2b7c1e-0000-4000-8000-000000000000", "Operation": "OperationTypeApply", "Who": "gone@host"}'
    client("s3").put_object(Bucket=STATE_BUCKET, Key=f"slow/{tmp_path.name}.tfstate.tflock", Body=lock.encode())
    slow.unlock("5a2b7c1e-0000-4000-8000-000000000000")

    assert slow.plan(tmp_path / "p.tfplan", lock_timeout_s=0).has_changes
