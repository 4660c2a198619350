"""The contract on an account named by the environment, tried with the embedded Snowflake in the place of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .account import Account, runs_there
from .cases import CASES
from .server import Server
from .test_login import make_key

ROOT = Path(__file__).parents[2]


def test_the_contract_runs_on_the_account_the_environment_names_and_leaves_nothing_there(
    tmp_path: Path, memory: Path
) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    public = make_key(keys, "CONTRACTOR")
    with Server(memory / "account", keys=keys) as server:
        with server.connect(user="CONTRACTOR", private_key_file=str(keys / "CONTRACTOR.p8")) as session:
            session.cursor().execute(f"CREATE USER CONTRACTOR RSA_PUBLIC_KEY = '{public}'")
            session.cursor().execute("GRANT ROLE ACCOUNTADMIN TO USER CONTRACTOR")
            session.cursor().execute("CREATE WAREHOUSE TINY")
            session.cursor().execute("CREATE DATABASE THEIRS")
        found = contract_on(server, keys / "CONTRACTOR.p8", tmp_path)
        assert found.returncode == 0, found.stdout + found.stderr
        assert found.stdout.rstrip().splitlines()[-1].startswith("CONTRACT: ")
        results = json.loads((tmp_path / ".build" / "contract.json").read_text())["results"]
        assert {one["backend"] for one in results} == {"account"}
        assert len(results) > 20
        with server.connect(user="CONTRACTOR", private_key_file=str(keys / "CONTRACTOR.p8")) as session:
            cursor = session.cursor()
            assert [row[1] for row in cursor.execute("SHOW DATABASES").fetchall()] == ["THEIRS"]
            assert not cursor.execute("SHOW ROLES LIKE 'R!_%'").fetchall()


def contract_on(server: Server, key: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the cases of swaps and grants as the README says, on a server as if it was an account."""
    variables = {
        "SLIPWAY_CONTRACT_ACCOUNT": "embedded",
        "SLIPWAY_CONTRACT_USER": "CONTRACTOR",
        "SLIPWAY_CONTRACT_KEY_FILE": str(key),
        "SLIPWAY_CONTRACT_WAREHOUSE": "TINY",
        "SLIPWAY_CONTRACT_HOST": "127.0.0.1",
        "SLIPWAY_CONTRACT_PORT": str(server.port),
        "SLIPWAY_CONTRACT_PROTOCOL": "http",
        "SLIPWAY_CONTRACT_RESULT": str(folder / ".build" / "contract.json"),
    }
    chosen = "swap or owner or role"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/snowflake", "-k", chosen]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=300
    )


def test_variables_that_are_missing_are_named() -> None:
    assert Account.from_environment({}) is None
    with pytest.raises(
        ValueError, match="SLIPWAY_CONTRACT_USER, SLIPWAY_CONTRACT_KEY_FILE, SLIPWAY_CONTRACT_WAREHOUSE"
    ):
        Account.from_environment({"SLIPWAY_CONTRACT_ACCOUNT": "x"})


def test_most_of_the_contract_can_run_on_an_account() -> None:
    assert len([case for case in CASES if runs_there(case)]) > len(CASES) * 0.7
