"""Asking Airflow for runs: what is not there is named with what is, and only what was asked for is waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from slipway.adapters.airflow import Airflow
from slipway.errors import ConfigurationError, StepFailed
from slipway.tasks.dags import wait_for_run, wait_until_quiet
from tests.dags.server import InMemoryAirflow

POLL_S = 0.001
Ask = Callable[[Airflow], Any]


@pytest.fixture
def server() -> InMemoryAirflow:
    return InMemoryAirflow("customers", "fx_rates")


@pytest.fixture
def airflow(server: InMemoryAirflow) -> Airflow:
    return Airflow(server)


def silent(_: str) -> None:
    """Tell nobody."""


@pytest.mark.parametrize(
    "ask",
    [
        lambda airflow: airflow.trigger("custmers", "2026-11-19"),
        lambda airflow: airflow.run_at("custmers", "2026-11-19"),
        lambda airflow: airflow.run("custmers", "run-2026-11-19"),
        lambda airflow: airflow.latest_failed("custmers"),
        lambda airflow: airflow.require_unpaused("custmers"),
    ],
)
def test_a_dag_that_is_not_there_is_told_with_those_that_are(airflow: Airflow, ask: Ask) -> None:
    with pytest.raises(ConfigurationError) as refused:
        ask(airflow)

    assert refused.value.message == "there is no DAG 'custmers'; there are: customers, fx_rates"
    assert refused.value.fix == "--dag customers"
    assert refused.value.exit_code == 2


def test_before_the_first_deployment_there_is_no_dag_to_name() -> None:
    with pytest.raises(ConfigurationError, match="there are: none yet") as refused:
        Airflow(InMemoryAirflow()).latest_failed("customers")

    assert refused.value.fix == "invoke deploy --env ENV"


def test_a_dag_of_an_earlier_version_is_asked_about_its_runs_and_not_run_again(
    server: InMemoryAirflow, airflow: Airflow
) -> None:
    server.run("retired", "2026-11-19", "failed")

    assert airflow.latest_failed("retired").run_id == "run-2026-11-19"
    with pytest.raises(ConfigurationError, match="there is no DAG 'retired'"):
        airflow.require_unpaused("retired")


def test_a_date_without_a_run_is_told_with_the_dates_there_are(server: InMemoryAirflow, airflow: Airflow) -> None:
    for date in ("2026-11-18", "2026-11-19T06:30:00", "2026-11-17"):
        server.run("customers", date, "success")

    with pytest.raises(ConfigurationError) as refused:
        airflow.run_at("customers", "2027-01-01")

    assert refused.value.message == (
        "customers has no run of 2027-01-01; it has: 2026-11-17, 2026-11-18, 2026-11-19T06:30:00"
    )
    assert "invoke dags.trigger --env ENV --dag customers --date 2027-01-01" in str(refused.value.fix)


def test_of_many_dates_the_latest_are_told_and_the_others_counted(server: InMemoryAirflow, airflow: Airflow) -> None:
    for day in range(1, 31):
        server.run("customers", f"2026-10-{day:02d}", "success")

    with pytest.raises(ConfigurationError, match=r"it has: 2026-10-21, .*, 2026-10-30 and 20 earlier ones\n"):
        airflow.run_at("customers", "2027-01-01")


def test_a_dag_none_of_whose_runs_failed_is_asked_for_with_a_date(airflow: Airflow) -> None:
    with pytest.raises(ConfigurationError, match="no run of customers failed") as refused:
        airflow.latest_failed("customers")

    assert "--date" in str(refused.value.fix)


def test_a_paused_dag_is_told_at_once(server: InMemoryAirflow, airflow: Airflow) -> None:
    airflow.require_unpaused("customers")
    server.paused["customers"] = True

    with pytest.raises(ConfigurationError, match="customers is paused"):
        airflow.require_unpaused("customers")


def test_every_mapped_task_has_a_log_of_its_own(server: InMemoryAirflow, airflow: Airflow) -> None:
    run = server.run("customers", "2026-11-19", "success", extract="from the source")
    run.tasks |= {("load", 1): "the second part", ("load", 0): "the first part"}

    found = list(airflow.task_logs("customers", run.run_id))

    assert [name for name, _ in found] == [
        "extract, try 1: success",
        "load[0], try 1: success",
        "load[1], try 1: success",
    ]
    assert [text.split("info ")[1] for _, text in found] == ["from the source", "the first part", "the second part"]


@pytest.mark.parametrize("end", ["success", "failed"])
def test_a_run_that_is_waited_for_is_over_while_others_go_on(
    server: InMemoryAirflow, airflow: Airflow, end: str
) -> None:
    server.run("fx_rates", "2026-11-19", "running")
    server.run("customers", "2026-11-18", end)
    run = airflow.run_at("customers", "2026-11-18")
    airflow.clear("customers", run.run_id)

    ended = wait_for_run(airflow, run, silent, poll_s=POLL_S)

    assert (ended.run_id, ended.state) == (run.run_id, end)
    assert server.asked[-2:] == ["GET /dags/customers/dagRuns/run-2026-11-18"] * 2


def test_a_run_that_failed_before_the_wait_does_not_count(server: InMemoryAirflow, airflow: Airflow) -> None:
    server.run("customers", "2026-11-12", "failed")
    server.run("customers", "2026-11-19", "queued", "running", "success")

    assert wait_until_quiet(airflow, silent, poll_s=POLL_S) == ()


def test_runs_that_were_open_when_the_wait_began_or_began_meanwhile_count(
    server: InMemoryAirflow, airflow: Airflow
) -> None:
    server.run("customers", "2026-11-12", "failed")
    server.run("customers", "2026-11-19", "running", "running", "failed")
    told: list[str] = []

    def begin_another(line: str) -> None:
        if not told:
            server.run("fx_rates", "2026-11-20", "running", "failed")
        told.append(line)

    failed = wait_until_quiet(airflow, begin_another, poll_s=POLL_S)

    assert [(run.dag_id, run.logical_date) for run in failed] == [
        ("customers", "2026-11-19T00:00:00Z"),
        ("fx_rates", "2026-11-20T00:00:00Z"),
    ]
    assert "1 runs open: customers" in told


def test_a_run_that_failed_before_and_fails_again_meanwhile_counts(server: InMemoryAirflow, airflow: Airflow) -> None:
    server.run("customers", "2026-11-12", "failed")
    told: list[str] = []
    server.run("fx_rates", "2026-11-19", "running", "running", "running", "success")

    def run_again(line: str) -> None:
        if not told:
            airflow.clear("customers", "run-2026-11-12")
        told.append(line)

    assert [run.run_id for run in wait_until_quiet(airflow, run_again, poll_s=POLL_S)] == ["run-2026-11-12"]


def test_what_airflow_refuses_for_another_reason_is_a_failed_step(server: InMemoryAirflow, airflow: Airflow) -> None:
    with pytest.raises(StepFailed, match="HTTP 404: /dags/customers/dagRuns/unheard_of was not found"):
        airflow.run("customers", "unheard_of")
