"""Gates: each one passes, blocks, waits and is lifted; all of them at once; and who judges a change of the policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.approval import LIFTED, TO_BEGIN
from slipway.gate import GATES, Case, CheckReport, Problem, Result, Verdict, evaluate, judge
from slipway.lineage import Contraction
from slipway.policy import CHECKS, LANES, GateId, Policy
from slipway.release import Version
from slipway.step import summarise
from tests.ports.environment import MemoryEnvironment

from .conftest import NOW, PEOPLE, case_of, commit_by, policy_of, release_of
from .test_approval import signed_by

ANA = "Ana <ana@finedge.example>"
KNOWN: dict[str, Any] = {one: {"identities": [one], "emails": [f"{one}@finedge.example"]} for one in PEOPLE}
STAGED = {"staging": "d-20261101-120000-abcdef"}


def case(
    *,
    changes: Mapping[str, bytes | None] | None = None,
    authors: tuple[str, ...] = (ANA,),
    environment: MemoryEnvironment | None = None,
    **facts: Any,
) -> Case:
    """Return a first deployment to prod that everything but an approval is there for."""
    around, release = environment or MemoryEnvironment(), release_of(changes)
    version = Version(environment="prod", release=release.id, slot=release.slot, settings={"dbt_threads": 4})
    plan = around.plan(release, version, commits=(commit_by(*authors),))
    found: dict[str, Any] = {"staged": STAGED, "checks": CheckReport(dag_ids=("a", "b")), **facts}
    return case_of(plan, release, around.observe(), **found)


def said_by(gate: GateId, of: Case) -> tuple[Result, ...]:
    return tuple(one for one in evaluate(of).results if one.id == gate)


def states(gate: GateId, of: Case) -> list[str]:
    return [one.state for one in said_by(gate, of)]


def approved(of: Case, *people: str, **said: Any) -> Case:
    return replace(of, signed=(*of.signed, *(signed_by(one, plan=of.plan, **said) for one in people)))


def broken(of: Case, *people: str) -> Case:
    return replace(approved(of, *people, kind="break-glass"), breaks_glass=True)


def prod(**rules: Any) -> Policy:
    """Return a policy in which every lane of prod needs the same."""
    lanes = dict.fromkeys(LANES, rules.pop("lane", {"approvals": 1}))
    return policy_of(environments={"staging": {}, "prod": {"after": "staging", "lanes": lanes, **rules}})


def test_every_gate_of_a_policy_is_one_that_can_be_asked() -> None:
    assert set(GATES) == set(get_args(GateId))
    assert set(CHECKS) | {"stage", "review", "window", "budget", "approvals"} == set(GATES)


def test_a_plan_that_everything_is_there_for_is_open() -> None:
    verdict = evaluate(approved(case(), "ben"))

    assert verdict.is_open
    assert [one.person for one in verdict.counted] == ["ben"]
    assert {one.state for one in verdict.results} == {"passed"}


def test_an_empty_plan_is_asked_nothing() -> None:
    of = case()
    empty = replace(of, plan=of.plan.model_copy(update={"steps": ()}), checks=CheckReport(), staged={})

    assert evaluate(empty) == Verdict(results=())


EDITED = MemoryEnvironment(migrations={"V1.0.0__tables.sql": "0" * 64})
LATE = {"snowflake_migrations/scripts/V0.9.0__late.sql": b"x", "snowflake_migrations/undo/U0.9.0__late.sql": b"y"}
DROPS = Problem(file="scripts/V1.0.0__tables.sql", message="line 3: destructive: it drops TABLE T")
UNDO_FAILS = Problem(file="undo/U1.0.0__tables.sql", message="line 1: syntax: no SQL")
WITHOUT_UNDO = {"snowflake_migrations/undo/U1.0.0__tables.sql": None}


@pytest.mark.parametrize(
    ("gate", "of", "reason"),
    [
        (
            "dags.import",
            case(checks=CheckReport(dag_problems=(Problem(file="dags/a.py", message="NameError: x"),))),
            "dags/a.py: NameError: x",
        ),
        (
            "dbt.compile",
            case(checks=CheckReport(dbt_problems=(Problem(file="models/m.sql", message="no such column"),))),
            "models/m.sql: no such column",
        ),
        (
            "dbt.compile",
            case(checks=CheckReport(dbt_parse_ms=60_001)),
            "dbt reads the project for 60.1 s, in every run that builds it; 60 s are allowed",
        ),
        ("migration.edited", case(environment=EDITED), "V1.0.0__tables.sql was applied with other content"),
        (
            "migration.order",
            case(changes=LATE, environment=EDITED),
            "V0.9.0__late.sql has no higher version than every script that was applied",
        ),
        ("migration.undo", case(changes=WITHOUT_UNDO), "V1.0.0__tables.sql has no undo beside it"),
        (
            "migration.lint",
            case(checks=CheckReport(migration_problems=(DROPS,))),
            "scripts/V1.0.0__tables.sql: line 3: destructive: it drops TABLE T",
        ),
        (
            "infra.destroys-data",
            case(environment=MemoryEnvironment(destroys_data=("module.releases_bucket.aws_s3_bucket.this",))),
            "terraform would destroy module.releases_bucket.aws_s3_bucket.this, which holds data",
        ),
        ("stage", case(staged={}), "has no signed success in staging"),
        ("budget", case(forecast_ms=15 * 60_000 + 1), "about 15.0 min expected of 15"),
        ("approvals", case(authors=(ANA, "Zoe <zoe@x>")), "Zoe <zoe@x> wrote a part of this and is nobody"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_a_gate_blocks_and_says_what_mends_it(gate: GateId, of: Case, reason: str) -> None:
    (result,) = said_by(gate, of)

    assert result.state == "blocked"
    assert reason in result.reason
    assert result.fix
    assert not evaluate(of).only_waits


@pytest.mark.parametrize("gate", CHECKS)
def test_a_check_that_finds_nothing_passes(gate: GateId) -> None:
    assert states(gate, case()) == ["passed"]


def test_what_was_applied_is_judged_by_no_lint_any_more_and_an_undo_with_its_script() -> None:
    checks = CheckReport(migration_problems=(DROPS, UNDO_FAILS))
    assert states("migration.lint", case(checks=checks)) == ["blocked", "blocked"]
    assert states("migration.lint", case(checks=checks, environment=EDITED)) == ["passed"]


def test_a_project_that_is_slow_to_read_holds_up_only_what_has_it_built() -> None:
    of = case(checks=CheckReport(dbt_parse_ms=60_001))
    steps = tuple(step for step in of.plan.steps if step.kind != "build")
    assert states("dbt.compile", of) == ["blocked"]
    assert states("dbt.compile", replace(of, plan=of.plan.model_copy(update={"steps": steps}))) == ["passed"]


def test_a_check_is_asked_only_of_its_lanes() -> None:
    of = case(checks=CheckReport(dbt_problems=(Problem(file="m.sql", message="x"),)))
    only_dags = replace(of, plan=of.plan.model_copy(update={"lanes": ("dags",)}))

    assert states("dbt.compile", only_dags) == []
    assert states("dags.import", only_dags) == ["passed"]


def test_each_problem_of_a_check_is_a_result_of_its_own() -> None:
    problems = tuple(Problem(file=f"dags/{name}.py", message="SyntaxError") for name in "abc")

    assert states("dags.import", case(checks=CheckReport(dag_problems=problems))) == ["blocked"] * 3


# ---- what the environment wants --------------------------------------------------------------------------------


def test_a_release_that_succeeded_before_may_come_and_says_by_which_deployment() -> None:
    (result,) = said_by("stage", case())

    assert (result.state, STAGED["staging"] in result.reason) == ("passed", True)


def test_an_environment_that_nothing_comes_before_asks_for_no_stage() -> None:
    assert states("stage", case(policy=prod(after=None), staged={})) == []


def test_an_emergency_that_nobody_reviewed_makes_the_next_one_wait() -> None:
    results = said_by("review", case(unreviewed=("d-1", "d-2")))

    assert [one.state for one in results] == ["waiting", "waiting"]
    assert "--deployment d-1 " in (results[0].fix or "")
    assert states("review", case()) == []


@pytest.mark.parametrize(
    ("now", "state"),
    [("2026-11-02T12:00", "passed"), ("2026-11-02T17:00", "waiting"), ("2026-11-07T12:00", "waiting")],
)
def test_a_window_passes_or_waits(now: str, state: str) -> None:
    policy = prod(lane={"windows": ["Mon-Fri 07:00-17:00"]})
    of = case(policy=policy, now=datetime.fromisoformat(now).replace(tzinfo=UTC))

    assert states("window", of) == [state]
    assert evaluate(of).only_waits


def test_lanes_with_other_windows_are_judged_apart() -> None:
    lanes = {"dags": {"windows": ["Mon-Sun 00:00-24:00"]}, "dbt": {"windows": ["Sat-Sun 00:00-24:00"]}}
    of = case(policy=policy_of(environments={"prod": {"lanes": lanes}}))

    assert sorted(states("window", of)) == ["passed", "waiting"]


@pytest.mark.parametrize(
    ("forecast_ms", "state"), [(None, "passed"), (0, "passed"), (15 * 60_000, "passed"), (15 * 60_000 + 1, "blocked")]
)
def test_a_budget_is_held_against_what_such_plans_took(forecast_ms: int | None, state: str) -> None:
    assert states("budget", case(forecast_ms=forecast_ms)) == [state]


def test_a_budget_says_what_its_forecast_knows_nothing_of() -> None:
    (result,) = said_by("budget", case(forecast_ms=60_000, never_done=("infra", "migrate")))
    assert result.reason == "about 1.0 min expected of 15, besides what was never done here: infra, migrate"


@pytest.mark.parametrize(("forecast_ms", "state"), [(5 * 60_000, "passed"), (5 * 60_000 + 1, "blocked")])
def test_the_smallest_budget_of_the_lanes_counts_and_a_lane_without_one_does_not(forecast_ms: int, state: str) -> None:
    budgets = {"dags": {"budget_minutes": 30}, "dbt": {"budget_minutes": 5}, "infra": {"budget_minutes": 60}}
    lanes = {lane: budgets.get(lane, {}) for lane in LANES}
    of = case(policy=policy_of(environments={"prod": {"after": "staging", "lanes": lanes}}), forecast_ms=forecast_ms)

    assert set(of.plan.lanes) == set(LANES)
    assert states("budget", of) == [state]


def test_a_success_somewhere_else_than_where_it_must_be_proves_nothing() -> None:
    assert states("stage", case(staged={"dev": "d-20261101-120000-abcdef"})) == ["blocked"]


def test_a_lane_without_a_budget_takes_as_long_as_it_takes() -> None:
    assert states("budget", case(policy=prod(), forecast_ms=10**9)) == []


@pytest.mark.parametrize(
    ("needed", "people", "state"),
    [
        (0, (), None),
        (1, (), "waiting"),
        (1, ("ana",), "waiting"),
        (1, ("ben",), "passed"),
        (2, ("ben",), "waiting"),
        (2, ("ben", "ben"), "waiting"),
        (2, ("ben", "pat"), "passed"),
        (3, ("ana", "ben", "chris", "pat"), "passed"),
    ],
)
def test_approvals_are_counted_by_people(needed: int, people: tuple[str, ...], state: str | None) -> None:
    of = approved(case(policy=prod(lane={"approvals": needed})), *people)

    assert states("approvals", of) == ([state] if state else [])


def test_whose_approval_does_not_count_is_told_in_the_reason() -> None:
    (result,) = said_by("approvals", approved(case(), "ana", "zoe"))

    assert "0 of 1 approvals" in result.reason
    assert "ana: wrote a part of what would be deployed" in result.reason
    assert "is nobody in config/policy.toml" in result.reason
    assert (result.fix or "").startswith("invoke approve --env prod --plan ")


def test_an_approval_of_a_plan_that_changed_does_not_count() -> None:
    before = approved(case(), "ben")
    after = replace(before, plan=before.plan.model_copy(update={"policy": "q" * 64}))

    assert evaluate(before).is_open
    assert states("approvals", after) == ["waiting"]


def test_a_way_back_needs_what_the_policy_says_of_ways_back() -> None:
    of = case(staged={}, unreviewed=("d-1",))
    back = replace(of, plan=of.plan.model_copy(update={"purpose": "rollback"}))

    assert evaluate(back).is_open
    strict = replace(back, policy=prod(rollback={"approvals": 1}))
    assert states("approvals", strict) == ["waiting"]


def test_everything_that_stands_in_the_way_shows_at_once_in_one_order() -> None:
    checks = CheckReport(
        dag_problems=(Problem(file="a.py", message="x"),),
        dbt_problems=(Problem(file="m.sql", message="y"),),
        migration_problems=(Problem(file="scripts/V0.9.0__late.sql", message="z"),),
    )
    lane = {"approvals": 2, "windows": ["Sat-Sun 00:00-24:00"], "budget_minutes": 1}
    of = case(
        changes={**LATE, **WITHOUT_UNDO},
        environment=MemoryEnvironment(migrations={"V1.0.0__tables.sql": "0" * 64}, destroys_data=("b",)),
        checks=checks,
        policy=prod(lane=lane),
        staged={},
        unreviewed=("d-1",),
        forecast_ms=10**6,
        contraction=Contraction(conflicts=(("V2__x.sql", "it takes CORE.T"),)),
    )

    assert tuple(one.id for one in evaluate(of).obstacles) == tuple(GATES)
    assert all(one.fix for one in evaluate(of).obstacles)


# ---- emergencies -----------------------------------------------------------------------------------------------


EMERGENCY: dict[str, Any] = {
    "policy": prod(lane={"approvals": 1, "windows": ["Sat-Sun 00:00-24:00"], "budget_minutes": 1}),
    "staged": {},
    "forecast_ms": 10**6,
}


def test_a_broken_glass_lifts_what_can_wait_and_counts_who_broke_it() -> None:
    verdict = evaluate(broken(case(**EMERGENCY), "ben", "ana"))

    assert verdict.is_open
    assert verdict.glass_broken
    assert {one.id for one in verdict.results if one.state == "lifted"} == LIFTED
    assert all(one.reason.startswith("break-glass: ") for one in verdict.results if one.state == "lifted")
    assert [one.person for one in verdict.counted] == ["ben", "ana"]


def test_a_broken_glass_lifts_nothing_that_keeps_broken_code_out_and_no_review_that_is_owed() -> None:
    checks = CheckReport(dag_problems=(Problem(file="a.py", message="x"),))
    verdict = evaluate(broken(case(**EMERGENCY, checks=checks, unreviewed=("d-1",)), "ben", "chris"))

    assert [one.id for one in verdict.obstacles] == ["dags.import", "review"]


@pytest.mark.parametrize("people", [(), ("ben",), ("ben", "ben"), ("ana",), ("ben", "zoe")])
def test_too_few_people_break_nothing(people: tuple[str, ...]) -> None:
    verdict = evaluate(broken(case(**EMERGENCY), *people))

    assert not verdict.glass_broken
    assert "lifted" not in {one.state for one in verdict.results}
    assert "of 2 people broke the glass" in verdict.obstacles[-1].reason
    assert (verdict.obstacles[-1].fix or "").endswith("--break-glass")


def test_authors_alone_break_nothing_and_are_told_so() -> None:
    of = case(**EMERGENCY, authors=(ANA, "Ben <ben@finedge.example>"))

    assert "one of them must not be an author" in evaluate(broken(of, "ana", "ben")).obstacles[-1].reason


def test_a_glass_that_nobody_asked_to_break_stays_whole() -> None:
    verdict = evaluate(replace(broken(case(**EMERGENCY), "ben", "chris"), breaks_glass=False))

    assert not verdict.glass_broken
    assert not verdict.is_open
    assert verdict.counted == ()


def test_a_broken_glass_is_whole_again_after_its_minutes() -> None:
    of = broken(case(**EMERGENCY), "ben", "chris")

    last = timedelta(minutes=60) - TO_BEGIN
    assert evaluate(replace(of, now=NOW + last)).is_open
    assert not evaluate(replace(of, now=NOW + last + timedelta(seconds=1))).glass_broken


def test_an_approval_must_be_good_until_the_deployment_begins_as_an_audit_will_ask() -> None:
    of, ttl = approved(case(), "ben"), timedelta(hours=24)

    assert states("approvals", replace(of, now=NOW + ttl - TO_BEGIN)) == ["passed"]
    (result,) = said_by("approvals", replace(of, now=NOW + ttl - TO_BEGIN + timedelta(seconds=1)))
    assert (result.state, "over before it would begin" in result.reason) == ("waiting", True)


# ---- a change of the policy ------------------------------------------------------------------------------------


def test_whom_the_live_policy_asks_for_is_named_beside_whom_the_new_one_does() -> None:
    """An audit holds the deployment against both."""
    live, new = (prod(lane={"approvals": 1, "approvers": [one]}) for one in ("pat", "chris"))
    verdict = judge(approved(case(policy=new), "pat", "chris"), live)

    assert verdict.is_open
    assert {one.person for one in verdict.counted} == {"pat", "chris"}


@pytest.mark.parametrize(
    ("live", "new", "gate"),
    [
        (prod(), prod(lane={"approvals": 0}), "approvals"),
        (prod(lane={"approvals": 2}), prod(lane={"approvals": 1}), "approvals"),
        (prod(lane={"windows": ["Sat 00:00-24:00"]}), prod(lane={}), "window"),
        (prod(lane={"budget_minutes": 1}), prod(lane={"budget_minutes": 900}), "budget"),
        (prod(lane={}), prod(lane={}, after=None), "stage"),
        (prod(), policy_of(people={**KNOWN, "zoe": {"identities": ["zoe"]}}), "approvals"),
    ],
    ids=["no approvals", "fewer approvals", "no window", "a larger budget", "no stage", "a new person"],
)
def test_a_policy_made_weaker_is_judged_by_the_live_one_too(live: Policy, new: Policy, gate: str) -> None:
    facts = {"staged": {} if gate == "stage" else STAGED, "forecast_ms": 10**6 if gate == "budget" else None}
    of = approved(case(policy=new, **facts), "zoe")
    of = approved(of, "ben") if live.rules("prod").lanes["dbt"].approvals == 2 else of
    verdict = judge(of, live)

    assert evaluate(of).is_open
    assert [one.id for one in verdict.obstacles] == [gate] * len(verdict.obstacles)
    assert verdict.obstacles
    assert all(one.reason.endswith("(says the policy that is live)") for one in verdict.obstacles)


def test_a_policy_made_stricter_is_judged_by_the_new_one() -> None:
    of = approved(case(policy=prod(lane={"approvals": 2})), "ben")

    assert [one.id for one in judge(of, prod()).obstacles] == ["approvals"]


def test_an_author_who_gives_the_own_address_to_another_is_still_the_author() -> None:
    both = ["ben@finedge.example", "ana@finedge.example"]
    people = {**KNOWN, "ana": {"identities": ["ana"]}, "ben": {"identities": ["ben"], "emails": both}}
    of = approved(case(policy=policy_of(people=people)), "ana")

    assert evaluate(of).is_open
    assert [one.id for one in judge(of, policy_of()).obstacles] == ["approvals"]


def test_a_glass_is_broken_only_when_both_policies_say_so() -> None:
    of = broken(case(**{**EMERGENCY, "policy": policy_of()}), "ben", "chris")
    three = policy_of(break_glass={"people": 3, "minutes": 60})

    assert judge(of, policy_of()).is_open
    verdict = judge(of, three)
    assert not verdict.is_open
    assert not verdict.glass_broken


@pytest.mark.parametrize("live", [None, policy_of()], ids=["first deployment", "unchanged"])
def test_a_policy_that_did_not_change_is_asked_once(live: Policy | None) -> None:
    of = case()

    assert judge(of, live) == evaluate(of)


@given(
    needed=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    people=st.sets(st.sampled_from(PEOPLE)),
)
def test_nothing_is_open_that_the_live_policy_refuses(needed: tuple[int, int], people: set[str]) -> None:
    new, live = (prod(lane={"approvals": number}) for number in needed)
    of = approved(case(policy=new), *sorted(people))

    assert judge(of, live).is_open == (len(people - {"ana"}) >= max(needed))


def test_a_contract_that_somebody_needs_blocks() -> None:
    taken = Contraction(conflicts=(("V2__x.sql", "it takes CORE.T, which the live release a needs: model b"),))
    found = said_by("migration.contract", case(contraction=taken))
    assert [one.state for one in found] == ["blocked"]
    assert found[0].reason == "V2__x.sql: it takes CORE.T, which the live release a needs: model b"
    assert "-- slipway: ends rollbacks: WHY" in str(found[0].fix)
    assert states("migration.contract", case()) == ["passed"]


def test_the_rollbacks_that_a_contract_ends_are_said_by_its_gate_and_in_its_step() -> None:
    found = said_by("migration.contract", case(contraction=Contraction(ends=("a-1", "b-2"))))
    assert [(one.state, one.reason) for one in found] == [("passed", "it ends the rollbacks to a-1, b-2")]
    release = release_of()
    version = Version(environment="prod", release=release.id, slot=release.slot, settings={"dbt_threads": 4})
    plan = MemoryEnvironment().plan(release, version, ends_rollbacks=("a-1", "b-2"))
    said = next(summarise(one) for one in plan.steps if one.kind == "migrate")
    assert said.endswith("; ENDS ROLLBACKS TO a-1, b-2")
