"""What every test shares: a clean process environment, and how tests are spread when they run in parallel."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

pytest_plugins = ["tests.report"]

# How busy the machine is decides nothing
settings.register_profile("slipway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("slipway")

KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "USER", "VIRTUAL_ENV", "TERM")
KEPT_PREFIXES = ("SSL_", "PIP_", "UV_", "TF_", "REQUESTS_", "LC_", "COVERAGE_", "PYTEST_", "XDG_")
# The houses of tests/e2e, built at the same time when there are workers; in each a fresh one first, then what finds it
# deployed.
HOUSES = (
    ("corridor", "backfill", "comparison", "mistakes", "canary"),
    ("prod", "migration", "kill", "stop", "outage"),
)
# The longest first, so that no worker ends with one of them alone
FIRST = ("e2e", "warehouse", "airflow", "snowflake", "etl", "terraform")
# A shell without job control has what it starts in the background ignore SIGINT, and so does all that this starts:
# tests that interrupt a process would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest folders."""
    here = Path(__file__).parent
    order = {folder: place for place, folder in enumerate(FIRST)}
    names = (name for house in HOUSES for name in house)
    rooms = {here / "e2e" / f"test_{name}.py": place for place, name in enumerate(names)}
    items.sort(key=lambda item: (order.get(item.path.relative_to(here).parts[0], len(FIRST)), rooms.get(item.path, 0)))


class FolderScheduling(LoadScopeScheduling):
    """Gives a folder's tests to one worker, in their order: they share servers. Each house is a folder of its own."""

    def _split_scope(self, nodeid: str) -> str:
        folder, file = PurePosixPath(nodeid.partition("::")[0]).parts[-2:]
        if folder != "e2e":
            return folder
        name = file.removeprefix("test_").removesuffix(".py")
        return f"{folder} {next((place for place, house in enumerate(HOUSES) if name in house), len(HOUSES))}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FolderScheduling:
    """Have tests in parallel scheduled by folder."""
    return FolderScheduling(config, log)


@pytest.fixture(autouse=True)
def clean_environment() -> Iterator[None]:
    """Give a test only the variables a shell always has, and put everything back after it."""
    before = dict(os.environ)
    for name in before:
        if name not in KEPT and not name.startswith(KEPT_PREFIXES):
            del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)
