"""A model that loses customers: the deployment stops before publish, is looked at, acknowledged, and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import House

pytestmark = pytest.mark.e2e

MODEL = "dbt/models/marts/customer/agg_customer_value.sql"
END = "on customers.customer_id = activity.customer_id\n"
FAULT = "where customers.segment = 'retail'\n"
POLICY = "config/policy.toml"


@pytest.fixture(scope="module")
def live(house: House) -> Iterator[dict[str, Any]]:
    """Have the pipelines' data live, and give the status; in the end the work tree is as it was."""
    house.git("reset", "-q", "--hard")
    commit = house.git("rev-parse", "HEAD").strip()
    house.invoke("deploy", "--env", "staging")
    house.invoke("dags.status", "--env", "staging", "--wait")
    yield house.invoke("status", "--env", "staging", "--json").json
    house.git("reset", "-q", "--hard", commit)
    house.git("clean", "-q", "-f", "-d", "config", "dbt")


@pytest.fixture(scope="module")
def refused(house: House, live: dict[str, Any]) -> str:
    """The slot that a comparison refused."""
    house.replace(MODEL, END, END + FAULT)
    house.commit("Value of customers that buy for themselves")
    said = house.invoke("deploy", "--env", "staging", expect=4)
    assert "CUSTOMER.AGG_CUSTOMER_VALUE rows: " in said.err
    assert "allowed -5 %); explained by agg_customer_value" in said.err
    assert "invoke dbt.compare --env staging" in said.err
    now = house.invoke("status", "--env", "staging", "--json").json
    assert now["last_deployment"]["steps"][-1]["kind"] == "compare"
    (slot,) = set(now["slots"]["complete"]) - set(live["slots"]["complete"])
    return str(slot)


def customers(house: House) -> int:
    """Return how many customers readers see the value of."""
    return int(house.rows("READER", "SELECT COUNT(*) FROM STAGING_MARTS.CUSTOMER.AGG_CUSTOMER_VALUE")[0][0])


def test_live_data_is_not_touched_and_the_slot_stays(house: House, live: dict[str, Any], refused: str) -> None:
    now = house.invoke("status", "--env", "staging", "--json").json
    assert (now["slots"]["published"], now["version"]) == (live["slots"]["published"], live["version"])
    assert refused in now["slots"]["complete"]


def test_the_command_shows_what_differs_for_people_and_for_a_pull_request(house: House, refused: str) -> None:
    said = house.invoke("dbt.compare", "--env", "staging", "--rows", "3", "--markdown", "comparison.md", expect=3)
    for word in ("CUSTOMER.AGG_CUSTOMER_VALUE", "explained by agg_customer_value", "over", f'slot = "{refused}"'):
        assert word in said.out
    assert "rows differ, 3 of them here" in said.out
    text = (house.root / "comparison.md").read_text()
    assert text.startswith(f"### `{refused}` compared with ")
    assert r"CUSTOMER.AGG\_CUSTOMER\_VALUE" in text
    (house.root / "comparison.md").unlink()


def test_the_same_command_again_builds_the_slot_anew_and_is_refused_again(house: House, refused: str) -> None:
    plan = house.invoke("plan", "--env", "staging", "--json").json
    assert f"dbt build into slot {refused} anew" in plan["steps"][0]["summary"]
    house.invoke("deploy", "--env", "staging", expect=4)


def test_what_is_acknowledged_in_the_policy_goes_on_without_a_build(
    house: House, live: dict[str, Any], refused: str
) -> None:
    before = customers(house)
    found = house.invoke("dbt.compare", "--env", "staging", "--json", "--rows", "0", expect=3).json
    assert (found["slot"], found["against"], found["passes"]) == (refused, live["slots"]["published"], False)
    lines = []
    for relation in found["relations"]:
        for one in relation["differences"]:
            if one["over"]:
                column = f'column = "{one["column"]}"\n' if one["column"] else ""
                lines.append(
                    f'[[comparison.acknowledgements]]\nmodel = "{relation["model"]}"\nwhat = "{one["measure"]}"\n'
                    f'{column}reason = "businesses have a model of their own"\nslot = "{refused}"\n'
                )
    house.write(POLICY, (house.root / POLICY).read_text() + "\n" + "\n".join(lines))
    house.commit("Businesses have a model of their own")
    plan = house.invoke("plan", "--env", "staging", "--json").json
    assert [step["kind"] for step in plan["steps"]] == ["compare", "publish", "flip"]
    house.invoke("deploy", "--env", "staging")
    assert 0 < customers(house) < before
    assert f"{len(lines)} acknowledged" in house.invoke("audit.show", "--env", "staging").out


def test_the_way_back_is_not_compared_and_all_of_it_is_in_the_evidence(house: House, live: dict[str, Any]) -> None:
    house.invoke("rollback", "--env", "staging")
    now = house.invoke("status", "--env", "staging", "--json").json
    assert now["slots"]["published"] == live["slots"]["published"]
    assert [step["kind"] for step in now["last_deployment"]["steps"]] == ["publish", "flip"]
    assert house.invoke("audit.verify", "--env", "staging", "--json").json["holds"]


def test_the_slot_of_a_commit_that_was_not_built_says_what_builds_it(house: House, refused: str) -> None:
    house.replace(MODEL, FAULT, "where customers.segment = 'premium'\n")
    house.commit("Another model")
    said = house.invoke("dbt.compare", "--env", "staging", expect=2)
    assert "of the commit checked out was not built in staging" in said.err
    assert "invoke deploy --env staging" in said.err
    assert f"--slot and --with: {refused}" in said.err or refused in said.err
    unknown = house.invoke("dbt.compare", "--env", "staging", "--slot", "00000000", expect=2)
    assert "slot 00000000 was not built in staging" in unknown.err
