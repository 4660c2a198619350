"""The core's tests: a release made of literals, and an environment that exists in memory only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from slipway import gate
from slipway.observation import Observation
from slipway.plan import Plan
from slipway.policy import CHECKS, LANES, Policy
from slipway.release import Provenance, Release, Version, build_release
from tests.ports.environment import MemoryEnvironment
from tests.ports.memory import MemoryJournal

NOW = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)  # a Monday
PEOPLE = ("ana", "ben", "chris", "pat")

FILES: Mapping[str, bytes] = {
    "dags/card_transactions.py": b"one",
    "dags/customers.py": b"two",
    "dbt/models/finance/dim_account.sql": b"select 1",
    "snowflake_migrations/scripts/V1.0.0__tables.sql": b"create table t (a int);",
    "snowflake_migrations/undo/U1.0.0__tables.sql": b"drop table t;",
    "snowflake_migrations/scripts/R__views.sql": b"create or replace view v as select 1 a;",
    "terraform/environments/staging/main.tf": b"# nothing",
}


def release_of(changes: Mapping[str, bytes | None] | None = None) -> Release:
    """Return a release of `FILES` with some of them changed, added or (None) left out."""
    files = {path: content for path, content in {**FILES, **(changes or {})}.items() if content is not None}
    provenance = Provenance(
        commit="c" * 40, committed_at="2026-11-01T00:00:00+00:00", subject="s", authors=("A <a@x>",)
    )
    return build_release(files, provenance)


def version_in_staging(release: Release, **settings: str | int) -> Version:
    return Version(
        environment="staging", release=release.id, slot=release.slot, settings={"dbt_threads": 4, **settings}
    )


def commit_by(*authors: str, commit: str = "c" * 40) -> Provenance:
    return Provenance(commit=commit, committed_at="2026-11-01T00:00:00+00:00", subject="s", authors=authors)


def policy_of(**changes: Any) -> Policy:
    """Return a policy in which staging asks for nothing, and prod for one approval and a success in staging."""
    lanes = {lane: {"approvals": 1, "budget_minutes": 15} for lane in LANES}
    content: dict[str, Any] = {
        "automation": ["noreply@forge.example"],
        "people": {name: {"identities": [name], "emails": [f"{name}@finedge.example"]} for name in PEOPLE},
        "approvals": {"ttl_hours": 24},
        "break_glass": {"people": 2, "minutes": 60},
        "lanes": {
            "dags": {"gates": ["dags.import"]},
            "dbt": {"gates": ["dbt.compile"]},
            "migration": {"gates": [gate for gate in CHECKS if gate.startswith("migration.")]},
            "config": {"gates": ["dags.import"]},
            "infra": {"gates": ["infra.destroys-data"]},
        },
        "environments": {"dev": {}, "staging": {}, "prod": {"after": "staging", "lanes": lanes}},
    }
    if "environments" in changes:  # those that are not named ask for nothing
        changes["environments"] = {"dev": {}, "staging": {}, "prod": {}, **changes["environments"]}
    return Policy.from_mapping({**content, **changes}, origin="policy")


def case_of(plan: Plan, release: Release, seen: Observation, **facts: Any) -> gate.Case:
    """Return the case of a plan, with nothing said about it but `facts`."""
    return gate.Case(
        **{
            "plan": plan,
            "release": release,
            "seen": seen,
            "checks": gate.CheckReport(),
            "policy": policy_of(),
            "now": NOW,
            **facts,
        }
    )


def obstacles(plan: Plan, release: Release, seen: Observation, **facts: Any) -> tuple[gate.Result, ...]:
    """Return what stands in the way of a plan."""
    return gate.evaluate(case_of(plan, release, seen, **facts)).obstacles


@pytest.fixture
def environment() -> MemoryEnvironment:
    return MemoryEnvironment()


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()
