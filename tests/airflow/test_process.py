"""The three processes of a real Airflow: loopback only, mended after a kill, ended without a trace."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import Any

import psutil
import pytest

from slipway.sandbox import airflow
from slipway.sandbox.process import LOOPBACK
from tests.airflow.conftest import ENVIRONMENT, Bench, wait_until

pytestmark = pytest.mark.airflow


def leaders(bench: Bench) -> dict[str, int]:
    records = {part: bench.part(part).record for part in airflow.PARTS}
    return {part: record.pid for part, record in records.items() if record}


def group(bench: Bench) -> list[psutil.Process]:
    return [member for part in airflow.PARTS for member in bench.part(part).members()]


def runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def listening(processes: list[psutil.Process]) -> list[tuple[str, int]]:
    connections = list[Any]()
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # some live for a moment: they came to their end since they were listed
            connections += process.net_connections("all")
    return sorted(
        {
            (one.laddr.ip, one.laddr.port)
            for one in connections
            if one.status == psutil.CONN_LISTEN or (one.type.name == "SOCK_DGRAM" and one.laddr and not one.raddr)
        }
    )


def test_it_is_healthy_and_listens_on_loopback_only(bench: Bench) -> None:
    parts = bench.client.health()
    found = listening(group(bench))
    print(f"\n{len(group(bench))} processes listen on {found}")

    assert {name: parts[name] for name in airflow.HEALTHY} == dict.fromkeys(airflow.HEALTHY, "healthy")
    assert len(leaders(bench)) == 3
    assert (LOOPBACK, bench.part("api-server").port("http")) in found
    assert {address for address, _ in found} == {LOOPBACK}


def test_asking_again_starts_nothing(bench: Bench) -> None:
    before = leaders(bench)
    print(f"\nasked again: {bench.start_airflow():.2f} s")
    assert leaders(bench) == before


@pytest.mark.parametrize("part", airflow.PARTS)
def test_a_killed_part_is_mended_and_the_others_are_left_alone(bench: Bench, part: str) -> None:
    before = leaders(bench)
    orphans = [member for member in bench.part(part).members() if member.pid != before[part]]
    os.kill(before[part], signal.SIGKILL)
    wait_until(lambda: not bench.part(part).is_alive(), f"{part} to die")

    print(f"\n{part} mended in {bench.start_airflow():.1f} s")

    now = leaders(bench)
    assert now.pop(part) != before.pop(part)
    assert now == before
    assert not any(runs(orphan) for orphan in orphans)
    bench.flip(bench.release())


def test_stopping_ends_every_process_and_a_run_in_flight_goes_on_after_the_next_start(bench: Bench) -> None:
    live = bench.release()
    bench.flip(live)
    date = bench.new_date()
    run = bench.client.trigger("long", date)
    wait_until(lambda: "first" in bench.notes(run.run_id), "a task to run")
    members, ports = group(bench), {port for _, port in listening(group(bench))}
    assert len(members) > len(airflow.PARTS)

    began = time.monotonic()
    assert airflow.stop(bench.root, ENVIRONMENT)
    print(f"\nstopped with a task running in {time.monotonic() - began:.1f} s")

    assert group(bench) == []
    assert not any(runs(member) for member in members)
    assert not ports & {one.laddr.port for one in psutil.net_connections("inet") if one.status == psutil.CONN_LISTEN}
    assert not airflow.stop(bench.root, ENVIRONMENT)
    (bench.evidence / f"go-{run.run_id}").touch()
    print(f"started again in {bench.start_airflow():.1f} s")
    took = wait_until(lambda: bench.client.run_at("long", date).state == "success", "the run to end", timeout_s=120)
    print(f"the run ended {took:.1f} s later")
    assert bench.notes(run.run_id) == dict.fromkeys(("first", "second"), (live.version,) * 3)
