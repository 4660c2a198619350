"""One embedded AWS and one applied environment for all tests of Terraform: applying takes a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from slipway.adapters.terraform import Terraform, TerraformPlan
from slipway.adapters.terraform_state import ensure_state_bucket
from slipway.sandbox.aws import terraform_environment
from slipway.sandbox.aws.environment import REGION
from slipway.sandbox.aws.instance import Instance, running

ROOT = Path(__file__).parents[2]
SLOW_ROOT = Path(__file__).parent / "slow"
STATE_BUCKET = "finedge-staging-tfstate"


@dataclass(frozen=True)
class Applied:
    """The staging environment after its first apply."""

    terraform: Terraform
    first: TerraformPlan
    events: tuple[Any, ...]  # of the apply


@pytest.fixture(scope="package")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running(tmp_path_factory.mktemp("aws")) as started:
        yield started


@pytest.fixture(scope="package")
def client(instance: Instance) -> Callable[[str], Any]:
    def make(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{instance.port}",
            aws_access_key_id="embedded",
            aws_secret_access_key="embedded",
            region_name=REGION,
        )

    return make


@pytest.fixture(scope="package")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("build")


@pytest.fixture(scope="package")
def backend(client: Callable[[str], Any]) -> dict[str, str]:
    ensure_state_bucket(client("s3"), STATE_BUCKET, REGION)
    return {"bucket": STATE_BUCKET, "region": REGION}


@pytest.fixture(scope="package")
def staging(instance: Instance, build: Path, backend: dict[str, str]) -> Applied:
    terraform = Terraform(
        ROOT / "terraform/environments/staging",
        build=build,
        environment=terraform_environment(instance.proxy_port),
    )
    terraform.init(key="staging.tfstate", **backend)
    first = terraform.plan(build / "first.tfplan")
    events: list[Any] = []
    terraform.apply(first.file, file_sha256=first.file_sha256, on_event=events.append)
    return Applied(terraform=terraform, first=first, events=tuple(events))


@pytest.fixture
def slow(instance: Instance, tmp_path: Path, backend: dict[str, str]) -> Terraform:
    """A root of two resources and no provider, whose second takes as long as its variable `pause_s` says."""
    terraform = Terraform(SLOW_ROOT, build=tmp_path / "build", environment=terraform_environment(instance.proxy_port))
    terraform.init(key=f"slow/{tmp_path.name}.tfstate", **backend)
    return terraform
