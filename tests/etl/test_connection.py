"""Connections as Airflow stores them, made into what the drivers and dbt take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from etl.connection import dbt_environment, key_file, postgres_parameters, warehouse_parameters

from tests.etl.conftest import Stored

PASSPHRASE = "open"


def stored(**extra: Any) -> Stored:
    return Stored(login="SVC", password=PASSPHRASE, extra_dejson={"account": "xy12345", "role": "LOADER", **extra})


@pytest.fixture
def pem() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(PASSPHRASE.encode()),
    ).decode()


def test_a_key_in_a_file_is_left_to_the_driver_to_read() -> None:
    parameters = warehouse_parameters(stored(private_key_file="/keys/svc.p8"), query_tag="t")
    assert parameters["private_key_file"] == "/keys/svc.p8"
    assert parameters["private_key_file_pwd"] == PASSPHRASE
    assert {"host", "port", "protocol"}.isdisjoint(parameters)  # an account is found by its name


def test_a_key_in_the_connection_is_unlocked(pem: str) -> None:
    parameters = warehouse_parameters(stored(private_key_content=pem), query_tag="t")
    assert serialization.load_der_private_key(parameters["private_key"], password=None)
    assert parameters["session_parameters"]["QUERY_TAG"] == "t"


def test_a_connection_without_a_key_is_refused_by_its_name() -> None:
    with pytest.raises(KeyError, match="warehouse_loader: extra has neither"):
        warehouse_parameters(stored(), query_tag="t")


def test_a_key_written_for_a_program_is_private_and_does_not_stay(pem: str, tmp_path: Path) -> None:
    with key_file(stored(private_key_content=pem), folder=tmp_path) as path:
        assert path.read_text() == pem
        assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == []


def test_dbt_gets_what_its_profile_reads_and_nothing_empty(tmp_path: Path) -> None:
    variables = dbt_environment(stored(host="127.0.0.1", port=5601), key=tmp_path / "key")
    assert variables["SNOWFLAKE_PORT"] == "5601"
    assert variables["SNOWFLAKE_PRIVATE_KEY_PATH"] == str(tmp_path / "key")
    assert "SNOWFLAKE_WAREHOUSE" not in variables


def test_the_source_is_named_by_the_connections_own_fields() -> None:
    connection = Stored(login="u", password="p", host="db", schema="core", extra_dejson={})
    assert postgres_parameters(connection) == {
        "host": "db",
        "port": 5432,
        "user": "u",
        "password": "p",
        "dbname": "core",
        "application_name": "slipway-etl",
    }
