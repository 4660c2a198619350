"""What was seen in an environment: facts only, from readers, as plain values a plan can be computed from.

The base of a plan is those facts that a step of a plan relies on. Open runs and parse states move by
themselves and are left out of it.
"""

from __future__ import annotations

from pydantic import Field

from slipway.documents import Document


class InfrastructureFacts(Document):
    """What Terraform says. `plan_sha256` is the digest of what it would change; None when nothing."""

    serial: int
    lineage: str
    plan_sha256: str | None
    creates: tuple[str, ...] = ()
    updates: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    destroys_data: tuple[str, ...] = ()

    @property
    def has_changes(self) -> bool:
        """True when the saved plan would change something."""
        return self.plan_sha256 is not None


class AppliedMigration(Document):
    """One script of the warehouse's migration history."""

    script: str
    succeeded: bool
    sha256: str | None  # of the script as applied; absent when the history knows it and Slipway's record does not


class Published(Document):
    """What readers see now, as the marker in the published database says."""

    slot: str
    release: str


class WarehouseFacts(Document):
    """What the warehouse holds. `complete_slots` were built with every test passed."""

    migrations: tuple[AppliedMigration, ...] = ()
    slots: tuple[str, ...] = ()
    complete_slots: tuple[str, ...] = ()
    published: Published | None = None


class Pointer(Document):
    """What Airflow follows: the one mutable object of a deployment."""

    version: str
    release: str
    config: str
    sha256: str
    etag: str


class OpenRun(Document):
    """A DAG run that is queued or running, and the version it is pinned to."""

    dag_id: str
    run_id: str
    state: str
    version: str | None


class OrchestratorFacts(Document):
    """What Airflow reports of itself."""

    versions: dict[str, str | None] = Field(default_factory=dict)  # DAG id -> version it was last parsed from
    import_errors: tuple[str, ...] = ()
    open_runs: tuple[OpenRun, ...] = ()


class Base(Document):
    """What a plan relies on. When it moved, the plan is stale."""

    serial: int
    lineage: str
    migrations: tuple[AppliedMigration, ...]
    slots: tuple[str, ...]  # complete ones
    published: Published | None
    version: str | None  # that the pointer names
    archive_sha256: str | None


class Observation(Document):
    """Everything a plan is computed from, besides the release and the environment."""

    infrastructure: InfrastructureFacts
    warehouse: WarehouseFacts
    pointer: Pointer | None
    orchestrator: OrchestratorFacts
    uploaded: dict[str, str] = Field(default_factory=dict)  # version -> sha256 of its archive in the release bucket
    live_components: dict[str, str] = Field(default_factory=dict)  # component -> digest of the live release

    @property
    def base(self) -> Base:
        """The facts that steps rely on."""
        pointer = self.pointer
        return Base(
            serial=self.infrastructure.serial,
            lineage=self.infrastructure.lineage,
            migrations=self.warehouse.migrations,
            slots=tuple(sorted(self.warehouse.complete_slots)),
            published=self.warehouse.published,
            version=pointer.version if pointer else None,
            archive_sha256=pointer.sha256 if pointer else None,
        )


def moved(before: Base, now: Base) -> tuple[str, ...]:
    """Return what differs between two bases, in words; empty when nothing does."""
    said = []
    if (before.lineage, before.serial) != (now.lineage, now.serial):
        said.append(f"Terraform state: serial {before.serial} -> {now.serial}")
    if before.migrations != now.migrations:
        new = {one.script for one in now.migrations} - {one.script for one in before.migrations}
        said.append(f"migrations: {', '.join(sorted(new)) or 'the history of the same scripts'}")
    if before.slots != now.slots:
        said.append(f"complete slots: {', '.join(before.slots) or 'none'} -> {', '.join(now.slots) or 'none'}")
    if before.published != now.published:
        said.append(f"published slot: {_slot_of(before)} -> {_slot_of(now)}")
    if (before.version, before.archive_sha256) != (now.version, now.archive_sha256):
        said.append(f"DAG pointer: {before.version or 'none'} -> {now.version or 'none'}")
    return tuple(said)


def _slot_of(base: Base) -> str:
    return base.published.slot if base.published else "none"
