"""An environment that exists in memory only: it keeps the same contract as the real one (`contract/effects.py`)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

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
from slipway.ports import Effects, Outcome, Progress
from slipway.release import Release, Version
from slipway.step import (
    AdoptModel,
    ApplyInfrastructure,
    BackfillDates,
    BuildSlot,
    CatchUpSlot,
    CompareSlot,
    FlipPointer,
    MigrateWarehouse,
    PublishSlot,
    RebuildModel,
    RehearseMigrations,
    Step,
    UploadVersion,
)
from tests.ports.contract.effects import through

DAG_IDS = ("card_transactions", "customers")


@dataclass
class MemoryEnvironment:
    """Every port, the facts they change, and a count of every effect.

    Its pipelines write to what is live whenever a slot is built, so that each slot has something to catch up with.

    Attributes:
        fails_at: the kind of step whose effect is refused.
        refuses: to have another slot published than is live.
        dag_ids: that Airflow shows.
        runs: of the logical dates that were run again, by DAG and date, how often.
        adopted: marks of the models that were taken over.
    """

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
    refuses: bool = False
    destroys_data: tuple[str, ...] = ()
    import_errors: tuple[str, ...] = ()
    dag_ids: tuple[str, ...] = DAG_IDS
    runs: dict[tuple[str, str], int] = field(default_factory=dict)
    adopted: set[str] = field(default_factory=set)

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

    def backfill(self, live: Plan, *steps: Step) -> Plan:
        """Return the plan of a backfill on what another plan made live."""
        return live.model_copy(
            update={"purpose": "backfill", "replaces": live.version, "base": self.observe().base, "steps": steps}
        )

    def effects(self) -> Effects:
        return through(self, backfills=self)

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

    def is_filled(self, step: BackfillDates) -> bool:
        return all((step.request.dag_id, date) in self.runs for date in step.dates)

    def fill(self, step: BackfillDates, progress: Progress) -> Outcome:
        self._count("backfill")
        for date in step.dates:
            run = (step.request.dag_id, date)
            self.runs[run] = self.runs.get(run, 0) + 1
        return Outcome(summary="filled")

    def is_rebuilt(self, step: RebuildModel) -> bool:
        return step.mark in self.adopted or step.aside in self.complete

    def rebuild(self, step: RebuildModel, progress: Progress) -> Outcome:
        self._count("rebuild")
        self.complete.add(step.aside)
        return Outcome(summary="rebuilt")

    def is_adopted(self, step: AdoptModel) -> bool:
        return step.mark in self.adopted

    def adopt(self, step: AdoptModel, progress: Progress) -> Outcome:
        self._count("adopt")
        self.adopted.add(step.mark)
        self.complete.discard(step.aside)
        return Outcome(summary="adopted")
