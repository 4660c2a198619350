"""The steps a plan is made of: frozen records that say everything their effect needs.

A new kind of step is added here, to `Step`, and to every `match` over it: mypy names the ones that were forgotten.
"""

from __future__ import annotations

from typing import Annotated, Literal, assert_never

from pydantic import Field

from slipway.documents import Document


class ApplyInfrastructure(Document):
    """Apply the saved Terraform plan file, and nothing else."""

    kind: Literal["infra"] = "infra"
    plan_sha256: str  # of what the plan would change, the same whenever it is planned
    creates: tuple[str, ...]
    updates: tuple[str, ...]
    replaces: tuple[str, ...]
    deletes: tuple[str, ...]
    destroys_data: tuple[str, ...]  # of those replaced or deleted, the ones that hold data
    serial: int  # of the state the plan was made on
    lineage: str


class UploadVersion(Document):
    """Put the release and the version's archive into the release bucket, and read the digests back."""

    kind: Literal["upload"] = "upload"
    release: str
    version: str
    archive_sha256: str


class MigrateWarehouse(Document):
    """Run the pending migration scripts on the live databases."""

    kind: Literal["migrate"] = "migrate"
    scripts: tuple[str, ...]  # in the order they run
    release: str


class BuildSlot(Document):
    """Build the dbt component into its slot, from a clone of the live slot when there is one, tests included."""

    kind: Literal["build"] = "build"
    slot: str
    release: str
    clone_from: str | None
    orphans: tuple[str, ...] = ()  # LAYER.NAME that the live slot has and no node makes any more
    anew: bool = False  # it was complete once; what it holds is older than what readers see


class CatchUpSlot(Document):
    """Bring the slot up to what was written to the live one while it was built."""

    kind: Literal["catchup"] = "catchup"
    slot: str
    release: str
    follows: str  # the slot that readers see, and pipelines build


class PublishSlot(Document):
    """Point every published schema at the slot, all at one instant."""

    kind: Literal["publish"] = "publish"
    slot: str
    release: str
    replaces: str | None  # the slot published before


class FlipPointer(Document):
    """Point Airflow at the version; done when every DAG reports it and none fails to import."""

    kind: Literal["flip"] = "flip"
    version: str
    release: str
    config: str
    archive_sha256: str
    dag_ids: tuple[str, ...]
    removes: tuple[str, ...]  # DAGs of the version before that this one has no more
    replaces: str | None  # the version the pointer named before


Step = Annotated[
    ApplyInfrastructure | UploadVersion | MigrateWarehouse | BuildSlot | CatchUpSlot | PublishSlot | FlipPointer,
    Field(discriminator="kind"),
]
StepKind = Literal["infra", "upload", "migrate", "build", "catchup", "publish", "flip"]


def summarise(step: Step) -> str:
    """Return one line a person reads in a plan."""
    match step:
        case ApplyInfrastructure():
            counts = (
                (len(step.creates), "create"),
                (len(step.updates), "update"),
                (len(step.replaces), "replace"),
                (len(step.deletes), "delete"),
            )
            return "terraform: " + ", ".join(f"{n} to {verb}" for n, verb in counts if n)
        case UploadVersion():
            return f"upload version {step.version}"
        case MigrateWarehouse():
            return f"run {len(step.scripts)} migration script(s): {', '.join(step.scripts)}"
        case BuildSlot():
            origin = f"what differs from {step.clone_from}, on its clone" if step.clone_from else "everything"
            gone = f"; gone: {', '.join(step.orphans)}" if step.orphans else ""
            return f"dbt build into slot {step.slot}{' anew' if step.anew else ''}: {origin}{gone}"
        case CatchUpSlot():
            return f"build again in {step.slot} what is written to {step.follows} meanwhile"
        case PublishSlot():
            return f"publish slot {step.slot}" + (f" in place of {step.replaces}" if step.replaces else "")
        case FlipPointer():
            gone = f"; gone: {', '.join(step.removes)}" if step.removes else ""
            return f"point {len(step.dag_ids)} DAGs at {step.version}" + (
                f" (was {step.replaces}){gone}" if step.replaces else ""
            )
        case _:
            assert_never(step)


def is_reversible(step: Step) -> bool:
    """Return whether a rollback undoes the step. Migrations are expand-only: they stay, and old code keeps working."""
    match step:
        case ApplyInfrastructure() | MigrateWarehouse():
            return False
        case UploadVersion() | BuildSlot() | CatchUpSlot() | PublishSlot() | FlipPointer():
            return True
        case _:
            assert_never(step)
