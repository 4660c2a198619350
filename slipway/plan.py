"""Plans: release + environment + what was observed -> an ordered tuple of steps. Pure; nothing here has effects.

Rules:
- A step is in the plan only when its component, its inputs or the environment differ from what is wanted.
- The order is the order of `Plan.steps`: what is additive first, readers next, the orchestrator last.
- A plan names the base it was made on. An empty plan says why there is nothing to do.
- A plan names the commits that made it different from what is live: who wrote them must not be who approves it.
- A rollback is a plan whose target is an earlier version. Migrations and infrastructure stay as they are, and what it
  publishes was compared when it first went live.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import Literal, assert_never

from slipway.documents import Document
from slipway.errors import Differs
from slipway.migration import kind_of, pending_scripts, rehearsal_of
from slipway.observation import AppliedMigration, Base, InfrastructureFacts, Observation, moved
from slipway.policy import LANES, Lane
from slipway.release import Provenance, Release, Version, short, version_archive
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
    StepKind,
    UploadVersion,
    summarise_backfill,
)

Purpose = Literal["deploy", "rollback", "backfill"]
STAYING_LANES: tuple[Lane, ...] = ("migration", "infra")  # that a rollback leaves as they are


class Plan(Document):
    """What will be done to an environment, in order. Its id is its digest."""

    purpose: Purpose
    environment: str
    release: str
    version: str
    slot: str
    commit: str | None  # that the release was built from
    commits: tuple[Provenance, ...]  # since the one that is live, oldest first
    asked_by: str | None = None  # who wants what no commit brings: an ARN, or a person as git names one
    policy: str  # digest of the policy the plan was made under
    configuration: str  # digest of the environment's configuration, as it was read
    after: str | None  # the last deployment when the plan was made; another one since makes another plan
    base: Base
    replaces: str | None  # the version live when the plan was made
    lanes: tuple[Lane, ...]
    dag_ids: tuple[str, ...]  # that the release holds
    steps: tuple[Step, ...]

    @property
    def id(self) -> str:
        """The plan's id: the digest of its canonical bytes."""
        return self.digest

    @property
    def is_empty(self) -> bool:
        """True when there is nothing to do."""
        return not self.steps

    @property
    def slots_aside(self) -> tuple[str, ...]:
        """Slots that are built beside the live one, and that readers see while its tables are taken over."""
        return tuple(step.aside for step in self.steps if isinstance(step, AdoptModel))

    @property
    def reason(self) -> str:
        """Why the plan is what it is, in a sentence."""
        if self.purpose == "backfill":
            return summarise_backfill(self.steps)
        if self.is_empty:
            return f"release {short(self.release)} is already live in {self.environment}"
        if self.replaces is None:
            return f"nothing is live in {self.environment} yet"
        if self.purpose == "rollback":
            return f"back from {self.replaces}; its migrations and infrastructure stay"
        return f"{', '.join(self.lanes) or 'the environment'} changed since {self.replaces}"


def build_plan(
    release: Release,
    version: Version,
    seen: Observation,
    *,
    dag_ids: tuple[str, ...],
    policy: str,
    rules: str,
    configuration: str,
    after: str | None = None,
    commits: tuple[Provenance, ...] = (),
    purpose: Purpose = "deploy",
    asked_by: str | None = None,
    once_live: Collection[str] = (),
    ends_rollbacks: tuple[str, ...] = (),
    orphans: tuple[str, ...] = (),
) -> Plan:
    """Return the plan that makes `version` of `release` live where `seen` was observed. No side effects.

    Args:
        dag_ids: that the release holds.
        policy: the digest of the policy it will be judged by.
        rules: the digest of what that says of comparisons.
        configuration: the digest of the environment's configuration.
        after: the id of the last deployment, whatever came of it.
        commits: since the one that is live, oldest first.
        asked_by: who wants what no commit brings: a rollback.
        once_live: slots that readers have seen at some time, or that were refused to them: when one is not live now,
            what it holds is old.
        ends_rollbacks: versions that need what the pending scripts take away.
        orphans: relations of the live slot that the release does not make.
    """
    made_here = hashlib.sha256(version_archive(release, version)).hexdigest()
    archive_sha256 = seen.uploaded.get(version.version, made_here)  # an earlier Slipway may have packed it otherwise
    flip = _flip(version, seen, dag_ids, archive_sha256)
    candidates: tuple[Step | None, ...] = (
        infrastructure_step(seen.infrastructure) if purpose == "deploy" else None,
        _upload(version, seen, archive_sha256),
        rehearsal_step(release, seen.warehouse.migrations) if purpose == "deploy" else None,
        _migrate(release, seen, ends_rollbacks) if purpose == "deploy" else None,
        _build(release, seen, orphans, is_old=release.slot in once_live and purpose == "deploy"),
        _catch_up(release, seen) if purpose == "deploy" else None,
        _compare(release, seen, rules) if purpose == "deploy" else None,
        _publish(release, seen),
        flip,
    )
    steps = tuple(step for step in candidates if step is not None)
    staying = STAYING_LANES if purpose == "rollback" else ()
    found = {*lanes_of(release, version, seen), *_lanes_of_steps(steps)}.difference(staying)
    lanes = tuple(lane for lane in LANES if lane in (found or ({"dags"} if steps else ())))
    return Plan(
        purpose=purpose,
        environment=version.environment,
        release=release.id,
        version=version.version,
        slot=release.slot,
        commit=release.provenance.commit,
        commits=commits,
        asked_by=asked_by,
        policy=policy,
        configuration=configuration,
        after=after,
        base=seen.base,
        replaces=seen.pointer.version if seen.pointer else None,
        lanes=lanes,
        dag_ids=dag_ids,
        steps=steps,
    )


def moved_by_others(plan: Plan, now: Base, *, begun: Collection[StepKind] = ()) -> tuple[str, ...]:
    """Return what moved since the plan was made and no step that was begun explains, in words. No side effects.

    Args:
        begun: the plan's steps that were started: what they were to change may have changed, whole or in part.
    """
    before = plan.base
    for step in plan.steps:
        if step.kind in begun:
            before, now = _apart_from(step, before, now)
    return moved(before, now)


def is_compared_anew(plan: Plan, *, refused_by: str | None, rules: str) -> bool:
    """Return whether a deployment of the plan that stopped needs another plan because it compares slots.

    What was refused is not compared again as it is: it is built anew, or was acknowledged since. And nobody approved
    the plan with other thresholds than its own; whether that matters to a model's backfill, which readers may see
    already, `BackfillOperation.goes_on_with` tells. No side effects.

    Args:
        refused_by: the class of the error that the deployment stopped with.
        rules: the digest of the thresholds as they are now.
    """
    compares = any(isinstance(step, CompareSlot | AdoptModel) for step in plan.steps)
    others = any(isinstance(step, CompareSlot) and step.rules != rules for step in plan.steps)
    return others or (compares and refused_by == Differs.__name__)


def _apart_from(step: Step, before: Base, now: Base) -> tuple[Base, Base]:
    """Return both bases without what the step was to change."""
    match step:
        case ApplyInfrastructure():
            return before, now.model_copy(update={"serial": before.serial, "lineage": before.lineage})
        case UploadVersion() | RehearseMigrations() | CompareSlot():
            return before, now
        case MigrateWarehouse():
            return _without_scripts(before, step.scripts), _without_scripts(_unlearnt(now, before), step.scripts)
        case BuildSlot() | CatchUpSlot():
            return _without_slot(before, step.slot), _without_slot(now, step.slot)
        case PublishSlot():
            done = now.published is not None and now.published.slot == step.slot
            return before, now.model_copy(update={"published": before.published}) if done else now
        case FlipPointer():
            done = (now.version, now.archive_sha256) == (step.version, step.archive_sha256)
            back = {"version": before.version, "archive_sha256": before.archive_sha256}
            return before, now.model_copy(update=back) if done else now
        case BackfillDates():
            return before, now
        case RebuildModel():
            return _without_slot(before, step.aside), _without_slot(now, step.aside)
        case AdoptModel():
            return _apart_from_adoption(step, before, now)
        case _:
            assert_never(step)


def _apart_from_adoption(step: AdoptModel, before: Base, now: Base) -> tuple[Base, Base]:
    """Return both bases without the two slots, when one of them is what readers see: either may be being filled."""
    is_between = now.published is not None and now.published.slot in (step.slot, step.aside)
    published = before.published if is_between else now.published
    now = now.model_copy(update={"published": published})
    for slot in (step.slot, step.aside):
        before, now = _without_slot(before, slot), _without_slot(now, slot)
    return before, now


def _without_scripts(base: Base, scripts: Collection[str]) -> Base:
    return base.model_copy(update={"migrations": tuple(one for one in base.migrations if one.script not in scripts)})


def _unlearnt(base: Base, before: Base) -> Base:
    """Return a base without the contents that became known of scripts that had run before."""
    unknown = {one.script for one in before.migrations if one.succeeded and one.sha256 is None}
    migrations = (one.model_copy(update={"sha256": None}) if one.script in unknown else one for one in base.migrations)
    return base.model_copy(update={"migrations": tuple(migrations)})


def _without_slot(base: Base, slot: str) -> Base:
    return base.model_copy(update={"slots": tuple(one for one in base.slots if one != slot)})


def _lanes_of_steps(steps: tuple[Step, ...]) -> frozenset[Lane]:
    """Return the lanes of what is done, whatever changed: somebody may have changed it beside Slipway.

    Upload and flip tell nothing: every version goes through them.
    """
    lane_of: dict[StepKind, Lane] = {
        "infra": "infra",
        "rehearse": "migration",
        "migrate": "migration",
        "build": "dbt",
        "publish": "dbt",
    }
    return frozenset(lane_of[step.kind] for step in steps if step.kind in lane_of)


def lanes_of(release: Release, version: Version, seen: Observation) -> tuple[Lane, ...]:
    """Return what kinds of change the release brings to what is live, in the order of the steps."""
    changed: list[Lane] = []
    live = seen.live_components
    lane_of: tuple[tuple[Lane, Literal["infra", "migrations", "dbt", "dags"]], ...] = (
        ("infra", "infra"),
        ("migration", "migrations"),
        ("dbt", "dbt"),
        ("dags", "dags"),
    )
    for lane, component in lane_of:
        if live.get(component) != release.manifest.component_digest(component):
            changed.append(lane)
    if seen.infrastructure.has_changes and "infra" not in changed:
        changed.insert(0, "infra")
    if seen.pointer is None or seen.pointer.config != version.config_digest:
        changed.append("config")
    return tuple(changed)


def infrastructure_step(facts: InfrastructureFacts) -> ApplyInfrastructure | None:
    """Return the step that does what Terraform planned, or None when it planned nothing."""
    if facts.plan_sha256 is None:
        return None
    return ApplyInfrastructure(
        plan_sha256=facts.plan_sha256,
        creates=facts.creates,
        updates=facts.updates,
        replaces=facts.replaces,
        deletes=facts.deletes,
        destroys_data=facts.destroys_data,
        serial=facts.serial,
        lineage=facts.lineage,
    )


def _upload(version: Version, seen: Observation, archive_sha256: str) -> Step | None:
    if version.version in seen.uploaded:
        return None
    return UploadVersion(release=version.release, version=version.version, archive_sha256=archive_sha256)


def rehearsal_step(release: Release, applied: Sequence[AppliedMigration]) -> RehearseMigrations | None:
    """Return the rehearsal of what is pending; None when nothing is that can be rehearsed."""
    component = release.manifest.components["migrations"]
    scripts = tuple(name for name in pending_scripts(component, applied) if kind_of(name) != "A")
    if not scripts:
        return None
    return RehearseMigrations(scripts=scripts, release=release.id, content=rehearsal_of(component, scripts, applied))


def _migrate(release: Release, seen: Observation, ends_rollbacks: tuple[str, ...]) -> Step | None:
    scripts = pending_scripts(release.manifest.components["migrations"], seen.warehouse.migrations)
    return MigrateWarehouse(scripts=scripts, release=release.id, ends_rollbacks=ends_rollbacks) if scripts else None


def _build(release: Release, seen: Observation, orphans: tuple[str, ...], *, is_old: bool) -> Step | None:
    """Return the build of the release's slot. One that was live and stood aside since is built anew before it goes
    live again; a rollback does without, because it must not take the time."""
    live, complete = seen.warehouse.published, seen.warehouse.complete_slots
    is_live = live is not None and live.slot == release.slot
    known = release.slot in complete
    if known and (is_live or not is_old):
        return None
    clone_from = live.slot if live and live.slot in complete and not is_live else None
    return BuildSlot(slot=release.slot, release=release.id, clone_from=clone_from, orphans=orphans, anew=known)


def _catch_up(release: Release, seen: Observation) -> Step | None:
    """Return the step that brings the slot up to the live one, whether or not it is built in this plan."""
    live = seen.warehouse.published
    if live is None or live.slot == release.slot:
        return None
    return CatchUpSlot(slot=release.slot, release=release.id, follows=live.slot)


def _compare(release: Release, seen: Observation, rules: str) -> Step | None:
    """Return the comparison with what is live, when something is and another slot is to take its place."""
    live = seen.warehouse.published
    if live is None or live.slot == release.slot:
        return None
    return CompareSlot(slot=release.slot, release=release.id, against=live.slot, rules=rules)


def _publish(release: Release, seen: Observation) -> Step | None:
    live = seen.warehouse.published
    if live and live.slot == release.slot:
        return None
    return PublishSlot(slot=release.slot, release=release.id, replaces=live.slot if live else None)


def _flip(version: Version, seen: Observation, dag_ids: tuple[str, ...], archive_sha256: str) -> Step | None:
    reported = seen.orchestrator.versions
    live = seen.pointer is not None and seen.pointer.version == version.version
    if (
        live
        and all(reported.get(dag_id) == version.version for dag_id in dag_ids)
        and not seen.orchestrator.import_errors
    ):
        return None
    return FlipPointer(
        version=version.version,
        release=version.release,
        config=version.config_digest,
        archive_sha256=archive_sha256,
        dag_ids=dag_ids,
        removes=_gone(seen, dag_ids),
        replaces=seen.pointer.version if seen.pointer and not live else None,
    )


def _gone(seen: Observation, dag_ids: tuple[str, ...]) -> tuple[str, ...]:
    """Return the DAGs of the live version that are not among `dag_ids`."""
    if seen.pointer is None:
        return ()
    live = {dag_id for dag_id, version in seen.orchestrator.versions.items() if version == seen.pointer.version}
    return tuple(sorted(live - set(dag_ids)))
