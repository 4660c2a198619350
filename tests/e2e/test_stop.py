"""Stopped by a signal, a deployment ends cleanly and the same command goes on: once at a boundary, twice at once."""

from __future__ import annotations

import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from slipway.deployment import Deployment
from tests.e2e.conftest import House
from tests.e2e.sample import sample
from tests.e2e.trial import Trials, working_for

# The first one finds a platform that has just begun
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

TOLD = "again to stop at once"  # what is said to the first signal
STOP_S = 120  # seconds until a stop is over


@dataclass(frozen=True, kw_only=True)
class Stop:
    """One way to be stopped: which signal, in which step, and whether it is given a second time."""

    number: signal.Signals
    step: str
    twice: bool = False

    @property
    def id(self) -> str:
        return f"{self.number.name}{'-twice' if self.twice else ''}-in-{self.step}"


STOPS = [
    *(Stop(number=number, step=step) for number in (signal.SIGINT, signal.SIGTERM) for step in ("build", "infra")),
    *(Stop(number=signal.SIGINT, step=step, twice=True) for step in ("build", "infra")),
]


@pytest.mark.parametrize("stop", [pytest.param(stop, id=stop.id) for stop in sample(STOPS, 1)])
def test_stopped_in_the_middle_the_same_command_goes_on(stop: Stop, trials: Trials, tmp_path: Path) -> None:
    house, said = trials.house, tmp_path / "said"
    with trials.disturbed("stop", stop.id) as stopped:
        with said.open("w") as errors, house.start("deploy", "--env", "staging", stderr=errors) as running:
            wait_until_it_works(house, running, stop.step)
            running.send_signal(stop.number)
            if stop.twice:
                house.wait_for(lambda: TOLD in said.read_text(), timeout_s=10)
                running.send_signal(stop.number)
            asked_at = time.monotonic()
            code = running.wait(timeout=STOP_S)
        stopped.note, text = f"over in {time.monotonic() - asked_at:.1f} s", said.read_text()
        trials.done("deploy")
        assert code == 130, text
        assert TOLD in text
        assert "Traceback" not in text
        assert house.invoke("lock.show", "--env", "staging", "--json").json["held"] is False
        assert [*working_for(house.root), *terraform_of(house)] == []
        assert not state_is_locked(house)
        assert_it_is_told(trials.last(), stop)
        stopped.more_serials = stop.step == "infra"
        stopped.seconds = house.invoke("deploy", "--env", "staging").seconds
        trials.done("deploy")
    assert not stopped.problems, "\n".join(stopped.problems)


def assert_it_is_told(last: Deployment, stop: Stop) -> None:
    """Assert that the journal says how a stop ended the deployment: at a boundary, or in a step that is unknown now."""
    if stop.twice:
        assert (last.steps[-1].kind, last.steps[-1].state) == (stop.step, "unknown")
    else:
        assert last.state == "failed"
        assert "stopped" in str(last.message)


def wait_until_it_works(house: House, running: subprocess.Popen[str], step: str) -> None:
    """Return when the program that a step is done by works."""

    def works() -> bool:
        assert running.poll() is None, f"the deployment ended with {running.returncode} before its step {step}"
        return bool(terraform_of(house, "apply") if step == "infra" else working_for(house.root, "build"))

    house.wait_for(works, timeout_s=180)


def terraform_of(house: House, command: str = "") -> list[str]:
    """Return the command lines of terraform that run for a deployment of the house."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            here = Path(process.cwd()).is_relative_to(house.root / ".build")
            if here and any("terraform" in word for word in words) and (not command or command in words):
                found.append(" ".join(words)[:200])
        except psutil.Error:
            continue
    return found


def state_is_locked(house: House) -> bool:
    """Return whether the lock of Terraform's state is there."""
    with house.site() as site:
        listed = site.aws.s3.list_objects_v2(Bucket=site.environment.bucket("tfstate"))
    return any(one["Key"].endswith(".tflock") for one in listed.get("Contents", ()))
