"""A backfill among deployments: its plan goes through the same engine and journal, and is no release."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from slipway import engine
from slipway.backfill import model_steps
from slipway.backfill_operation import BackfillOperation
from slipway.deployment import Deployment, fold
from slipway.errors import StepFailed
from slipway.model import Model
from slipway.observation import Observation, Published
from slipway.plan import Plan, is_compared_anew, moved_by_others
from slipway.policy import LaneRule
from slipway.ports import Effects, Outcome, Progress
from slipway.request import DagRequest, ModelRequest
from slipway.step import AdoptModel, BackfillDates, RebuildModel, Step, StepKind, is_reversible, summarise
from slipway.threshold import ComparisonRules
from tests.core.conftest import case_of, obstacles, policy_of, release_of, version_in_staging
from tests.core.test_engine import Silent
from tests.ports.environment import MemoryEnvironment
from tests.ports.memory import MemoryJournal, MemoryLease

RELEASE = release_of()
SLOT, ASIDE = RELEASE.slot, "FFFF0001"
RULES = ComparisonRules()
DAYS = {"since": date(2026, 10, 1), "until": date(2026, 10, 14)}


class MemoryBackfills:
    """Backfills in memory: what was done stays done."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.fails = False

    def is_filled(self, step: BackfillDates) -> bool:
        return step.dates[0] in self.done

    def fill(self, step: BackfillDates, progress: Progress) -> Outcome:
        if self.fails:
            raise StepFailed("a date failed")
        self.done.append(step.dates[0])
        return Outcome(summary="filled")

    def is_rebuilt(self, step: RebuildModel) -> bool:
        return step.aside in self.done

    def rebuild(self, step: RebuildModel, progress: Progress) -> Outcome:
        self.done.append(step.aside)
        return Outcome(summary="rebuilt")

    def is_adopted(self, step: AdoptModel) -> bool:
        return step.slot in self.done

    def adopt(self, step: AdoptModel, progress: Progress) -> Outcome:
        self.done.append(step.slot)
        return Outcome(summary="adopted")


def dag_steps() -> tuple[BackfillDates, ...]:
    request = DagRequest(dag_id="customers", **DAYS)
    return tuple(
        BackfillDates(
            request=request,
            dates=(f"2026-10-{day:02}T00:00:00+00:00",),
            leaves=(),
            parallel=1,
            version="v",
            mark="m",
        )
        for day in (1, 8)
    )


def steps_of_model() -> tuple[RebuildModel, AdoptModel]:
    model = Model(name="fct", is_microbatch=True, relations=("FINANCE.FCT",))
    rebuild, adopt = model_steps(
        ModelRequest(model="fct", **DAYS),
        model,
        slot=SLOT,
        release=RELEASE.id,
        version="v",
        after=None,
        rules=RULES.digest,
    )
    return rebuild.model_copy(update={"aside": ASIDE}), adopt.model_copy(update={"aside": ASIDE})


def plan_with(steps: tuple[Step, ...], seen: Observation) -> Plan:
    version = version_in_staging(RELEASE)
    return Plan(
        purpose="backfill",
        environment="staging",
        release=RELEASE.id,
        version=version.version,
        slot=SLOT,
        commit=None,
        commits=(),
        policy="p" * 64,
        configuration="e" * 64,
        after=None,
        base=seen.base,
        replaces=version.version,
        lanes=("dags",),
        dag_ids=("customers",),
        steps=steps,
    )


@pytest.fixture
def live(environment: MemoryEnvironment) -> MemoryEnvironment:
    environment.complete.add(SLOT)
    environment.published = Published(slot=SLOT, release=RELEASE.id)
    return environment


def apply(
    environment: MemoryEnvironment, journal: MemoryJournal, plan: Plan, backfills: Any, **options: Any
) -> Deployment:
    effects: Effects = replace(environment.effects(), backfills=backfills)

    def look_again() -> tuple[Observation, Plan]:
        left = tuple(step for step in plan.steps if not engine.is_done(step, effects))
        return environment.observe(), plan.model_copy(update={"steps": left})

    return engine.apply(
        engine.Assignment(plan=plan, deployment="d-1", by="ann", **options),
        engine.Surroundings(
            effects=effects,
            journal=journal,
            lease=MemoryLease(),
            observe_base=lambda: environment.observe(infrastructure=False),
            look_again=look_again,
            listener=Silent(),
            is_stopping=lambda: False,
        ),
    )


@pytest.mark.parametrize("steps", [dag_steps(), steps_of_model()], ids=["dag", "model"])
def test_a_backfill_is_journalled_as_a_deployment_of_its_own(
    steps: tuple[Step, ...], live: MemoryEnvironment, journal: MemoryJournal
) -> None:
    done = apply(live, journal, plan_with(steps, live.observe()), MemoryBackfills())
    assert (done.purpose, done.state) == ("backfill", "succeeded")
    assert [step.kind for step in done.steps] == [step.kind for step in steps]
    assert fold(journal.events()) == (done,)


def test_chunks_that_succeeded_are_found_done_when_a_later_one_failed(
    live: MemoryEnvironment, journal: MemoryJournal
) -> None:
    backfills, plan = MemoryBackfills(), plan_with(dag_steps(), live.observe())
    backfills.done.append(plan.steps[0].dates[0])  # type: ignore[union-attr]
    backfills.fails = True
    with pytest.raises(StepFailed):
        apply(live, journal, plan, backfills)
    backfills.fails = False
    done = apply(live, journal, plan, backfills, resumes=True)
    assert [step.state for step in done.steps] == ["found done", "failed", "found done", "done"]
    assert len(backfills.done) == 2


@pytest.mark.parametrize(
    ("published", "complete", "begun", "said"),
    [
        (SLOT, {SLOT}, ("rebuild",), False),
        (SLOT, {SLOT, ASIDE}, ("rebuild",), False),
        (ASIDE, {ASIDE}, ("rebuild", "adopt"), False),  # tables are being taken over
        (SLOT, {SLOT}, ("rebuild", "adopt"), False),
        (ASIDE, {SLOT, ASIDE}, ("rebuild",), True),  # nobody was to publish yet
        ("EEEE0001", {SLOT, "EEEE0001"}, ("rebuild", "adopt"), True),
    ],
)
def test_what_a_models_backfill_leaves_when_it_dies_is_its_own_work_and_nothing_else_is(
    published: str, complete: set[str], begun: tuple[StepKind, ...], said: bool, live: MemoryEnvironment
) -> None:
    plan = plan_with(steps_of_model(), live.observe(infrastructure=False))
    live.published = Published(slot=published, release=RELEASE.id)
    live.complete = complete
    assert bool(moved_by_others(plan, live.observe(infrastructure=False).base, begun=begun)) is said


def test_a_models_backfill_that_was_refused_is_not_compared_again_as_it_is(live: MemoryEnvironment) -> None:
    plan = plan_with(steps_of_model(), live.observe())
    assert is_compared_anew(plan, refused_by="Differs", rules=RULES.digest)
    assert not is_compared_anew(plan, refused_by="StepFailed", rules=RULES.digest)
    assert not is_compared_anew(plan_with(dag_steps(), live.observe()), refused_by="Differs", rules=RULES.digest)


@pytest.mark.parametrize(
    ("rules", "is_shown", "goes_on"),
    [
        (RULES, False, True),
        (ComparisonRules(rows_percent=99), False, False),
        (ComparisonRules(rows_percent=99), True, True),  # readers see it already: it must come to its end
    ],
)
def test_a_models_backfill_goes_on_by_the_thresholds_of_its_plan_alone_until_it_is_compared(
    rules: ComparisonRules, is_shown: bool, goes_on: bool, live: MemoryEnvironment
) -> None:
    plan = plan_with(steps_of_model(), live.observe())
    operation: Any = object.__new__(BackfillOperation)
    operation.request = ModelRequest(model="fct", **DAYS)
    operation.site = SimpleNamespace(
        policy=SimpleNamespace(comparison=rules), bucket=SimpleNamespace(stored=lambda key: None)
    )
    operation.backfills = SimpleNamespace(models=SimpleNamespace(was_swapped_in=lambda step: is_shown))
    assert operation.goes_on_with(plan) is goes_on


def test_a_plan_of_a_backfill_says_what_it_runs_and_round_trips(live: MemoryEnvironment) -> None:
    for steps, reason in (
        (dag_steps(), "2 date(s) of customers from 2026-10-01 to 2026-10-14"),
        (steps_of_model(), "model fct from 2026-10-01 to 2026-10-14"),
        ((), "nothing is left to backfill"),
    ):
        plan = plan_with(steps, live.observe())
        assert plan.reason == reason
        assert Plan.from_bytes(plan.to_bytes(), origin="test") == plan
        assert all(summarise(step) and not is_reversible(step) for step in steps)


def test_a_backfill_needs_what_the_policy_asks_of_backfills_and_no_stage_before(live: MemoryEnvironment) -> None:
    rules = {"after": "staging", "lanes": policy_of().environments["prod"].lanes, "backfill": LaneRule(approvals=2)}
    policy = policy_of(environments={"prod": rules})
    plan = plan_with(dag_steps(), live.observe()).model_copy(update={"environment": "prod"})
    found = obstacles(plan, RELEASE, live.observe(), policy=policy)
    assert [(one.id, one.reason) for one in found] == [("approvals", "backfill: 0 of 2 approvals")]
    assert case_of(plan, RELEASE, live.observe()).plan.id == plan.id
