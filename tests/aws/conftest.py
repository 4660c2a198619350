"""One embedded AWS for all tests of its doors, and a client through each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from slipway.sandbox.aws.environment import REGION, authority_path
from slipway.sandbox.aws.instance import Instance, running

Client = Callable[[str], Any]
CREDENTIALS = {"aws_access_key_id": "embedded", "aws_secret_access_key": "embedded", "region_name": REGION}


@pytest.fixture(scope="package")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running(tmp_path_factory.mktemp("aws")) as started:
        yield started


@pytest.fixture
def through_server(instance: Instance) -> Client:
    """A client as Python children have it: plain HTTP to the server door."""
    endpoint = f"http://127.0.0.1:{instance.port}"
    return lambda service: boto3.client(service, endpoint_url=endpoint, **CREDENTIALS)


@pytest.fixture
def through_proxy(instance: Instance) -> Client:
    """A client as Terraform is one: TLS to the service's own host name, through the proxy door."""
    config = Config(proxies={"https": f"http://127.0.0.1:{instance.proxy_port}"}, retries={"max_attempts": 1})
    return lambda service: boto3.client(service, verify=str(authority_path()), config=config, **CREDENTIALS)
