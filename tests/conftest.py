"""What every test shares: a clean process environment, and which tests stay together when they run in parallel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.report"]

KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "USER", "VIRTUAL_ENV", "TERM")
KEPT_PREFIXES = ("SSL_", "PIP_", "UV_", "TF_", "REQUESTS_", "LC_", "COVERAGE_", "PYTEST_", "XDG_")
FIRST = ("e2e", "airflow")  # the longest first, so that no worker ends with one of them alone


@pytest.hookimpl(wrapper=True)  # so that it is done before xdist, which reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Keep the tests of one folder together, on one worker in their order: they share servers."""
    here = Path(__file__).parent

    def folder(item: pytest.Item) -> str:
        return item.path.relative_to(here).parts[0]

    for item in items:
        item.add_marker(pytest.mark.xdist_group(folder(item)))
    items.sort(key=lambda item: FIRST.index(folder(item)) if folder(item) in FIRST else len(FIRST))
    yield


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
