"""The way into prod, as people walk it: staging first, a plan, a signature of someone else, exactly that plan."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from slipway.operation import open_site

from .conftest import SOON, House, Said

ANA = ("-c", "user.name=Ana", "-c", "user.email=ana@finedge.example")
BEN, CHRIS, PAT = ({"AWS_PROFILE": name} for name in ("ben", "chris", "pat"))


@pytest.fixture(scope="module")
def prod(house: House) -> House:
    """The house once prod's first release is live: written by Ana, approved by Ben."""
    commit(house, "dbt_threads", 3)
    house.invoke("deploy", "--env", "staging")
    refused = house.invoke("deploy", "--env", "prod", expect=3)
    plan = plan_named(refused)
    approve(house, plan, BEN)
    house.invoke("deploy", "--env", "prod", "--plan", plan)
    return house


def commit(house: House, key: str, value: int, *, env: str = "prod") -> None:
    """Commit, as Ana, another value of a setting; the release stays what it was."""
    path = house.root / "config" / f"{env}.toml"
    lines = [f"{key} = {value}" if line.startswith(f"{key} =") else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")
    house.git("add", "-A")
    house.git(*ANA, "commit", "-q", "--allow-empty", "-m", f"{env}: {key} {value}")


def plan_named(said: Said) -> str:
    """Return the plan that a refusal names."""
    return said.err.partition("refuse plan ")[2].split()[0]


def plan_of(house: House) -> dict[str, Any]:
    document: dict[str, Any] = house.invoke("plan", "--env", "prod", "--json").json
    return document


def approve(house: House, plan: str, who: dict[str, str], *options: str, expect: int = 0) -> Said:
    return house.invoke(
        "approve", "--env", "prod", "--plan", plan, "--reason", "read it", *options, variables=who, expect=expect
    )


def test_prod_takes_only_what_succeeded_in_staging(house: House) -> None:
    house.schedule_from(days=SOON)
    house.write("dags/prod_first.md", "not a DAG, but a file of the release\n")
    house.git("add", "-A")
    house.git(*ANA, "commit", "-q", "-m", "Straight to prod")
    refused = house.invoke("deploy", "--env", "prod", expect=3)
    assert "stage: release" in refused.err
    assert "invoke deploy --env staging" in refused.err
    assert "approvals: " in refused.err, "every gate is told at once"
    assert house.invoke("history", "--env", "prod", "--json").json["deployments"] == []
    house.git("rm", "-q", "dags/prod_first.md")


def test_an_approved_plan_goes_live_and_says_who_allowed_it(prod: House) -> None:
    last = prod.invoke("status", "--env", "prod", "--json").json["last_deployment"]
    assert (last["state"], last["approved_by"], last["breaks_glass"]) == ("succeeded", ["ben"], False)
    told = prod.invoke("audit.show", "--env", "prod").out
    assert "ben had approved it: read it" in told
    assert "gate stage passed: this very release succeeded in staging" in told


def test_the_same_plan_given_again_is_done_already(prod: House) -> None:
    last = prod.invoke("status", "--env", "prod", "--json").json["last_deployment"]
    again = prod.invoke("deploy", "--env", "prod", "--plan", last["plan"])
    assert "nothing to do" in again.out
    assert f"was applied by {last['id']}" in approve(prod, last["plan"], CHRIS, expect=3).err
    assert prod.invoke("status", "--env", "prod", "--json").json["last_deployment"]["id"] == last["id"]


def test_nobody_approves_their_own_change_and_every_gate_says_what_opens_it(prod: House) -> None:
    commit(prod, "dbt_threads", 4)
    plan = plan_of(prod)  # exit 0: only people are waited for
    assert [(one["id"], one["state"]) for one in plan["blockers"]] == [("approvals", "waiting")]
    refused = approve(prod, plan["id"], {"AWS_PROFILE": "ana"}, expect=3)
    assert "nobody approves their own change" in refused.err
    assert "is nobody in config/policy.toml" in approve(prod, plan["id"], {}, expect=3).err
    assert "no plan begins" in approve(prod, "0" * 12, BEN, expect=2).err
    assert (
        "a reason is required"
        in prod.invoke("approve", "--env", "prod", "--plan", plan["id"], "--reason", " ", variables=BEN, expect=2).err
    )
    explained = prod.invoke("explain", "--env", "prod", "--json", expect=3).json
    states = {one["id"]: one["state"] for one in explained["gates"]}
    assert states == {"dags.import": "passed", "budget": "passed", "stage": "passed", "approvals": "waiting"}
    assert "0 of 1 approvals" in prod.invoke("deploy", "--env", "prod", "--plan", plan["id"], expect=3).err
    assert "asked for approval" in prod.invoke("approval.request", "--env", "prod", "--plan", plan["id"]).out


def test_an_approval_is_void_once_the_live_release_moved(prod: House) -> None:
    commit(prod, "dbt_threads", 4)
    old = plan_of(prod)
    approve(prod, old["id"], BEN)
    commit(prod, "dbt_threads", 5)
    new = plan_of(prod)
    assert new["id"] != old["id"]
    approve(prod, new["id"], CHRIS)
    prod.invoke("deploy", "--env", "prod", "--plan", new["id"])
    stale = prod.invoke("deploy", "--env", "prod", "--plan", old["id"], expect=3)
    assert "is not what would be done now" in stale.err
    assert "DAG pointer" in stale.err


def test_the_reviewed_terraform_plan_is_applied_on_another_machine_and_never_twice(prod: House) -> None:
    prod.write(
        "terraform/environments/prod/extra.tf",
        'resource "aws_sns_topic" "extra" {\n  name = "${var.prefix}-prod-extra"\n}\n',
    )
    prod.git("add", "-A")
    prod.git(*ANA, "commit", "-q", "-m", "A topic")
    prod.invoke("deploy", "--env", "staging")
    plan = plan_of(prod)
    assert plan["steps"][0]["kind"] == "infra"
    approve(prod, plan["id"], PAT)
    for file in (prod.root / ".build" / "prod").glob("*.tfplan"):
        file.unlink()  # the machine that deploys is not the one that planned
    prod.invoke("deploy", "--env", "prod", "--plan", plan["id"])
    applied = prod.invoke("infra.plan", "--env", "prod", "--json").json
    assert applied["plan_sha256"] is None
    assert "was applied as" in prod.invoke("deploy", "--env", "prod", "--plan", plan["id"]).out
    assert prod.invoke("infra.plan", "--env", "prod", "--json").json["serial"] == applied["serial"]


def test_a_policy_is_not_weakened_by_the_change_that_passes_under_it(prod: House) -> None:
    policy = prod.root / "config" / "policy.toml"
    before = policy.read_text()
    policy.write_text(before.replace("approvals = 1", "approvals = 0"))
    commit(prod, "dbt_threads", 7)
    refused = prod.invoke("deploy", "--env", "prod", expect=3)
    assert "0 of 1 approvals (says the policy that is live)" in refused.err
    policy.write_text(before)
    commit(prod, "dbt_threads", 6)


def test_breaking_the_glass_takes_two_people_is_loud_and_waits_for_a_review(prod: House) -> None:
    commit(prod, "dbt_threads", 8)
    plan = plan_of(prod)["id"]
    assert "0 of 2 people" in prod.invoke("deploy", "--env", "prod", "--plan", plan, "--break-glass", expect=3).err
    approve(prod, plan, BEN, "--break-glass")
    assert "1 of 2 people" in prod.invoke("deploy", "--env", "prod", "--plan", plan, "--break-glass", expect=3).err
    assert "0 of 1 approvals" in prod.invoke("deploy", "--env", "prod", "--plan", plan, expect=3).err
    approve(prod, plan, PAT, "--break-glass")
    loud = prod.invoke("deploy", "--env", "prod", "--plan", plan, "--break-glass")
    assert "BREAK-GLASS" in loud.out
    status = prod.invoke("status", "--env", "prod", "--json").json
    broke = status["last_deployment"]
    assert status["unreviewed"] == [broke["id"]]
    assert (broke["approved_by"], broke["breaks_glass"]) == (["ben", "pat"], True)
    assert "THE GLASS WAS BROKEN" in prod.invoke("audit.show", "--env", "prod").out

    commit(prod, "dbt_threads", 9)
    waiting = plan_of(prod)
    assert "review" in [one["id"] for one in waiting["blockers"]]
    approve(prod, waiting["id"], CHRIS)
    assert "was not reviewed" in prod.invoke("deploy", "--env", "prod", "--plan", waiting["id"], expect=3).err
    review = ("approval.review", "--env", "prod", "--deployment", broke["id"], "--reason", "INC-12 closed")
    assert "took part" in prod.invoke(*review, variables=BEN, expect=3).err
    assert "took part" in prod.invoke(*review, variables={"AWS_PROFILE": "ana"}, expect=3).err
    prod.invoke(*review, variables=CHRIS)
    prod.invoke("deploy", "--env", "prod", "--plan", waiting["id"])
    assert prod.invoke("status", "--env", "prod", "--json").json["unreviewed"] == []


def test_the_way_back_needs_nobodys_approval(prod: House) -> None:
    back = prod.invoke("rollback", "--env", "prod", "--json").json
    last = back["last_deployment"]
    assert (last["purpose"], last["state"]) == ("rollback", "succeeded")
    with open_site(prod.root, "prod", start=False) as site:
        asked_by = site.bucket.plan(last["plan"]).asked_by
    assert asked_by, "where the policy wants approvals of a rollback, theirs does not count"


def test_everything_that_was_signed_holds_and_an_auditor_needs_openssl_only(prod: House, tmp_path: Path) -> None:
    held = prod.invoke("audit.verify", "--env", "prod", "--json").json
    assert held["holds"], held["findings"]
    assert held["deployments"] >= 5
    file, key = tmp_path / "evidence.zip", tmp_path / "key.pem"
    broke = next(
        one for one in prod.invoke("history", "--env", "prod", "--json").json["deployments"] if one["breaks_glass"]
    )
    prod.invoke("audit.evidence", "--env", "prod", "--deployment", broke["id"], "--out", str(file))
    key.write_text(prod.invoke("audit.key", "--env", "prod").out)
    checked = prod.invoke("audit.check", "--file", str(file), "--key", str(key))
    assert "2 approvals" in checked.out
    shutil.unpack_archive(file, tmp_path / "unpacked")
    verified = subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", str(key), "-signature", "signature.der", "signed.bin"],
        cwd=tmp_path / "unpacked",
        capture_output=True,
        text=True,
    )
    assert verified.stdout.strip() == "Verified OK"
    statement = json.loads((tmp_path / "unpacked" / "statement.json").read_bytes())
    assert statement["predicate"]["deployment"] == broke["id"]
    assert "exists" in prod.invoke("audit.evidence", "--env", "prod", "--out", str(file), expect=2).err
    other = tmp_path / "other.pem"
    other.write_text(prod.invoke("audit.key", "--env", "staging").out)
    assert "does not hold" in prod.invoke("audit.check", "--file", str(file), "--key", str(other), expect=6).err
