"""The two doors of the embedded AWS: the same services behind both, nothing beyond them."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import psutil
import pytest
from botocore.awsrequest import AWSPreparedRequest

from slipway.adapters.surroundings import without_aws
from slipway.sandbox.aws import python_environment, terraform_environment
from slipway.sandbox.aws.instance import Instance, running
from tests.aws.conftest import Client

SERVE = (sys.executable, "-m", "slipway.sandbox.aws", "serve")
PLACE = {"LocationConstraint": "eu-west-1"}


def bucket_made_by(client: Client) -> str:
    name = f"b-{uuid.uuid4().hex}"
    client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=PLACE)
    return name


def said_by_proxy(instance: Instance, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", instance.proxy_port), timeout=5) as connection:
        connection.sendall(request)
        return connection.recv(4096)


def test_what_is_written_at_one_door_is_read_at_the_other(through_server: Client, through_proxy: Client) -> None:
    bucket = bucket_made_by(through_proxy)
    through_proxy("s3").put_object(Bucket=bucket, Key="from/proxy", Body=b"1")
    through_server("s3").put_object(Bucket=bucket, Key="from/server", Body=b"2")

    assert through_server("s3").get_object(Bucket=bucket, Key="from/proxy")["Body"].read() == b"1"
    assert through_proxy("s3").get_object(Bucket=bucket, Key="from/server")["Body"].read() == b"2"
    assert through_server("sts").get_caller_identity()["Account"] == "123456789012"


def test_every_service_slipway_uses_answers_at_both_doors(through_server: Client, through_proxy: Client) -> None:
    name = f"t-{uuid.uuid4().hex}"
    through_proxy("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "stream", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "stream", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    topic = through_server("sns").create_topic(Name=name)["TopicArn"]
    secret = through_proxy("secretsmanager").create_secret(Name=name, SecretString="x")["ARN"]
    key = through_server("kms").create_key()["KeyMetadata"]["KeyId"]

    assert name in through_server("dynamodb").list_tables()["TableNames"]
    assert topic in [one["TopicArn"] for one in through_proxy("sns").list_topics()["Topics"]]
    assert through_server("secretsmanager").get_secret_value(SecretId=secret)["SecretString"] == "x"
    assert through_proxy("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyId"] == key


def test_an_object_larger_than_any_buffer_comes_back_unchanged(through_server: Client, through_proxy: Client) -> None:
    bucket, content = bucket_made_by(through_proxy), os.urandom(12 * 1024 * 1024)
    through_proxy("s3").put_object(Bucket=bucket, Key="large", Body=content)

    wanted = hashlib.sha256(content).hexdigest()
    for client in (through_proxy, through_server):
        body = client("s3").get_object(Bucket=bucket, Key="large")["Body"].read()
        assert hashlib.sha256(body).hexdigest() == wanted


def test_many_connections_at_once_are_all_answered(through_proxy: Client, through_server: Client) -> None:
    bucket = bucket_made_by(through_proxy)

    def put(number: int) -> None:
        client = through_proxy if number % 2 else through_server
        client("s3").put_object(Bucket=bucket, Key=f"k{number:03}", Body=str(number).encode())

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(put, range(40)))

    listed = through_proxy("s3").list_objects_v2(Bucket=bucket)
    assert [one["Key"] for one in listed["Contents"]] == [f"k{number:03}" for number in range(40)]


def test_one_proxy_connection_serves_many_requests(through_proxy: Client, instance: Instance) -> None:
    bucket, s3 = bucket_made_by(through_proxy), through_proxy("s3")
    s3.head_bucket(Bucket=bucket)
    before = open_connections(instance)
    for _ in range(5):
        s3.put_object(Bucket=bucket, Key="k", Body=b"")
        s3.delete_object(Bucket=bucket, Key="k")  # 204: no body, no length

    assert open_connections(instance) <= before


def open_connections(instance: Instance) -> int:
    connections = psutil.Process(instance.pid).net_connections(kind="tcp")
    return sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == instance.proxy_port for one in connections)


def test_an_answer_that_was_lost_is_given_again_and_nothing_is_done_twice(through_proxy: Client) -> None:
    name = f"alias/{uuid.uuid4().hex}"
    kms = through_proxy("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]

    def call(request: AWSPreparedRequest, **_: object) -> None:
        request.headers["amz-sdk-invocation-id"] = calls[-1]

    kms.meta.events.register("before-send.kms.CreateAlias", call)
    calls = [str(uuid.uuid4())]
    for _ in range(2):
        kms.create_alias(AliasName=name, TargetKeyId=key)
    with pytest.raises(kms.exceptions.NotFoundException):  # another question under the same name is another question
        kms.create_alias(AliasName=f"{name}-2", TargetKeyId=str(uuid.uuid4()))
    calls.append(str(uuid.uuid4()))
    for _ in range(2):
        with pytest.raises(kms.exceptions.AlreadyExistsException):
            kms.create_alias(AliasName=name, TargetKeyId=key)


@pytest.mark.parametrize("host", ["example.com:443", "amazonaws.com.example.com:443", "registry.terraform.io:443"])
def test_a_host_that_is_no_aws_service_is_refused(instance: Instance, host: str) -> None:
    answer = said_by_proxy(instance, f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())

    assert answer.startswith(b"HTTP/1.1 403 ")


def test_plain_http_is_not_forwarded(instance: Instance) -> None:
    answer = said_by_proxy(instance, b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 403 ")


def test_both_doors_listen_on_loopback_only(instance: Instance) -> None:
    connections = psutil.Process(instance.pid).net_connections(kind="tcp")
    listening = {one.laddr for one in connections if one.status == psutil.CONN_LISTEN}

    assert {one.port for one in listening} == {instance.port, instance.proxy_port}
    assert {one.ip for one in listening} == {"127.0.0.1"}


def test_children_of_either_kind_find_their_door_by_environment_alone(instance: Instance) -> None:
    os.environ.update(python_environment(instance.port))
    assert boto3.client("sts").get_caller_identity()["Account"] == "123456789012"

    environment = terraform_environment(instance.proxy_port)
    assert Path(environment["AWS_CA_BUNDLE"]).is_file()
    assert "AWS_ENDPOINT_URL" not in environment
    os.environ.clear()
    os.environ.update(environment)
    assert boto3.client("sts").get_caller_identity()["Account"] == "123456789012"


def test_the_surroundings_lose_their_aws_settings_and_proxies_only() -> None:
    surroundings = {
        "PATH": "/bin",
        "AWS_PROFILE": "mine",
        "https_proxy": "http://p",
        "ALL_PROXY": "s",
        "AWSOME": "kept",
    }

    assert without_aws(surroundings) == {"PATH": "/bin", "AWSOME": "kept"}


def test_a_requested_end_takes_the_ready_file_with_it(tmp_path: Path) -> None:
    with running(tmp_path) as started:
        process = psutil.Process(started.pid)
        assert (tmp_path / "aws.json").exists()
        process.terminate()
        process.wait(5)
        assert not (tmp_path / "aws.json").exists()


def test_a_taken_port_is_said_in_one_line(instance: Instance, tmp_path: Path) -> None:
    for option, door in (("--port", "server"), ("--proxy-port", "proxy")):
        done = subprocess.run(
            [*SERVE, option, str(instance.port), "--ready-file", str(tmp_path / "ready.json")],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 4
        assert f"port {instance.port} for the {door} door of the embedded AWS is taken" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "ready.json").exists()
