"""A backfill in one environment: the operation whose plan runs past dates on what is live, and changes nothing else.

It walks the way of a deployment (`launch`): lease, gates, journal, engine, seal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from slipway.adapters.airflow_backfill import AirflowBackfills
from slipway.adapters.wish import Wish, wish_of
from slipway.backfill import DagSurvey, steps_of
from slipway.deployment import Deployment
from slipway.engine import is_done
from slipway.errors import Blocked, Interrupted, NotBootstrapped
from slipway.observation import Observation
from slipway.operation import Operation
from slipway.plan import Plan, Purpose
from slipway.ports import Effects
from slipway.release import Release, Version, short
from slipway.request import DagRequest
from slipway.rollback import live_in
from slipway.site import Site
from slipway.step import BackfillDates


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
        request: DagRequest,
        *,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(site, release, version)
        self.request, self._is_stopping = request, is_stopping
        self.survey: DagSurvey | None = None
        self._began = datetime.now(UTC)
        self.backfills = AirflowBackfills(site.airflow, allow=self._allow)

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
        seen = self.observer.observe(infrastructure=False)
        self.survey = self.backfills.survey(self.request)
        if self.survey.version != self.version.version:
            raise Blocked(
                f"Airflow runs {self.request.dag_id} on {self.survey.version}, and {self.version.version} is live",
                fix=f"invoke status --env {self.site.environment.name}, then deploy what should be live",
            )
        return seen, self._plan(seen)

    def look_again(self, plan: Plan) -> tuple[Observation, Plan]:
        """Observe the environment, and return the plan with the steps that its probes still find to do."""
        effects = self.effects()
        left = tuple(step for step in plan.steps if not is_done(step, effects))
        return self.observer.observe(infrastructure=False), plan.model_copy(update={"steps": left})

    def goes_on_with(self, plan: Plan) -> bool:
        """Return whether an unfinished plan is of this very request, and nobody cancelled it."""
        return request_of(plan) == self.request and self._cancelled(plan) is None

    def _plan(self, seen: Observation) -> Plan:
        if self.survey is None:
            raise AssertionError("the survey comes first")
        after = next((one.id for one in reversed(self.site.history())), None)
        return Plan(
            purpose="backfill",
            environment=self.version.environment,
            release=self.release.id,
            version=self.version.version,
            slot=self.release.slot,
            commit=self.release.provenance.commit,
            commits=(),
            policy=self.site.policy.digest,
            configuration=self.site.environment.digest,
            after=after,
            base=seen.base,
            replaces=self.version.version,
            lanes=("dags",),
            dag_ids=self.checks().dag_ids,
            steps=steps_of(self.request, self.survey, version=self.version.version, after=after),
        )

    def _cancelled(self, plan: Plan) -> Wish | None:
        wishes = (wish_of(self.site.bucket, mark) for mark in marks_of(plan))
        return next((wish for wish in wishes if wish is not None and wish.wants == "cancel"), None)

    def _allow(self, step: BackfillDates) -> None:
        """Raise what must end the waiting for runs.

        Raises:
            Locked: the lease was lost; the backfill in Airflow goes on by itself.
            Interrupted: a stop was asked for here, or a pause or an end by somebody else; no more runs begin.
        """
        self.site.session.guard()
        again = f"invoke backfill.run --env {self.site.environment.name} with the same options goes on"
        if self._is_stopping():
            self._hold(step)
            raise Interrupted("stopped: no more runs begin, and those that had begun go on to their end", fix=again)
        wish = wish_of(self.site.bucket, step.mark)
        if wish is not None and wish.is_younger_than(self._began):
            if wish.wants == "cancel":
                raise Interrupted(f"cancelled by {wish.by}: runs that had begun go on to their end")
            self._hold(step)
            raise Interrupted(f"paused by {wish.by}: runs that had begun go on to their end", fix=again)

    def _hold(self, step: BackfillDates) -> None:
        active = self.backfills.active(step.request.dag_id)
        if active is not None and active.mark == step.mark:
            self.backfills.pause(active)


def operate_on_live(
    site: Site, request: DagRequest, *, is_stopping: Callable[[], bool] = lambda: False
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
    if not live_in(site.observe_live()).is_all_of(live):
        raise Blocked(
            f"what is live is not what {live.id} made live",
            fix=f"invoke status --env {name}, then invoke deploy --env {name}",
        )
    release, version = site.bucket.release(live.release), site.bucket.version(live.version)
    return BackfillOperation(site, release, version, request, is_stopping=is_stopping)


def last_release(history: tuple[Deployment, ...]) -> Deployment | None:
    """Return the last deployment that was to make something live, whatever came of it."""
    return next((one for one in reversed(history) if one.purpose != "backfill"), None)


def request_of(plan: Plan) -> DagRequest | None:
    """Return what a plan was asked for; None when it backfills nothing."""
    return next((step.request for step in plan.steps if isinstance(step, BackfillDates)), None)


def marks_of(plan: Plan) -> tuple[str, ...]:
    """Return the marks of a plan's runs; all its steps have the same."""
    return tuple(dict.fromkeys(step.mark for step in plan.steps if isinstance(step, BackfillDates)))
