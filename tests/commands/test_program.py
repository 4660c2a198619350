"""A command that cannot be read: what is wrong, what mends it, exit code 2, and no task was begun."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tasks import program

PROJECT = Path(__file__).parents[2]

# What was typed -> what is wrong with it -> what mends it.
UNREADABLE = {
    "deploy --enb staging": ("deploy has no option --enb; did you mean --env?", "invoke --help deploy"),
    "deploy --enb=staging": ("deploy has no option --enb; did you mean --env?", "invoke --help deploy"),
    "deploy --env staging --jsn": ("deploy has no option --jsn; did you mean --json?", "invoke --help deploy"),
    "deploy --anything": ("deploy has no option --anything", "invoke --help deploy"),
    "deploy": ("deploy needs --env", "invoke deploy --env ENV"),
    "approve --env prod": (
        "approve needs --plan and --reason",
        "invoke approve --env prod --plan PLAN --reason REASON",
    ),
    "deploy --env": ("deploy: --env needs a value", "invoke --help deploy"),
    "deploy --env staging --plan": ("deploy: --plan needs a value", "invoke --help deploy"),
    "deploy --env staging extra": ("deploy does not take 'extra'", "invoke --help deploy"),
    "deploy --env staging it's": ('deploy does not take "it\'s"', "invoke --help deploy"),
    "dbt.compare --env dev --rows few": (
        "a whole number is wanted: invalid literal for int() with base 10: 'few'",
        "invoke --list",
    ),
    "deplyo --env staging": ("there is no command 'deplyo'; did you mean deploy?", "invoke --list"),
    "lock.brake --env dev": ("there is no command 'lock.brake'; did you mean lock.break?", "invoke --list"),
    "--help deplyo": ("there is no command 'deplyo'; did you mean deploy?", "invoke --list"),
    "--nothing": ("there is no command '--nothing'", "invoke --list"),
}


@pytest.mark.parametrize("typed", UNREADABLE)
def test_it_is_told_with_the_command_that_mends_it(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    wrong, fix = UNREADABLE[typed]
    with pytest.raises(SystemExit) as left:
        program.run(["invoke", *typed.split()])
    said = capsys.readouterr()
    assert (left.value.code, said.out, said.err) == (2, "", f"error: {wrong}\n  fix: {fix}\n")


def test_a_word_that_looks_like_an_option_may_be_the_value_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        program.run(["invoke", "lock.show", "--env=nowhere"])
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("error: unknown environment 'nowhere'")


@pytest.mark.parametrize("asked", ["--list", "--help", "--help deploy"])
def test_what_is_piped_into_a_reader_that_leaves_ends_in_peace(asked: str) -> None:
    line = f"{{ ./invoke {asked}; echo code $? >&2; }} | true"
    said = subprocess.run(line, shell=True, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=True)
    assert said.stderr == "code 0\n"
