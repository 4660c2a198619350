"""The steps a plan is made of: frozen records that say everything their effect needs.

A new kind of step is added here, to `Step`, and to every `match` over it: mypy names the ones that were forgotten.
"""

from __future__ import annotations

from typing import Annotated, Literal, assert_never

from pydantic import Field

from slipway.documents import Document
from slipway.request import DagRequest, ModelRequest


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


class RehearseMigrations(Document):
    """Run the pending V and R scripts on clones of the live databases, undo them, and run them again."""

    kind: Literal["rehearse"] = "rehearse"
    scripts: tuple[str, ...]  # in the order they run
    release: str
    content: str  # digest of what scripts and undos say, and of what was applied before them


class MigrateWarehouse(Document):
    """Run the pending migration scripts on the live databases."""

    kind: Literal["migrate"] = "migrate"
    scripts: tuple[str, ...]  # in the order they run
    release: str
    ends_rollbacks: tuple[str, ...] = ()  # versions that need what the scripts take away


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


class CompareSlot(Document):
    """Hold the built slot against the live one; beyond the policy's thresholds it is not published. Only reads."""

    kind: Literal["compare"] = "compare"
    slot: str
    release: str
    against: str  # the slot published before
    rules: str  # digest of the policy's thresholds and acknowledgements


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


class BackfillDates(Document):
    """Have Airflow run logical dates of one DAG, oldest first, and no others; done when each of them succeeded."""

    kind: Literal["backfill"] = "backfill"
    request: DagRequest
    dates: tuple[str, ...]  # logical dates, ISO 8601 in UTC
    leaves: tuple[str, ...]  # logical dates between the first and the last that are not run
    parallel: int  # runs at the same time
    version: str  # that the runs are pinned to
    mark: str  # that the runs carry, so that they are known again


class RebuildModel(Document):
    """Build a model, what it is built from and what is built from it, in a clone of the published slot."""

    kind: Literal["rebuild"] = "rebuild"
    request: ModelRequest
    slot: str  # that readers see
    aside: str  # the clone
    release: str
    is_microbatch: bool
    relations: tuple[str, ...]  # `LAYER.NAME` of every table that is built
    mark: str


class AdoptModel(Document):
    """Show readers the slot that was built aside, take its tables over into their own slot, and show them that again.

    Both changes of what readers see are swaps of the whole published database.
    """

    kind: Literal["adopt"] = "adopt"
    request: ModelRequest
    slot: str
    aside: str
    release: str
    relations: tuple[str, ...]
    mark: str
    rules: str  # digest of the policy's thresholds and acknowledgements


Step = Annotated[
    ApplyInfrastructure
    | UploadVersion
    | RehearseMigrations
    | MigrateWarehouse
    | BuildSlot
    | CatchUpSlot
    | CompareSlot
    | PublishSlot
    | FlipPointer
    | BackfillDates
    | RebuildModel
    | AdoptModel,
    Field(discriminator="kind"),
]
StepKind = Literal[
    "infra",
    "upload",
    "rehearse",
    "migrate",
    "build",
    "catchup",
    "compare",
    "publish",
    "flip",
    "backfill",
    "rebuild",
    "adopt",
]
# Of plans that a release is no part of
BACKFILL_KINDS: frozenset[StepKind] = frozenset({"backfill", "rebuild", "adopt"})


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
        case RehearseMigrations():
            return f"rehearse {', '.join(step.scripts)} on clones: up, undo, up"
        case MigrateWarehouse():
            ends = f"; ENDS ROLLBACKS TO {', '.join(step.ends_rollbacks)}" if step.ends_rollbacks else ""
            return f"run {len(step.scripts)} migration script(s): {', '.join(step.scripts)}{ends}"
        case BuildSlot():
            origin = f"what differs from {step.clone_from}, on its clone" if step.clone_from else "everything"
            gone = f"; gone: {', '.join(step.orphans)}" if step.orphans else ""
            return f"dbt build into slot {step.slot}{' anew' if step.anew else ''}: {origin}{gone}"
        case CatchUpSlot():
            return f"build again in {step.slot} what is written to {step.follows} meanwhile"
        case CompareSlot():
            return f"compare slot {step.slot} with {step.against}, by the thresholds of the policy"
        case PublishSlot():
            return f"publish slot {step.slot}" + (f" in place of {step.replaces}" if step.replaces else "")
        case FlipPointer():
            gone = f"; gone: {', '.join(step.removes)}" if step.removes else ""
            return f"point {len(step.dag_ids)} DAGs at {step.version}" + (
                f" (was {step.replaces}){gone}" if step.replaces else ""
            )
        case BackfillDates():
            left = f", {len(step.leaves)} between them left out" if step.leaves else ""
            span = step.dates[0][:10] if len(step.dates) == 1 else f"{step.dates[0][:10]} to {step.dates[-1][:10]}"
            return f"run {len(step.dates)} date(s) of {step.request.dag_id}, {span}, {step.parallel} at a time{left}"
        case RebuildModel():
            days = f" from {step.request.since} to {step.request.until}" if step.is_microbatch else ", all of it"
            return f"dbt builds {step.request.model}{days}, with its relatives, in {step.aside}, a clone of {step.slot}"
        case AdoptModel():
            return f"compare {step.aside} with {step.slot}, swap it in, and take {len(step.relations)} table(s) over"
        case _:
            assert_never(step)


def summarise_backfill(steps: tuple[Step, ...]) -> str:
    """Return in a sentence what the steps of a backfill do together."""
    chunks = [step for step in steps if isinstance(step, BackfillDates)]
    models = [step.request for step in steps if isinstance(step, RebuildModel | AdoptModel)]
    if models:
        return f"model {models[0].model} from {models[0].since} to {models[0].until}"
    if not chunks:
        return "nothing is left to backfill"
    dates, request = sum(len(step.dates) for step in chunks), chunks[0].request
    return f"{dates} date(s) of {request.dag_id} from {request.since} to {request.until}"


def is_reversible(step: Step) -> bool:
    """Return whether a rollback undoes the step. Migrations are expand-only: they stay, and old code keeps working.

    A comparison only reads, so it leaves nothing to undo.
    """
    match step:
        case ApplyInfrastructure() | MigrateWarehouse() | BackfillDates() | RebuildModel() | AdoptModel():
            return False
        case (
            UploadVersion()
            | RehearseMigrations()
            | BuildSlot()
            | CatchUpSlot()
            | CompareSlot()
            | PublishSlot()
            | FlipPointer()
        ):
            return True
        case _:
            assert_never(step)
