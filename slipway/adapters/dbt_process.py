"""dbt as a process: one command of it, what it says meanwhile, and what came of every node.

The only commands are those of `Command`. `dbt retry` would go on from the results of a run it takes for its own, with
the flags of that run and in whatever the environment names now; `dbt clone` replaces relations one by one, and with
`--full-refresh` drops what stands there even when its source is missing. A build that is given again begins anew.
https://docs.getdbt.com/reference/commands/retry, https://docs.getdbt.com/reference/commands/clone
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from slipway.adapters.loss import FIX, is_loss
from slipway.adapters.process import run
from slipway.adapters.query import Queries
from slipway.adapters.surroundings import for_child
from slipway.errors import StepFailed, Unavailable
from slipway.ports import Progress

Command = Literal["parse", "build", "run", "test"]  # the last two are a backfill's
Order = tuple[Command, *tuple[str, ...]]  # a command and its options

_PROGRAM = Path(sys.executable).parent / "dbt"
MESSAGE = 1200  # characters of one node's error: a contract's names every column that does not fit


def run_dbt(
    command: Command,
    project: Path,
    work: Path,
    profile: Mapping[str, str],
    *arguments: str,
    on_line: Callable[[str], None],
    timeout_s: float,
    watch: Callable[[], None] | None = None,
) -> tuple[int, list[str]]:
    """Run one command of dbt and return its exit code and the last lines it printed.

    Side effects: files under `work`; a build's in the warehouse.
    """
    shutil.rmtree(work / "target", ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    return run(
        [
            str(_PROGRAM),
            "--no-use-colors",
            "--no-version-check",
            "--no-send-anonymous-usage-stats",
            "--log-format",
            "json",
            command,
            "--project-dir",
            str(project),
            "--profiles-dir",
            str(project),
            "--target-path",
            str(work / "target"),
            "--log-path",
            str(work / "logs"),
            *arguments,
        ],
        environment=for_child(os.environ, {**profile, "PYTHONWARNINGS": "ignore"}, host=profile.get("SNOWFLAKE_HOST")),
        on_line=on_line,
        timeout_s=timeout_s,
        watch=watch,
    )


def run_to_end(
    order: Order,
    project: Path,
    work: Path,
    profile: Mapping[str, str],
    *,
    progress: Progress,
    timeout_s: float,
    watch: Callable[[], None],
    may_be_nothing: bool = False,
) -> list[dict[str, Any]]:
    """Run a command of dbt that builds, with its options, and return the results of its nodes.

    Args:
        may_be_nothing: whether the options may select no node.

    Raises:
        StepFailed: a model or a data test failed, or dbt ran none.
        Unavailable: the warehouse was lost meanwhile.

    Side effects: those of the command, and files under `work`.
    """
    code, lines = run_dbt(
        order[0],
        project,
        work,
        profile,
        *order[1:],
        on_line=lambda line: report(line, progress),
        timeout_s=timeout_s,
        watch=watch,
    )
    watch()
    results = results_in(work) if code in (0, 1) else []
    failed = [one for one in results if one["status"] in ("error", "fail", "runtime error")]
    if code or failed or not (results or may_be_nothing):
        failure = failure_of(failed, lines)
        failure.evidence = queries_of(results, profile["SLIPWAY_SLOT"]).evidence()
        raise failure
    return results


def event_of(line: str) -> dict[str, Any] | None:
    """Return what a line of dbt's log tells, or None when it is not of its log."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "info" in found else None


def report(line: str, progress: Progress) -> None:
    """Tell of a node that ended."""
    event = event_of(line)
    if event and event["info"]["name"] in ("LogModelResult", "LogTestResult", "LogSeedResult", "LogSnapshotResult"):
        progress(event["info"]["msg"].split(" [")[0].strip())


def failure_of(failed: list[dict[str, Any]], lines: list[str]) -> StepFailed:
    """Return what to raise: `Unavailable` when the connection is all that failed."""
    said = [str(one["message"]) for one in failed] or [
        event["info"]["msg"] for line in lines if (event := event_of(line)) and event["info"]["level"] == "error"
    ]
    message = _shown(failed) if failed else "dbt build failed: " + " ".join(" ".join(said or lines[-5:]).split())[:600]
    if all(map(is_loss, said)) if failed else any(map(is_loss, said)):
        return Unavailable(f"the warehouse was lost during the build: {message}", fix=FIX)
    return StepFailed(message, fix="mend the model or the data, commit, deploy again; live data was not touched")


def _shown(failed: list[dict[str, Any]]) -> str:
    shown = [
        f"  {one['unique_id'].split('.', 2)[-1]}: {' '.join(str(one['message']).split())[:MESSAGE]}"
        for one in failed[:5]
    ]
    more = f"\n  and {len(failed) - 5} more" if len(failed) > 5 else ""
    return f"{len(failed)} of the slot's models and tests failed:\n" + "\n".join(shown) + more


def results_in(work: Path) -> list[dict[str, Any]]:
    """Return what came of every node of the last command; nothing when it did not come to its end."""
    try:
        content = json.loads((work / "target" / "run_results.json").read_text())
    except FileNotFoundError:
        return []
    return list(content["results"])


def queries_of(results: list[dict[str, Any]], slot: str) -> Queries:
    """Return the queries that made a slot's nodes, the last one of each: dbt-snowflake tells no others."""
    queries = Queries(tag=f"slipway:dbt:{slot}")  # as dbt/profiles.yml sets it
    queries.note((one.get("adapter_response") or {}).get("query_id") for one in results)
    return queries
