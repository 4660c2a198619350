"""What people and programs see of backfills: documents for `--json`, and the same as lines; see docs/guides/json.md."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from slipway import render
from slipway.adapters.airflow_backfill import AirflowBackfills
from slipway.adapters.wish import wish_of
from slipway.backfill import choose, estimate, parallel_of, tally
from slipway.backfill_operation import BackfillOperation, Request, marks_of, request_of
from slipway.deployment import Deployment, forecast
from slipway.errors import ConfigurationError
from slipway.launch import Launch
from slipway.plan import Plan
from slipway.release import short
from slipway.request import DagRequest, ModelRequest
from slipway.site import Site
from slipway.step import BackfillDates, summarise

STATES = ("done", "open", "failed", "missing")


def plan_document(operation: BackfillOperation, planned: Plan) -> dict[str, Any]:
    """Return the plan of a backfill as `backfill.plan --json` prints it, but for what blocks it."""
    request = operation.request
    return {
        "id": planned.id,
        "environment": planned.environment,
        **_asked(request),
        "version": planned.version,
        "asked_by": planned.asked_by,
        "steps": [
            {"id": number, "kind": step.kind, "summary": summarise(step)}
            for number, step in enumerate(planned.steps, start=1)
        ],
        **(
            _dag_part(operation, request, planned)
            if isinstance(request, DagRequest)
            else _model_part(operation, request, planned)
        ),
    }


def _asked(request: Request) -> dict[str, Any]:
    return {
        "dag": request.dag_id if isinstance(request, DagRequest) else None,
        "model": request.model if isinstance(request, ModelRequest) else None,
        "from": request.since.isoformat(),
        "to": request.until.isoformat(),
    }


def _dag_part(operation: BackfillOperation, request: DagRequest, planned: Plan) -> dict[str, Any]:
    survey = operation.survey
    if survey is None:
        raise AssertionError("examined before")
    choice, parallel = choose(request, survey), parallel_of(request, survey)
    expected = estimate(request, choice.dates, survey.took_s, parallel=parallel)
    return {
        "reprocess": request.reprocess,
        "parallel": parallel,
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


def _model_part(operation: BackfillOperation, request: ModelRequest, planned: Plan) -> dict[str, Any]:
    past = _backfills_of(operation.site, request.model)
    expected = forecast([step.kind for step in planned.steps], past, measured={}).ms
    return {
        "estimate": {
            "runs": len(planned.steps),
            "usual_s": None if expected is None else round(expected / 1000),
            "slow_s": None,
            "from_runs": sum(
                any(step.kind == "rebuild" and step.state == "done" for step in one.steps) for one in past
            ),
        }
    }


def _backfills_of(site: Site, model: str) -> list[Deployment]:
    """Return the backfills of one model: another one's tell nothing of how long it takes."""
    found = []
    for one in site.history():
        if not any(step.kind == "rebuild" for step in one.steps):  # no model's
            continue
        with suppress(ConfigurationError):  # an earlier Slipway made its plan
            request = request_of(site.bucket.plan(one.plan))
            if isinstance(request, ModelRequest) and request.model == model:
                found.append(one)
    return found


def show_plan(document: dict[str, Any]) -> None:
    """Print the plan of a backfill for people."""
    say = render.out().print
    what = document["dag"] or document["model"]
    say(
        f"Plan {short(document['id'])} for {document['environment']}: {what} from {document['from']} to "
        f"{document['to']} on version {document['version']}",
        markup=False,
    )
    if document["asked_by"]:
        say(f"asked for by {document['asked_by']}", markup=False)
    for step in document["steps"]:
        say(f"{step['id']:3}. {step['summary']}", markup=False)
    reasons: dict[str, list[str]] = {}
    for one in document.get("left", ()):
        reasons.setdefault(one["reason"], []).append(one["logical_date"][:10])
    for reason, dates in reasons.items():
        say(f"left out, {reason}: {len(dates)} ({_span(dates)})", markup=False)
    expected = document["estimate"]
    if not document["steps"]:
        say("nothing to run")
    elif expected["usual_s"] is None:
        say("how long it takes is not known: nothing like it has succeeded yet")
    else:
        slow = "" if expected["slow_s"] is None else f", {_minutes(expected['slow_s'])} if runs are slow"
        say(f"about {_minutes(expected['usual_s'])}{slow}, by the last {expected['from_runs']} of them", markup=False)


def run_document(site: Site, done: Launch) -> dict[str, Any]:
    """Return what came of `backfill.run`, as its `--json` prints it."""
    return {
        "environment": done.plan.environment,
        "plan": done.plan.id,
        "reason": done.reason,
        "backfill": state_document(site, done.deployment) if done.deployment else None,
    }


def show_done(done: Launch, *, seconds: float) -> None:
    """Print what came of `backfill.run`."""
    say = render.out().print
    if done.deployment is None:
        say(f"nothing to do: {done.reason} ({seconds:.1f} s)", markup=False)
        return
    for step in done.deployment.steps:
        say(f"{step.kind}: {step.summary}", markup=False)
    say(f"{done.deployment.id} {done.deployment.state}; the command took {seconds:.1f} s", markup=False)


def state_document(site: Site, one: Deployment) -> dict[str, Any]:
    """Return how far a backfill is: what the journal says of it, and what Airflow says now of its dates.

    Of a plan that this Slipway cannot read, only the journal tells.
    """
    planned = _plan_of(site, one)
    request, marks = (request_of(planned), marks_of(planned)) if planned else (None, ())
    backfills = AirflowBackfills(site.airflow)
    steps = [step for step in planned.steps if isinstance(step, BackfillDates)] if planned else []
    chunks = [{"from": step.dates[0], "to": step.dates[-1], **tally(backfills.progress(step))} for step in steps]
    active = backfills.active(request.dag_id) if isinstance(request, DagRequest) else None
    wish = next((found for mark in marks if (found := wish_of(site.bucket, mark))), None)
    return {
        "deployment": one.id,
        "plan": one.plan,
        "state": one.state,
        **(_asked(request) if request else dict.fromkeys(("dag", "model", "from", "to"))),
        "version": one.version,
        "by": one.by,
        "started_at": one.started_at,
        "duration_s": one.duration_ms / 1000 if one.duration_ms is not None else None,
        "message": one.message,
        "steps": [{"kind": step.kind, "state": step.state, "summary": step.summary} for step in one.steps],
        "dates": {name: sum(chunk[name] for chunk in chunks) for name in STATES},
        "chunks": chunks,
        "airflow": {"id": active.id, "paused": active.is_paused} if active and active.mark in marks else None,
        "wish": wish.model_dump(mode="json") if wish else None,
    }


def _plan_of(site: Site, one: Deployment) -> Plan | None:
    try:
        return site.bucket.plan(one.plan)
    except ConfigurationError:
        return None


def show_status(document: dict[str, Any]) -> None:
    """Print how far backfills are, for people."""
    say = render.out().print
    if not document["backfills"]:
        say("no backfill yet")
    for one in document["backfills"]:
        what = f"{one['dag'] or one['model']} from {one['from']} to {one['to']}"
        say(f"{one['deployment']} {what}: {one['state']}{_counted(one['dates'], before='; ')}", markup=False)
        for chunk in one["chunks"]:
            say(f"  {chunk['from'][:10]} to {chunk['to'][:10]}{_counted(chunk, before=': ')}", markup=False)
        for step in one["steps"] if not one["chunks"] else ():
            say(f"  {step['kind']} {step['state']}: {step['summary']}", markup=False)
        if one["airflow"]:
            say(f"  Airflow's backfill {one['airflow']['id']}{' is paused' if one['airflow']['paused'] else ''}")
        if one["state"] == "failed" and one["message"]:
            say(f"  because {one['message'].splitlines()[0]}", markup=False)


def _counted(counts: dict[str, Any], *, before: str) -> str:
    said = ", ".join(f"{counts[name]} {name}" for name in STATES if counts[name])
    return f"{before}{said}" if said else ""


def _span(dates: list[str]) -> str:
    return dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"


def _minutes(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{round(seconds / 60)} min"
