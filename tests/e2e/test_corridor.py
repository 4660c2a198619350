"""The main job, end to end on real parts: deployed, loaded, changed, taken back; in this order, on one platform."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import pytest

from tests.e2e.conftest import House, Reader

pytestmark = pytest.mark.e2e

BUILT_BY = "      - {name: built_by, data_type: varchar, description: Release that built the row.}\n"
PROBE_DAG = '''"""Runs until it is told to stop, then says which library it ran with."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from airflow.sdk import DAG, task
from etl import probe

with DAG("probe", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False) as dag:

    @task
    def wait() -> None:
        deadline = time.monotonic() + 240
        while not Path("{flag}").exists() and time.monotonic() < deadline:
            time.sleep(0.2)

    @task
    def say() -> str:
        Path("{said}").write_text(probe.LIBRARY)
        return probe.LIBRARY

    wait() >> say()
'''


def mark(house: House, release: str) -> None:
    """Have two finance models say which release built them."""
    for model, last in (("dim_account", "statement"), ("dim_merchant_category", "is_discretionary")):
        path = f"dbt/models/marts/finance/{model}.sql"
        content = (house.root / path).read_text()
        if "built_by" in content:
            before = content.split("'")[1]
            house.write(path, content.replace(f"'{before}' as built_by", f"'{release}' as built_by"))
        else:
            house.write(path, content.replace(f"    {last}\n", f"    {last},\n    '{release}' as built_by\n"))


@pytest.fixture(scope="module", autouse=True)
def first_release(house: House) -> None:
    """Give the project what the tests look at: models that name their release, a DAG that waits for a flag."""
    mark(house, "one")
    path = "dbt/models/marts/finance/_finance__models.yml"
    for line in ("name: statement, data_type", "name: is_discretionary, data_type"):
        text = (house.root / path).read_text()
        end = text.index("\n", text.index(line)) + 1
        house.write(path, text[:end] + BUILT_BY + text[end:])
    flag, said = house.root / ".sandbox" / "flag", house.root / ".sandbox" / "said"
    house.write("dags/probe.py", PROBE_DAG.format(flag=flag, said=said))
    house.write("dags/etl/probe.py", 'LIBRARY = "one"\n')
    house.commit("Models that say which release built them, and a DAG that waits")


@pytest.fixture
def live(house: House) -> House:
    """The house with its first release live and its runs done, whichever tests go before."""
    if house.run("status", "--env", "staging", "--json").code:
        house.invoke("deploy", "--env", "staging")
    house.invoke("dags.status", "--env", "staging", "--wait")
    return house


def test_an_environment_that_was_never_made_says_so(house: House) -> None:
    said = house.invoke("status", "--env", "staging", expect=4)
    assert "invoke sandbox.up" in said.err


def test_one_command_makes_everything_and_says_what_is_live(house: House) -> None:
    said = house.invoke("deploy", "--env", "staging")
    for word in ("release", "slot", "7 of 7 on the release, 0 import errors", "Slipway's own", "try next"):
        assert word in said.out
    live = house.invoke("status", "--env", "staging", "--json").json
    assert live["dags"]["on_release"] == live["dags"]["expected"] == 7
    assert live["slots"]["published"] in live["slots"]["complete"]
    assert [step["kind"] for step in live["last_deployment"]["steps"]] == [
        "upload",
        "rehearse",
        "migrate",
        "build",
        "publish",
        "flip",
    ]


def test_the_same_commit_again_has_nothing_to_do(house: House) -> None:
    before = house.invoke("history", "--env", "staging", "--json").json
    said = house.invoke("deploy", "--env", "staging")
    assert "already live" in said.out
    assert house.invoke("history", "--env", "staging", "--json").json == before


def test_other_environments_are_untouched(house: House) -> None:
    assert "nothing is live yet" in house.invoke("status", "--env", "dev").out
    assert house.invoke("status", "--env", "prod", "--json").json["release"] is None
    assert "nothing to roll back to" in house.invoke("rollback", "--env", "dev", expect=3).err


def test_the_pipelines_bring_what_the_sources_hold(live: House) -> None:
    runs = live.invoke("dags.status", "--env", "staging", "--json").json
    states = {dag["dag_id"]: [run["state"] for run in dag["runs"]] for dag in runs["dags"]}
    assert all(found and set(found) == {"success"} for name, found in states.items() if name != "probe"), states
    assert totals(live) == source_totals(live)
    assert live.rows("READER", BALANCE) == []


def test_a_logical_date_run_again_leaves_the_same_totals(live: House) -> None:
    before = totals(live)
    ledger = live.rows("LOADER", "SELECT COUNT(*), SUM(LOADED_ROWS) FROM STAGING_RAW.OPS.LOAD_LEDGER")
    date = json.loads((live.root / ".sandbox" / "schedule.json").read_text())["start"]
    said = live.invoke("dags.rerun", "--env", "staging", "--dag", "card_transactions", "--date", date)
    assert "success" in said.out
    assert totals(live) == before
    assert live.rows("LOADER", "SELECT COUNT(*), SUM(LOADED_ROWS) FROM STAGING_RAW.OPS.LOAD_LEDGER") == ledger


def test_a_change_goes_live_and_back_under_readers_and_a_run_in_flight(live: House) -> None:
    first = live.invoke("status", "--env", "staging", "--json").json
    live.invoke("dags.trigger", "--env", "staging", "--dag", "probe")
    mark(live, "two")
    live.write("dags/etl/probe.py", 'LIBRARY = "two"\n')
    live.commit("Models and library of the second release")
    planned = live.invoke("plan", "--env", "staging", "--json").json
    assert [step["kind"] for step in planned["steps"]] == ["upload", "build", "catchup", "compare", "publish", "flip"]
    assert set(planned["lanes"]) == {"dbt", "dags"}
    assert planned["blockers"] == []
    with Reader(live) as reader:
        live.invoke("deploy", "--env", "staging")
        second = live.invoke("status", "--env", "staging", "--json").json
        (live.root / ".sandbox" / "flag").touch()
        live.invoke("dags.status", "--env", "staging", "--wait")
        in_flight = probe_runs(live)[-1]
        library = (live.root / ".sandbox" / "said").read_text()
        back = live.invoke("rollback", "--env", "staging")
    third = live.invoke("status", "--env", "staging", "--json").json
    live.timings.append(
        f"reader: {reader.reads} reads, {reader.mixed} mixed, {len(reader.failed)} failed, "
        f"longest {reader.longest_s:.2f} s, saw {[accounts for accounts, _ in reader.seen]}"
    )
    assert (library, in_flight["state"], in_flight["version"]) == ("one", "success", first["version"])
    assert second["version"] != first["version"]
    assert third["version"] == first["version"]
    assert third["slots"]["published"] == first["slots"]["published"]
    assert (reader.mixed, reader.failed) == (0, [])
    assert [accounts for accounts, _ in reader.seen] == ["one", "two", "one"]
    assert "7 of 7 on the release" in back.out


def test_the_history_tells_every_deployment(house: House) -> None:
    told = house.invoke("history", "--env", "staging", "--json").json["deployments"]
    assert [(one["purpose"], one["state"]) for one in told] == [
        ("rollback", "succeeded"),
        ("deploy", "succeeded"),
        ("deploy", "succeeded"),
    ]
    again = house.invoke("rollback", "--env", "staging").out
    assert f"{told[0]['id']} went back to {told[0]['version']}" in again, "it may not have been heard of"
    assert "further back: invoke rollback --env staging --to RELEASE" in again
    assert house.invoke("history", "--env", "staging", "--json").json["deployments"] == told


def test_a_killed_platform_part_is_mended_and_nothing_is_forgotten(house: House) -> None:
    before = house.invoke("status", "--env", "staging", "--json").json
    time.sleep(2)  # the embedded AWS writes down what changed within a second
    parts = {part["name"]: part["pid"] for part in house.invoke("sandbox.status", "--json").json["parts"]}
    for name in ("aws", "snowflake", "airflow-staging-scheduler"):
        os.kill(parts[name], signal.SIGKILL)
    said = house.invoke("status", "--env", "staging", expect=4)
    assert "invoke sandbox.up" in said.err
    house.invoke("sandbox.up")
    after = house.invoke("status", "--env", "staging", "--json").json
    assert {key: after[key] for key in ("release", "slots", "migrations", "last_deployment")} == {
        key: before[key] for key in ("release", "slots", "migrations", "last_deployment")
    }


BALANCE = (
    "SELECT POSTING_DATE, CURRENCY_CODE, SUM(NET_AMOUNT) FROM STAGING_MARTS.FINANCE.FCT_LEDGER_DAILY"
    " GROUP BY 1, 2 HAVING SUM(NET_AMOUNT) <> 0"
)


def totals(house: House) -> dict[str, Any]:
    """Return counts and sums of the published marts."""
    finance, customer = "STAGING_MARTS.FINANCE", "STAGING_MARTS.CUSTOMER"
    found = {
        "transactions": house.rows("READER", f"SELECT COUNT(*), SUM(AMOUNT) FROM {finance}.FCT_CARD_TRANSACTIONS"),
        "postings": house.rows("READER", f"SELECT SUM(POSTING_COUNT), SUM(NET_AMOUNT) FROM {finance}.FCT_LEDGER_DAILY"),
        "customers": house.rows("READER", f"SELECT COUNT(*) FROM {customer}.DIM_CUSTOMER WHERE NOT IS_DELETED"),
        "changes": house.rows("LOADER", "SELECT COUNT(*) FROM STAGING_RAW.CORE.CUSTOMER_CHANGES"),
    }
    return {name: tuple(str(value) for value in rows[0]) for name, rows in found.items()}


def source_totals(house: House) -> dict[str, Any]:
    """Return the same counts and sums, asked of the source database: the newest row of each transaction."""
    today = "current_date"
    found = {
        "transactions": f"""SELECT count(*), sum(amount) FROM (
            SELECT DISTINCT ON (transaction_id) amount FROM core.card_transactions WHERE updated_at < {today}
            ORDER BY transaction_id, updated_at DESC) newest""",
        "postings": f"SELECT count(*), sum(amount) FROM core.ledger_postings WHERE posted_at < {today}",
        "customers": f"SELECT count(*) FROM (SELECT DISTINCT ON (customer_id) operation FROM core.customer_changes"
        f" WHERE changed_at < {today} ORDER BY customer_id, changed_at DESC, change_id DESC) newest"
        " WHERE operation <> 'D'",
        "changes": f"SELECT count(DISTINCT change_id) FROM core.customer_changes WHERE changed_at < {today}",
    }
    return {name: tuple(str(value) for value in house.source_rows(query)[0]) for name, query in found.items()}


def probe_runs(house: House) -> list[dict[str, Any]]:
    document = house.invoke("dags.status", "--env", "staging", "--json").json
    return next(list(dag["runs"]) for dag in document["dags"] if dag["dag_id"] == "probe")
