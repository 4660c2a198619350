"""The engine's rules, over an environment in memory."""

from __future__ import annotations

import itertools
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway import engine
from slipway.deployment import fold, refused_slots
from slipway.errors import Differs, Interrupted, Locked, Stale, StepFailed, Unavailable, VerificationFailed
from slipway.observation import AppliedMigration, Published
from slipway.plan import Plan, moved_by_others
from slipway.release import Release, Version
from slipway.rollback import live_in, previous_deployment
from slipway.step import BACKFILL_KINDS
from tests.ports.backfills import dag_steps, steps_of_model
from tests.ports.contract.effects import Kept, through
from tests.ports.environment import DAG_IDS, MemoryEnvironment
from tests.ports.memory import MemoryJournal, MemoryLease

from .conftest import release_of, version_in_staging

KINDS = ("infra", "upload", "rehearse", "migrate", "build", "publish", "flip")


class Silent:
    def step_started(self, *_: Any) -> None: ...
    def step_moved(self, *_: Any) -> None: ...
    def step_ended(self, *_: Any, **__: Any) -> None: ...
    def verifying(self) -> None: ...
    def waiting(self, line: str) -> None: ...


def deploy(
    environment: MemoryEnvironment,
    journal: MemoryJournal,
    release: Release,
    version: Version,
    *,
    plan: Plan | None = None,
    found_after: Plan | None = None,
    deployment: str = "d-1",
    lease: MemoryLease | None = None,
    stop_after: int = 10**6,
    patience_s: float = 0.0,
) -> Any:
    """Deploy, going on with the last deployment by its own plan when it did not end."""
    last = next((one for one in fold(journal.events()) if one.id == deployment), None)
    resumes = last is not None and last.state != "succeeded"
    plan = plan or environment.plan(release, version)
    asked = iter(range(10**6))
    return engine.apply(
        engine.Assignment(
            plan=plan,
            deployment=deployment,
            by="ann",
            resumes=resumes,
            begun=last.begun if last and last.plan == plan.id else (),
            done=last.done if last and last.plan == plan.id else (),
        ),
        engine.Surroundings(
            effects=Kept(environment.effects(), anew=environment.effects, observe=environment.observe).effects(),
            journal=journal,
            lease=lease or MemoryLease(),
            observe_base=lambda: environment.observe(infrastructure=False),
            look_again=lambda: (environment.observe(), found_after or environment.plan(release, version)),
            listener=Silent(),
            is_stopping=lambda: next(asked) >= stop_after,
            patience_s=patience_s,
        ),
    )


def test_a_first_deployment_does_every_step_once_in_order(
    environment: MemoryEnvironment, journal: MemoryJournal
) -> None:
    release = release_of()
    done = deploy(environment, journal, release, version_in_staging(release))
    assert done.state == "succeeded"
    assert tuple(step.kind for step in done.steps) == KINDS
    assert environment.counts == dict.fromkeys(KINDS, 1)


def test_the_next_plan_after_a_deployment_is_empty(environment: MemoryEnvironment, journal: MemoryJournal) -> None:
    release = release_of()
    version = version_in_staging(release)
    deploy(environment, journal, release, version)
    plan = environment.plan(release, version)
    assert plan.is_empty
    assert "already live" in plan.reason


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_that_fails_leaves_those_before_it_and_a_rerun_does_only_the_rest(
    kind: str, environment: MemoryEnvironment, journal: MemoryJournal
) -> None:
    release = release_of()
    version = version_in_staging(release)
    environment.fails_at = kind
    with pytest.raises(StepFailed, match=f"{kind} refused"):
        deploy(environment, journal, release, version)
    (failed,) = fold(journal.events())
    assert failed.state == "failed"
    assert [step.state for step in failed.steps] == ["done"] * KINDS.index(kind) + ["failed"]
    assert failed.steps[-1].evidence == {"query_ids": [f"query of {kind}"]}
    environment.fails_at = None
    done = deploy(environment, journal, release, version)
    assert done.state == "succeeded"
    assert environment.counts == dict.fromkeys(KINDS, 1)


@given(stop_after=st.integers(min_value=0, max_value=len(KINDS)))
def test_a_stop_is_obeyed_between_steps_and_the_rerun_converges(stop_after: int) -> None:
    environment, journal, release = MemoryEnvironment(), MemoryJournal(), release_of()
    version = version_in_staging(release)
    with pytest.raises(Interrupted):
        deploy(environment, journal, release, version, stop_after=stop_after)
    assert sum(environment.counts.values()) == max(stop_after - 1, 0)  # it is asked once more before it begins
    assert bool(journal.events()) == (stop_after > 0), "what was stopped before it began is no deployment"
    assert deploy(environment, journal, release, version).state == "succeeded"
    assert environment.counts == dict.fromkeys(KINDS, 1)


def test_nothing_more_is_done_once_the_lease_is_lost(environment: MemoryEnvironment, journal: MemoryJournal) -> None:
    release = release_of()
    with pytest.raises(Locked):
        deploy(environment, journal, release, version_in_staging(release), lease=MemoryLease(checks=3))
    assert environment.counts == {"infra": 1, "upload": 1}


def test_a_plan_whose_base_moved_changes_nothing(environment: MemoryEnvironment, journal: MemoryJournal) -> None:
    release = release_of()
    version = version_in_staging(release)
    plan = environment.plan(release, version)
    environment.serial = 7
    with pytest.raises(Stale, match="serial 0 -> 7"):
        deploy(environment, journal, release, version, plan=plan)
    assert environment.counts == {}
    assert journal.events() == ()


def test_a_deployment_whose_next_plan_is_not_empty_has_failed(
    environment: MemoryEnvironment, journal: MemoryJournal
) -> None:
    release = release_of()
    version = version_in_staging(release)
    plan = environment.plan(release, version)
    with pytest.raises(VerificationFailed, match="still something to do"):
        deploy(environment, journal, release, version, plan=plan, found_after=plan)
    assert fold(journal.events())[0].state == "failed"


def test_a_rollback_goes_to_the_release_before(environment: MemoryEnvironment, journal: MemoryJournal) -> None:
    releases = [release_of({"dags/customers.py": f"edition {n}".encode()}) for n in range(3)]
    versions = [version_in_staging(release) for release in releases]
    for number, (release, version) in enumerate(zip(releases, versions, strict=True)):
        deploy(environment, journal, release, version, deployment=f"d-{number}")
    history = fold(journal.events())
    target = previous_deployment(history, live_in(environment.observe()))
    assert target is not None
    assert target.version == versions[1].version


def test_every_event_names_the_digest_of_the_one_before(environment: MemoryEnvironment, journal: MemoryJournal) -> None:
    release = release_of()
    deploy(environment, journal, release, version_in_staging(release))
    events = journal.events()
    assert len(events) > 10
    for before, after in itertools.pairwise(events):
        assert after.previous == before.sha256


def test_what_is_already_so_is_recorded_as_found_and_not_done_again(
    environment: MemoryEnvironment, journal: MemoryJournal
) -> None:
    release = release_of()
    version = version_in_staging(release)
    plan = environment.plan(release, version)
    upload = next(step for step in plan.steps if step.kind == "upload")
    environment.versions[version.version] = upload.archive_sha256  # someone else uploaded it meanwhile
    done = deploy(environment, journal, release, version, plan=plan)
    assert environment.counts == {kind: 1 for kind in KINDS if kind != "upload"}
    assert [step.state for step in done.steps if step.kind == "upload"] == ["found done"]
    assert done.dags == DAG_IDS


def test_once_the_lease_is_lost_the_journal_is_someone_elses(
    environment: MemoryEnvironment, journal: MemoryJournal
) -> None:
    release = release_of()
    with pytest.raises(Locked):
        deploy(environment, journal, release, version_in_staging(release), lease=MemoryLease(checks=3))
    assert [event.kind for event in journal.events()][-1] == "step-started"


class Killed(BaseException):
    """The process died here."""


class Mortal:
    """An environment's ports, in which the process dies at one step: before its effect, or after it."""

    def __init__(self, environment: MemoryEnvironment, kind: str, point: str) -> None:
        self._environment, self._kind, self._point = environment, kind, point

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._environment, name)
        if EFFECT_OF.get(name) != self._kind:
            return method

        def dies(*arguments: Any) -> Any:
            if self._point == "after":
                method(*arguments)
            raise Killed

        return dies


EFFECT_OF = {
    "apply": "infra",
    "upload": "upload",
    "rehearse": "rehearse",
    "migrate": "migrate",
    "build": "build",
    "compare": "compare",
    "publish": "publish",
    "flip": "flip",
    "fill": "backfill",
    "rebuild": "rebuild",
    "adopt": "adopt",
}


def die(environment: MemoryEnvironment, journal: MemoryJournal, plan: Plan, kind: str, point: str) -> None:
    """Apply a plan in a process that dies at one step."""
    ports: Any = Mortal(environment, kind, point)
    with pytest.raises(Killed):
        engine.apply(
            engine.Assignment(plan=plan, deployment="d-1", by="ann"),
            engine.Surroundings(
                effects=through(ports, backfills=ports),
                journal=journal,
                lease=MemoryLease(),
                observe_base=lambda: environment.observe(infrastructure=False),
                look_again=lambda: (environment.observe(), plan),
                listener=Silent(),
                is_stopping=lambda: False,
            ),
        )


@pytest.mark.parametrize("point", ["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_plan_of_a_process_that_died_is_gone_on_with_and_every_effect_happens_once(
    kind: str, point: str, environment: MemoryEnvironment, journal: MemoryJournal
) -> None:
    release = release_of()
    version = version_in_staging(release)
    plan = environment.plan(release, version)
    die(environment, journal, plan, kind, point)
    (unfinished,) = fold(journal.events())
    assert unfinished.steps[-1].state == "unknown"
    assert moved_by_others(plan, environment.observe(infrastructure=False).base, begun=unfinished.begun) == ()
    done = deploy(environment, journal, release, version, plan=plan)
    assert done.state == "succeeded"
    assert environment.counts == dict.fromkeys(KINDS, 1)
    undisturbed = MemoryEnvironment()
    deploy(undisturbed, MemoryJournal(), release, version)
    assert undisturbed.observe() == environment.observe()


@pytest.mark.parametrize("point", ["before", "after"])
@pytest.mark.parametrize("kind", ["backfill", "rebuild", "adopt"])
def test_a_backfill_of_a_process_that_died_is_gone_on_with_and_no_date_is_run_twice(
    kind: str, point: str, environment: MemoryEnvironment, journal: MemoryJournal
) -> None:
    release = release_of()
    version = version_in_staging(release)
    live = environment.plan(release, version)
    deploy(environment, MemoryJournal(), release, version)
    before = environment.observe()
    steps = dag_steps(live.version) if kind == "backfill" else steps_of_model(live.slot, live.version)
    plan = environment.backfill(live, *steps)
    die(environment, journal, plan, kind, point)
    nothing_left = plan.model_copy(update={"steps": ()})
    done = deploy(environment, journal, release, version, plan=plan, found_after=nothing_left)
    assert done.state == "succeeded"
    assert {found: environment.counts[found] for found in BACKFILL_KINDS & environment.counts.keys()} == (
        {"backfill": 2} if kind == "backfill" else {"rebuild": 1, "adopt": 1}
    )
    assert set(environment.runs.values()) <= {1}
    assert environment.observe() == before


@given(
    kind=st.sampled_from(KINDS),
    point=st.sampled_from(["before", "after"]),
    again=st.sampled_from(KINDS),
    again_point=st.sampled_from(["before", "after"]),
)
def test_dying_twice_changes_nothing_in_the_end(kind: str, point: str, again: str, again_point: str) -> None:
    environment, journal, release = MemoryEnvironment(), MemoryJournal(), release_of()
    version = version_in_staging(release)
    plan = environment.plan(release, version)
    die(environment, journal, plan, kind, point)
    mortal: Any = Mortal(environment, again, again_point)
    (unfinished,) = fold(journal.events())
    around = engine.Surroundings(
        effects=through(mortal),
        journal=journal,
        lease=MemoryLease(),
        observe_base=lambda: environment.observe(infrastructure=False),
        look_again=lambda: (environment.observe(), environment.plan(release, version)),
        listener=Silent(),
        is_stopping=lambda: False,
    )
    work = engine.Assignment(plan=plan, deployment="d-1", by="ann", resumes=True, begun=unfinished.begun)
    with suppress(Killed):
        engine.apply(work, around)
    if fold(journal.events())[0].state != "succeeded":
        deploy(environment, journal, release, version, plan=plan)
    assert fold(journal.events())[0].state == "succeeded"
    assert environment.counts == dict.fromkeys(KINDS, 1)


@pytest.mark.parametrize(
    ("meddle", "said"),
    [
        ({"serial": 9}, "Terraform state"),
        ({"published": Published(slot="DEADBEEF", release="x")}, "published slot"),
        ({"complete": {"DEADBEEF"}}, "complete slots"),
    ],
)
def test_what_someone_else_moved_meanwhile_is_not_taken_for_our_own_work(
    meddle: dict[str, Any], said: str, environment: MemoryEnvironment, journal: MemoryJournal
) -> None:
    release = release_of()
    plan = environment.plan(release, version_in_staging(release))
    die(environment, journal, plan, "upload", "after")
    environment.serial, environment.infra_plan = 1, None
    for name, value in meddle.items():
        setattr(environment, name, value)
    begun = fold(journal.events())[0].begun - ({"infra"} if "serial" in meddle else frozenset())
    assert said in moved_by_others(plan, environment.observe(infrastructure=False).base, begun=begun)[-1]


def test_a_content_that_a_migration_got_to_know_was_moved_by_nobody(environment: MemoryEnvironment) -> None:
    release = release_of()
    plan = environment.plan(release, version_in_staging(release))
    unknown, known, other = (
        environment.observe().base.model_copy(
            update={"migrations": (AppliedMigration(script="V0.1.0__old.sql", succeeded=True, sha256=sha256),)}
        )
        for sha256 in (None, "a", "b")
    )
    plan = plan.model_copy(update={"base": unknown})
    assert moved_by_others(plan, known, begun={"migrate"}) == ()
    assert moved_by_others(plan, known) == ("migrations: the history of the same scripts",)
    plan = plan.model_copy(update={"base": known})
    assert moved_by_others(plan, other, begun={"migrate"}) == ("migrations: the history of the same scripts",)


def test_a_slot_built_anew_is_not_built_a_third_time_once_the_journal_has_it(
    environment: MemoryEnvironment, journal: MemoryJournal
) -> None:
    release = release_of()
    version = version_in_staging(release)
    environment.complete = {release.slot}
    plan = environment.plan(release, version, once_live=[release.slot])
    die(environment, journal, plan, "publish", "before")
    assert environment.counts["build"] == 1
    deploy(environment, journal, release, version, plan=plan)
    assert environment.counts["build"] == 1


@pytest.fixture
def second(environment: MemoryEnvironment, journal: MemoryJournal) -> tuple[Release, Version]:
    """A release that changes a model, while another is live; what happened so far is forgotten."""
    first, release = release_of(), release_of({"dbt/models/finance/dim_account.sql": b"select 2"})
    deploy(environment, journal, first, version_in_staging(first))
    environment.counts.clear()
    journal.written.clear()
    return release, version_in_staging(release)


@pytest.mark.parametrize(
    ("kind", "point", "comparisons"),
    [
        ("build", "after", 1),
        ("compare", "before", 1),
        ("compare", "after", 2),
        ("publish", "before", 2),
        ("publish", "after", 1),
    ],
)
def test_a_slot_is_compared_again_until_readers_see_it_and_never_after(
    kind: str,
    point: str,
    comparisons: int,
    environment: MemoryEnvironment,
    journal: MemoryJournal,
    second: tuple[Release, Version],
) -> None:
    plan = environment.plan(*second)
    die(environment, journal, plan, kind, point)
    deploy(environment, journal, *second, plan=plan)
    assert environment.counts.pop("compare") == comparisons
    assert environment.counts == {"upload": 1, "build": 1, "catchup": 1, "publish": 1, "flip": 1}


def test_what_a_comparison_refuses_is_not_published_and_its_slot_stays(
    environment: MemoryEnvironment, journal: MemoryJournal, second: tuple[Release, Version]
) -> None:
    release, version = second
    live = environment.published
    environment.refuses = True
    with pytest.raises(Differs, match="compare refused"):
        deploy(environment, journal, release, version)
    assert (environment.published, release.slot in environment.complete) == (live, True)
    (refused,) = fold(journal.events())
    assert (refused.state, refused.error, refused.steps[-1].kind) == ("failed", "Differs", "compare")
    assert refused_slots([refused]) == {release.slot}
    environment.refuses = False
    deploy(environment, journal, release, version, deployment="d-2")
    assert refused_slots(fold(journal.events())) == frozenset()


@given(failures=st.integers(min_value=0, max_value=3), kind=st.sampled_from(KINDS), after=st.booleans())
def test_a_part_that_answers_again_is_asked_what_was_done_and_nothing_is_done_twice(
    failures: int, kind: str, after: bool
) -> None:
    environment, journal, release = MemoryEnvironment(), MemoryJournal(), release_of()
    version = version_in_staging(release)
    plan = environment.plan(release, version)
    left = iter([True] * failures + [False] * 100)

    class Flaky(Mortal):
        def __getattr__(self, name: str) -> Any:
            method = getattr(self._environment, name)
            if EFFECT_OF.get(name) != self._kind:
                return method

            def may_fail(*arguments: Any) -> Any:
                if not next(left):
                    return method(*arguments)
                if after:
                    method(*arguments)
                raise Unavailable("the answer was lost")

            return may_fail

    ports: Any = Flaky(environment, kind, "")
    waited: list[str] = []

    class Listening(Silent):
        def waiting(self, line: str) -> None:
            waited.append(line)

    done = engine.apply(
        engine.Assignment(plan=plan, deployment="d-1", by="ann"),
        engine.Surroundings(
            effects=through(ports),
            journal=journal,
            lease=MemoryLease(),
            observe_base=lambda: environment.observe(infrastructure=False),
            look_again=lambda: (environment.observe(), environment.plan(release, version)),
            listener=Listening(),
            is_stopping=lambda: False,
            pause_s=0.0,
        ),
    )
    assert done.state == "succeeded"
    assert environment.counts == dict.fromkeys(KINDS, 1)
    assert waited == (["the answer was lost; trying again (0 s of 120)"] if failures else [])
