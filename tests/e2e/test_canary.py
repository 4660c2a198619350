"""No secret of the house is anywhere but in its home: not in a file, a record, a plan, evidence or on the terminal."""

from __future__ import annotations

import base64
import configparser
import gzip
import io
import json
import re
import secrets
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway import config
from slipway.adapters.aws import Aws
from slipway.sandbox import postgres
from slipway.sandbox.platform import Platform

from .conftest import House, Said

# Where a secret lives: files of their owner alone, and the stores of the parts that know it by their nature.
HOMES = re.compile(
    r"\.sandbox/(keys/[^/]+\.p8|aws-credentials|secrets/[^/]+|airflow-[^/]+/passwords\.json|postgres/.*|aws/.*)"
)
PLANTED = ("AWS_SECRET_ACCESS_KEY", "SNOWFLAKE_PASSWORD", "PGPASSWORD", "DBT_ENV_SECRET_TOKEN", "TF_VAR_token")


@pytest.fixture(scope="module")
def canaries(house: House) -> dict[str, bytes]:
    """Every secret of the house, by what it is; and some planted in the shell that deploys."""
    root = house.root / ".sandbox"
    found = {f"password of PostgreSQL in {root.name}": postgres.ensure(root).password.encode()}
    for file in (root / "keys").glob("*.p8"):
        found[file.name] = file.read_bytes().splitlines()[5]  # a line in the middle of the key
    for file in root.glob("airflow-*/passwords.json"):
        for user, password in json.loads(file.read_text()).items():
            found[f"{file.parent.name} {user}"] = password.encode()
    people = configparser.ConfigParser()
    people.read(root / "aws-credentials")
    for name in people.sections():
        found[f"AWS key of {name}"] = people[name]["aws_secret_access_key"].encode()
    return found | {name: f"canary-{secrets.token_hex(12)}".encode() for name in PLANTED}


@pytest.fixture(scope="module")
def said(house: House, canaries: dict[str, bytes]) -> list[Said]:
    """What the commands printed, of a deployment that fails and one that succeeds."""
    shell = {name: canaries[name].decode() for name in PLANTED}
    house.write("dbt/tests/canary_fails.sql", "select 1 as one\n")
    house.commit("A data test that fails")
    failed = house.invoke("deploy", "--env", "staging", variables=shell, expect=4)
    house.git("rm", "-q", "-f", "dbt/tests/canary_fails.sql")
    house.replace("dags/fx_rates.py", "from __future__", "# a change\nfrom __future__")
    house.commit("A change of a DAG")
    commands = (
        ("plan", "--env", "staging"),
        ("explain", "--env", "staging"),
        ("plan", "--env", "staging", "--json"),
        ("infra.plan", "--env", "staging", "--json"),
        ("deploy", "--env", "staging"),
        ("status", "--env", "staging", "--json"),
        ("history", "--env", "staging", "--json"),
        ("audit.show", "--env", "staging"),
        ("audit.verify", "--env", "staging", "--json"),
        ("audit.evidence", "--env", "staging", "--out", "canary-evidence.zip"),
        ("sandbox.status",),
        ("dags.status", "--env", "staging"),
    )
    return [failed, *(house.invoke(*command, variables=shell) for command in commands)]


def test_there_are_secrets_to_look_for(canaries: dict[str, bytes]) -> None:
    assert len(canaries) >= 20
    assert all(len(secret) >= 12 for secret in canaries.values())


def test_a_home_is_its_owners_alone(house: House) -> None:
    open_to_others = [
        path
        for path in (house.root / ".sandbox").rglob("*")
        if path.is_file()
        and HOMES.fullmatch(str(path.relative_to(house.root)))
        and stat.S_IMODE(path.stat().st_mode) & 0o077
        and not any(stat.S_IMODE(parent.stat().st_mode) & 0o077 == 0 for parent in path.parents)
    ]
    assert open_to_others == []


def test_no_command_prints_a_secret(said: list[Said], canaries: dict[str, bytes]) -> None:
    printed = "".join(one.out + one.err for one in said).encode()
    assert [name for name, secret in canaries.items() if secret in printed] == []


def test_no_file_holds_a_secret_outside_its_home(house: House, said: list[Said], canaries: dict[str, bytes]) -> None:
    leaks, looked_at = [], 0
    for path in house.root.rglob("*"):
        name = str(path.relative_to(house.root))
        if path.is_symlink() or not path.is_file() or HOMES.fullmatch(name) or name.startswith((".venv", ".git/")):
            continue
        looked_at += 1
        whole = path.read_bytes()
        for part, content in ((name, whole), *unpacked(name, whole)):
            leaks += [f"{what} in {part}" for what, secret in canaries.items() if secret in content]
    assert leaks == []
    assert looked_at > 300


def test_no_record_in_aws_holds_a_secret(house: House, said: list[Said], canaries: dict[str, bytes]) -> None:
    records = dict(records_of(house))
    kinds = {name.split("/")[0] for name in records}
    assert {"journal", "releases", "evidence", "tfstate"} <= kinds
    assert any("/plans/" in name for name in records)
    assert any("/deployments/" in name for name in records)
    leaks = [
        f"{what} in {name}" for name, content in records.items() for what, one in canaries.items() if one in content
    ]
    assert leaks == []


def records_of(house: House) -> Iterator[tuple[str, bytes]]:
    """Give every item of the journal and every version of every object, unpacked where it is packed."""
    environment = config.load("staging", folder=house.root / "config")
    variables = Platform(house.root).aws_variables()
    aws = Aws(
        region=environment.aws.region,
        endpoint=variables["AWS_ENDPOINT_URL"],
        credentials={"aws_access_key_id": "embedded", "aws_secret_access_key": "embedded"},
    )
    for page in aws.dynamodb.get_paginator("scan").paginate(TableName=environment.deployments_table):
        for item in page["Items"]:
            yield f"journal/{item['stream']['S']}/{item['seq']['N']}", json.dumps(item, default=str).encode()
    for purpose in ("releases", "evidence", "tfstate"):
        bucket = environment.bucket(purpose)
        for page in aws.s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for one in page.get("Versions", ()):
                name = f"{purpose}/{one['Key']}"
                body = aws.s3.get_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])["Body"].read()
                yield name, body
                yield from unpacked(name, body)
                if name.endswith(".json"):
                    yield f"{name} opened", opened(body)


def unpacked(name: str, body: bytes) -> Iterator[tuple[str, bytes]]:
    """Give what an archive holds: releases are gzip, Terraform's plans and evidence files are zip."""
    if name.endswith(".gz"):
        yield f"{name} unpacked", gzip.decompress(body)
    if zipfile.is_zipfile(io.BytesIO(body)):
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            for member in archive.namelist():
                yield f"{name}/{member}", archive.read(member)


def opened(body: bytes) -> bytes:
    """Return what a signed envelope holds, or nothing."""
    document = json.loads(body)
    payload = document.get("payload", "") if isinstance(document, dict) else ""
    return base64.b64decode(payload) if isinstance(payload, str) else b""


def test_the_search_finds_what_is_planted(house: House, canaries: dict[str, bytes], tmp_path: Path) -> None:
    name, secret = next(iter(canaries.items()))
    planted = house.root / ".build" / "planted.log"
    planted.write_bytes(b"before " + secret + b" after")
    try:
        with pytest.raises(AssertionError, match=re.escape(f"{name} in .build/planted.log")):
            test_no_file_holds_a_secret_outside_its_home(house, [], canaries)
    finally:
        planted.unlink()
