"""What the engine and the planner ask of the outside world: readers apart from effects.

Adapters implement these; so do the in-memory ones of the tests. Every method raises only `SlipwayError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from slipway.deployment import Event, EventKind
from slipway.observation import Observation
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
    UploadVersion,
)

Progress = Callable[[str], None]  # told one short line whenever something moved


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a step did.

    Attributes:
        summary: one line for people.
        evidence: facts that prove it: ids, counts, digests; plain data without floats.
        outside_s: seconds spent in terraform, dbt, schemachange, the warehouse's statements or waiting for Airflow.
    """

    summary: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    outside_s: float = 0.0


class Observer(Protocol):
    """Reads an environment."""

    def observe(self, *, infrastructure: bool) -> Observation:
        """Return what is there; `infrastructure` says whether Terraform plans too, or only its state is read."""


class Infrastructure(Protocol):
    """Applies saved Terraform plans."""

    def is_applied(self, step: ApplyInfrastructure) -> bool: ...

    def apply(self, step: ApplyInfrastructure, progress: Progress) -> Outcome: ...


class Releases(Protocol):
    """Keeps releases and versions."""

    def is_uploaded(self, step: UploadVersion) -> bool: ...

    def upload(self, step: UploadVersion, progress: Progress) -> Outcome: ...


class Migrations(Protocol):
    """Rehearses and runs migration scripts."""

    def are_rehearsed(self, step: RehearseMigrations) -> bool: ...

    def rehearse(self, step: RehearseMigrations, progress: Progress) -> Outcome: ...

    def are_applied(self, step: MigrateWarehouse) -> bool: ...

    def migrate(self, step: MigrateWarehouse, progress: Progress) -> Outcome: ...


class Slots(Protocol):
    """Builds slots, compares them with what is live, and publishes them."""

    def is_built(self, step: BuildSlot) -> bool: ...

    def build(self, step: BuildSlot, progress: Progress) -> Outcome: ...

    def is_caught_up(self, step: CatchUpSlot) -> bool: ...

    def catch_up(self, step: CatchUpSlot, progress: Progress) -> Outcome: ...

    def is_compared(self, step: CompareSlot) -> bool:
        """Return whether the slot was published, which it is not before; until then it is compared again."""

    def compare(self, step: CompareSlot, progress: Progress) -> Outcome:
        """Return how the slot differs from the live one; raise `Differs` beyond the policy's thresholds."""

    def is_published(self, step: PublishSlot) -> bool: ...

    def publish(self, step: PublishSlot, progress: Progress) -> Outcome: ...


class Orchestrator(Protocol):
    """Points Airflow at a version."""

    def is_live(self, step: FlipPointer) -> bool: ...

    def flip(self, step: FlipPointer, progress: Progress) -> Outcome: ...


class Backfills(Protocol):
    """Has past dates of a DAG run, and past days of a model built."""

    def is_filled(self, step: BackfillDates) -> bool: ...

    def fill(self, step: BackfillDates, progress: Progress) -> Outcome: ...

    def is_rebuilt(self, step: RebuildModel) -> bool: ...

    def rebuild(self, step: RebuildModel, progress: Progress) -> Outcome: ...

    def is_adopted(self, step: AdoptModel) -> bool: ...

    def adopt(self, step: AdoptModel, progress: Progress) -> Outcome: ...


@dataclass(frozen=True, kw_only=True)
class Effects:
    """Every port that changes something, one per kind of thing changed."""

    infrastructure: Infrastructure
    releases: Releases
    migrations: Migrations
    slots: Slots
    orchestrator: Orchestrator
    backfills: Backfills | None = None  # a release has none


class Journal(Protocol):
    """The append-only record of deployments in one environment."""

    def events(self) -> tuple[Event, ...]: ...

    def append(self, deployment: str, kind: EventKind, data: Mapping[str, Any]) -> Event:
        """Write the next event; raise `Locked` when another writer took its sequence number."""


class Lease(Protocol):
    """The right to change one environment, held by one deployment at a time."""

    def check(self) -> None:
        """Return while the lease is held; raise `Locked` once it was lost."""
