"""Run `dbt build` for the project that was released together with this library."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from etl.error import DbtError
from etl.settings import Settings

BINARY = "SLIPWAY_DBT"  # path of the dbt to run; `dbt` on PATH when unset
STOP_SECONDS = 20  # dbt cancels its queries on SIGINT; after this it is killed
# A worker's own interpreter settings must not reach a dbt that lives in another environment.
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")


def environment(settings: Settings, *, connection: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the environment dbt runs in: the connection's variables, the slot, and `folder` for all it writes."""
    inherited = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    return {
        **inherited,
        **connection,
        "SLIPWAY_ENV": settings.environment,
        "SLIPWAY_SLOT": settings.slot,
        "SLIPWAY_RAW_DATABASE": settings.raw_database,
        "SLIPWAY_ANALYTICS_DATABASE": settings.analytics_database,
        "SLIPWAY_DBT_THREADS": str(settings.dbt_threads),
        "DBT_PROFILES_DIR": str(settings.root / "dbt"),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_USE_COLORS": "false",
    }


def build(
    settings: Settings, *, variables: Mapping[str, str], folder: Path, on_line: Callable[[str], None]
) -> dict[str, int]:
    """Build the whole project, data tests included, and return how many nodes ended in which status.

    Args:
        variables: the full environment, see `environment`.
        on_line: gets each line dbt prints, as it prints it.

    Raises DbtError naming the nodes that failed.

    Side effects: a child process in a group of its own, which never outlives this call.
    """
    project = settings.root / "dbt"
    command = [os.environ.get(BINARY, "dbt"), "build", "--project-dir", str(project), "--target", "slot"]
    command += ["--exclude-resource-type", "unit_test"]  # they test code, which passed when the slot was built
    code = _run(command, cwd=folder, variables=variables, on_line=on_line)
    results = _results(folder / "target" / "run_results.json")
    statuses = Counter(str(result["status"]) for result in results)
    if code != 0:
        failed = [
            f"{result['unique_id']}: {result.get('message') or result['status']}"
            for result in results
            if result["status"] in ("error", "fail", "runtime error")
        ]
        raise DbtError(f"dbt build ended with code {code}: {'; '.join(failed) or 'see its output above'}")
    if not results:
        raise DbtError(f"dbt build ran no node of {project}")
    return dict(statuses)


def _run(command: list[str], *, cwd: Path, variables: Mapping[str, str], on_line: Callable[[str], None]) -> int:
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise DbtError(f"{command[0]}: {error.strerror}; set {BINARY} to the dbt to run") from error
    try:
        for line in process.stdout or ():
            on_line(line.rstrip())
        return process.wait()
    finally:
        if process.poll() is None:  # the task was killed or timed out
            _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _results(path: Path) -> list[dict[str, Any]]:
    try:
        results: list[dict[str, Any]] = json.loads(path.read_text())["results"]
    except FileNotFoundError:
        return []
    return results
