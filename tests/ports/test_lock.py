"""What `lock.show` says, and how `lock.break` asks."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from slipway.adapters.holder import Holder, machine_id, start_of
from slipway.errors import ConfigurationError
from slipway.tasks.lock import confirm, lines_of, lock_document

PROJECT = Path(__file__).parents[2]
HOLDER = Holder(
    who="ann@[laptop]",
    since="2026-11-01T00:00:00.000+00:00",
    machine="laptop 3f2a pid:[1]",
    process=(4711, "123"),
    token=7,
    claim="c",
    heartbeat_age_s=12.34,
    remaining_s=47.66,
)


def test_a_free_environment_has_the_same_keys_and_no_holder() -> None:
    free, held = lock_document("prod", None), lock_document("prod", HOLDER)
    assert list(free) == list(held)
    assert {name for name, value in free.items() if value is not None} == {"environment", "held"}
    assert lines_of(free) == ["prod is free"]


@pytest.mark.parametrize(
    ("holder", "may_be"),
    [
        (HOLDER, False),
        (replace(HOLDER, remaining_s=0), True),
        (replace(HOLDER, machine=machine_id()), True),
        (replace(HOLDER, machine=machine_id(), process=(os.getpid(), start_of(os.getpid()) or "")), False),
    ],
    ids=["elsewhere", "run out", "another process had the number", "this very process"],
)
def test_a_hold_may_be_taken_from_who_is_gone(holder: Holder, may_be: bool) -> None:
    assert holder.may_be_taken() is may_be


def test_a_holder_is_told_with_all_that_is_known() -> None:
    document = lock_document("prod", HOLDER)
    assert json.loads(json.dumps(document)) == {
        "environment": "prod",
        "held": True,
        "who": "ann@[laptop]",
        "since": "2026-11-01T00:00:00.000+00:00",
        "machine": "laptop 3f2a pid:[1]",
        "process": 4711,
        "token": 7,
        "heartbeat_age_s": 12.3,
        "remaining_s": 47.7,
        "has_run_out": False,
        "known_dead": False,
    }
    assert lines_of(document) == [
        "prod is held by ann@[laptop] since 2026-11-01T00:00:00.000+00:00",
        "machine          laptop, process 4711",
        "fencing token    7",
        "last heartbeat   12 s ago",
        "state            alive; without a heartbeat it runs out in 48 s",
    ]


def test_one_that_ran_out_and_one_that_is_dead_are_told_apart() -> None:
    late = replace(HOLDER, heartbeat_age_s=None, remaining_s=-3.0)
    assert lines_of(lock_document("prod", late))[3:] == [
        "last heartbeat   none",
        "state            it has run out; the next deployment takes it",
    ]
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead = replace(HOLDER, machine=machine_id(), process=(gone.pid, "1"))
    if dead.machine is not None:
        assert "dead" in lines_of(lock_document("prod", dead))[4]
        assert "(this one)" in lines_of(lock_document("prod", dead))[1]


def test_without_a_terminal_it_is_not_asked_and_not_done() -> None:
    with Path(os.devnull).open() as nothing:
        program = "from tests.ports.test_lock import HOLDER, confirm; confirm('prod', HOLDER)"
        told = subprocess.run(
            [sys.executable, "-c", program], cwd=PROJECT, stdin=nothing, capture_output=True, text=True
        )
    assert told.returncode != 0
    assert f"{ConfigurationError.__name__}: prod is held by ann@[laptop] since 2026" in told.stderr
    assert "--yes" in told.stderr
    assert confirm.__name__ in told.stderr


@pytest.mark.parametrize(
    ("answer", "is_done"), [("\n", False), ("n\n", False), ("maybe\n", False), ("y\n", True), ("YES\n", True)]
)
def test_only_yes_is_yes(answer: str, is_done: bool) -> None:
    program = (
        "from slipway.errors import Interrupted\n"
        "from tests.ports.test_lock import HOLDER, confirm\n"
        "try:\n    confirm('prod', HOLDER)\n    print('confirmed')\n"
        "except Interrupted as error:\n    print(error.message)\n"
    )
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    told = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, stdin=theirs, capture_output=True, text=True)
    os.close(ours)
    os.close(theirs)
    assert told.stdout == ("confirmed\n" if is_done else "not confirmed; ann@[laptop] goes on holding prod\n")
    assert "[y/N]" in told.stderr
