"""What a child process must see to find the embedded AWS, as plain mappings to lay over a cleaned environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from slipway.errors import ConfigurationError

REGION = "eu-west-1"
ACCOUNT_ID = "123456789012"  # moto's default account
ACCESS_KEY = "embedded"  # of the account's operator: who may do everything but sign what is another's to sign

# Lower-case spellings count too: curl, requests and Go each read their own.
_PROXY_VARIABLES = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})


def python_environment(port: int) -> dict[str, str]:
    """Return the variables by which boto3 and the AWS CLI find the server door."""
    return {**_credentials(), "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}


def terraform_environment(proxy_port: int) -> dict[str, str]:
    """Return the variables by which Terraform's S3 backend and AWS provider find the proxy door."""
    proxy = f"http://127.0.0.1:{proxy_port}"
    return {
        **_credentials(),
        "HTTPS_PROXY": proxy,
        "HTTP_PROXY": proxy,
        "NO_PROXY": "127.0.0.1,localhost",
        "AWS_CA_BUNDLE": str(authority_path()),
    }


def authority_path() -> Path:
    """Return the certificate under which the proxy door's certificates verify: the one moto ships.

    Its private key is public knowledge, so only children that are told so may trust it, never the machine.
    """
    spec = find_spec("moto")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError("the embedded AWS needs the package moto", fix="./invoke --list  (makes .venv again)")
    return Path(spec.submodule_search_locations[0]) / "moto_proxy" / "ca.crt"


def without_aws(surroundings: Mapping[str, str]) -> dict[str, str]:
    """Return `surroundings` without what would send an AWS client, or its proxy, somewhere else."""
    return {
        name: value
        for name, value in surroundings.items()
        if not name.upper().startswith("AWS_") and name.lower() not in _PROXY_VARIABLES
    }


def _credentials() -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": ACCESS_KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        # A profile of the user's may name another endpoint or region: it does not apply here.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
