"""An api-server that is gone, or answers that it is ill: told as such, waited for in a flip, and gone on with."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from slipway.adapters.airflow import ATTEMPTS, Airflow, TokenTransport
from slipway.errors import StepFailed, Unavailable
from tests.airflow.conftest import DAGS, FLIP_S, Bench, wait_until
from tests.dags.test_transport import PASSWORD, serving

Ask = Callable[[Airflow], Any]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_read_that_gets_no_good_answer_is_tried_again_and_then_told(status: int) -> None:
    asked: list[str] = []

    def reply(path: str, _: str | None) -> tuple[int, Any]:
        if path == "/auth/token":
            return 201, {"access_token": "token"}
        asked.append(path)
        return status, "<html>the load balancer says</html>"

    with serving(reply) as url, pytest.raises(Unavailable, match=f"GET /dags: HTTP {status}"):
        Airflow(TokenTransport(url, "deployer", PASSWORD)).dags()
    assert len(asked) == ATTEMPTS


def test_an_action_that_gets_no_good_answer_is_told_and_not_repeated() -> None:
    asked: list[str] = []

    def reply(path: str, _: str | None) -> tuple[int, Any]:
        if path == "/auth/token":
            return 201, {"access_token": "token"}
        asked.append(path)
        return 503, ""

    with serving(reply) as url, pytest.raises(Unavailable):
        Airflow(TokenTransport(url, "deployer", PASSWORD)).trigger("brief", "2026-11-20")
    assert len(asked) == 1


def test_what_airflow_refuses_is_no_loss() -> None:
    answers = {"/auth/token": (201, {"access_token": "token"})}
    with serving(lambda path, _: answers.get(path, (403, {"detail": "no"}))) as url:
        airflow = Airflow(TokenTransport(url, "deployer", PASSWORD))
        with pytest.raises(StepFailed, match="HTTP 403") as refused:
            airflow.trigger("brief", "2026-11-20")
    assert not isinstance(refused.value, Unavailable)


def kill_api_server(bench: Bench) -> None:
    record = bench.part("api-server").record
    assert record is not None
    os.kill(record.pid, signal.SIGKILL)
    wait_until(lambda: not bench.part("api-server").is_alive(), "the api-server to die")


@pytest.mark.airflow
def test_a_client_tells_that_the_api_server_is_gone_and_goes_on_when_it_is_back(bench: Bench) -> None:
    bench.flip(bench.release())
    client, date = bench.client, bench.new_date()
    before = client.dags()
    kill_api_server(bench)
    for ask in (lambda: client.dags(), lambda: client.trigger("brief", date), lambda: client.import_errors()):
        began = time.monotonic()
        with pytest.raises(Unavailable, match="does not answer"):
            ask()
        print(f"\ntold after {time.monotonic() - began:.1f} s")

    bench.start_airflow()
    assert client.dags().keys() == before.keys()
    assert client.trigger("brief", date).dag_id == "brief", "nothing was made while it was away"


@pytest.mark.airflow
def test_a_flip_outlives_an_api_server_that_is_killed_in_the_middle(bench: Bench) -> None:
    bench.flip(bench.release())
    following, ticks = bench.release(), []

    def interrupt(line: str) -> None:
        if not ticks:
            kill_api_server(bench)
            bench.start_airflow()
        ticks.append(line)

    client = bench.client
    bench.point(following)
    took_s = client.wait_for_version(
        following.version, DAGS, timeout_s=2 * FLIP_S, since=bench.pointed_at, on_tick=interrupt
    )
    print(f"\nlive after {took_s:.1f} s")
    assert ticks
    assert {dag.version for dag in client.dags().values()} == {following.version}
