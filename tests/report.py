"""What tests measured, printed at the end of the run; collected from the workers when tests run in parallel."""

from __future__ import annotations

from typing import Any

import pytest

SAID = pytest.StashKey[dict[str, list[str]]]()


def tell(config: pytest.Config, title: str, *lines: str) -> None:
    """Have lines printed under a title when every test is done."""
    config.stash.setdefault(SAID, {}).setdefault(title, []).extend(lines)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what was told to the process that prints."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["said"] = session.config.stash.get(SAID, {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take what a worker told."""
    for title, lines in getattr(node, "workeroutput", {}).get("said", {}).items():
        tell(node.config, title, *lines)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print it."""
    for title, lines in config.stash.get(SAID, {}).items():
        terminalreporter.section(title, sep="-")
        terminalreporter.write_line("\n".join(lines))
