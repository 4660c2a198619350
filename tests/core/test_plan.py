"""What goes into a plan, as a table: (what changed) -> the steps, in order."""

from __future__ import annotations

import pytest

from slipway.gate import CheckReport, Problem, evaluate
from slipway.observation import AppliedMigration
from slipway.plan import Plan

from .conftest import MemoryEnvironment, release_of, version_in_staging
from .test_engine import deploy


@pytest.mark.parametrize(
    ("changes", "settings", "steps", "lanes"),
    [
        ({}, {}, (), ()),
        ({"dags/customers.py": b"new"}, {}, ("upload", "flip"), ("dags",)),
        ({"dbt/models/finance/dim_account.sql": b"select 2"}, {}, ("upload", "build", "publish", "flip"), ("dbt",)),
        ({"snowflake_migrations/scripts/R__views.sql": b"other"}, {}, ("upload", "migrate", "flip"), ("migration",)),
        (
            {"snowflake_migrations/scripts/V1.1.0__more.sql": b"x", "snowflake_migrations/undo/U1.1.0__more.sql": b"y"},
            {},
            ("upload", "migrate", "flip"),
            ("migration",),
        ),
        ({}, {"dbt_threads": 8}, ("upload", "flip"), ("config",)),
    ],
    ids=["nothing", "dag", "model", "repeatable", "versioned", "settings"],
)
def test_a_plan_holds_only_what_the_change_needs(changes, settings, steps, lanes, environment, journal) -> None:
    first = release_of()
    deploy(environment, journal, first, version_in_staging(first))
    release = release_of(changes)
    plan = environment.plan(release, version_in_staging(release, **settings))
    assert tuple(step.kind for step in plan.steps) == steps
    assert plan.lanes == lanes


def test_a_plan_is_the_same_whenever_it_is_made_and_reads_back_the_same(environment: MemoryEnvironment) -> None:
    release = release_of()
    version = version_in_staging(release)
    plan = environment.plan(release, version)
    assert environment.plan(release, version).id == plan.id
    assert Plan.from_bytes(plan.to_bytes(), origin="memory") == plan


def test_all_blockers_show_at_once_each_with_what_mends_it(environment: MemoryEnvironment) -> None:
    environment.migrations = {"V1.0.0__tables.sql": "0" * 64, "V2.0.0__gone.sql": "1" * 64}
    release = release_of({"snowflake_migrations/scripts/V1.5.0__late.sql": b"x"})
    plan = environment.plan(release, version_in_staging(release))
    checks = CheckReport(dag_problems=(Problem(file="dags/customers.py", message="NameError: x"),))
    blockers = evaluate(plan, release, checks, environment.observe())
    assert [one.id for one in blockers] == ["dags.import", "migration.edited", "migration.undo"]
    assert all(one.fix for one in blockers)


def test_a_version_below_an_applied_one_is_refused(environment: MemoryEnvironment) -> None:
    release = release_of(
        {"snowflake_migrations/scripts/V0.9.0__late.sql": b"x", "snowflake_migrations/undo/U0.9.0__late.sql": b"y"}
    )
    applied = release.manifest.components["migrations"]["scripts/V1.0.0__tables.sql"]
    environment.migrations = {"V1.0.0__tables.sql": applied}
    blockers = evaluate(
        environment.plan(release, version_in_staging(release)), release, CheckReport(), environment.observe()
    )
    assert [one.id for one in blockers] == ["migration.order"]


def test_a_failed_script_is_pending_again() -> None:
    from slipway.migration import pending_scripts

    component = release_of().manifest.components["migrations"]
    applied = [AppliedMigration(script="V1.0.0__tables.sql", succeeded=False, sha256=None)]
    assert pending_scripts(component, applied) == ("V1.0.0__tables.sql", "R__views.sql")
