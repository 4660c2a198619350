"""A backfill in one environment: the operation whose plan runs past dates on what is live, and changes nothing else.

It walks the way of a deployment (`launch`): lease, gates, journal, engine, seal.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from slipway.adapters.airflow_backfill import AirflowBackfills
from slipway.adapters.dbt_backfill import ModelBackfills
from slipway.adapters.wish import Wish, wish_of
from slipway.backfill import DagSurvey, model_steps, steps_of
from slipway.deployment import Deployment
from slipway.engine import is_done
from slipway.errors import Blocked, Interrupted, NotBootstrapped
from slipway.model import model_in
from slipway.observation import Observation
from slipway.operation import Operation
from slipway.plan import Plan, Purpose
from slipway.ports import Effects, Progress
from slipway.release import Release, Version, short
from slipway.request import DagRequest, ModelRequest
from slipway.rollback import live_in
from slipway.site import Site
from slipway.step import AdoptModel, BackfillDates, RebuildModel, Step

Request = DagRequest | ModelRequest
OWN_STEPS = (BackfillDates, RebuildModel, AdoptModel)


class LiveBackfills:
    """Has past dates run and past days built on what is live; implements `ports.Backfills`."""

    def __init__(self, dags: AirflowBackfills, models: ModelBackfills) -> None:
        self.dags, self.models = dags, models
        self.is_filled, self.fill = dags.is_filled, dags.fill
        self.is_rebuilt, self.rebuild = models.is_rebuilt, models.rebuild
        self.is_adopted, self.adopt = models.is_adopted, models.adopt


class BackfillOperation(Operation):
    """What is live, and what is to be run again on it.

    Attributes:
        survey: what was seen of the DAG when the plan was made; None before.
    """

    def __init__(
        self,
        site: Site,
        release: Release,
        version: Version,
        request: Request,
        *,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(site, release, version)
        self.request, self._is_stopping = request, is_stopping
        self.survey: DagSurvey | None = None
        self._asked_by: str | None = None  # said once a plan is made
        self._began = datetime.now(UTC)
        models = self.slots(ModelBackfills)
        models.allow = self._allow
        self.backfills = LiveBackfills(AirflowBackfills(site.airflow, allow=self._allow_runs), models)
        models.wait_for_builds = self._wait_for_builds

    def effects(self) -> Effects:
        """Return every port that changes something."""
        return replace(super().effects(), backfills=self.backfills)

    def examine(self, purpose: Purpose, *, reviewed: Plan | None = None) -> tuple[Observation, Plan]:
        """Look at the DAG and its runs, and return the plan that follows. No side effects in the environment.

        Raises:
            Blocked: the reviewed plan was cancelled, or Airflow runs the DAG on another version than the live one.
        """
        if reviewed is not None and (wish := self._cancelled(reviewed)):
            raise Blocked(
                f"plan {short(reviewed.id)} was cancelled by {wish.by} at {wish.at[:19]}Z",
                fix=f"invoke backfill.plan --env {self.site.environment.name} makes another one",
            )
        self._asked_by = reviewed.asked_by if reviewed is not None else self.site.asker()
        seen = self.observer.observe(infrastructure=False)
        after = next((one.id for one in reversed(self.site.history())), None)
        if isinstance(self.request, DagRequest):
            steps = self._dag_steps(self.request, after)
        else:
            steps = self._model_steps(self.request, seen, after)
        return seen, self._plan(seen, steps, after)

    def _dag_steps(self, request: DagRequest, after: str | None) -> tuple[Step, ...]:
        self.survey = self.backfills.dags.survey(request)
        if self.survey.version != self.version.version:
            raise Blocked(
                f"Airflow runs {request.dag_id} on {self.survey.version}, and {self.version.version} is live",
                fix=f"invoke status --env {self.site.environment.name}, then deploy what should be live",
            )
        return steps_of(request, self.survey, version=self.version.version, after=after)

    def _model_steps(self, request: ModelRequest, seen: Observation, after: str | None) -> tuple[Step, ...]:
        slot, again = self.release.slot, f"invoke deploy --env {self.site.environment.name}"
        published = seen.warehouse.published
        if published is None or published.slot != slot or slot not in seen.warehouse.complete_slots:
            raise Blocked(f"slot {slot} of what is live is not what readers see, or not complete", fix=again)
        content = self.site.bucket.dbt_manifest(slot)
        if content is None:
            raise Blocked(f"what was built into slot {slot} is not known: its manifest is gone", fix=again)
        return model_steps(
            request,
            model_in(json.loads(content), request.model),
            slot=slot,
            release=self.release.id,
            version=self.version.version,
            after=after,
            rules=self.site.policy.comparison.digest,
        )

    def look_again(self, plan: Plan) -> tuple[Observation, Plan]:
        """Observe the environment, and return the plan with the steps that its probes still find to do."""
        effects = self.effects()
        left = tuple(step for step in plan.steps if not is_done(step, effects))
        return self.observer.observe(infrastructure=False), plan.model_copy(update={"steps": left})

    def goes_on_with(self, plan: Plan) -> bool:
        """Return whether an unfinished plan is of this very request, nobody cancelled it, and what it compares yet is
        held to the thresholds it was approved with."""
        return (
            request_of(plan) == self.request
            and self._cancelled(plan) is None
            and not self._would_compare_by_others(plan)
        )

    def _would_compare_by_others(self, plan: Plan) -> bool:
        rules = self.site.policy.comparison.digest
        adoptions = [step for step in plan.steps if isinstance(step, AdoptModel)]
        return any(step.rules != rules and not self.backfills.models.was_swapped_in(step) for step in adoptions)

    def _plan(self, seen: Observation, steps: tuple[Step, ...], after: str | None) -> Plan:
        return Plan(
            purpose="backfill",
            environment=self.version.environment,
            release=self.release.id,
            version=self.version.version,
            slot=self.release.slot,
            commit=self.release.provenance.commit,
            commits=(),
            asked_by=self._asked_by,
            policy=self.site.policy.digest,
            configuration=self.site.environment.digest,
            after=after,
            base=seen.base,
            replaces=self.version.version,
            lanes=("dags",) if isinstance(self.request, DagRequest) else ("dbt",),
            dag_ids=self.checks().dag_ids,
            steps=steps,
        )

    def _cancelled(self, plan: Plan) -> Wish | None:
        wishes = (wish_of(self.site.bucket, mark) for mark in marks_of(plan))
        return next((wish for wish in wishes if wish is not None and wish.wants == "cancel"), None)

    def _allow(self, mark: str) -> None:
        """Raise what must end the work.

        Raises:
            Locked: the lease was lost; the backfill in Airflow goes on by itself.
            Interrupted: a stop was asked for here, or a pause or an end by somebody else.
        """
        self.site.session.guard()
        again = f"invoke backfill.run --env {self.site.environment.name} with the same options goes on"
        if self._is_stopping():
            raise Interrupted("stopped: nothing more begins, and runs that had begun go on to their end", fix=again)
        wish = wish_of(self.site.bucket, mark)
        if wish is not None and wish.is_younger_than(self._began):
            said = "cancelled" if wish.wants == "cancel" else "paused"
            raise Interrupted(
                f"{said} by {wish.by}: nothing more begins, and runs that had begun go on to their end",
                fix=again if wish.wants == "pause" else None,
            )

    def _wait_for_builds(self, mark: str, progress: Progress) -> None:
        """Return once no scheduled run builds into the slot. Raises as `_allow`, and `StepFailed` when one is open for
        longer than a build may take."""
        limit_s = self.site.environment.timeouts.build_s
        self.backfills.dags.wait_for_builds(progress, allow=lambda: self._allow(mark), limit_s=limit_s)

    def _allow_runs(self, step: BackfillDates) -> None:
        """As `_allow`. Side effects: what is interrupted is paused in Airflow too."""
        try:
            self._allow(step.mark)
        except Interrupted:
            active = self.backfills.dags.active(step.request.dag_id)
            if active is not None and active.mark == step.mark:
                self.backfills.dags.pause(active)
            raise


def operate_on_live(
    site: Site, request: Request, *, is_stopping: Callable[[], bool] = lambda: False
) -> BackfillOperation:
    """Return the backfill of a request on what is live.

    Raises:
        Blocked: the last deployment did not succeed: what is live is not whole.
        NotBootstrapped: nothing was deployed yet.
    """
    name = site.environment.name
    live = last_release(site.history())
    if live is None:
        raise NotBootstrapped(f"{name} was never deployed to", fix=f"invoke deploy --env {name}")
    if live.state != "succeeded":
        raise Blocked(
            f"{live.id}, the last {live.purpose}, did not succeed: what is live is not whole",
            fix=f"invoke deploy --env {name}, or invoke rollback --env {name}",
        )
    shown = live_in(site.observe_live())
    unfinished = site.open_backfill()
    aside = site.slots_aside(unfinished) if unfinished else ()
    if not shown.is_all_of(live) and shown.slot not in aside:
        raise Blocked(
            f"what is live is not what {live.id} made live",
            fix=f"invoke status --env {name}, then invoke deploy --env {name}",
        )
    release, version = site.bucket.release(live.release), site.bucket.version(live.version)
    return BackfillOperation(site, release, version, request, is_stopping=is_stopping)


def last_release(history: tuple[Deployment, ...]) -> Deployment | None:
    """Return the last deployment that was to make something live, whatever came of it."""
    return next((one for one in reversed(history) if one.purpose != "backfill"), None)


def request_of(plan: Plan) -> Request | None:
    """Return what a plan was asked for; None when it backfills nothing."""
    return next((step.request for step in plan.steps if isinstance(step, OWN_STEPS)), None)


def marks_of(plan: Plan) -> tuple[str, ...]:
    """Return the marks of a plan's runs; all its steps have the same."""
    return tuple(dict.fromkeys(step.mark for step in plan.steps if isinstance(step, OWN_STEPS)))
