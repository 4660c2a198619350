"""A command that cannot be read: what is wrong, what mends it, exit code 2, and no task was begun."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slipway.tasks.boundary import seconds_since_start
from tasks import program

PROJECT = Path(__file__).parents[2]

# What was typed -> what is wrong with it -> what mends it.
UNREADABLE = {
    "deploy --enb staging": ("deploy has no option --enb; did you mean --env?", "invoke --help deploy"),
    "deploy --enb=staging": ("deploy has no option --enb; did you mean --env?", "invoke --help deploy"),
    "deploy --json --enb staging": ("deploy has no option --enb; did you mean --env?", "invoke --help deploy"),
    "deploy --env staging --jsn": ("deploy has no option --jsn; did you mean --json?", "invoke --help deploy"),
    "deploy --anything": ("deploy has no option --anything", "invoke --help deploy"),
    "deploy": ("deploy needs --env", "invoke deploy --env ENV"),
    "approve --env prod --reason 'two; words'": (
        "approve needs --plan",
        "invoke approve --env prod --reason 'two; words' --plan PLAN",
    ),
    "approve": ("approve needs --env, --plan, --reason", "invoke approve --env ENV --plan PLAN --reason REASON"),
    "deploy --env": ("deploy: --env needs a value", "invoke --help deploy"),
    "deploy --env staging --plan": ("deploy: --plan needs a value", "invoke --help deploy"),
    "backfill.run --env dev --from": ("backfill.run: --from needs a value", "invoke --help backfill.run"),
    "deploy --env staging extra": ("deploy: it does not take 'extra'", "invoke --help deploy"),
    'deploy --env staging "it\'s"': ('deploy: it does not take "it\'s"', "invoke --help deploy"),
    "deploy --env dev --env prod": ("deploy: --env is given twice", "invoke --help deploy"),
    "status --env dev --json=yes": ("status: --json takes no value", "invoke --help status"),
    "status --env dev --json yes": ("status: --json takes no value", "invoke --help status"),
    "history --env dev -lfew": ("history: -l wants a whole number, not 'few'", "invoke --help history"),
    "history --env dev --limit 0": ("--limit 0: a number from 1 is wanted", "give --limit 10"),
    "backfill.status --env dev --limit -1": ("--limit -1: a number from 1 is wanted", "give --limit 10"),
    "--env staging deploy": ("--env stands before the command it is an option of", "invoke COMMAND OPTIONS"),
    "STATUS --env dev": ("there is no command 'STATUS'; did you mean status?", "invoke --list"),
    "dbt.compare --env dev --rows few": (
        "dbt.compare: --rows wants a whole number, not 'few'",
        "invoke --help dbt.compare",
    ),
    "dbt.compare --rows=few --env dev": (
        "dbt.compare: --rows wants a whole number, not 'few'",
        "invoke --help dbt.compare",
    ),
    "deplyo --env staging": ("there is no command 'deplyo'; did you mean deploy?", "invoke --list"),
    "lock.brake --env dev": ("there is no command 'lock.brake'; did you mean lock.break?", "invoke --list"),
    "--help deplyo": ("there is no command 'deplyo'; did you mean deploy?", "invoke --list"),
    "--nothing": ("there is no command '--nothing'", "invoke --list"),
    "--list nothing": ("Sub-collection 'nothing' not found!", "invoke --list"),
    "--list --list-format xml": ("there is no list format 'xml'", "invoke --list --list-format flat"),
    "--list-depth few": ("--list-depth wants a whole number, not 'few'", "invoke --help"),
}


@pytest.mark.parametrize("typed", UNREADABLE)
def test_it_is_told_with_the_command_that_mends_it(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    wrong, fix = UNREADABLE[typed]
    with pytest.raises(SystemExit) as left:
        program.run(["invoke", *shlex.split(typed)])
    said = capsys.readouterr()
    assert (left.value.code, said.out, said.err) == (2, "", f"error: {wrong}\n  fix: {fix}\n")


@pytest.mark.parametrize("reason", ["--reason -x", "--reason=--force", "--reason '-1 row is fine'"])
def test_the_value_of_an_option_may_look_like_one(reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        program.run(["invoke", "approve", "--env", "nowhere", "--plan", "abc", *shlex.split(reason)])
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("error: unknown environment 'nowhere'")


def test_help_may_stand_behind_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        program.run(["invoke", "deploy", "--help"])
    assert left.value.code == 0
    assert "Make the commit checked out live" in capsys.readouterr().out


@pytest.mark.parametrize("asked", ["--list", "--help", "--help deploy", "--version"])
def test_what_is_piped_into_a_reader_that_leaves_ends_in_peace(asked: str) -> None:
    line = f"{{ ./invoke {asked}; echo code $? >&2; }} | true"
    said = subprocess.run(line, shell=True, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=True)
    assert said.stderr == "code 0\n"


def test_a_command_without_an_output_can_be_read() -> None:
    line = "./invoke lock.show --env nowhere >&-; echo code $? >&2"
    said = subprocess.run(line, shell=True, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=True)
    assert said.stderr.startswith("error: unknown environment 'nowhere'")
    assert said.stderr.endswith("code 2\n")


def test_a_command_took_as_long_as_its_process_has_run() -> None:
    code = "import time; time.sleep(0.5); from slipway.tasks.boundary import seconds_since_start as told; print(told())"
    began = time.monotonic()
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=os.environ, capture_output=True, text=True, check=True
    )
    assert 0.5 <= float(said.stdout) <= time.monotonic() - began + 0.05
    assert seconds_since_start() > float(said.stdout)
