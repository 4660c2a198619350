"""`dbt build` as a child process: what it is told and how its failures read. A script stands for dbt."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from etl import dbt
from etl.error import DbtError
from etl.settings import Settings, read

from tests.dags.conftest import VERSION

Script = Callable[[str], Path]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    version = tmp_path / "version.json"
    version.write_text(json.dumps(VERSION))
    return replace(read(version), root=tmp_path)


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Make `body`, in Python, the dbt to run."""

    def make(body: str) -> Path:
        path = tmp_path / "dbt-script"
        path.write_text(f"#!{sys.executable}\nimport json, os, pathlib, signal, sys, time\n{body}\n")
        path.chmod(0o755)
        os.environ[dbt.BINARY] = str(path)
        return path

    return make


def build(settings: Settings, folder: Path, on_line: Callable[[str], None] = lambda line: None) -> dict[str, int]:
    variables = dbt.environment(settings, connection={"SNOWFLAKE_USER": "U"}, folder=folder)
    return dbt.build(settings, variables=variables, folder=folder, on_line=on_line)


RESULTS = """
target = pathlib.Path(os.environ["DBT_TARGET_PATH"])
target.mkdir()
(target / "run_results.json").write_text(json.dumps({"results": %s}))
"""


def test_dbt_is_told_the_slot_and_the_connection_and_its_lines_are_passed_on(
    settings: Settings, script: Script, tmp_path: Path
) -> None:
    os.environ["PYTHONPATH"] = "/elsewhere"  # of a worker: not for a dbt in another environment
    script(
        RESULTS % [{"unique_id": "model.a", "status": "success"}]
        + "for n in ('SLIPWAY_SLOT', 'SNOWFLAKE_USER', 'PYTHONPATH'): print(os.environ.get(n), flush=True)\n"
        + "print(*sys.argv[1:])"
    )
    lines: list[str] = []
    assert build(settings, tmp_path, lines.append) == {"success": 1}
    command = f"build --project-dir {tmp_path / 'dbt'} --target slot --exclude-resource-type unit_test"
    assert lines == ["3F2A9C1B", "U", "None", command]


def test_a_failed_build_names_the_nodes_that_failed(settings: Settings, script: Script, tmp_path: Path) -> None:
    results = [
        {"unique_id": "model.a", "status": "success"},
        {"unique_id": "test.b", "status": "fail", "message": "Got 3 results"},
        {"unique_id": "model.c", "status": "skipped"},
    ]
    script(RESULTS % results + "sys.exit(1)")
    with pytest.raises(DbtError, match=r"code 1: test\.b: Got 3 results$"):
        build(settings, tmp_path)


def test_a_build_of_nothing_is_a_failure(settings: Settings, script: Script, tmp_path: Path) -> None:
    script("sys.exit(0)")
    with pytest.raises(DbtError, match="ran no node"):
        build(settings, tmp_path)


def test_a_dbt_that_is_not_there_is_said_to_be_missing(settings: Settings, tmp_path: Path) -> None:
    os.environ[dbt.BINARY] = str(tmp_path / "no-dbt")
    with pytest.raises(DbtError, match="no-dbt: No such file or directory; set SLIPWAY_DBT"):
        build(settings, tmp_path)


def test_a_task_that_is_stopped_takes_its_dbt_along(settings: Settings, script: Script, tmp_path: Path) -> None:
    script("print(os.getpid(), flush=True)\nsignal.pause()")
    pids: list[int] = []

    def stop(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(settings, tmp_path, stop)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
