"""deploy, rollback, plan, status, history: what a release's way through an environment is made of."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from invoke import Context, task

from slipway import config, render
from slipway.adapters.git import Git
from slipway.contraction import require_reachable
from slipway.deployment import NOTES, fold
from slipway.errors import Blocked, NotBootstrapped
from slipway.gate import Verdict
from slipway.launch import Launch, Order, judge, launch
from slipway.observation import InfrastructureFacts, Observation, OrchestratorFacts, WarehouseFacts
from slipway.operation import Operation, bootstrap, open_site, operate, operate_earlier
from slipway.plan import Plan
from slipway.progress import Progress
from slipway.record import Record
from slipway.release import short
from slipway.rollback import Live, live_in, previous_deployment, rollback_target
from slipway.site import Site
from slipway.tasks.boundary import (
    PROJECT,
    boundary,
    progress,
    require_positive,
    seconds_since_start,
    stops_at_boundaries,
)

_ENV = "the environment: dev, staging or prod"
NOTHING_LIVE = Live(version=None, slot=None)
_JSON = "print one JSON document on standard output"


@task(
    help={
        "env": _ENV,
        "plan": "apply exactly this plan (its id, or the first 8 digits or more), as it was reviewed",
        "break-glass": "an emergency: lift what can wait, with the signatures of those who broke the glass",
        "json": _JSON,
    }
)
@boundary
def deploy(_: Context, env: str, plan: str = "", break_glass: bool = False, json: bool = False) -> None:
    """Make the commit checked out live, or exactly the plan that was reviewed.

    Example: invoke deploy --env staging
    Example: invoke deploy --env prod --plan 3f2a9c1b04de
    """
    config.load(env, folder=PROJECT / "config")  # what is wrong with it is told before anything starts
    git = Git(PROJECT)
    git.refuse_dirty()
    git.release_at("HEAD")
    with progress() as shown:
        with shown.phase("platform ready"):
            opened = open_site(PROJECT, env, start=True, progress=shown)
        with opened as site, ThreadPoolExecutor(max_workers=1) as pool:
            pool.submit(lambda: site.airflow)  # from nothing it takes 20 s, and is needed only to observe
            reviewed = site.bucket.plan(plan) if plan else None
            revision = reviewed.commit or "HEAD" if reviewed else "HEAD"
            _bootstrap_embedded(site, revision, shown)
            order = Order(
                purpose="deploy",
                choose=lambda: operate(site, revision),
                plan=reviewed,
                breaks_glass=break_glass,
            )
            with stops_at_boundaries(shown.note) as is_stopping:
                done = launch(site, order, listener=shown, is_stopping=is_stopping)
            show_launch(site, done, seconds=seconds_since_start(), as_json=json)


@task(
    help={
        "env": _ENV,
        "to": "the beginning of the release or version to go back to; without it, the one before what is live",
        "json": _JSON,
    }
)
@boundary
def rollback(_: Context, env: str, to: str = "", json: bool = False) -> None:
    """Bring the release before the live one back, or an earlier one.

    Example: invoke rollback --env staging
    Example: invoke rollback --env staging --to bc3401e446fc
    """
    with progress() as shown, open_site(PROJECT, env, start=False) as site:
        if site.is_new():
            rollback_target((), NOTHING_LIVE, environment=env, to=to)

        def chosen() -> Operation:
            target = rollback_target(site.history(), live_in(site.observe_live()), environment=env, to=to)
            require_reachable(site, target)
            return operate_earlier(site, target)

        with stops_at_boundaries(shown.note) as is_stopping:
            order = Order(purpose="rollback", choose=chosen, names_target=bool(to))
            done = launch(site, order, listener=shown, is_stopping=is_stopping)
        show_launch(site, done, seconds=seconds_since_start(), as_json=json)


@task(help={"env": _ENV, "json": _JSON})
@boundary
def plan(_: Context, env: str, json: bool = False) -> None:
    """Show what a deployment would do, keep it for approval, and say what blocks it.

    Example: invoke plan --env staging
    """
    with progress() as shown, open_site(PROJECT, env, start=False) as site:
        operation, seen, planned = _examine(site, shown)
        record = Record(site)
        if not planned.is_empty:
            record.keep_plan(operation, planned)
        verdict = judge(record, operation, planned, seen)
        if json:
            render.print_json(
                render.plan_document(planned, verdict.obstacles, site.history(), record.measured_ms(planned))
            )
        else:
            render.show_plan(planned, verdict.obstacles, site.history(), record.measured_ms(planned))
            if verdict.is_open and not planned.is_empty:
                render.out().print(f"apply exactly this: invoke deploy --env {env} --plan {short(planned.id)}")
    if not verdict.only_waits:
        raise _refused(verdict, env)


@task(
    help={
        "env": _ENV,
        "break-glass": "as if the glass was broken",
        "json": _JSON,
    }
)
@boundary
def explain(_: Context, env: str, break_glass: bool = False, json: bool = False) -> None:
    """Show every gate that stands before a deployment, open or not.

    Example: invoke explain --env prod
    """
    with progress() as shown, open_site(PROJECT, env, start=False) as site:
        operation, seen, planned = _examine(site, shown)
        verdict = judge(Record(site), operation, planned, seen, breaks_glass=break_glass)
    if json:
        render.print_json(render.explain_document(planned, verdict.results))
    else:
        render.show_explained(planned, verdict.results)
    if not verdict.is_open:
        raise _refused(verdict, env)


def _refused(verdict: Verdict, env: str) -> Blocked:
    """Return the error of a report that showed every gate already."""
    said = ", ".join(dict.fromkeys(one.id for one in verdict.obstacles))
    return Blocked(f"not open: {said}", fix=f"do what is said beside each, then: invoke deploy --env {env}")


def _examine(site: Site, shown: Progress) -> tuple[Operation, Observation, Plan]:
    """Return what a deployment of the commit checked out would be, told as it is found out."""
    site.require_bootstrapped()
    operation = operate(site)
    for said, dirty in _uncommitted(Git(PROJECT).dirty_files()):
        shown.note(f"{said}: {', '.join(dirty)}")
    shown.examining()
    seen, planned = operation.examine("deploy")
    shown.examined(planned)
    return operation, seen, planned


def _uncommitted(dirty: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield what is to be said of files that are not committed, and those files: a release is made of the commit, and
    what judges it is read as it lies."""
    judging = tuple(path for path in dirty if path.startswith("config/"))
    released = tuple(path for path in dirty if path not in judging)
    if released:
        yield "not in this plan, because not committed", released
    if judging:
        yield "judged by what is not committed, so that no deployment will be this plan", judging


@task(help={"env": _ENV, "json": _JSON})
@boundary
def status(_: Context, env: str, json: bool = False) -> None:
    """Show what is live, and whether it is whole.

    Example: invoke status --env prod --json
    """
    with open_site(PROJECT, env, start=False) as site:
        document = _nothing(site) if site.is_new() else _status(site)
        document["left_alone"] = _left_alone(site)
    if json:
        render.print_json(document)
    else:
        render.show_status(document)


@task(help={"env": _ENV, "json": _JSON, "limit": "how many deployments, newest first"})
@boundary
def history(_: Context, env: str, json: bool = False, limit: int = 20) -> None:
    """Show every deployment with the time of each step.

    Example: invoke history --env staging
    """
    require_positive("--limit", limit)
    with open_site(PROJECT, env, start=False) as site:
        events = () if site.is_new() else site.journal.events()
        left_alone = _left_alone(site)
    newest = fold(events)[::-1][:limit]
    notes = [event for event in reversed(events) if event.kind in NOTES][:limit]
    if json:
        render.print_json(
            {
                "environment": env,
                "deployments": [render.deployment_document(one) for one in newest],
                "notes": [render.note_document(one) for one in notes],
                "left_alone": left_alone,
            }
        )
    else:
        render.show_history(newest, notes, left_alone)


def _bootstrap_embedded(site: Site, revision: str, shown: Progress) -> None:
    """Bootstrap an embedded environment that never was; a real account is bootstrapped on purpose, once."""
    if site.bootstrapped() == "whole":
        return
    name = site.environment.name
    if site.platform is None:
        raise NotBootstrapped(f"{name} has no place for its lock and journal yet", fix=site.bootstrap_command())
    with shown.phase(f"{name} bootstrapped: Terraform root, databases, roles"):
        bootstrap(site, operate(site, revision), shown)


def show_launch(site: Site, done: Launch, *, seconds: float, as_json: bool) -> None:
    """Print what came of a deployment or a rollback."""
    document = _status(site)
    if as_json:
        render.print_json({**document, "plan": render.plan_document(done.plan, (), site.history())})
    elif done.deployment is None:
        render.out().print(f"already live: {done.reason}; nothing to do ({seconds:.1f} s)")
    else:
        render.show_live(document, done.deployment, seconds=seconds)


def _nothing(site: Site) -> dict[str, Any]:
    """Return the status document of an environment that was never made."""
    nothing = Observation(
        infrastructure=InfrastructureFacts(serial=0, lineage="", plan_sha256=None),
        warehouse=WarehouseFacts(),
        pointer=None,
        orchestrator=OrchestratorFacts(),
    )
    return render.status_document(site.environment.name, site.environment.target, nothing, (), (), None)


def _left_alone(site: Site) -> str | None:
    """Return the last deployment's id when it did not end and nobody works at it any more."""
    last = None if site.is_new() else next(reversed(site.history()), None)
    if last is None or last.ended_at is not None:
        return None
    holder = site.lease().holder()
    return last.id if holder is None or holder.may_be_taken() else None


def _status(site: Site) -> dict[str, Any]:
    """Return the status document: what is live as the environment itself says it, and what the journal says of it."""
    with_versions = site.observe_live()
    past = site.history()
    previous = previous_deployment(past, live_in(with_versions))
    return render.status_document(
        site.environment.name,
        site.environment.target,
        with_versions,
        site.expected_dags(past),
        past,
        previous.release if previous else None,
        Record(site).unreviewed(),
    )
