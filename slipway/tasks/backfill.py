"""backfill.plan, run, status, pause, cancel: past dates run again, as a deployment of their own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from invoke import Context, task

from slipway import backfill_report as told
from slipway import render
from slipway.adapters.airflow_backfill import AirflowBackfills
from slipway.adapters.git import Git
from slipway.adapters.wish import leave_wish
from slipway.backfill_operation import Request, marks_of, operate_on_live, request_of
from slipway.deployment import Deployment
from slipway.errors import Blocked, ConfigurationError
from slipway.launch import Order, judge, launch
from slipway.operation import open_site
from slipway.plan import Plan
from slipway.record import Record
from slipway.release import short
from slipway.request import CHUNK_DAYS, PARALLEL, DagRequest, ModelRequest
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
_JSON = "print one JSON document on standard output"
_REQUEST = {
    "env": _ENV,
    "dag": "the DAG whose dates run",
    "model": "or the dbt model that is built",
    "from": "the first logical date, e.g. 2026-10-01",
    "to": "the last logical date, included",
    "reprocess": "of a DAG's dates that have a run: none of them, the failed ones, or all completed ones too",
    "chunk-days": "how many days are given to Airflow, or to a run of dbt, at once",
    "parallel": "how many runs of a DAG at the same time, at most as many as it allows",
    "json": _JSON,
}


@task(help=_REQUEST)
@boundary
def plan(
    _: Context,
    env: str,
    dag: str = "",
    model: str = "",
    from_: str = "",
    to: str = "",
    reprocess: str = "none",
    chunk_days: int = CHUNK_DAYS,
    parallel: int = PARALLEL,
    json: bool = False,
) -> None:
    """Show which dates would run, in which chunks, how long it takes, and which are left and why; keep it for approval.

    Example: invoke backfill.plan --env staging --dag card_transactions --from 2026-10-01 --to 2026-10-31
    Example: invoke backfill.plan --env staging --model fct_card_transactions --from 2026-10-01 --to 2026-10-31
    """
    request = _request(dag, model, from_, to, reprocess, chunk_days, parallel)
    with progress() as shown, open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        operation = operate_on_live(site, request)
        shown.examining()
        seen, planned = operation.examine("backfill")
        shown.examined(planned)
        record = Record(site)
        verdict = judge(record, operation, planned, seen)
        if not planned.is_empty:
            record.keep_plan(operation, planned)
        document = told.plan_document(operation, planned)
        if json:
            render.print_json({**document, "blockers": render.blockers_document(verdict.obstacles)})
        else:
            told.show_plan(document)
            render.show_obstacles(verdict.obstacles)
            if verdict.is_open and not planned.is_empty:
                render.out().print(f"run exactly this: invoke backfill.run --env {env} --plan {short(planned.id)}")
    if not verdict.only_waits:
        raise Blocked("not open: " + ", ".join(one.id for one in verdict.obstacles), fix="do what is said beside each")


@task(
    help={**_REQUEST, "plan": "run exactly this plan (its id, or the first 8 digits or more), in place of the options"}
)
@boundary
def run(
    _: Context,
    env: str,
    plan: str = "",
    dag: str = "",
    model: str = "",
    from_: str = "",
    to: str = "",
    reprocess: str = "none",
    chunk_days: int = CHUNK_DAYS,
    parallel: int = PARALLEL,
    json: bool = False,
) -> None:
    """Run past dates again; given again it goes on where it was, also after a pause.

    Example: invoke backfill.run --env staging --dag card_transactions --from 2026-10-01 --to 2026-10-31
    Example: invoke backfill.run --env prod --plan 3f2a9c1b04de
    """
    asked = _request(dag, model, from_, to, reprocess, chunk_days, parallel) if not plan else None
    if plan and (dag or model or from_ or to or (reprocess, chunk_days, parallel) != ("none", CHUNK_DAYS, PARALLEL)):
        raise ConfigurationError(
            "a plan says all of it: --plan goes with --env and --json alone", fix="leave the rest out"
        )
    _refuse_uncommitted_rules()
    with progress() as shown, open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        reviewed = site.bucket.plan(plan) if plan else None
        request = asked or _request_in(reviewed)
        with stops_at_boundaries(shown.note) as is_stopping:
            order = Order(
                purpose="backfill",
                choose=lambda: operate_on_live(site, request, is_stopping=is_stopping),
                plan=reviewed,
            )
            done = launch(site, order, listener=shown, is_stopping=is_stopping)
        if json:
            render.print_json(told.run_document(site, done))
        else:
            told.show_done(done, seconds=seconds_since_start())


@task(help={"env": _ENV, "limit": "how many backfills, newest first", "json": _JSON})
@boundary
def status(_: Context, env: str, limit: int = 5, json: bool = False) -> None:
    """Show how far the latest backfills are, as Airflow tells it now.

    Example: invoke backfill.status --env staging
    """
    require_positive("--limit", limit)
    with open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        found = [one for one in reversed(site.history()) if one.purpose == "backfill"][:limit]
        document = {"environment": env, "backfills": [told.state_document(site, one) for one in found]}
    if json:
        render.print_json(document)
    else:
        told.show_status(document)


@task(help={"env": _ENV})
@boundary
def pause(_: Context, env: str) -> None:
    """Have the backfill that is being run begin no more runs; `backfill.run` goes on with it.

    Example: invoke backfill.pause --env staging
    """
    with open_site(PROJECT, env, start=False) as site:
        one, planned, held = _open_backfill(site)
        for mark in marks_of(planned):
            leave_wish(site.bucket, mark, "pause", by=site.who())
        _on_active(site, planned, held.pause)
    render.out().print(
        f"{one.id} begins no more runs; it goes on with: invoke backfill.run --env {env} --plan {short(one.plan)}",
        markup=False,
    )


@task(help={"env": _ENV, "dag": "end whatever backfill Airflow runs of this DAG, whoever began it"})
@boundary
def cancel(_: Context, env: str, dag: str = "") -> None:
    """End the backfill that is being run; what succeeded stays, runs that have not begun are marked as failed.

    Example: invoke backfill.cancel --env staging
    """
    with open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        if dag:
            backfills = AirflowBackfills(site.airflow)
            active = backfills.active(dag)
            if active is None:
                raise ConfigurationError(
                    f"Airflow runs no backfill of {dag}", fix=f"invoke backfill.status --env {env}"
                )
            if active.mark is not None:
                leave_wish(site.bucket, active.mark, "cancel", by=site.who())
            backfills.end(active)
            said = f"backfill {active.id} of {dag}"
        else:
            one, planned, held = _open_backfill(site)
            shown = site.warehouse.published()
            site.refuse_between_swaps(shown.slot if shown else None)
            for mark in marks_of(planned):
                leave_wish(site.bucket, mark, "cancel", by=site.who())
            _on_active(site, planned, held.end)
            said = one.id
    render.out().print(
        f"{said} is cancelled: what succeeded stays, what runs goes on to its end, the rest is marked as failed; "
        "--reprocess failed runs those dates",
        markup=False,
    )


# ---- asking


def _request(dag: str, model: str, since: str, until: str, reprocess: str, chunk_days: int, parallel: int) -> Request:
    if bool(dag) == bool(model) or not (since and until):
        raise ConfigurationError(
            "a backfill needs --from and --to, and either --dag or --model",
            fix="give them, or --plan of what backfill.plan showed",
        )
    days: dict[str, Any] = {"since": _day("--from", since), "until": _day("--to", until), "chunk_days": chunk_days}
    if dag:
        runs = {"dag_id": dag, "reprocess": reprocess, "parallel": parallel}
        return DagRequest.from_mapping({**days, **runs}, origin="the command")
    if (reprocess, parallel) != ("none", PARALLEL):
        raise ConfigurationError(
            "--reprocess and --parallel are about the runs of a DAG", fix="leave them out, or give --dag"
        )
    return ModelRequest.from_mapping({**days, "model": model}, origin="the command")


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"{option} {text!r} is no date", fix=f"{option} 2026-11-20") from error


def _request_in(reviewed: Plan | None) -> Request:
    found = request_of(reviewed) if reviewed is not None else None
    if found is None:
        raise ConfigurationError("that plan is no backfill's", fix="invoke deploy --env ENV --plan ID")
    return found


def _open_backfill(site: Site) -> tuple[Deployment, Plan, AirflowBackfills]:
    """Return the last deployment when it is a backfill that has not succeeded, and its plan."""
    site.require_bootstrapped()
    last = site.open_backfill()
    if last is None:
        raise ConfigurationError(
            "no backfill is being run, and none waits to be gone on with", fix="invoke backfill.status --env ENV"
        )
    return last, site.bucket.plan(last.plan), AirflowBackfills(site.airflow)


def _refuse_uncommitted_rules() -> None:
    """Raise when what judges a backfill is not committed: nobody has seen it."""
    if dirty := [path for path in Git(PROJECT).dirty_files() if path.startswith("config/")]:
        raise ConfigurationError(
            f"not committed, and what judges it: {', '.join(dirty)}", fix="git commit, or git stash"
        )


def _on_active(site: Site, planned: Plan, act: Callable[[Any], None]) -> None:
    """Do something to the backfill that Airflow has open for a plan, if there is one."""
    request = request_of(planned)
    active = AirflowBackfills(site.airflow).active(request.dag_id) if isinstance(request, DagRequest) else None
    if active is not None and active.mark in marks_of(planned):
        act(active)
