"""backfill.plan, run, status, pause, cancel: past dates run again, as a deployment of their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from invoke import Context, task

from slipway import render
from slipway.adapters.airflow_backfill import AirflowBackfills
from slipway.adapters.wish import leave_wish, wish_of
from slipway.backfill import choose, estimate, parallel_of, tally
from slipway.backfill_operation import BackfillOperation, marks_of, operate_on_live, request_of
from slipway.deployment import Deployment
from slipway.errors import Blocked, ConfigurationError
from slipway.launch import Launch, Order, judge, launch
from slipway.operation import open_site
from slipway.plan import Plan
from slipway.record import Record
from slipway.release import short
from slipway.request import CHUNK_DAYS, PARALLEL, DagRequest
from slipway.site import Site
from slipway.step import BackfillDates
from slipway.tasks.boundary import PROJECT, boundary, progress, stops_at_boundaries

_ENV = "the environment: dev, staging or prod"
_JSON = "print one JSON document on standard output"
_REQUEST = {
    "env": _ENV,
    "dag": "the DAG id",
    "from": "the first logical date, e.g. 2026-10-01",
    "to": "the last logical date, included",
    "reprocess": "what of the dates that have a run: none of them, the failed ones, or all completed ones too",
    "chunk-days": "how many days are given to Airflow at once",
    "parallel": "how many runs at the same time, at most as many as the DAG allows",
    "json": _JSON,
}


@task(help=_REQUEST)
@boundary
def plan(
    _: Context,
    env: str,
    dag: str = "",
    from_: str = "",
    to: str = "",
    reprocess: str = "none",
    chunk_days: int = CHUNK_DAYS,
    parallel: int = PARALLEL,
    json: bool = False,
) -> None:
    """Show which dates would run, in which chunks, how long it takes, and which are left and why; keep it for approval.

    Example: invoke backfill.plan --env staging --dag card_transactions --from 2026-10-01 --to 2026-10-31
    """
    request = _request(dag, from_, to, reprocess, chunk_days, parallel)
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
        document = _plan_document(operation, planned)
        if json:
            render.print_json({**document, "blockers": render.blockers_document(verdict.obstacles)})
        else:
            _show_plan(document, planned)
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
    began = time.monotonic()
    asked = None if plan else _request(dag, from_, to, reprocess, chunk_days, parallel)
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
            render.print_json(_run_document(site, done))
        else:
            _show_done(done, seconds=time.monotonic() - began)


@task(help={"env": _ENV, "limit": "how many backfills, newest first", "json": _JSON})
@boundary
def status(_: Context, env: str, limit: int = 5, json: bool = False) -> None:
    """Show how far the latest backfills are, as Airflow tells it now.

    Example: invoke backfill.status --env staging
    """
    with open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        found = [one for one in reversed(site.history()) if one.purpose == "backfill"][:limit]
        document = {"environment": env, "backfills": [_state_document(site, one) for one in found]}
    if json:
        render.print_json(document)
    else:
        _show_status(document)


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


def _request(dag: str, since: str, until: str, reprocess: str, chunk_days: int, parallel: int) -> DagRequest:
    if not (dag and since and until):
        raise ConfigurationError(
            "a backfill needs --dag, --from and --to", fix="give them, or --plan of what backfill.plan showed"
        )
    facts: dict[str, Any] = {
        "dag_id": dag,
        "since": since,
        "until": until,
        "reprocess": reprocess,
        "chunk_days": chunk_days,
        "parallel": parallel,
    }
    return DagRequest.from_mapping(facts, origin="the command")


def _request_in(reviewed: Plan | None) -> DagRequest:
    found = request_of(reviewed) if reviewed is not None else None
    if found is None:
        raise ConfigurationError("that plan is no backfill's", fix="invoke deploy --env ENV --plan ID")
    return found


def _open_backfill(site: Site) -> tuple[Deployment, Plan, AirflowBackfills]:
    """Return the last deployment when it is a backfill that has not succeeded, and its plan."""
    site.require_bootstrapped()
    last = next(reversed(site.history()), None)
    if last is None or last.purpose != "backfill" or last.state == "succeeded":
        raise ConfigurationError(
            "no backfill is being run, and none waits to be gone on with", fix="invoke backfill.status --env ENV"
        )
    return last, site.bucket.plan(last.plan), AirflowBackfills(site.airflow)


def _on_active(site: Site, planned: Plan, act: Callable[[Any], None]) -> None:
    """Do something to the backfill that Airflow has open for a plan, if there is one."""
    request = request_of(planned)
    active = AirflowBackfills(site.airflow).active(request.dag_id) if request else None
    if active is not None and active.mark in marks_of(planned):
        act(active)


# ---- telling


def _plan_document(operation: BackfillOperation, planned: Plan) -> dict[str, Any]:
    request, survey = operation.request, operation.survey
    if survey is None:
        raise AssertionError("examined before")
    choice, parallel = choose(request, survey), parallel_of(request, survey)
    expected = estimate(request, choice.dates, survey.took_s, parallel=parallel)
    return {
        "id": planned.id,
        "environment": planned.environment,
        "dag": request.dag_id,
        "from": request.since.isoformat(),
        "to": request.until.isoformat(),
        "reprocess": request.reprocess,
        "parallel": parallel,
        "version": planned.version,
        "dates": list(choice.dates),
        "left": [one.model_dump(mode="json") for one in choice.left],
        "chunks": [
            {"from": step.dates[0], "to": step.dates[-1], "dates": len(step.dates)}
            for step in planned.steps
            if isinstance(step, BackfillDates)
        ],
        "estimate": {
            "runs": expected.runs,
            "usual_s": expected.usual_s,
            "slow_s": expected.slow_s,
            "from_runs": len(survey.took_s),
        },
    }


def _show_plan(document: dict[str, Any], planned: Plan) -> None:
    say = render.out().print
    say(
        f"Plan {short(planned.id)} for {document['environment']}: {len(document['dates'])} date(s) of "
        f"{document['dag']} on version {document['version']}, {document['parallel']} at a time",
        markup=False,
    )
    for number, chunk in enumerate(document["chunks"], start=1):
        say(f"{number:3}. {chunk['from'][:10]} to {chunk['to'][:10]}: {chunk['dates']} run(s)", markup=False)
    reasons: dict[str, list[str]] = {}
    for one in document["left"]:
        reasons.setdefault(one["reason"], []).append(one["logical_date"][:10])
    for reason, dates in reasons.items():
        say(f"left out, {reason}: {len(dates)} ({_span(dates)})", markup=False)
    expected = document["estimate"]
    if expected["usual_s"] is None:
        say("how long it takes is not known: no run of the DAG has succeeded yet")
    elif document["dates"]:
        say(
            f"about {_minutes(expected['usual_s'])}, if runs are slow {_minutes(expected['slow_s'])}, by the last "
            f"{expected['from_runs']} run(s)",
            markup=False,
        )


def _run_document(site: Site, done: Launch) -> dict[str, Any]:
    return {
        "environment": done.plan.environment,
        "plan": done.plan.id,
        "reason": done.reason,
        "backfill": _state_document(site, done.deployment) if done.deployment else None,
    }


def _show_done(done: Launch, *, seconds: float) -> None:
    say = render.out().print
    if done.deployment is None:
        say(f"nothing to do: {done.reason} ({seconds:.1f} s)", markup=False)
        return
    for step in done.deployment.steps:
        say(f"{step.kind}: {step.summary}", markup=False)
    say(f"{done.deployment.id} {done.deployment.state} in {seconds:.1f} s", markup=False)


def _state_document(site: Site, one: Deployment) -> dict[str, Any]:
    planned = site.bucket.plan(one.plan)
    backfills, steps = AirflowBackfills(site.airflow), [s for s in planned.steps if isinstance(s, BackfillDates)]
    chunks = [{"from": step.dates[0], "to": step.dates[-1], **tally(backfills.progress(step))} for step in steps]
    request = request_of(planned)
    active = backfills.active(request.dag_id) if request else None
    is_ours = active is not None and active.mark in marks_of(planned)
    wish = next((found for mark in marks_of(planned) if (found := wish_of(site.bucket, mark))), None)
    return {
        "deployment": one.id,
        "plan": one.plan,
        "state": one.state,
        "dag": request.dag_id if request else None,
        "from": request.since.isoformat() if request else None,
        "to": request.until.isoformat() if request else None,
        "version": one.version,
        "by": one.by,
        "started_at": one.started_at,
        "duration_s": one.duration_ms / 1000 if one.duration_ms is not None else None,
        "message": one.message,
        "dates": {name: sum(chunk[name] for chunk in chunks) for name in ("done", "open", "failed", "missing")},
        "chunks": chunks,
        "airflow": {"id": active.id, "paused": active.is_paused} if active is not None and is_ours else None,
        "wish": wish.model_dump(mode="json") if wish else None,
    }


def _show_status(document: dict[str, Any]) -> None:
    say = render.out().print
    if not document["backfills"]:
        say("no backfill yet")
    for one in document["backfills"]:
        dates = ", ".join(f"{count} {name}" for name, count in one["dates"].items() if count)
        say(f"{one['deployment']} {one['dag']} {one['from']} to {one['to']}: {one['state']}; {dates}", markup=False)
        for chunk in one["chunks"]:
            counted = ", ".join(
                f"{chunk[name]} {name}" for name in ("done", "open", "failed", "missing") if chunk[name]
            )
            say(f"  {chunk['from'][:10]} to {chunk['to'][:10]}: {counted}", markup=False)
        if one["airflow"]:
            say(f"  Airflow's backfill {one['airflow']['id']}{' is paused' if one['airflow']['paused'] else ''}")
        if one["state"] == "failed" and one["message"]:
            say(f"  because {one['message'].splitlines()[0]}", markup=False)


def _span(dates: list[str]) -> str:
    return dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"


def _minutes(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{round(seconds / 60)} min"
