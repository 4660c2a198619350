"""What a person gets wrong: one clear error that names the mending command, its exit code, and nothing changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from slipway.sandbox.platform import Platform
from tests.e2e.conftest import House

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def live(house: House) -> dict[str, Any]:
    """Have something live, whatever ran before, and give what it is."""
    house.git("reset", "-q", "--hard")
    house.invoke("deploy", "--env", "staging")
    return facts(house)


@pytest.fixture(autouse=True)
def untouched(house: House, live: dict[str, Any]) -> Iterator[None]:
    """Put the work tree back, and assert that what is live did not move."""
    commit = house.git("rev-parse", "HEAD").strip()
    yield
    house.git("reset", "-q", "--hard", commit)
    house.git("clean", "-q", "-f", "-d", "dags", "dbt", "snowflake_migrations", "config")
    assert facts(house) == live


def facts(house: House) -> dict[str, Any]:
    """Return what is live, and one total that readers see."""
    if any(part.state != "running" for part in Platform(house.root).status()):
        house.invoke("sandbox.up")
    with house.site() as site:
        seen = site.observe_live()
    rows = house.rows("READER", "SELECT COUNT(*), SUM(AMOUNT) FROM STAGING_MARTS.FINANCE.FCT_CARD_TRANSACTIONS")
    dags = seen.orchestrator.versions
    assert seen.pointer is not None
    return {"pointer": seen.pointer, "published": seen.warehouse.published, "dags": dags, "rows": rows}


def test_an_unknown_environment(house: House) -> None:
    said = house.invoke("deploy", "--env", "stagin", expect=2)
    assert said.err.startswith("error: unknown environment 'stagin'")
    assert "dev, staging, prod" in said.err


def test_a_misspelt_and_a_missing_configuration_key_are_told_together(house: House) -> None:
    house.replace("config/staging.toml", 'region = "eu-west-1"', 'regoin = "eu-west-1"')
    house.commit("A typo")
    said = house.invoke("deploy", "--env", "staging", expect=2)
    assert "config/staging.toml" in said.err
    assert "aws.regoin" in said.err
    assert "aws.region" in said.err.replace("aws.regoin", "")


def test_a_dirty_work_tree(house: House) -> None:
    house.write("dags/new.py", "x = 1\n")
    said = house.invoke("deploy", "--env", "staging", expect=2)
    assert "dags/new.py" in said.err
    assert "git commit" in said.err


def test_a_dag_that_does_not_import_and_a_model_that_does_not_compile_are_told_together(house: House) -> None:
    house.write("dags/broken.py", "from airflow.sdk import DAG\nimport no_such_library\n")
    house.write("dbt/models/marts/finance/broken.sql", "select * from {{ ref('no_such_model') }}\n")
    house.commit("Two mistakes")
    said = house.invoke("deploy", "--env", "staging", expect=3)
    for word in ("dags.import", "broken.py", "no_such_library", "dbt.compile", "no_such_model", "fix:"):
        assert word in said.err
    said = house.invoke("plan", "--env", "staging", expect=3)
    assert "dags.import" in said.out


def test_a_data_test_that_fails_leaves_live_data_alone_and_a_second_deployment_is_refused(house: House) -> None:
    house.write("dbt/tests/assert_planted.sql", "select * from {{ ref('dim_account') }} limit 2\n")
    house.commit("A data test that fails")
    first = subprocess.Popen(
        [str(house.root / "invoke"), "deploy", "--env", "staging"],
        cwd=house.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_lease(house)
    second = house.invoke("deploy", "--env", "staging", expect=3)
    assert "staging is held by" in second.err
    _, err = first.communicate(timeout=300)
    assert first.returncode == 4
    assert "assert_planted" in err
    assert "live data was not touched" in err


def test_a_lock_that_is_broken_stops_its_holder_and_is_recorded_and_signed(house: House, tmp_path: Path) -> None:
    house.write("dags/note.md", "not a DAG, but a file of the release\n")
    house.commit("Something to deploy")
    signed = house.invoke("audit.verify", "--env", "staging", "--json").json["signatures"]
    with (tmp_path / "said").open("w") as said, house.start("deploy", "--env", "staging", stderr=said) as running:
        wait_for_lease(house)
        house.invoke("lock.break", "--env", "staging", "--reason", "INC-12", "--yes")
        assert running.wait(timeout=300) == 3, (tmp_path / "said").read_text()
    assert "Traceback" not in (tmp_path / "said").read_text()
    assert not house.invoke("lock.show", "--env", "staging", "--json").json["held"]
    note = house.invoke("history", "--env", "staging", "--json").json["notes"][0]
    assert (note["kind"], note["reason"]) == ("lock-broken", "INC-12")
    now = house.invoke("audit.verify", "--env", "staging", "--json").json
    assert now["holds"]
    assert now["signatures"] == signed + 1, "the journal's head, with the break in it"


def test_a_migration_that_fails(house: House) -> None:
    house.write(
        "snowflake_migrations/scripts/V9.0.0__broken.sql",
        "ALTER TABLE {{ raw_database }}.CORE.NOWHERE ADD COLUMN IF NOT EXISTS X INT;\n",
    )
    house.write("snowflake_migrations/undo/U9.0.0__broken.sql", "SELECT 1;\n")
    house.commit("A migration that fails")
    said = house.invoke("deploy", "--env", "staging", expect=4)
    assert "V9.0.0__broken.sql" in said.err
    assert "NOWHERE" in said.err
    assert "fix:" in said.err


def test_a_part_of_the_platform_that_is_down(house: House) -> None:
    part = next(one for one in Platform(house.root).status() if one.name == "snowflake")
    assert part.pid is not None
    os.kill(part.pid, 9)
    said = house.invoke("rollback", "--env", "staging", expect=4)
    assert "snowflake" in said.err
    assert "invoke sandbox.up" in said.err


def test_no_terraform_on_the_path(house: House, tmp_path: Path) -> None:
    for program in ("sh", "git", "dirname", "cat", "cksum"):
        found = shutil.which(program)
        assert found is not None
        (tmp_path / program).symlink_to(found)
    said = house.invoke("infra.plan", "--env", "staging", variables={"PATH": str(tmp_path)})
    assert "no changes" in said.out


def wait_for_lease(house: House) -> None:
    """Return when a deployment holds staging."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if held(Platform(house.root)):
            return
        time.sleep(0.3)
    raise AssertionError("no deployment took the lease")


def held(platform: Platform) -> bool:
    variables = platform.aws_variables()
    client = boto3.client(
        "dynamodb",
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=variables["AWS_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )
    key = {"stream": {"S": "lease"}, "seq": {"N": "0"}}
    item = client.get_item(TableName="finedge-staging-deployments", Key=key).get("Item")
    return item is not None and float(item["expires"]["N"]) > time.time()
