"""A flip whose version turns out bad after the pointer was written: how things stand, and the way back."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest

from slipway.adapters.airflow import Airflow
from slipway.adapters.dag_pointer import DagPointer
from slipway.adapters.release_bucket import ReleaseBucket
from slipway.errors import StepFailed, Unavailable
from slipway.observation import Pointer
from slipway.sandbox.aws.instance import running
from slipway.step import FlipPointer
from tests.dags.server import InMemoryAirflow

BUCKET = "finedge-dev-releases"
STEP = FlipPointer(
    version="v2",
    release="r" * 64,
    config="c" * 64,
    archive_sha256="a" * 64,
    dag_ids=("customers", "fx_rates"),
    removes=(),
    replaces="v1",
)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("aws")) as instance:
        s3 = client(f"http://127.0.0.1:{instance.port}")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        yield f"http://127.0.0.1:{instance.port}"


def client(endpoint: str):  # type: ignore[no-untyped-def]  # boto3 has no types
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="eu-west-1",
        aws_access_key_id="embedded",
        aws_secret_access_key="embedded",
    )


@pytest.fixture
def bucket(endpoint: str) -> ReleaseBucket:
    """A release bucket without a pointer."""
    client(endpoint).delete_object(Bucket=BUCKET, Key="airflow/CURRENT")
    return ReleaseBucket(client(endpoint), BUCKET)


@pytest.fixture
def server() -> InMemoryAirflow:
    """An Airflow that has parsed one of the version's two DAGs, and could not import the other."""
    airflow = InMemoryAirflow("customers", "fx_rates")
    airflow.versions = {"customers": "v2", "fx_rates": "v1"}
    airflow.broken = {"fx_rates.py": "ModuleNotFoundError: No module named 'no_such_library'"}
    return airflow


def point_at(bucket: ReleaseBucket, version: str) -> None:
    wanted = Pointer(version=version, sha256="b" * 64, release="r" * 64, config="c" * 64, etag="")
    bucket.put_pointer(wanted, expected=bucket.pointer())


def flip(bucket: ReleaseBucket, server: InMemoryAirflow) -> None:
    DagPointer(bucket, Airflow(server), timeout_s=5).flip(STEP, lambda line: None)


def test_a_version_that_does_not_import_is_told_with_how_things_stand_and_the_way_back(
    bucket: ReleaseBucket, server: InMemoryAirflow
) -> None:
    point_at(bucket, "v1")

    with pytest.raises(StepFailed) as failed:
        flip(bucket, server)

    assert failed.value.message.startswith("v2 does not import:\n  fx_rates.py: ModuleNotFoundError")
    assert "the DAG pointer names v2" in failed.value.message
    assert "runs in flight go on with the version they began with" in failed.value.message
    assert failed.value.fix == "invoke rollback --env ENV"
    assert (now := bucket.pointer()) is not None
    assert now.version == "v2"


def test_asked_again_it_still_names_the_way_back(bucket: ReleaseBucket, server: InMemoryAirflow) -> None:
    point_at(bucket, "v2")

    with pytest.raises(StepFailed) as failed:
        flip(bucket, server)

    assert failed.value.fix == "invoke rollback --env ENV"


def test_after_a_first_flip_there_is_nothing_to_go_back_to(bucket: ReleaseBucket, server: InMemoryAirflow) -> None:
    with pytest.raises(StepFailed) as failed:
        flip(bucket, server)

    assert "the DAG pointer names v2" in failed.value.message
    assert "invoke deploy --env ENV" in str(failed.value.fix)


def test_an_airflow_that_falls_silent_after_the_write_leaves_the_pointer_and_says_so(bucket: ReleaseBucket) -> None:
    class Silent(InMemoryAirflow):
        def request(self, *_: object, **__: object) -> object:  # type: ignore[override]
            raise Unavailable("Airflow does not answer")

    point_at(bucket, "v1")

    with pytest.raises(Unavailable, match="the DAG pointer names v2") as failed:
        flip(bucket, Silent())

    assert "give the command again" in str(failed.value.fix)
    assert (now := bucket.pointer()) is not None
    assert now.version == "v2"
