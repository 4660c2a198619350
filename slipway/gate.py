"""Gates: rules that pass or block, each with an id, a reason and the command that mends it. Pure.

Every gate is asked, so that all blockers show at once.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from slipway.documents import Document
from slipway.migration import edited_scripts, late_scripts, scripts_without_undo
from slipway.observation import Observation
from slipway.plan import Plan
from slipway.release import Release
from slipway.step import ApplyInfrastructure


class Problem(Document):
    """One thing a check found in a release."""

    file: str
    message: str


class CheckReport(Document):
    """What the checks of a release found before anything was touched: DAGs imported, dbt project compiled."""

    dag_ids: tuple[str, ...] = ()
    dag_files: dict[str, str] = Field(default_factory=dict)  # DAG id -> its file
    dag_problems: tuple[Problem, ...] = ()
    dbt_problems: tuple[Problem, ...] = ()


class Blocker(Document):
    """A gate that refuses, why, and what mends it."""

    id: str
    reason: str
    fix: str


def evaluate(plan: Plan, release: Release, checks: CheckReport, seen: Observation) -> tuple[Blocker, ...]:
    """Return every reason why `plan` must not be applied; empty when it may. No side effects."""
    return (
        *_check_gates(checks),
        *_migration_gates(release.manifest.components["migrations"], seen),
        *_infrastructure_gates(plan, seen),
    )


def _check_gates(checks: CheckReport) -> tuple[Blocker, ...]:
    found = [
        Blocker(id="dags.import", reason=f"{one.file}: {one.message}", fix="./nox -s dags, mend the file and commit")
        for one in checks.dag_problems
    ]
    found += [
        Blocker(id="dbt.compile", reason=f"{one.file}: {one.message}", fix="./nox -s dbt, mend the file and commit")
        for one in checks.dbt_problems
    ]
    return tuple(found)


def _migration_gates(component: Mapping[str, str], seen: Observation) -> tuple[Blocker, ...]:
    applied = seen.warehouse.migrations
    edited = [
        Blocker(
            id="migration.edited",
            reason=f"{name} was applied with other content",
            fix=f"restore snowflake_migrations/scripts/{name} and put the change in a new V script",
        )
        for name in edited_scripts(component, applied)
    ]
    late = [
        Blocker(
            id="migration.order",
            reason=f"{name} has a lower version than a script that was applied",
            fix=f"rename snowflake_migrations/scripts/{name} to a version above it, and its undo",
        )
        for name in late_scripts(component, applied)
    ]
    alone = [
        Blocker(
            id="migration.undo",
            reason=f"{name} has no undo beside it",
            fix=f"add snowflake_migrations/undo/U{name[1:]}",
        )
        for name in scripts_without_undo(component)
    ]
    return (*edited, *late, *alone)


def _infrastructure_gates(plan: Plan, seen: Observation) -> tuple[Blocker, ...]:
    if not any(isinstance(step, ApplyInfrastructure) for step in plan.steps):
        return ()
    return tuple(
        Blocker(
            id="infra.destroys-data",
            reason=f"terraform would destroy {address}, which holds data",
            fix=f"invoke infra.plan --env {plan.environment}, and take the deletion out of the release",
        )
        for address in seen.infrastructure.destroys_data
    )
