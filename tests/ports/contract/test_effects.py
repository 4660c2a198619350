"""The ports in memory keep the contract, whatever is deployed; `tests/e2e/test_kill.py` has the real ones keep it."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from slipway import engine
from slipway.deployment import Deployment
from slipway.errors import Unavailable
from slipway.observation import Published
from slipway.plan import Plan
from slipway.ports import Outcome
from slipway.step import BACKFILL_KINDS, StepKind
from tests.core.conftest import release_of, version_in_staging
from tests.core.test_engine import Silent as Unheard
from tests.ports.backfills import dag_steps, steps_of_model
from tests.ports.contract.effects import Kept
from tests.ports.environment import MemoryEnvironment
from tests.ports.memory import MemoryJournal, MemoryLease

KINDS = tuple(kind for kind in get_args(StepKind) if kind not in BACKFILL_KINDS)
MODEL = "dbt/models/finance/dim_account.sql"
VIEWS = "snowflake_migrations/scripts/R__views.sql"


def kept(environment: MemoryEnvironment, *, loses: bool = False) -> Kept:
    return Kept(environment.effects(), anew=environment.effects, observe=environment.observe, loses=loses)


def apply(environment: MemoryEnvironment, plan: Plan, ports: Kept) -> Deployment:
    """Apply a plan, by the engine, through ports that are held to the contract."""
    return engine.apply(
        engine.Assignment(plan=plan, deployment="d-1", by="ann"),
        engine.Surroundings(
            effects=ports.effects(),
            journal=MemoryJournal(),
            lease=MemoryLease(),
            observe_base=lambda: environment.observe(infrastructure=False),
            look_again=lambda: (environment.observe(), plan.model_copy(update={"steps": ()})),
            listener=Unheard(),
            is_stopping=lambda: False,
            pause_s=0.0,
        ),
    )


def change(environment: MemoryEnvironment) -> Plan:
    """Have a release live, and return the plan of one that needs every kind of step."""
    first = release_of()
    apply(environment, environment.plan(first, version_in_staging(first)), kept(environment))
    environment.infra_plan = "a" * 64
    second = release_of({MODEL: b"select 2", VIEWS: b"create or replace view v as select 2 a;"})
    return environment.plan(second, version_in_staging(second))


@pytest.mark.parametrize("loses", [False, True], ids=["answered", "every first answer lost"])
def test_every_port_keeps_the_contract_in_a_deployment_and_its_rollback(loses: bool) -> None:
    environment = MemoryEnvironment()
    plan = change(environment)
    ports = kept(environment, loses=loses)
    assert apply(environment, plan, ports).state == "succeeded"
    assert tuple(step.kind for step in ports.done) == KINDS
    first = release_of()
    back = environment.plan(first, version_in_staging(first), purpose="rollback")
    ports = kept(environment, loses=loses)
    apply(environment, back, ports)
    assert tuple(step.kind for step in ports.done) == ("publish", "flip")


@pytest.mark.parametrize("content", [b"select 2", b"select 3"])
@pytest.mark.parametrize("infra", [False, True], ids=["", "infrastructure"])
def test_whatever_is_lost_the_end_is_that_of_an_undisturbed_deployment(content: bytes, infra: bool) -> None:
    ends = []
    for lost in (False, True):
        environment = MemoryEnvironment()
        change(environment)
        environment.infra_plan = "a" * 64 if infra else None
        release = release_of({MODEL: content})
        apply(environment, environment.plan(release, version_in_staging(release)), kept(environment, loses=lost))
        ends.append(environment.observe())
    assert ends[0] == ends[1]


@pytest.mark.parametrize("loses", [False, True], ids=["answered", "every first answer lost"])
def test_every_port_keeps_the_contract_in_backfills(loses: bool) -> None:
    environment = MemoryEnvironment()
    live = change_live(environment)
    for steps in (dag_steps(live.version), steps_of_model(live.slot, live.version)):
        ports = kept(environment, loses=loses)
        before = environment.observe()
        assert apply(environment, environment.backfill(live, *steps), ports).state == "succeeded"
        assert tuple(ports.done) == steps
        assert environment.observe() == before, "it changes rows, and no release"
    assert set(environment.runs.values()) == {1}
    assert {kind: environment.counts[kind] for kind in BACKFILL_KINDS} == {"backfill": 2, "rebuild": 1, "adopt": 1}


class Forgetful(MemoryEnvironment):
    """One whose uploads are gone as soon as nobody looks."""

    def is_uploaded(self, step: Any) -> bool:
        return False


class Early(MemoryEnvironment):
    """One that has what nobody uploaded."""

    asked = 0

    def is_uploaded(self, step: Any) -> bool:
        self.asked += 1
        return self.asked > 1


class Meddling(MemoryEnvironment):
    """One that moves when it is asked."""

    def is_built(self, step: Any) -> bool:
        self.serial += 1
        return super().is_built(step)


class Inexact(MemoryEnvironment):
    """One whose evidence no journal can hold."""

    def build(self, step: Any, progress: Any) -> Outcome:
        super().build(step, progress)
        return Outcome(summary="built", evidence={"seconds": 1.5})


class Silent(MemoryEnvironment):
    """One that tells empty lines."""

    def build(self, step: Any, progress: Any) -> Outcome:
        progress(" ")
        return super().build(step, progress)


class Talkative(MemoryEnvironment):
    """One that sums up in two lines."""

    def build(self, step: Any, progress: Any) -> Outcome:
        super().build(step, progress)
        return Outcome(summary="built\nat last")


class Backward(MemoryEnvironment):
    """One that was done before it began."""

    def build(self, step: Any, progress: Any) -> Outcome:
        super().build(step, progress)
        return Outcome(summary="built", outside_s=-1.0)


class Fading(MemoryEnvironment):
    """One whose uploads are gone once its DAGs are live."""

    def is_uploaded(self, step: Any) -> bool:
        return self.pointer is None and super().is_uploaded(step)


class Hasty(MemoryEnvironment):
    """One that says it has compared what nobody has published."""

    def is_compared(self, step: Any) -> bool:
        return step.slot in self.complete


class Stranding(MemoryEnvironment):
    """One that leaves readers on what was built aside."""

    def adopt(self, step: Any, progress: Any) -> Outcome:
        self.published = Published(slot=step.aside, release=step.release)
        return super().adopt(step, progress)


class Clearing(MemoryEnvironment):
    """One that has not rebuilt what it took over."""

    def is_rebuilt(self, step: Any) -> bool:
        return step.aside in self.complete


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Stranding, "after adopt, readers or DAGs are elsewhere"),
        (Clearing, "after adopt, rebuild is not done"),
    ],
)
def test_a_port_of_backfills_that_breaks_a_rule_is_found(kind: type[MemoryEnvironment], said: str) -> None:
    environment = kind()
    live = change_live(environment)
    plan = environment.backfill(live, *steps_of_model(live.slot, live.version))
    with pytest.raises(AssertionError, match=said):
        apply(environment, plan, kept(environment))


@pytest.mark.parametrize(
    ("kind", "error", "said"),
    [
        (Forgetful, AssertionError, "after upload, upload is not done"),
        (Early, AssertionError, "upload was done before it was done"),
        (Meddling, AssertionError, "asking whether build was done changed something"),
        (Inexact, TypeError, "float"),
        (Silent, AssertionError, "build told nothing"),
        (Talkative, AssertionError, "build told several lines at once"),
        (Backward, AssertionError, "build took less than no time"),
        (Fading, AssertionError, "after flip, upload is not done"),
        (Hasty, AssertionError, "compare is True while"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_port_that_breaks_a_rule_is_found(kind: type[MemoryEnvironment], error: type[Exception], said: str) -> None:
    environment = kind()
    if kind is Hasty:
        plan = change_over(environment)
    else:
        first = release_of()
        plan = environment.plan(first, version_in_staging(first))
    with pytest.raises(error, match=said):
        apply(environment, plan, kept(environment))


def test_what_only_the_process_knows_that_did_it_is_not_done() -> None:
    environment, other = MemoryEnvironment(), MemoryEnvironment()
    release = release_of()
    plan = environment.plan(release, version_in_staging(release))
    ports = Kept(environment.effects(), anew=other.effects, observe=environment.observe)
    with pytest.raises(AssertionError, match="after infra, infra is not done"):
        apply(environment, plan, ports)


def change_live(environment: MemoryEnvironment) -> Plan:
    """Have a release made live by nobody's contract, and return its plan."""
    first = release_of()
    plan = environment.plan(first, version_in_staging(first))
    for step in plan.steps:
        engine.perform(step, environment.effects(), lambda line: None)
    return plan


def change_over(environment: MemoryEnvironment) -> Plan:
    """Return the plan of a second release, the first being live."""
    change_live(environment)
    second = release_of({MODEL: b"select 2"})
    return environment.plan(second, version_in_staging(second))


def test_an_answer_is_lost_once() -> None:
    environment = MemoryEnvironment()
    plan = change_over(environment)
    step = next(one for one in plan.steps if one.kind == "upload")
    ports = kept(environment, loses=True).effects()
    with pytest.raises(Unavailable, match="the answer of upload was lost"):
        engine.perform(step, ports, lambda line: None)
    assert engine.is_done(step, ports)
