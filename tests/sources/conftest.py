"""Real servers for the sources: the embedded PostgreSQL and a moto server, both on free loopback ports."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from slipway.sandbox import postgres as embedded
from slipway.sandbox.postgres import PostgresEndpoint

REGION = "eu-west-1"


@pytest.fixture(scope="package")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresEndpoint]:
    root = tmp_path_factory.mktemp("sources")
    yield embedded.ensure(root)
    embedded.remove(root)


@pytest.fixture(scope="package")
def aws_endpoint() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="package")
def s3(aws_endpoint: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=aws_endpoint,
        region_name=REGION,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
