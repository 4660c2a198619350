"""dags.status, dags.run: what Airflow says of the pipelines, and one logical date run again."""

from __future__ import annotations

import time

from invoke import Context, task

from slipway import render
from slipway.errors import StepFailed
from slipway.tasks.boundary import PROJECT, boundary, progress
from slipway.wiring import open_site

_ENV = "the environment: dev, staging or prod"
POLL_S = 3.0  # seconds between two looks at Airflow
WAIT_S = 1800  # seconds after which waiting for runs is given up


@task(help={"env": _ENV, "wait": "wait until no run is queued or running", "json": "print one JSON document"})
@boundary
def status(_: Context, env: str, wait: bool = False, json: bool = False) -> None:
    """Show every DAG's version and its latest runs: invoke dags.status --env staging --wait"""
    with progress() as shown, open_site(PROJECT, env, start=False) as site:
        if wait:
            _wait(site.airflow, shown)
        document = render.dags_document(env, site.airflow.dags(), site.airflow.latest_runs())
    if json:
        render.print_json(document)
    else:
        render.show_dags(document)


@task(help={"env": _ENV, "dag": "the DAG id", "date": "the logical date, e.g. 2026-11-20"})
@boundary
def rerun(_: Context, env: str, dag: str, date: str) -> None:
    """Clear one logical date of a DAG, so that it runs again: invoke dags.rerun --env staging --dag customers --date D"""
    with progress() as shown, open_site(PROJECT, env, start=False) as site:
        run = site.airflow.run_at(dag, date)
        site.airflow.clear(dag, run.run_id)
        _wait(site.airflow, shown)
        ended = site.airflow.run_at(dag, date)
    render.out().print(f"{dag} {date}: {ended.state} (run {ended.run_id})")
    if ended.state != "success":
        raise StepFailed(f"{dag} {date} ended as {ended.state}", fix=f"invoke dags.status --env {env}")


def _wait(airflow, shown) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + WAIT_S
    while open_runs := airflow.open_runs():
        shown(f"{len(open_runs)} runs queued or running: {', '.join(sorted({run.dag_id for run in open_runs}))}")
        if time.monotonic() > deadline:
            raise StepFailed(f"runs are still open after {WAIT_S} s")
        time.sleep(POLL_S)
