"""The embedded AWS remembers, whether it was stopped or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from slipway.sandbox.aws.environment import python_environment
from slipway.sandbox.aws.instance import Instance

PROJECT = Path(__file__).parents[2]


@contextmanager
def served(folder: Path, *, ended_by: signal.Signals) -> Iterator[Instance]:
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "slipway.sandbox.aws", "serve", "--ready-file", str(ready)]
    process = subprocess.Popen(
        [*command, "--state", str(folder / "state")], cwd=PROJECT, stderr=subprocess.DEVNULL, env={**os.environ}
    )
    try:
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Instance.from_file(ready)
    finally:
        process.send_signal(ended_by)
        process.wait(20)


def client(service: str, instance: Instance) -> Any:
    variables = python_environment(instance.port)
    return boto3.client(
        service,
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=variables["AWS_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_objects_items_keys_and_roles_outlive_the_process(tmp_path: Path, end: signal.Signals) -> None:
    with served(tmp_path, ended_by=end) as first:
        s3, dynamodb, kms = (client(name, first) for name in ("s3", "dynamodb", "kms"))
        s3.create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        s3.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
        for body in (b"one", b"two"):
            s3.put_object(Bucket="kept", Key="object", Body=body)
        dynamodb.create_table(
            TableName="kept",
            KeySchema=[{"AttributeName": "stream", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "stream", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        dynamodb.put_item(TableName="kept", Item={"stream": {"S": "journal"}})
        key = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["KeyId"]
        public = kms.get_public_key(KeyId=key)["PublicKey"]
        client("iam", first).create_role(RoleName="kept", AssumeRolePolicyDocument="{}")
        if end is signal.SIGKILL:
            wait_until_kept(tmp_path / "state")
    with served(tmp_path, ended_by=signal.SIGTERM) as second:
        s3 = client("s3", second)
        versions = s3.list_object_versions(Bucket="kept", Prefix="object")["Versions"]
        assert len(versions) == 2
        assert s3.get_object(Bucket="kept", Key="object")["Body"].read() == b"two"
        assert client("dynamodb", second).scan(TableName="kept")["Items"] == [{"stream": {"S": "journal"}}]
        assert client("kms", second).get_public_key(KeyId=key)["PublicKey"] == public
        assert client("iam", second).get_role(RoleName="kept")["Role"]["RoleName"] == "kept"


def test_what_cannot_be_read_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    with served(tmp_path, ended_by=signal.SIGTERM) as first:
        client("s3", first).create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    (file,) = (tmp_path / "state").glob("s3-*.pickle")
    file.write_bytes(half := file.read_bytes()[:200])
    command = [sys.executable, "-m", "slipway.sandbox.aws", "serve", "--ready-file", str(tmp_path / "ready.json")]
    refused = subprocess.run(
        [*command, "--state", str(tmp_path / "state")], cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    assert refused.returncode == 2
    assert f"{file} cannot be read" in refused.stderr
    assert "sandbox.down" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert file.read_bytes() == half


def wait_until_kept(state: Path) -> None:
    """Return when no file of the state has changed for longer than the server waits before it writes."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        files = list(state.glob("*.pickle"))
        if len(files) >= 4 and time.time() - max(file.stat().st_mtime for file in files) > 0.6:
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing was kept in {state}")
