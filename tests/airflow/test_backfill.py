"""Backfills through a real Airflow: each date run once, whoever dies, on the version that is live."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest

from slipway.adapters.airflow_backfill import AirflowBackfills
from slipway.backfill import choose, progress_of, steps_of
from slipway.engine import perform
from slipway.errors import Blocked, ConfigurationError, Interrupted, StepFailed
from slipway.observation import InfrastructureFacts, Observation, OrchestratorFacts, WarehouseFacts
from slipway.ports import Effects, Outcome
from slipway.request import DagRequest
from slipway.step import BackfillDates
from tests.airflow.conftest import DAGS, FLIP_S, HEAD, Bench, Released, wait_until
from tests.ports.contract.effects import Kept, through

DAILY = (
    HEAD
    + """
from etl.library import EVIDENCE

@dag(
    dag_id="{name}",
    schedule="@daily",
    start_date=datetime(2026, 3, 1),
    end_date=datetime(2026, 3, 31),
    catchup={catchup},
    max_active_runs=1,
    tags=[CODE, LIBRARY],
)
def daily():
    @task
    def only():
        context = get_current_context()
        note(CODE, context)
        if EVIDENCE.joinpath("fails-{name}-" + context["ds"]).exists():
            raise ValueError("as the test wants it")
        if EVIDENCE.joinpath("holds-{name}").exists():
            wait_for("go-{name}")
    only()
daily()
"""
)
PAST = ("plain", "dying", "pinned", "foreign", "failing", "paused")  # each test has a DAG of its own
HELD = ("waiting", "hasty")  # whose first scheduled run does not end


def files() -> dict[str, str]:
    texts = {name: DAILY.replace("{name}", name).replace("{catchup}", str(name in HELD)) for name in (*PAST, *HELD)}
    return {f"dags/{name}.py": text for name, text in texts.items()}


@pytest.fixture(scope="module")
def live(running_bench: Bench) -> Iterator[Released]:
    """A version with daily DAGs, followed by one without them: their runs must not go on in other tests."""
    running_bench.start_aws()
    for name in HELD:
        (running_bench.evidence / f"holds-{name}").touch()
    version = running_bench.release(changed=files())
    running_bench.flip(version, (*DAGS, *PAST, *HELD))
    yield version
    for name in HELD:
        (running_bench.evidence / f"holds-{name}").unlink()
        (running_bench.evidence / f"go-{name}").touch()
    running_bench.flip(running_bench.release())


def request_of(dag_id: str, first: int, last: int, **options: Any) -> DagRequest:
    days = {"since": date(2026, 3, first), "until": date(2026, 3, last)}
    return DagRequest.model_validate({"dag_id": dag_id, **days, **options})


def steps_for(bench: Bench, live: Released, request: DagRequest, *, after: str | None = None) -> list[BackfillDates]:
    survey = AirflowBackfills(bench.client).survey(request)
    return list(steps_of(request, survey, version=live.version, after=after))


def fill(bench: Bench, step: BackfillDates) -> Outcome:
    return AirflowBackfills(bench.client, poll_s=0.2).fill(step, lambda line: None)


def effects_of(bench: Bench) -> Effects:
    """Return the ports of a backfill, as a process of its own finds them."""
    return through(None, backfills=AirflowBackfills(bench.client, poll_s=0.2))


def observed(bench: Bench, dag_id: str) -> Observation:
    """Return what Airflow shows of one DAG: its version, and the backfills there were."""
    dag = bench.client.dags()[dag_id]
    seen = tuple(f"backfill {one['id']}" for one in backfills_of(bench, dag_id))
    return Observation(
        infrastructure=InfrastructureFacts(serial=0, lineage="", plan_sha256=None),
        warehouse=WarehouseFacts(),
        pointer=None,
        orchestrator=OrchestratorFacts(versions={dag_id: dag.version, **dict.fromkeys(seen)}),
    )


def runs_of(bench: Bench, dag_id: str, first: int, last: int) -> list[tuple[str, str, str | None]]:
    """Return date, state and version of every run of a DAG in a range of days of March."""
    since, until = datetime(2026, 3, first, tzinfo=UTC), datetime(2026, 3, last, tzinfo=UTC)
    found = AirflowBackfills(bench.client).runs(dag_id, since, until)
    return [(run.logical_date[:10], run.state, run.version) for run in found]


def backfills_of(bench: Bench, dag_id: str) -> list[Any]:
    answer = bench.transport.request("GET", "/backfills", params={"dag_id": dag_id, "limit": 50})
    return list(answer.body["backfills"])


def test_every_date_of_every_chunk_is_run_once_on_the_live_version(bench: Bench, live: Released) -> None:
    steps = steps_for(bench, live, request_of("plain", 1, 5, chunk_days=3))
    assert [len(step.dates) for step in steps] == [3, 2]
    kept = Kept(effects_of(bench), anew=lambda: effects_of(bench), observe=lambda: observed(bench, "plain")).effects()
    for step in steps:
        outcome = perform(step, kept, lambda line: None)
        assert outcome.evidence["versions"] == [live.version]
    days = [f"2026-03-0{day}" for day in range(1, 6)]
    assert runs_of(bench, "plain", 1, 5) == [(day, "success", live.version) for day in days]
    assert all(one["completed_at"] for one in backfills_of(bench, "plain")), "the next one need not wait"
    assert [fill(bench, step).evidence["backfills"] for step in steps] == [[], []], "there is nothing left to do"
    survey = AirflowBackfills(bench.client).survey(request_of("plain", 1, 6))
    assert [one[8:10] for one in choose(request_of("plain", 1, 6), survey).dates] == ["06"]
    assert survey.took_s, "there is something to estimate from"


def test_no_more_runs_go_at_the_same_time_than_was_asked_for(bench: Bench, live: Released) -> None:
    (step,) = steps_for(bench, live, request_of("plain", 10, 14, parallel=4))
    assert step.parallel == 1, "the DAG allows no more"
    wide = step.model_copy(update={"parallel": 2})
    running: list[int] = []

    def count(_: BackfillDates) -> None:
        running.append([state for _, state, _ in runs_of(bench, "plain", 10, 14)].count("running"))

    AirflowBackfills(bench.client, allow=count, poll_s=0.1).fill(wide, lambda line: None)
    assert max(running) == 2


def test_who_takes_up_what_another_process_left_doubles_and_loses_nothing(bench: Bench, live: Released) -> None:
    (step,) = steps_for(bench, live, request_of("dying", 1, 4))
    looks = 0

    def dies(_: BackfillDates) -> None:
        nonlocal looks
        looks += 1
        if backfills_of(bench, "dying"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        AirflowBackfills(bench.client, allow=dies, poll_s=0.1).fill(step, lambda line: None)
    assert looks > 1
    fill(bench, step)
    assert [state for _, state, _ in runs_of(bench, "dying", 1, 4)] == ["success"] * 4
    assert len(backfills_of(bench, "dying")) == 1, "the one that was left goes on to its end"


def test_a_backfill_made_in_part_is_completed(bench: Bench, live: Released) -> None:
    """As when Airflow died while it made the runs."""
    (step,) = steps_for(bench, live, request_of("dying", 10, 13))
    body = {
        "dag_id": "dying",
        "from_date": step.dates[0],
        "to_date": step.dates[1],
        "dag_run_conf": {"slipway_backfill": step.mark},
        "max_active_runs": 1,
    }
    assert bench.transport.request("POST", "/backfills", json=body).status == 200
    fill(bench, step)
    assert [state for _, state, _ in runs_of(bench, "dying", 10, 13)] == ["success"] * 4


def test_runs_that_are_run_again_are_pinned_to_the_live_version_and_the_others_keep_theirs(
    bench: Bench, live: Released
) -> None:
    (before,) = steps_for(bench, live, request_of("pinned", 1, 3))
    fill(bench, before)
    newer = bench.release(changed=files())
    bench.flip(newer, (*DAGS, *PAST, *HELD))
    (again,) = steps_for(bench, newer, request_of("pinned", 2, 3, reprocess="completed"), after="d-1")
    assert not AirflowBackfills(bench.client).is_filled(again), "what succeeded before is not this backfill's"
    fill(bench, again)
    assert [version for _, _, version in runs_of(bench, "pinned", 1, 3)] == [
        live.version,
        newer.version,
        newer.version,
    ]
    code = {run.logical_date[8:10]: bench.notes(run.run_id)["only"][0] for run in marked(bench, again)}
    assert code == {"02": newer.version, "03": newer.version}


def marked(bench: Bench, step: BackfillDates) -> list[Any]:
    first, last = (datetime.fromisoformat(step.dates[place]) for place in (0, -1))
    found = AirflowBackfills(bench.client).runs(step.request.dag_id, first, last)
    return [run for run in found if run.mark == step.mark]


def test_a_dag_without_a_schedule_has_nothing_to_backfill(bench: Bench, live: Released) -> None:
    with pytest.raises(ConfigurationError, match="non-periodic schedule"):
        steps_for(bench, live, request_of("brief", 1, 2))
    with pytest.raises(ConfigurationError, match="there is no DAG 'pinnd'"):
        steps_for(bench, live, request_of("pinnd", 1, 2))


def test_another_backfill_of_the_dag_is_neither_joined_nor_ended(bench: Bench, live: Released) -> None:
    (step,) = steps_for(bench, live, request_of("foreign", 1, 2))
    body = {"dag_id": "foreign", "from_date": "2026-03-10T00:00:00Z", "to_date": "2026-03-11T00:00:00Z"}
    other = bench.transport.request("POST", "/backfills", json=body)
    bench.transport.request("PUT", f"/backfills/{other.body['id']}/pause")
    assert bench.transport.request("POST", "/backfills", json=body).status == 409
    with pytest.raises(Blocked, match=f"another backfill of foreign, number {other.body['id']}"):
        fill(bench, step)
    assert runs_of(bench, "foreign", 1, 2) == []
    bench.transport.request("PUT", f"/backfills/{other.body['id']}/cancel")
    fill(bench, step)
    assert [state for _, state, _ in runs_of(bench, "foreign", 1, 2)] == ["success"] * 2


def test_a_date_that_failed_is_named_and_run_again_alone(bench: Bench, live: Released) -> None:
    broken = bench.evidence / "fails-failing-2026-03-02"
    broken.touch()
    (step,) = steps_for(bench, live, request_of("failing", 1, 3))
    with pytest.raises(StepFailed, match=r"1 date\(s\) of failing did not succeed: 2026-03-02"):
        fill(bench, step)
    good = bench.client.run_at("failing", "2026-03-03").ended_at
    broken.unlink()
    fill(bench, step)
    assert [state for _, state, _ in runs_of(bench, "failing", 1, 3)] == ["success"] * 3
    assert bench.client.run_at("failing", "2026-03-03").ended_at == good


def test_a_pause_stops_what_has_not_begun_and_the_next_command_goes_on(bench: Bench, live: Released) -> None:
    (step,) = steps_for(bench, live, request_of("paused", 1, 3))
    hold, go = bench.evidence / "holds-paused", bench.evidence / "go-paused"
    hold.touch()
    raised: list[BaseException] = []

    def work() -> None:
        try:
            fill(bench, step)
        except Interrupted as error:
            raised.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    backfills = AirflowBackfills(bench.client)
    wait_until(lambda: backfills.active("paused") is not None, "the backfill")
    active = backfills.active("paused")
    assert active is not None
    backfills.pause(active)
    worker.join(FLIP_S)
    assert ["was paused" in str(error) for error in raised] == [True]
    go.touch()
    hold.unlink()
    assert "open" in progress_of(step, backfills.runs("paused", active.since, active.until)).values()
    fill(bench, step)
    assert [state for _, state, _ in runs_of(bench, "paused", 1, 3)] == ["success"] * 3


def test_dates_that_the_schedule_comes_to_are_left_to_it(bench: Bench, live: Released) -> None:
    wait_until(lambda: bool(runs_of(bench, "waiting", 1, 31)), "the first scheduled run")
    request = request_of("waiting", 1, 31, reprocess="completed")
    survey = AirflowBackfills(bench.client).survey(request)
    choice = choose(request, survey)
    assert choice.dates == ()
    reasons = {one.logical_date[8:10]: one.reason for one in choice.left}
    assert reasons.pop("01") in ("its run is running", "its run is queued")
    assert set(reasons.values()) == {"the schedule comes to it by itself"}


def test_airflow_itself_would_pass_over_the_dates_before_a_later_one(bench: Bench, live: Released) -> None:
    """Why such dates are left to the schedule."""
    wait_until(lambda: bool(runs_of(bench, "hasty", 1, 31)), "the first scheduled run")
    body = {"dag_id": "hasty", "from_date": "2026-03-20T00:00:00Z", "to_date": "2026-03-20T00:00:00Z"}
    assert bench.transport.request("POST", "/backfills", json=body).status == 200
    bench.client.request_parse(bench.client.dags()["hasty"])

    def next_date() -> str:
        return str(bench.transport.request("GET", "/dags/hasty").body["next_dagrun_logical_date"])

    wait_until(lambda: next_date()[:10] > "2026-03-20", "Airflow to go on behind the backfill")
    assert [day for day, _, _ in runs_of(bench, "hasty", 2, 19)] == []
