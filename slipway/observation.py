"""What was seen in an environment: facts only, from readers, as plain values a plan can be computed from.

The base of a plan is the digest of those facts that a step of a plan relies on. Open runs and parse states move by
themselves and are left out of it.
"""

from __future__ import annotations

from slipway.documents import Document, digest_of


class InfrastructureFacts(Document):
    """What Terraform says. `plan_sha256` names the saved plan file when something would change."""

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

    versions: dict[str, str | None] = {}  # DAG id -> version it was last parsed from
    import_errors: tuple[str, ...] = ()
    open_runs: tuple[OpenRun, ...] = ()


class Observation(Document):
    """Everything a plan is computed from, besides the release and the environment."""

    infrastructure: InfrastructureFacts
    warehouse: WarehouseFacts
    pointer: Pointer | None
    orchestrator: OrchestratorFacts
    uploaded: tuple[str, ...] = ()  # versions whose archive stands in the release bucket with the right digest
    live_components: dict[str, str] = {}  # component -> digest, of the release the pointer names

    @property
    def base(self) -> str:
        """The digest of the facts that steps rely on."""
        return digest_of(
            {
                "serial": self.infrastructure.serial,
                "lineage": self.infrastructure.lineage,
                "migrations": [one.model_dump(mode="json") for one in self.warehouse.migrations],
                "slots": sorted(self.warehouse.complete_slots),
                "published": self.warehouse.published.model_dump(mode="json") if self.warehouse.published else None,
                "pointer": self.pointer.model_dump(mode="json", exclude={"etag"}) if self.pointer else None,
            }
        )


def moved(before: Observation, now: Observation) -> tuple[str, ...]:
    """Return what differs between two observations, in words, of the facts that make up the base."""
    said = []
    if (before.infrastructure.lineage, before.infrastructure.serial) != (
        now.infrastructure.lineage,
        now.infrastructure.serial,
    ):
        said.append(f"Terraform state: serial {before.infrastructure.serial} -> {now.infrastructure.serial}")
    if before.warehouse.migrations != now.warehouse.migrations:
        new = {one.script for one in now.warehouse.migrations} - {one.script for one in before.warehouse.migrations}
        said.append(f"migrations: {', '.join(sorted(new)) or 'history changed'}")
    if sorted(before.warehouse.complete_slots) != sorted(now.warehouse.complete_slots):
        said.append(f"slots: {', '.join(now.warehouse.complete_slots) or 'none'}")
    if before.warehouse.published != now.warehouse.published:
        said.append(f"published slot: {now.warehouse.published.slot if now.warehouse.published else 'none'}")
    if (before.pointer and before.pointer.version) != (now.pointer and now.pointer.version):
        said.append(f"DAG pointer: {now.pointer.version if now.pointer else 'none'}")
    return tuple(said)
