"""The engine's rules, over an environment in memory."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway import engine
from slipway.deployment import fold
from slipway.errors import Interrupted, Locked, Stale, StepFailed, VerificationFailed
from slipway.release import Release, Version
from slipway.rollback import live_in, previous_deployment

from .conftest import DAG_IDS, MemoryEnvironment, MemoryJournal, MemoryLease, release_of, version_in_staging

KINDS = ("infra", "upload", "migrate", "build", "publish", "flip")


class Silent:
    def step_started(self, *_: Any) -> None: ...
    def step_moved(self, *_: Any) -> None: ...
    def step_ended(self, *_: Any, **__: Any) -> None: ...
    def verifying(self) -> None: ...


def deploy(
    environment: MemoryEnvironment,
    journal: MemoryJournal,
    release: Release,
    version: Version,
    *,
    deployment: str = "d-1",
    resumes: bool = False,
    lease: MemoryLease | None = None,
    stop_after: int = 10**6,
) -> Any:
    plan = environment.plan(release, version)
    asked = iter(range(10**6))
    return engine.apply(
        plan,
        deployment=deployment,
        by="ann",
        commit=release.provenance.commit,
        resumes=resumes,
        effects=environment.effects(),
        journal=journal,
        lease=lease or MemoryLease(),
        observe_base=lambda: environment.observe(infrastructure=False),
        replan=lambda: environment.plan(release, version),
        listener=Silent(),
        is_stopping=lambda: next(asked) >= stop_after,
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
    environment.fails_at = None
    done = deploy(environment, journal, release, version, resumes=True)
    assert done.state == "succeeded"
    assert environment.counts == dict.fromkeys(KINDS, 1)


@given(stop_after=st.integers(min_value=0, max_value=len(KINDS) - 1))
def test_a_stop_is_obeyed_between_steps_and_the_rerun_converges(stop_after: int) -> None:
    environment, journal, release = MemoryEnvironment(), MemoryJournal(), release_of()
    version = version_in_staging(release)
    with pytest.raises(Interrupted):
        deploy(environment, journal, release, version, stop_after=stop_after)
    assert sum(environment.counts.values()) == stop_after
    assert deploy(environment, journal, release, version, resumes=True).state == "succeeded"
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
        engine.apply(
            plan,
            deployment="d-1",
            by="ann",
            commit=None,
            resumes=False,
            effects=environment.effects(),
            journal=journal,
            lease=MemoryLease(),
            observe_base=lambda: environment.observe(infrastructure=False),
            replan=lambda: plan,
            listener=Silent(),
            is_stopping=lambda: False,
        )
    assert environment.counts == {}
    assert journal.events() == ()


def test_a_deployment_whose_next_plan_is_not_empty_has_failed(
    environment: MemoryEnvironment, journal: MemoryJournal
) -> None:
    release = release_of()
    version = version_in_staging(release)
    plan = environment.plan(release, version)
    with pytest.raises(VerificationFailed, match="still something to do"):
        engine.apply(
            plan,
            deployment="d-1",
            by="ann",
            commit=None,
            resumes=False,
            effects=environment.effects(),
            journal=journal,
            lease=MemoryLease(),
            observe_base=lambda: environment.observe(infrastructure=False),
            replan=lambda: plan,
            listener=Silent(),
            is_stopping=lambda: False,
        )
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
    done = engine.apply(
        plan,
        deployment="d-1",
        by="ann",
        commit=None,
        resumes=False,
        effects=environment.effects(),
        journal=journal,
        lease=MemoryLease(),
        observe_base=lambda: environment.observe(infrastructure=False),
        replan=lambda: environment.plan(release, version),
        listener=Silent(),
        is_stopping=lambda: False,
    )
    assert environment.counts == {kind: 1 for kind in KINDS if kind != "upload"}
    assert [step.state for step in done.steps if step.kind == "upload"] == ["found done"]
    assert done.dags == DAG_IDS


def test_once_the_lease_is_lost_the_journal_is_someone_elses(
    environment: MemoryEnvironment, journal: MemoryJournal
) -> None:
    release = release_of()
    with pytest.raises(Locked):
        deploy(environment, journal, release, version_in_staging(release), lease=MemoryLease(checks=3))
    assert [event.kind for event in journal.events()][-1] == "step-done"
