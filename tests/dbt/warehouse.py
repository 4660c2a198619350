"""An embedded Snowflake of the tests' own: a server process with key pairs, bootstrapped for STAGING."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import snowflake.connector

from slipway import config
from slipway.adapters.snowflake import Address, Session, statements_in
from slipway.config import Environment, Principal
from slipway.sandbox.key import ensure_keys

PROJECT = Path(__file__).parents[2]
ENVIRONMENT = "STAGING"
ADMIN = Principal(user="ADMIN", role="ACCOUNTADMIN", private_key="file:unused")
READER = Principal(user="STAGING_SVC_READER", role="STAGING_READER", private_key="file:unused")
READY_S = 60  # seconds the server may take to answer
AWS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "eu-west-1"}


@dataclass(frozen=True)
class Server:
    """A running embedded Snowflake and the folder of its users' keys."""

    port: int
    keys: Path

    @property
    def address(self) -> Address:
        return Address(host="127.0.0.1", port=self.port, protocol="http")

    @cached_property
    def environment(self) -> Environment:
        """The staging environment, as the repository configures it."""
        return config.load("staging", folder=PROJECT / "config")

    def key_of(self, principal: Principal) -> Path:
        return self.keys / f"{principal.user}.p8"

    @contextmanager
    def connection(self, principal: Principal) -> Iterator[Any]:
        """Give a plain connector connection of `principal`, closed at the end."""
        warehouse = self.environment.warehouse
        with snowflake.connector.connect(
            account=warehouse.account,
            user=principal.user,
            role=principal.role,
            warehouse=warehouse.warehouse,
            private_key_file=str(self.key_of(principal)),
            authenticator="SNOWFLAKE_JWT",
            login_timeout=10,
            **self.address.parameters(),
        ) as connection:
            yield connection

    @contextmanager
    def session(self, principal: Principal) -> Iterator[Session]:
        """Give a connection of `principal`, closed at the end."""
        session = Session(self.environment.warehouse, principal, address=self.address, key_file=self.key_of(principal))
        try:
            yield session
        finally:
            session.close()

    def bootstrap(self) -> None:
        """Run bootstrap.sql as ACCOUNTADMIN, as the first deployment does."""
        script = (PROJECT / "snowflake_migrations" / "bootstrap.sql").read_text()
        with self.session(ADMIN) as session:
            session.run(*statements_in(script, {"env": ENVIRONMENT}))


@contextmanager
def serve(folder: Path, *, aws_endpoint: str | None = None) -> Iterator[Server]:
    """Serve an account kept in `folder` on a free port, bootstrapped, until the end of the block."""
    keys, ready = folder / "keys", folder / "ready"
    services = tuple(f"{ENVIRONMENT}_SVC_{name}" for name in ("DEPLOYER", "LOADER", "TRANSFORMER", "READER"))
    ensure_keys(keys, (ADMIN.user, *services))
    command = [sys.executable, "-m", "slipway.sandbox.snowflake", "serve", "--state", str(folder / "state")]
    command += ["--keys", str(keys), "--ready-file", str(ready), "--log-level", "WARNING"]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, env=_child(aws_endpoint), cwd=PROJECT, stdout=log, stderr=log)
    try:
        server = Server(port=_port(ready, process, folder / "server.log"), keys=keys)
        server.bootstrap()
        yield server
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
        process.kill()
        process.wait()


def _port(ready: Path, process: subprocess.Popen[Any], log: Path) -> int:
    deadline = time.monotonic() + READY_S
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the embedded Snowflake does not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.05)
    return int(ready.read_text())


def _child(aws_endpoint: str | None) -> Mapping[str, str]:
    aws = {**AWS, "AWS_ENDPOINT_URL": aws_endpoint} if aws_endpoint else {}
    return {**os.environ, **aws, "PYTHONPATH": str(PROJECT)}
