"""dags.status, logs, trigger, rerun: what Airflow says of the pipelines, and runs beside the schedule."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from invoke import Context, task

from slipway import render
from slipway.adapters.airflow import ALL, OPEN_STATES, Airflow, DagRun
from slipway.errors import StepFailed
from slipway.operation import open_site
from slipway.tasks.boundary import PROJECT, boundary, progress

_ENV = "the environment: dev, staging or prod"
POLL_S = 3.0  # seconds between two looks at Airflow
QUIET_LOOKS = 3  # looks without an open run: the scheduler makes the next run a moment after the last one ended
WAIT_S = 3600  # seconds after which waiting for runs is given up


@task(help={"env": _ENV, "wait": "wait until no run is queued or running", "json": "print one JSON document"})
@boundary
def status(_: Context, env: str, wait: bool = False, json: bool = False) -> None:
    """Show every DAG's version and its latest runs.

    Example: invoke dags.status --env staging --wait
    """
    failed: tuple[DagRun, ...] = ()
    with progress() as shown, open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        if wait:
            with shown.phase("no run queued or running"):
                failed = wait_until_quiet(site.airflow, shown)
        runs = site.airflow.latest_runs()
        document = render.dags_document(env, site.airflow.dags(), runs)
    if json:
        render.print_json(document)
    else:
        render.show_dags(document)
    if failed:
        named = ", ".join(f"{run.dag_id} {run.logical_date or run.run_id}" for run in failed)
        raise StepFailed(
            f"runs failed while they were waited for: {named}",
            fix=f"invoke dags.logs --env {env} --dag {failed[0].dag_id}",
        )


@task(help={"env": _ENV, "dag": "the DAG id", "date": "the logical date, e.g. 2026-11-20; now without"})
@boundary
def trigger(_: Context, env: str, dag: str, date: str | None = None) -> None:
    """Run a DAG beside its schedule.

    Example: invoke dags.trigger --env staging --dag customers --date 2026-11-20
    """
    with open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        site.airflow.require_unpaused(dag)
        run = site.airflow.trigger(dag, date or datetime.now(UTC))
    render.out().print(f"{dag}: run {run.run_id} is {run.state}")


@task(help={"env": _ENV, "dag": "the DAG id", "date": "the logical date, e.g. 2026-11-20; the latest failed without"})
@boundary
def logs(_: Context, env: str, dag: str, date: str | None = None) -> None:
    """Show what the tasks of one run said, failures last.

    Example: invoke dags.logs --env staging --dag customers
    """
    with open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        run = site.airflow.run_at(dag, date) if date else site.airflow.latest_failed(dag)
        for name, text in site.airflow.task_logs(dag, run.run_id):
            render.out().rule(f"{dag} {run.run_id} {name}", align="left")
            render.out().print(text, markup=False)


@task(help={"env": _ENV, "dag": "the DAG id", "date": "the logical date, e.g. 2026-11-20"})
@boundary
def rerun(_: Context, env: str, dag: str, date: str) -> None:
    """Run one logical date of a DAG again.

    Example: invoke dags.rerun --env staging --dag customers --date 2026-11-20
    """
    with progress() as shown, open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        run = site.airflow.run_at(dag, date)
        site.airflow.require_unpaused(dag)
        site.airflow.clear(dag, run.run_id)
        with shown.phase(f"{dag} {date} run again"):
            ended = wait_for_run(site.airflow, run, shown)
    render.out().print(f"{dag} {date}: {ended.state} (run {ended.run_id})")
    if ended.state != "success":
        raise StepFailed(
            f"{dag} {date} ended as {ended.state}", fix=f"invoke dags.logs --env {env} --dag {dag} --date {date}"
        )


def wait_for_run(airflow: Airflow, run: DagRun, tell: Callable[[str], None], *, poll_s: float = POLL_S) -> DagRun:
    """Return the run when it is over, whatever else runs.

    Raises:
        StepFailed: it is still open after `WAIT_S`.
    """
    deadline = time.monotonic() + WAIT_S
    while (now := airflow.run(run.dag_id, run.run_id)).state in OPEN_STATES:
        tell(f"run {run.run_id} is {now.state}")
        _pause(deadline, f"run {run.run_id} of {run.dag_id} is still {now.state}", poll_s)
    return now


def wait_until_quiet(airflow: Airflow, tell: Callable[[str], None], *, poll_s: float = POLL_S) -> tuple[DagRun, ...]:
    """Return the runs that failed meanwhile, when Airflow has had no open run for some looks in a row.

    A run that had failed before does not count, unless it was run again and failed again: it ended at another time.

    Raises:
        StepFailed: runs are still open after `WAIT_S`.
    """
    deadline = time.monotonic() + WAIT_S
    failed_before = set(_failed(airflow))
    quiet = 0
    while quiet < QUIET_LOOKS:
        open_runs = airflow.open_runs()
        quiet = 0 if open_runs else quiet + 1
        if open_runs:
            tell(f"{len(open_runs)} runs open: {', '.join(sorted({run.dag_id for run in open_runs}))}")
        _pause(deadline, f"{len(open_runs)} runs are still open", poll_s)
    return tuple(run for run in _failed(airflow) if run not in failed_before)


def _failed(airflow: Airflow) -> tuple[DagRun, ...]:
    return airflow.dag_runs(ALL, state=("failed",))


def _pause(deadline: float, waited_for: str, poll_s: float) -> None:
    if time.monotonic() > deadline:
        raise StepFailed(f"{waited_for} after {WAIT_S} s", fix="invoke dags.status --env ENV")
    time.sleep(poll_s)
