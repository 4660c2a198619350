"""The command line: every task explains itself, and no message sends a person to a command that is not there."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from tasks import namespace

PROJECT = Path(__file__).parents[2]
TASKS = dict(namespace.task_names)
NAMES = sorted(TASKS)
MENTION = re.compile(r"(?<!\./)\binvoke (?P<task>[a-z]+(?:\.[a-z]+)?)(?=[ `'\"|,.)\n]|$)")
WORDS = {"import"}  # that follow the word elsewhere


def mentions(folder: str, pattern: str) -> set[tuple[str, str]]:
    found = set()
    for path in (PROJECT / folder).rglob(pattern):
        for match in MENTION.finditer(path.read_text()):
            found.add((str(path.relative_to(PROJECT)), match["task"]))
    return found


def test_there_are_tasks() -> None:
    assert {"deploy", "rollback", "plan", "status", "history", "sandbox.up", "dags.status", "infra.plan"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_says_what_it_does_with_an_example(name: str) -> None:
    said = inspect.getdoc(namespace[name]) or ""
    assert f"invoke {name}" in said
    assert len(said.splitlines()[0]) > 20


@pytest.mark.parametrize("name", NAMES)
def test_a_task_explains_every_option(name: str) -> None:
    assert [argument.name for argument in namespace[name].get_arguments() if not argument.help] == []


@pytest.mark.parametrize(("folder", "pattern"), [("slipway", "*.py"), ("docs", "*.md"), ("dags", "*.py")])
def test_a_command_named_in_a_message_or_a_guide_is_there(folder: str, pattern: str) -> None:
    unknown = {(file, task) for file, task in mentions(folder, pattern) if task not in NAMES and task not in WORDS}
    assert not unknown


def test_the_readme_names_only_commands_that_are_there() -> None:
    named = set(re.findall(r"\./invoke ([a-z.]+)", (PROJECT / "README.md").read_text()))
    assert named
    assert named <= set(NAMES)
