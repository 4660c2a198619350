"""What goes into a plan, as a table: (what changed) -> the steps, in order."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from slipway.engine import is_done
from slipway.gate import CheckReport, Problem
from slipway.observation import AppliedMigration, Published
from slipway.plan import Plan, is_compared_anew
from slipway.release import Release
from slipway.step import BuildSlot, CompareSlot, FlipPointer, summarise
from tests.ports.environment import DAG_IDS, MemoryEnvironment
from tests.ports.memory import MemoryJournal

from .conftest import obstacles, release_of, version_in_staging
from .test_engine import deploy

WITH_MODEL = ("upload", "build", "catchup", "compare", "publish", "flip")


@pytest.mark.parametrize(
    ("changes", "settings", "steps", "lanes"),
    [
        ({}, {}, (), ()),
        ({"dags/customers.py": b"new"}, {}, ("upload", "flip"), ("dags",)),
        ({"dbt/models/finance/dim_account.sql": b"select 2"}, {}, WITH_MODEL, ("dbt",)),
        (
            {"snowflake_migrations/scripts/R__views.sql": b"other"},
            {},
            ("upload", "rehearse", "migrate", "flip"),
            ("migration",),
        ),
        (
            {"snowflake_migrations/scripts/V1.1.0__more.sql": b"x", "snowflake_migrations/undo/U1.1.0__more.sql": b"y"},
            {},
            ("upload", "rehearse", "migrate", "flip"),
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


def test_what_was_reviewed_is_not_the_same_plan_under_another_configuration_or_after_another_deployment(
    environment: MemoryEnvironment,
) -> None:
    release = release_of()
    version = version_in_staging(release)
    around = [
        {"configuration": configuration, "after": after}
        for configuration in ("e" * 64, "f" * 64)
        for after in (None, "d-1", "d-2")
    ]
    plans = [environment.plan(release, version, **one) for one in around]

    assert len({plan.id for plan in plans}) == len(plans)
    assert [{"configuration": plan.configuration, "after": plan.after} for plan in plans] == around
    assert len({(plan.steps, plan.lanes) for plan in plans}) == 1


def test_all_blockers_show_at_once_each_with_what_mends_it(environment: MemoryEnvironment) -> None:
    environment.migrations = {"V1.0.0__tables.sql": "0" * 64, "V2.0.0__gone.sql": "1" * 64}
    release = release_of({"snowflake_migrations/scripts/V1.5.0__late.sql": b"x"})
    plan = environment.plan(release, version_in_staging(release))
    checks = CheckReport(dag_problems=(Problem(file="dags/customers.py", message="NameError: x"),))
    blockers = obstacles(plan, release, environment.observe(), checks=checks)
    assert [one.id for one in blockers] == ["dags.import", "migration.edited", "migration.order", "migration.undo"]
    assert all(one.fix for one in blockers)


def test_a_version_below_an_applied_one_is_refused(environment: MemoryEnvironment) -> None:
    release = release_of(
        {"snowflake_migrations/scripts/V0.9.0__late.sql": b"x", "snowflake_migrations/undo/U0.9.0__late.sql": b"y"}
    )
    applied = release.manifest.components["migrations"]["scripts/V1.0.0__tables.sql"]
    environment.migrations = {"V1.0.0__tables.sql": applied}
    blockers = obstacles(environment.plan(release, version_in_staging(release)), release, environment.observe())
    assert [one.id for one in blockers] == ["migration.order"]


def test_a_failed_script_is_pending_again() -> None:
    from slipway.migration import pending_scripts

    component = release_of().manifest.components["migrations"]
    applied = [AppliedMigration(script="V1.0.0__tables.sql", succeeded=False, sha256=None)]
    assert pending_scripts(component, applied) == ("V1.0.0__tables.sql", "R__views.sql")


def _drift(environment: MemoryEnvironment) -> None:
    environment.infra_plan = "e" * 64


def _forget_a_script(environment: MemoryEnvironment) -> None:
    del environment.migrations["R__views.sql"]


def _lose_the_slot(environment: MemoryEnvironment) -> None:
    environment.complete.clear()


def _publish_another(environment: MemoryEnvironment) -> None:
    environment.published = Published(slot="00000000", release="r" * 64)


def _break_an_import(environment: MemoryEnvironment) -> None:
    environment.import_errors = ("customers.py: SyntaxError",)


@pytest.mark.parametrize(
    ("bend", "steps", "lane"),
    [
        (_drift, ("infra",), "infra"),
        (_forget_a_script, ("rehearse", "migrate"), "migration"),
        (_lose_the_slot, ("build",), "dbt"),
        (_publish_another, ("catchup", "compare", "publish"), "dbt"),
        (_break_an_import, ("flip",), "dags"),
    ],
)
def test_the_lanes_of_a_plan_are_what_changed_and_what_is_done_whoever_made_it_necessary(
    bend: Callable[[MemoryEnvironment], None],
    steps: tuple[str, ...],
    lane: str,
    environment: MemoryEnvironment,
    journal: MemoryJournal,
) -> None:
    """Otherwise a change of one lane would carry what was bent in another past the approvals that lane needs."""
    first, second = release_of(), release_of({"dags/customers.py": b"new"})
    deploy(environment, journal, first, version_in_staging(first))
    bend(environment)
    alone = environment.plan(first, version_in_staging(first))
    beside = environment.plan(second, version_in_staging(second))

    assert (tuple(step.kind for step in alone.steps), alone.lanes) == (steps, (lane,))
    assert set(beside.lanes) == {"dags", lane}


@pytest.fixture
def two_releases(environment: MemoryEnvironment, journal: MemoryJournal) -> tuple[Release, Release]:
    """Have two releases deployed, the second live; they differ in a DAG, a model and a script."""
    first = release_of()
    second = release_of(
        {
            "dags/customers.py": b"new",
            "dbt/models/finance/dim_account.sql": b"select 2",
            "snowflake_migrations/scripts/R__views.sql": b"other",
        }
    )
    for release in (first, second):
        deploy(environment, journal, release, version_in_staging(release), deployment=f"d-{release.short_id}")
    return first, second


def test_a_rollback_publishes_and_flips_and_leaves_scripts_and_infrastructure(
    environment: MemoryEnvironment, two_releases: tuple[Release, Release]
) -> None:
    first, _ = two_releases
    environment.infra_plan = "e" * 64
    plan = environment.plan(first, version_in_staging(first), purpose="rollback", once_live=[first.slot])
    assert tuple(step.kind for step in plan.steps) == ("publish", "flip")
    assert plan.lanes == ("dbt", "dags")
    assert plan.reason == f"back from {plan.replaces}; its migrations and infrastructure stay"


def test_a_slot_that_stood_aside_is_built_anew_from_the_live_one(
    environment: MemoryEnvironment, two_releases: tuple[Release, Release]
) -> None:
    first, second = two_releases
    plan = environment.plan(first, version_in_staging(first), once_live=[first.slot, second.slot])
    build = next(step for step in plan.steps if isinstance(step, BuildSlot))
    assert (build.slot, build.clone_from, build.anew) == (first.slot, second.slot, True)
    assert not is_done(build, environment.effects())


def test_a_slot_is_compared_with_the_live_one_before_it_takes_its_place(
    environment: MemoryEnvironment, two_releases: tuple[Release, Release]
) -> None:
    _, second = two_releases
    third = release_of({"dbt/models/finance/dim_account.sql": b"select 3"})
    plan = environment.plan(third, version_in_staging(third), rules="r" * 64)
    assert tuple(step.kind for step in plan.steps) == (
        "upload",
        "rehearse",
        "migrate",
        "build",
        "catchup",
        "compare",
        "publish",
        "flip",
    )
    (step,) = (one for one in plan.steps if isinstance(one, CompareSlot))
    assert (step.slot, step.against, step.rules) == (third.slot, second.slot, "r" * 64)
    assert not is_done(step, environment.effects())
    environment.published = Published(slot=third.slot, release=third.id)
    assert is_done(step, environment.effects())


def test_what_is_published_first_is_compared_with_nothing(environment: MemoryEnvironment) -> None:
    release = release_of()
    assert "compare" not in [step.kind for step in environment.plan(release, version_in_staging(release)).steps]


def test_a_refused_plan_is_not_gone_on_with_and_neither_is_one_by_other_thresholds(
    environment: MemoryEnvironment, two_releases: tuple[Release, Release]
) -> None:
    _, second = two_releases
    third = release_of({"dbt/models/finance/dim_account.sql": b"select 3"})
    plan = environment.plan(third, version_in_staging(third), rules="r" * 64)
    assert not is_compared_anew(plan, refused_by=None, rules="r" * 64)
    assert not is_compared_anew(plan, refused_by="Unavailable", rules="r" * 64)
    assert is_compared_anew(plan, refused_by="Differs", rules="r" * 64)
    assert is_compared_anew(plan, refused_by=None, rules="s" * 64)
    without = environment.plan(second, version_in_staging(second, dbt_threads=8), rules="r" * 64)
    assert without.steps
    assert not is_compared_anew(without, refused_by="Differs", rules="s" * 64)


def test_a_slot_that_was_built_and_never_live_is_not_built_again(
    environment: MemoryEnvironment, journal: MemoryJournal
) -> None:
    release = release_of()
    environment.complete.add(release.slot)
    assert "build" not in [step.kind for step in environment.plan(release, version_in_staging(release)).steps]


def test_a_new_slot_is_a_clone_of_the_live_one(
    environment: MemoryEnvironment, two_releases: tuple[Release, Release]
) -> None:
    _, second = two_releases
    third = release_of({"dbt/models/finance/dim_account.sql": b"select 3"})
    plan = environment.plan(third, version_in_staging(third))
    assert [step.clone_from for step in plan.steps if isinstance(step, BuildSlot)] == [second.slot]


def test_a_live_slot_that_is_not_complete_is_not_cloned(
    environment: MemoryEnvironment, two_releases: tuple[Release, Release]
) -> None:
    environment.complete.clear()
    third = release_of({"dbt/models/finance/dim_account.sql": b"select 3"})
    plan = environment.plan(third, version_in_staging(third))
    assert [step.clone_from for step in plan.steps if isinstance(step, BuildSlot)] == [None]


def test_an_import_error_has_the_live_version_pointed_at_again(
    environment: MemoryEnvironment, two_releases: tuple[Release, Release]
) -> None:
    _, second = two_releases
    environment.import_errors = ("customers.py: SyntaxError",)
    assert [step.kind for step in environment.plan(second, version_in_staging(second)).steps] == ["flip"]


def test_a_plan_names_the_dags_that_a_release_no_longer_has(
    environment: MemoryEnvironment, two_releases: tuple[Release, Release]
) -> None:
    first, _ = two_releases
    environment.dag_ids = (*DAG_IDS, "retired")
    plan = environment.plan(first, version_in_staging(first))
    flip = next(step for step in plan.steps if isinstance(step, FlipPointer))
    assert flip.removes == ("retired",)
    assert "gone: retired" in summarise(flip)


def test_an_archive_packed_on_another_machine_is_pointed_at_by_its_own_digest(environment: MemoryEnvironment) -> None:
    release = release_of()
    version = version_in_staging(release)
    environment.versions[version.version] = "a" * 64
    plan = environment.plan(release, version)
    assert "upload" not in [step.kind for step in plan.steps]
    assert [step.archive_sha256 for step in plan.steps if isinstance(step, FlipPointer)] == ["a" * 64]


@pytest.mark.parametrize(
    ("checks", "destroys", "gate"),
    [
        (CheckReport(dag_problems=(Problem(file="dags/a.py", message="x"),)), (), "dags.import"),
        (CheckReport(dbt_problems=(Problem(file="dbt", message="x"),)), (), "dbt.compile"),
        (CheckReport(), ("module.table.aws_dynamodb_table.this",), "infra.destroys-data"),
    ],
)
def test_each_gate_refuses_by_itself(
    checks: CheckReport, destroys: tuple[str, ...], gate: str, environment: MemoryEnvironment
) -> None:
    release = release_of()
    environment.destroys_data = destroys
    plan = environment.plan(release, version_in_staging(release))
    assert [one.id for one in obstacles(plan, release, environment.observe(), checks=checks)] == [gate]


def test_data_is_safe_from_a_plan_that_does_not_touch_infrastructure(environment: MemoryEnvironment) -> None:
    release = release_of()
    environment.infra_plan, environment.destroys_data = None, ("module.table.aws_dynamodb_table.this",)
    plan = environment.plan(release, version_in_staging(release))
    assert obstacles(plan, release, environment.observe()) == ()


def test_a_rollback_across_a_change_of_infrastructure_alone_still_has_a_lane() -> None:
    environment, journal = MemoryEnvironment(), MemoryJournal()
    first, second = release_of(), release_of({"terraform/environments/staging/main.tf": b"# other"})
    for release in (first, second):
        deploy(environment, journal, release, version_in_staging(release), deployment=f"d-{release.short_id}")
    plan = environment.plan(first, version_in_staging(first), purpose="rollback", once_live=[first.slot])

    assert "flip" in [step.kind for step in plan.steps]
    assert plan.lanes != ()


def test_a_slot_catches_up_with_the_live_one_also_when_another_plan_built_it_and_never_on_the_way_back(
    environment: MemoryEnvironment, journal: MemoryJournal
) -> None:
    first, second = release_of(), release_of({"dbt/models/finance/dim_account.sql": b"select 2"})
    assert "catchup" not in [step.kind for step in environment.plan(first, version_in_staging(first)).steps]
    deploy(environment, journal, first, version_in_staging(first))
    environment.complete.add(second.slot)  # by a deployment that died before it could publish
    plan = environment.plan(second, version_in_staging(second))
    kinds = [step.kind for step in plan.steps]
    assert kinds == ["upload", "catchup", "compare", "publish", "flip"]
    back = environment.plan(second, version_in_staging(second), purpose="rollback")
    assert "catchup" not in [step.kind for step in back.steps]


def test_a_plan_names_what_goes_with_the_slot_it_replaces(
    environment: MemoryEnvironment, journal: MemoryJournal
) -> None:
    first, second = release_of(), release_of({"dbt/models/finance/dim_account.sql": b"select 2"})
    deploy(environment, journal, first, version_in_staging(first))
    plan = environment.plan(second, version_in_staging(second), orphans=("FINANCE.OLD",))
    build = next(step for step in plan.steps if isinstance(step, BuildSlot))
    assert summarise(build).endswith("; gone: FINANCE.OLD")
