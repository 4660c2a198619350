"""Stops, clocks and kills in the middle of an apply: what was in flight ends, and the lock goes with it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from typing import Any

import psutil
import pytest

from slipway.adapters.terraform import Terraform
from slipway.errors import Interrupted, Locked, StepFailed
from slipway.sandbox.aws import terraform_environment
from slipway.sandbox.aws.instance import Instance
from tests.terraform.conftest import ROOT, SLOW_ROOT, STATE_BUCKET

PAUSE_S, END_S = "300", 120  # what is never waited for, and what an end may take on a busy machine
# A process of its own, as a user's command is one: it can be signalled and killed.
APPLY = """
import json, sys
from pathlib import Path
from slipway.adapters.terraform import Terraform
from slipway.errors import SlipwayError

root, build, environment, plan = json.loads(sys.argv[1])
terraform = Terraform(Path(root), build=Path(build), environment=environment)

def tell(event):
    if event["type"] == "provision_start":
        print("under way", flush=True)

try:
    terraform.apply(Path(plan), on_event=tell)
except SlipwayError as error:
    print(type(error).__name__, flush=True)
    sys.exit(error.exit_code)
"""
# One that ends at once when it is asked a second time, as a deployment does
IMPATIENT = f"""
from slipway.tasks.boundary import stops_at_boundaries

with stops_at_boundaries(lambda line: print("asked", flush=True)):
{indent(APPLY, "    ")}
"""


def start_apply(terraform: Terraform, plan: Path, instance: Instance, *, script: str = APPLY) -> subprocess.Popen[str]:
    """Start an apply in a process of its own and return when its second resource is under way.

    That is when its provisioner has started: Terraform asks those to stop that it knows by then, and waits for others.
    """
    facts = [
        str(SLOW_ROOT),
        str(terraform.data_folder.parents[1]),
        terraform_environment(instance.proxy_port),
        str(plan),
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", script, json.dumps(facts)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "under way\n"
    return process


def processes_of(terraform: Terraform) -> list[psutil.Process]:
    """Return what still runs of `terraform`, the program and what it started; a kill takes the kernel a moment."""
    found: list[psutil.Process] = []
    for _ in range(50):
        found = running(terraform)
        if not found:
            break
        psutil.wait_procs(found, timeout=0.1)
    return found


def running(terraform: Terraform) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            mine = process.environ().get("TF_DATA_DIR") == str(terraform.data_folder)
            if mine and process.status() != psutil.STATUS_ZOMBIE:  # ended, and not yet fetched by its parent
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def is_locked(client: Callable[[str], Any], folder: Path) -> bool:
    """Return whether the state that belongs to the test's folder is locked."""
    listed = client("s3").list_objects_v2(Bucket=STATE_BUCKET, Prefix=f"slow/{folder.name}.")
    return any(one["Key"].endswith(".tflock") for one in listed.get("Contents", ()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_apply_saves_its_state_and_leaves_neither_lock_nor_process(
    slow: Terraform, instance: Instance, client: Callable[[str], Any], tmp_path: Path, number: signal.Signals
) -> None:
    plan = slow.plan(tmp_path / "p.tfplan", variables={"pause_s": PAUSE_S})
    process = start_apply(slow, plan.file, instance)
    assert is_locked(client, tmp_path)
    process.send_signal(number)
    said, _ = process.communicate(timeout=END_S)

    assert (process.returncode, said) == (130, "Interrupted\n")
    assert processes_of(slow) == []
    assert not is_locked(client, tmp_path)
    assert slow.outputs() == {"content": "a"}
    after = slow.plan(tmp_path / "after.tfplan")
    assert after.summary.replaces == ("terraform_data.second",)


def test_asked_twice_the_command_ends_at_once_and_terraform_is_asked_once(
    slow: Terraform, instance: Instance, client: Callable[[str], Any], tmp_path: Path
) -> None:
    plan = slow.plan(tmp_path / "p.tfplan", variables={"pause_s": PAUSE_S})
    process = start_apply(slow, plan.file, instance, script=IMPATIENT)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stdout.readline() == "asked\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=END_S)

    assert process.returncode == -signal.SIGINT  # KeyboardInterrupt, which a task turns into 130
    assert processes_of(slow) == []
    assert not is_locked(client, tmp_path)
    assert slow.outputs() == {"content": "a"}


def test_when_slipway_is_killed_terraform_still_ends_and_releases_its_lock(
    slow: Terraform, instance: Instance, client: Callable[[str], Any], tmp_path: Path
) -> None:
    plan = slow.plan(tmp_path / "p.tfplan", variables={"pause_s": "3"})
    process = start_apply(slow, plan.file, instance)
    process.kill()
    process.wait()
    assert is_locked(client, tmp_path)
    after = slow.plan(tmp_path / "after.tfplan", lock_timeout_s=30)  # waits for the lock

    assert not after.has_changes
    deadline = time.monotonic() + 5
    while processes_of(slow) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_of(slow) == []


def test_a_second_terraform_is_told_who_holds_the_lock(slow: Terraform, instance: Instance, tmp_path: Path) -> None:
    plan = slow.plan(tmp_path / "p.tfplan", variables={"pause_s": PAUSE_S})
    process = start_apply(slow, plan.file, instance)
    try:
        with pytest.raises(Locked, match=r"locked by \S+@\S+ since 20\d\d-.*OperationTypeApply, lock [0-9a-f-]{36}"):
            slow.plan(tmp_path / "second.tfplan", lock_timeout_s=0)
    finally:
        process.terminate()
        process.communicate(timeout=END_S)


def test_a_command_that_takes_too_long_is_stopped_cleanly(
    slow: Terraform, client: Callable[[str], Any], tmp_path: Path
) -> None:
    plan = slow.plan(tmp_path / "p.tfplan", variables={"pause_s": "60"})
    with pytest.raises(StepFailed, match="took longer than 3 s and was stopped"):
        slow.apply(plan.file, timeout_s=3)

    assert not is_locked(client, tmp_path)
    assert processes_of(slow) == []


def test_another_thread_can_ask_for_the_stop(slow: Terraform, client: Callable[[str], Any], tmp_path: Path) -> None:
    plan = slow.plan(tmp_path / "p.tfplan", variables={"pause_s": PAUSE_S})

    def tell(event: Any) -> None:
        if event["type"] == "provision_start":
            threading.Timer(0.2, slow.stop).start()

    with pytest.raises(Interrupted):
        slow.apply(plan.file, on_event=tell)
    assert not is_locked(client, tmp_path)


def test_a_listener_that_fails_does_not_leave_terraform_behind(
    slow: Terraform, client: Callable[[str], Any], tmp_path: Path
) -> None:
    plan = slow.plan(tmp_path / "p.tfplan", variables={"pause_s": PAUSE_S})

    def tell(event: Any) -> None:
        if event["type"] == "provision_start":
            raise KeyError("listener")

    with pytest.raises(KeyError, match="listener"):
        slow.apply(plan.file, on_event=tell)
    assert processes_of(slow) == []
    assert not is_locked(client, tmp_path)


def test_a_callers_own_handler_is_told_and_a_finished_command_counts(slow: Terraform, tmp_path: Path) -> None:
    told: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    try:
        plan = slow.plan(tmp_path / "p.tfplan")

        def tell(event: Any) -> None:
            if event["type"] == "change_summary":  # everything is done by then
                signal.raise_signal(signal.SIGTERM)

        slow.apply(plan.file, on_event=tell)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert told == [signal.SIGTERM]
