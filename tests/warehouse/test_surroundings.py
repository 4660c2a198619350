"""What a child is given of the caller's shell."""

from __future__ import annotations

import pytest

from slipway.adapters.surroundings import for_child, is_loopback, reach_directly

SHELL = {
    "PATH": "/bin",
    "HOME": "/home/me",
    "LC_ALL": "C.UTF-8",
    "SSL_CERT_FILE": "/ca.pem",
    "SNOWFLAKE_ACCOUNT": "other",
    "SCHEMACHANGE_VARS": "{}",
    "DBT_TARGET": "prod",
    "PYTHONPATH": "/somewhere",
    "AWS_PROFILE": "mine",
    "https_proxy": "http://proxy:1",
    "NO_PROXY": "example.com",
}


def test_a_child_gets_the_machine_and_its_own_and_nothing_that_configures_it() -> None:
    found = for_child(SHELL, {"SNOWFLAKE_ACCOUNT": "ours"}, host="127.0.0.1")
    kept = {"PATH": "/bin", "HOME": "/home/me", "LC_ALL": "C.UTF-8", "SSL_CERT_FILE": "/ca.pem"}
    assert found == {**kept, "SNOWFLAKE_ACCOUNT": "ours"}


@pytest.mark.parametrize("host", [None, "xy12345.snowflakecomputing.com", "10.0.0.7"])
def test_a_child_that_goes_elsewhere_keeps_the_proxies(host: str | None) -> None:
    found = for_child(SHELL, {}, host=host)
    assert (found["https_proxy"], found["NO_PROXY"]) == ("http://proxy:1", "example.com")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_addresses_are_known(host: str) -> None:
    assert is_loopback(host)


def test_an_address_is_added_once_to_those_reached_without_a_proxy() -> None:
    import os

    os.environ["NO_PROXY"] = "example.com"
    reach_directly("127.0.0.1")
    reach_directly("127.0.0.1")
    assert (os.environ["NO_PROXY"], os.environ["no_proxy"]) == ("example.com,127.0.0.1", "127.0.0.1")
