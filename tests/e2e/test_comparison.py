"""A model that forgets values: the deployment stops before publish, is looked at, acknowledged, and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import SOON, House

# The first one may find a platform that has just begun
pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(1800)]

MODEL = "dbt/models/marts/finance/dim_merchant_category.sql"  # of seeds, so that it has rows before anything was loaded
GROUP = "    category_group,\n"
FAULT = "    case when is_discretionary then category_group end as category_group,\n"
POLICY = "config/policy.toml"


@pytest.fixture(scope="module")
def live(house: House) -> Iterator[dict[str, Any]]:
    """Have something live, and give the status; in the end the work tree is as it was."""
    house.schedule_from(days=SOON)
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
    house.replace(MODEL, GROUP, FAULT)
    house.commit("Groups of what people can do without")
    said = house.invoke("deploy", "--env", "staging", expect=4)
    assert "FINANCE.DIM_MERCHANT_CATEGORY.CATEGORY_GROUP nulls: 0 -> " in said.err
    assert "allowed +1 points); explained by dim_merchant_category" in said.err
    assert "invoke dbt.compare --env staging" in said.err
    now = house.invoke("status", "--env", "staging", "--json").json
    assert now["last_deployment"]["steps"][-1]["kind"] == "compare"
    (slot,) = set(now["slots"]["complete"]) - set(live["slots"]["complete"])
    return str(slot)


def groups(house: House) -> int:
    """Return how many categories readers see the group of."""
    rows = house.rows("READER", "SELECT COUNT(CATEGORY_GROUP) FROM STAGING_MARTS.FINANCE.DIM_MERCHANT_CATEGORY")
    return int(rows[0][0])


def test_live_data_is_not_touched_and_the_slot_stays(house: House, live: dict[str, Any], refused: str) -> None:
    now = house.invoke("status", "--env", "staging", "--json").json
    assert (now["slots"]["published"], now["version"]) == (live["slots"]["published"], live["version"])
    assert refused in now["slots"]["complete"]


def test_the_command_shows_what_differs_for_people_and_for_a_pull_request(house: House, refused: str) -> None:
    said = house.invoke("dbt.compare", "--env", "staging", "--rows", "3", "--markdown", "comparison.md", expect=3)
    for word in ("FINANCE.DIM_MERCHANT_CATEGORY", "explained by dim_merchant_category", "over", f'slot = "{refused}"'):
        assert word in said.out
    assert "rows differ, 3 of them here" in said.out
    assert "category_group " in said.out
    text = (house.root / "comparison.md").read_text()
    assert text.startswith(f"### `{refused}` compared with ")
    assert "`FINANCE.DIM_MERCHANT_CATEGORY`" in text
    (house.root / "comparison.md").unlink()


def test_the_same_command_again_builds_the_slot_anew_and_is_refused_again(house: House, refused: str) -> None:
    plan = house.invoke("plan", "--env", "staging", "--json").json
    assert f"dbt build into slot {refused} anew" in plan["steps"][0]["summary"]
    house.invoke("deploy", "--env", "staging", expect=4)


def test_what_is_acknowledged_in_the_policy_goes_on_without_a_build(
    house: House, live: dict[str, Any], refused: str
) -> None:
    before = groups(house)
    found = house.invoke("dbt.compare", "--env", "staging", "--json", "--rows", "0", expect=3).json
    assert (found["slot"], found["against"], found["passes"]) == (refused, live["slots"]["published"], False)
    lines = []
    for relation in found["relations"]:
        for one in relation["differences"]:
            if one["over"]:
                column = f'column = "{one["column"]}"\n' if one["column"] else ""
                lines.append(
                    f'[[comparison.acknowledgements]]\nmodel = "{relation["model"]}"\nwhat = "{one["measure"]}"\n'
                    f'{column}reason = "only what people can do without has groups"\nslot = "{refused}"\n'
                )
    house.write(POLICY, (house.root / POLICY).read_text() + "\n" + "\n".join(lines))
    house.commit("What was asked for")
    plan = house.invoke("plan", "--env", "staging", "--json").json
    assert [step["kind"] for step in plan["steps"]] == ["catchup", "compare", "publish", "flip"]
    house.invoke("deploy", "--env", "staging")
    assert 0 < groups(house) < before
    assert f"{len(lines)} acknowledged" in house.invoke("audit.show", "--env", "staging").out


def test_the_way_back_is_not_compared_and_all_of_it_is_in_the_evidence(house: House, live: dict[str, Any]) -> None:
    house.invoke("rollback", "--env", "staging")
    now = house.invoke("status", "--env", "staging", "--json").json
    assert now["slots"]["published"] == live["slots"]["published"]
    assert [step["kind"] for step in now["last_deployment"]["steps"]] == ["publish", "flip"]
    assert house.invoke("audit.verify", "--env", "staging", "--json").json["holds"]


def test_the_slot_of_a_commit_that_was_not_built_says_what_builds_it(house: House, refused: str) -> None:
    house.replace(MODEL, FAULT, "    category_group || '' as category_group,\n")
    house.commit("Another model")
    said = house.invoke("dbt.compare", "--env", "staging", expect=2)
    assert "of the commit checked out was not built in staging" in said.err
    assert "invoke deploy --env staging" in said.err
    assert refused in said.err, "among those that were built"
    unknown = house.invoke("dbt.compare", "--env", "staging", "--slot", "00000000", expect=2)
    assert "slot 00000000 was not built in staging" in unknown.err
