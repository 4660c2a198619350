"""A part of the platform is gone for half a minute in the middle of a deployment: it is waited for, and said so."""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import datetime
from pathlib import Path

import pytest

from slipway.sandbox.platform import Platform
from tests.e2e.conftest import House, Said
from tests.e2e.sample import sample
from tests.e2e.trial import Trials, working_for

# The first one finds a platform that has just begun
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

GONE_S = 30.0
KEPT_S = 0.5  # between an event and the embedded AWS's next word on disk, which then holds it
# part -> the step in which its loss hurts
PARTS = {"snowflake": "build", "aws": "migrate", "airflow-staging-api-server": "flip"}


@pytest.mark.parametrize("part", sample(sorted(PARTS), 1))
def test_a_part_that_is_gone_for_half_a_minute_is_waited_for(part: str, trials: Trials, tmp_path: Path) -> None:
    house, said = trials.house, tmp_path / "said"
    with trials.disturbed("outage", f"{part} gone in {PARTS[part]}") as outage:
        began = time.monotonic()
        with said.open("w") as errors, house.start("deploy", "--env", "staging", stderr=errors) as running:
            house.wait_for(lambda: is_in(house, said, PARTS[part]), timeout_s=240)
            back = Absence(house, part)
            code = running.wait(timeout=400)
            mended = back.wait()
        outage.seconds = time.monotonic() - began
        trials.done("deploy")
        assert mended.code == 0, mended.err
        assert code == 0, said.read_text()
        assert "trying again" in said.read_text()
    assert not outage.problems, "\n".join(outage.problems)


class Absence:
    """A part that is killed now and brought back, as a person would, when its time is over."""

    def __init__(self, house: House, part: str) -> None:
        pid = next(one.pid for one in Platform(house.root).status() if one.name == part)
        assert pid is not None, f"{part} does not run"
        os.kill(pid, signal.SIGKILL)
        self._house, self._said = house, list[Said]()
        self._timer = threading.Timer(GONE_S, self._bring_back)
        self._timer.start()

    def wait(self) -> Said:
        """Return what was said as it was brought back."""
        self._timer.join()
        return self._said[0]

    def _bring_back(self) -> None:
        self._said.append(self._house.run("sandbox.up"))


def is_in(house: House, said: Path, step: str) -> bool:
    """Return whether a deployment is in the middle of a step, by what it says and by the program that it started."""
    match step:
        case "build":
            return bool(working_for(house.root, "build"))
        case "migrate":
            return "script(s)" in said.read_text() and is_written_down(house)
        case _:
            return any("DAGs at" in line and line.endswith("...") for line in said.read_text().splitlines())


def is_written_down(house: House) -> bool:
    """Return whether the embedded AWS would not forget the newest event, as AWS never does once it has answered."""
    with house.site() as site:
        newest = site.journal.events()[-1]
    saved = max(file.stat().st_mtime for file in (house.root / ".sandbox" / "aws").glob("dynamodb-*"))
    return newest.kind == "step-started" and saved > datetime.fromisoformat(newest.at).timestamp() + KEPT_S
