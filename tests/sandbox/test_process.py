"""Supervision of the embedded platform's processes, with small real commands."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from slipway.errors import Unavailable
from slipway.sandbox.process import LOOPBACK, Process, free_port, port_for, taken_by

SLEEPER = ("sleep", "600")
ENVIRONMENT = {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}


@pytest.fixture
def part(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path, "part")
    yield process
    process.stop(grace_s=0.1)


def python(source: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-c", source)


def pid_of(part: Process) -> int:
    record = part.record
    assert record is not None
    return record.pid


def wait_until(reached: object, timeout_s: float = 5.0) -> None:
    assert callable(reached)
    deadline = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_started_process_is_alive_in_a_session_of_its_own(part: Process) -> None:
    assert part.ensure(SLEEPER, environment=ENVIRONMENT)
    assert part.is_alive()
    assert os.getsid(pid_of(part)) == pid_of(part)


def test_another_object_of_the_same_name_sees_the_same_process(part: Process) -> None:
    part.ensure(SLEEPER, environment=ENVIRONMENT)
    assert Process(part.root, "part").is_alive()


def test_the_same_command_is_not_started_twice(part: Process) -> None:
    part.ensure(SLEEPER, environment=ENVIRONMENT)
    first = pid_of(part)
    assert not part.ensure(SLEEPER, environment=ENVIRONMENT)
    assert pid_of(part) == first


def test_a_changed_environment_replaces_the_process(part: Process) -> None:
    part.ensure(SLEEPER, environment=ENVIRONMENT)
    first = pid_of(part)
    assert part.ensure(SLEEPER, environment={**ENVIRONMENT, "NEW": "1"})
    assert gone(first)
    assert pid_of(part) != first


def test_a_record_whose_process_id_now_belongs_to_another_process_is_mended(part: Process) -> None:
    part.ensure(SLEEPER, environment=ENVIRONMENT)
    record = part.record
    assert record is not None
    part.stop()
    mine = record.model_copy(update={"pid": os.getpid()})
    (part.root / "parts" / "part.json").write_bytes(mine.to_bytes())
    assert not part.is_alive()
    assert part.members() == []
    assert part.ensure(SLEEPER, environment=ENVIRONMENT)
    assert part.is_alive()


@pytest.mark.parametrize("content", [b"", b"{", b'{"pid": "x"}'])
def test_a_garbled_record_counts_as_none(part: Process, content: bytes) -> None:
    (part.root / "parts").mkdir()
    (part.root / "parts" / "part.json").write_bytes(content)
    assert part.record is None
    assert part.ensure(SLEEPER, environment=ENVIRONMENT)


def test_stopping_ends_children_grandchildren_and_sessions_they_opened(part: Process) -> None:
    part.ensure(("sh", "-c", "sleep 601 & setsid sh -c 'sleep 602 & wait' & wait"), environment=ENVIRONMENT)
    wait_until(lambda: len(part.members()) >= 4)
    everything = [process.pid for process in part.members()]
    assert part.stop(grace_s=0.2)
    assert all(gone(pid) for pid in everything)
    assert part.record is None


def test_a_process_that_ignores_the_polite_signal_is_ended_all_the_same(part: Process) -> None:
    part.ensure(("sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"), environment=ENVIRONMENT)
    part.wait_ready(lambda: "up" in part.tail(), timeout_s=5)
    stubborn = pid_of(part)
    part.stop(grace_s=0.2)
    assert gone(stubborn)


def test_what_a_killed_leader_left_behind_is_ended_by_the_next_start(part: Process) -> None:
    part.ensure(("sh", "-c", "sleep 603 & setsid sleep 604 & wait"), environment=ENVIRONMENT)
    wait_until(lambda: len(part.members()) == 3)
    orphans = [process.pid for process in part.members() if process.pid != pid_of(part)]
    os.kill(pid_of(part), signal.SIGKILL)
    wait_until(lambda: not part.is_alive())
    assert not any(gone(pid) for pid in orphans)
    part.ensure(SLEEPER, environment=ENVIRONMENT)
    assert all(gone(pid) for pid in orphans)


def test_stopping_what_never_ran_does_nothing(part: Process) -> None:
    assert not part.stop()


def test_a_process_that_dies_while_starting_fails_at_once_with_its_last_words(part: Process) -> None:
    part.ensure(python("raise SystemExit('no such database')"), environment=ENVIRONMENT)
    began = time.monotonic()
    with pytest.raises(Unavailable, match="no such database"):
        part.wait_ready(lambda: False, timeout_s=30)
    assert time.monotonic() - began < 5


def test_a_process_that_never_gets_ready_is_given_up_with_its_last_words(part: Process) -> None:
    part.ensure(("sh", "-c", "echo waiting for a friend; sleep 605"), environment=ENVIRONMENT)
    ticks: list[float] = []
    with pytest.raises(Unavailable, match="waiting for a friend"):
        part.wait_ready(lambda: False, timeout_s=1.2, on_tick=ticks.append)
    assert len(ticks) == 1


def test_a_missing_program_is_one_clear_error(part: Process) -> None:
    with pytest.raises(Unavailable, match="part cannot be started"):
        part.ensure(("no-such-program",), environment=ENVIRONMENT)
    assert not part.is_alive()


def test_a_taken_port_names_who_has_it(part: Process) -> None:
    with socket.create_server((LOOPBACK, 0)) as stranger:
        port = stranger.getsockname()[1]
        assert str(os.getpid()) in str(taken_by(port))
        with pytest.raises(Unavailable, match=rf"port {port} \(http\) is taken by .*{os.getpid()}"):
            part.ensure(SLEEPER, environment=ENVIRONMENT, ports={"http": port})


def test_a_free_port_is_free() -> None:
    assert taken_by(free_port()) is None


def test_a_port_is_kept_across_restarts_and_replaced_when_a_stranger_took_it(tmp_path: Path) -> None:
    port = port_for(tmp_path, "web")
    assert port_for(tmp_path, "web") == port
    assert port_for(tmp_path, "database") != port
    with socket.create_server((LOOPBACK, port)):
        assert port_for(tmp_path, "web") != port


def test_a_port_the_part_itself_listens_on_is_kept(part: Process) -> None:
    port = port_for(part.root, "part")
    listen = (
        f"import socket,time; s=socket.create_server(('{LOOPBACK}',{port})); print('up',flush=True); time.sleep(600)"
    )
    part.ensure(python(listen), environment=ENVIRONMENT, ports={"http": port})
    part.wait_ready(lambda: taken_by(port) is not None, timeout_s=10)
    assert port_for(part.root, "part") == port
    assert part.port("http") == port


def test_records_and_logs_are_private_and_hold_no_environment_values(part: Process) -> None:
    part.ensure(SLEEPER, environment={**ENVIRONMENT, "PASSWORD": "open-sesame"})
    record = part.root / "parts" / "part.json"
    assert b"open-sesame" not in record.read_bytes()
    for file in (record, part.log):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_only_the_given_environment_reaches_the_process(part: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the caller")
    part.ensure(("sh", "-c", "env; sleep 606"), environment={**ENVIRONMENT, "GIVEN": "yes"})
    part.wait_ready(lambda: "GIVEN=yes" in part.log.read_text(), timeout_s=5)
    assert "of the caller" not in part.log.read_text()
