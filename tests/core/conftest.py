"""The core's tests: a release made of literals, and an environment that exists in memory only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from slipway import gate
from slipway.errors import Differs, StepFailed
from slipway.observation import (
    AppliedMigration,
    InfrastructureFacts,
    Observation,
    OrchestratorFacts,
    Pointer,
    Published,
    WarehouseFacts,
)
from slipway.plan import Plan, build_plan
from slipway.policy import CHECKS, LANES, Policy
from slipway.ports import Effects, Outcome, Progress
from slipway.release import Provenance, Release, Version, build_release
from slipway.step import (
    ApplyInfrastructure,
    BuildSlot,
    CatchUpSlot,
    CompareSlot,
    FlipPointer,
    MigrateWarehouse,
    PublishSlot,
    RehearseMigrations,
    UploadVersion,
)
from tests.ports.memory import MemoryJournal

NOW = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)  # a Monday
PEOPLE = ("ana", "ben", "chris", "pat")
DAG_IDS = ("card_transactions", "customers")

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


@dataclass
class MemoryEnvironment:
    """An environment in memory: every port, the facts they change, and a count of every effect."""

    infra_plan: str | None = "f" * 64
    serial: int = 0
    migrations: dict[str, str] = field(default_factory=dict)
    rehearsed: set[str] = field(default_factory=set)
    complete: set[str] = field(default_factory=set)
    caught_up: set[str] = field(default_factory=set)
    published: Published | None = None
    versions: dict[str, str] = field(default_factory=dict)  # version -> archive sha256
    pointer: Pointer | None = None
    live_components: dict[str, str] = field(default_factory=dict)
    releases: dict[str, Release] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    fails_at: str | None = None
    refuses: bool = False  # to have another slot published than is live
    destroys_data: tuple[str, ...] = ()
    import_errors: tuple[str, ...] = ()
    dag_ids: tuple[str, ...] = DAG_IDS  # that Airflow shows

    def observe(self, *, infrastructure: bool = True) -> Observation:
        return Observation(
            infrastructure=InfrastructureFacts(
                serial=self.serial,
                lineage="l",
                plan_sha256=self.infra_plan if infrastructure else None,
                creates=("a.b",),
                destroys_data=self.destroys_data,
            ),
            warehouse=WarehouseFacts(
                migrations=tuple(
                    AppliedMigration(script=name, succeeded=True, sha256=sha)
                    for name, sha in sorted(self.migrations.items())
                ),
                slots=tuple(sorted(self.complete)),
                complete_slots=tuple(sorted(self.complete)),
                published=self.published,
            ),
            pointer=self.pointer,
            orchestrator=OrchestratorFacts(
                versions=dict.fromkeys(self.dag_ids, self.pointer.version) if self.pointer else {},
                import_errors=self.import_errors,
            ),
            uploaded=dict(self.versions),
            live_components=self.live_components,
        )

    def plan(self, release: Release, version: Version, **options: Any) -> Plan:
        self.releases[release.id] = release
        return build_plan(
            release,
            version,
            self.observe(),
            **{"dag_ids": DAG_IDS, "policy": "p" * 64, "rules": "t" * 64, "configuration": "e" * 64, **options},
        )

    def effects(self) -> Effects:
        return Effects(infrastructure=self, releases=self, migrations=self, slots=self, orchestrator=self)

    def _count(self, kind: str) -> None:
        if self.fails_at == kind:
            refused = StepFailed(f"{kind} refused")
            refused.evidence = {"query_ids": [f"query of {kind}"]}
            raise refused
        self.counts[kind] = self.counts.get(kind, 0) + 1

    def is_applied(self, step: ApplyInfrastructure) -> bool:
        return self.infra_plan != step.plan_sha256

    def apply(self, step: ApplyInfrastructure, progress: Progress) -> Outcome:
        self._count("infra")
        self.infra_plan, self.serial = None, self.serial + 1
        return Outcome(summary="applied")

    def is_uploaded(self, step: UploadVersion) -> bool:
        return self.versions.get(step.version) == step.archive_sha256

    def upload(self, step: UploadVersion, progress: Progress) -> Outcome:
        self._count("upload")
        self.versions[step.version] = step.archive_sha256
        return Outcome(summary="uploaded")

    def are_rehearsed(self, step: RehearseMigrations) -> bool:
        return step.content in self.rehearsed

    def rehearse(self, step: RehearseMigrations, progress: Progress) -> Outcome:
        self._count("rehearse")
        self.rehearsed.add(step.content)
        return Outcome(summary="rehearsed")

    def are_applied(self, step: MigrateWarehouse) -> bool:
        return all(self.migrations.get(name) == sha for name, sha in self._wanted(step).items())

    def migrate(self, step: MigrateWarehouse, progress: Progress) -> Outcome:
        self._count("migrate")
        self.migrations.update(self._wanted(step))
        return Outcome(summary="migrated")

    def _wanted(self, step: MigrateWarehouse) -> dict[str, str]:
        component = self.releases[step.release].manifest.components["migrations"]
        return {name: component[f"scripts/{name}"] for name in step.scripts}

    def is_built(self, step: BuildSlot) -> bool:
        return step.slot in self.complete

    def build(self, step: BuildSlot, progress: Progress) -> Outcome:
        self._count("build")
        self.complete.add(step.slot)
        return Outcome(summary="built")

    def is_caught_up(self, step: CatchUpSlot) -> bool:
        return step.slot in self.caught_up or (self.published is not None and self.published.slot == step.slot)

    def catch_up(self, step: CatchUpSlot, progress: Progress) -> Outcome:
        self._count("catchup")
        self.caught_up.add(step.slot)
        return Outcome(summary="caught up")

    def is_compared(self, step: CompareSlot) -> bool:
        return self.published is not None and self.published.slot == step.slot

    def compare(self, step: CompareSlot, progress: Progress) -> Outcome:
        if self.refuses:
            raise Differs("compare refused")
        self._count("compare")
        return Outcome(summary="compared")

    def is_published(self, step: PublishSlot) -> bool:
        return self.published is not None and self.published.slot == step.slot

    def publish(self, step: PublishSlot, progress: Progress) -> Outcome:
        self._count("publish")
        self.published = Published(slot=step.slot, release=step.release)
        self.caught_up &= {step.slot}  # the others fall behind from now on
        return Outcome(summary="published")

    def is_live(self, step: FlipPointer) -> bool:
        return self.pointer is not None and self.pointer.version == step.version

    def flip(self, step: FlipPointer, progress: Progress) -> Outcome:
        self._count("flip")
        self.pointer = Pointer(
            version=step.version,
            release=step.release,
            config=step.config,
            sha256=step.archive_sha256,
            etag=hashlib.sha256(step.version.encode()).hexdigest(),
        )
        release = self.releases[step.release]
        self.live_components = {name: release.manifest.component_digest(name) for name in release.manifest.components}
        return Outcome(summary="flipped")


@pytest.fixture
def environment() -> MemoryEnvironment:
    return MemoryEnvironment()


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()
