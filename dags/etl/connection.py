"""Connection parameters from Airflow connections, without Airflow.

A warehouse connection is of type `snowflake` with the login as user and this `extra`, the keys being those that
Airflow's Snowflake provider reads, plus `protocol`, which it does not pass on (the reason for connecting here):

    {"account": "xy12345.eu-west-1", "database": "PROD_RAW", "warehouse": "PROD_WH", "role": "PROD_LOADER",
     "private_key_file": "/path/key.p8"}                            or "private_key_content": "-----BEGIN ..."
    embedded platform, in addition: "host": "127.0.0.1", "port": 5601, "protocol": "http"

The password, when set, is the passphrase of the private key. `postgres_core` is an ordinary `postgres` connection.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol


class StoredConnection(Protocol):
    """The attributes of `airflow.sdk.Connection` that are used."""

    conn_id: str
    host: str | None
    login: str | None
    password: str | None
    schema: str | None
    port: int | None

    @property
    def extra_dejson(self) -> dict[str, Any]: ...


def warehouse_parameters(connection: StoredConnection, *, query_tag: str) -> dict[str, Any]:
    """Return the arguments for `snowflake.connector.connect`."""
    extra = connection.extra_dejson
    parameters: dict[str, Any] = {
        "user": connection.login,
        "account": extra["account"],
        "session_parameters": {"QUERY_TAG": query_tag, "TIMEZONE": "UTC"},
        "autocommit": True,
    }
    parameters |= {key: extra[key] for key in ("database", "warehouse", "role", "host", "protocol") if extra.get(key)}
    if extra.get("port"):
        parameters["port"] = int(extra["port"])
    if extra.get("private_key_file"):
        parameters["private_key_file"] = extra["private_key_file"]
        if connection.password:
            parameters["private_key_file_pwd"] = connection.password
    elif extra.get("private_key_content"):
        parameters["private_key"] = _der(extra["private_key_content"], passphrase=connection.password)
    else:
        raise KeyError(f"connection {connection.conn_id}: extra has neither private_key_file nor private_key_content")
    return parameters


def postgres_parameters(connection: StoredConnection) -> dict[str, Any]:
    """Return the arguments for `psycopg.connect`."""
    parameters = {
        "host": connection.host,
        "port": connection.port or 5432,
        "user": connection.login,
        "password": connection.password,
        "dbname": connection.schema,
        "application_name": "slipway-etl",
    }
    return {key: value for key, value in parameters.items() if value}


@contextmanager
def key_file(connection: StoredConnection, *, folder: Path) -> Iterator[Path]:
    """Give the path of the private key, for programs that only take a file.

    Side effects: a key held in the connection is written to `folder`, readable by this user only, and removed.
    """
    extra = connection.extra_dejson
    if extra.get("private_key_file"):
        yield Path(extra["private_key_file"])
        return
    path = folder / "key.p8"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(extra["private_key_content"])
        yield path
    finally:
        path.unlink(missing_ok=True)


def dbt_environment(connection: StoredConnection, *, key: Path) -> Mapping[str, str]:
    """Return the variables that the dbt profile reads its connection from."""
    extra = connection.extra_dejson
    variables = {
        "SNOWFLAKE_ACCOUNT": extra["account"],
        "SNOWFLAKE_USER": connection.login,
        "SNOWFLAKE_ROLE": extra.get("role"),
        "SNOWFLAKE_WAREHOUSE": extra.get("warehouse"),
        "SNOWFLAKE_PRIVATE_KEY_PATH": str(key),
        "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE": connection.password,
        "SNOWFLAKE_HOST": extra.get("host"),
        "SNOWFLAKE_PORT": extra.get("port"),
        "SNOWFLAKE_PROTOCOL": extra.get("protocol"),
    }
    return {name: str(value) for name, value in variables.items() if value}


def _der(pem: str, *, passphrase: str | None) -> bytes:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(pem.encode(), password=passphrase.encode() if passphrase else None)
    return key.private_bytes(
        encoding=serialization.Encoding.DER,
        format=serialization.PrivateFormat.PKCS8,
        encryption_algorithm=serialization.NoEncryption(),
    )
