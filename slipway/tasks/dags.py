"""dags.status, logs, trigger, rerun: what Airflow says of the pipelines, and runs beside the schedule."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from invoke import Context, task

from slipway import render
from slipway.adapters.airflow import Airflow
from slipway.errors import StepFailed
from slipway.render import Progress
from slipway.tasks.boundary import PROJECT, boundary, progress
from slipway.wiring import open_site

_ENV = "the environment: dev, staging or prod"
POLL_S = 3.0  # seconds between two looks at Airflow
QUIET_LOOKS = 3  # looks without an open run: the scheduler makes the next run a moment after the last one ended
WAIT_S = 3600  # seconds after which waiting for runs is given up


@task(help={"env": _ENV, "wait": "wait until no run is queued or running", "json": "print one JSON document"})
@boundary
def status(_: Context, env: str, wait: bool = False, json: bool = False) -> None:
    """Show every DAG's version and its latest runs: invoke dags.status --env staging --wait"""
    with progress() as shown, open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        if wait:
            _wait(site.airflow, shown)
        runs = site.airflow.latest_runs()
        document = render.dags_document(env, site.airflow.dags(), runs)
    if json:
        render.print_json(document)
    else:
        render.show_dags(document)
    failed = sorted({run.dag_id for run in runs if run.state == "failed"})
    if wait and failed:
        raise StepFailed(f"runs failed: {', '.join(failed)}", fix=f"invoke dags.logs --env {env} --dag {failed[0]}")


@task(help={"env": _ENV, "dag": "the DAG id", "date": "the logical date, e.g. 2026-11-20; now without"})
@boundary
def trigger(_: Context, env: str, dag: str, date: str | None = None) -> None:
    """Run a DAG beside its schedule: invoke dags.trigger --env staging --dag customers --date 2026-11-20"""
    with open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        run = site.airflow.trigger(dag, date or datetime.now(UTC))
    render.out().print(f"{dag}: run {run.run_id} is {run.state}")


@task(help={"env": _ENV, "dag": "the DAG id", "date": "the logical date, e.g. 2026-11-20; the latest failed without"})
@boundary
def logs(_: Context, env: str, dag: str, date: str | None = None) -> None:
    """Show what the tasks of one run said, failures last: invoke dags.logs --env staging --dag customers"""
    with open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        run = site.airflow.run_at(dag, date) if date else site.airflow.latest_failed(dag)
        for name, text in site.airflow.task_logs(dag, run.run_id):
            render.out().rule(f"{dag} {run.run_id} {name}", align="left")
            render.out().print(text, markup=False)


@task(help={"env": _ENV, "dag": "the DAG id", "date": "the logical date, e.g. 2026-11-20"})
@boundary
def rerun(_: Context, env: str, dag: str, date: str) -> None:
    """Run one logical date of a DAG again: invoke dags.rerun --env staging --dag customers --date 2026-11-20"""
    with progress() as shown, open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        run = site.airflow.run_at(dag, date)
        site.airflow.clear(dag, run.run_id)
        _wait(site.airflow, shown)
        ended = site.airflow.run_at(dag, date)
    render.out().print(f"{dag} {date}: {ended.state} (run {ended.run_id})")
    if ended.state != "success":
        raise StepFailed(f"{dag} {date} ended as {ended.state}", fix=f"invoke dags.logs --env {env} --dag {dag}")


def _wait(airflow: Airflow, shown: Progress) -> None:
    """Return when Airflow has had no open run for some looks in a row."""
    deadline = time.monotonic() + WAIT_S
    quiet = 0
    with shown.phase("no run queued or running"):
        while quiet < QUIET_LOOKS:
            open_runs = airflow.open_runs()
            quiet = 0 if open_runs else quiet + 1
            if open_runs:
                shown(f"{len(open_runs)} runs open: {', '.join(sorted({run.dag_id for run in open_runs}))}")
            if time.monotonic() > deadline:
                raise StepFailed(f"runs are still open after {WAIT_S} s", fix="invoke dags.status --env ENV")
            time.sleep(POLL_S)
