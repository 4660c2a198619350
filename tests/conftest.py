"""What every test shares: a clean process environment."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "USER", "VIRTUAL_ENV", "TERM")
KEPT_PREFIXES = ("SSL_", "PIP_", "UV_", "TF_", "REQUESTS_", "LC_", "COVERAGE_", "PYTEST_", "XDG_")


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
