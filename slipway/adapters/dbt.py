"""dbt in a process of its own: the check that a project compiles, and the build of a slot.

A slot that starts as a clone of the live one holds views that still name the live slot's schemas, so every view is
built again beside what changed (`state:modified+`).
https://docs.getdbt.com/reference/node-selection/state-selection
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway.adapters.process import run
from slipway.adapters.release_bucket import ReleaseBucket
from slipway.adapters.snowflake import OPS_SCHEMA, Address, Session, SlotPublisher, SnowflakeFacts, bookkeeping
from slipway.config import Environment
from slipway.errors import StepFailed
from slipway.gate import Problem
from slipway.ports import Outcome, Progress
from slipway.slot import LAYERS, schema_in
from slipway.step import BuildSlot, PublishSlot

_PROGRAM = Path(sys.executable).parent / "dbt"
PARSE_TIMEOUT_S = 120


def variables(environment: Environment, slot: str, *, address: Address, key_file: Path) -> dict[str, str]:
    """Return what the project's profile reads from the process environment."""
    warehouse = environment.warehouse
    return {
        "SNOWFLAKE_ACCOUNT": warehouse.account,
        "SNOWFLAKE_USER": warehouse.transformer.user,
        "SNOWFLAKE_ROLE": warehouse.transformer.role,
        "SNOWFLAKE_WAREHOUSE": warehouse.warehouse,
        "SNOWFLAKE_PRIVATE_KEY_PATH": str(key_file),
        "SLIPWAY_ANALYTICS_DATABASE": warehouse.analytics_database,
        "SLIPWAY_RAW_DATABASE": warehouse.raw_database,
        "SLIPWAY_SLOT": slot,
        "SLIPWAY_DBT_THREADS": str(environment.settings.dbt_threads),
        **address.variables(),
    }


def check_project(project: Path, work: Path, profile: Mapping[str, str]) -> tuple[Problem, ...]:
    """Return what stops the project from compiling; empty when it parses. Needs no warehouse.

    Side effects: files under `work`.
    """
    code, lines = _dbt("parse", project, work, profile, on_line=lambda line: None, timeout_s=PARSE_TIMEOUT_S)
    if code == 0:
        return ()
    events = [event for line in lines if (event := _event(line)) and event["info"]["level"] == "error"]
    messages = [" ".join(event["info"]["msg"].split()) for event in events] or lines[-3:]
    telling = [message for message in messages if message and "Encountered an error" not in message] or messages
    return (Problem(file="dbt", message=" ".join(telling)[:600]),)


class DbtSlots:
    """Builds one release's slot and publishes it; implements `ports.Slots`."""

    def __init__(
        self,
        environment: Environment,
        project: Path,
        work: Path,
        *,
        session: Session,
        facts: SnowflakeFacts,
        publisher: SlotPublisher,
        bucket: ReleaseBucket,
        address: Address,
        key_file: Path,
    ) -> None:
        self._environment, self._project, self._work = environment, project, work
        self._session, self._facts, self._publisher, self._bucket = session, facts, publisher, bucket
        self._address, self._key_file = address, key_file

    def is_published(self, step: PublishSlot) -> bool:
        """Probe of the publish step."""
        return self._publisher.is_published(step)

    def publish(self, step: PublishSlot, progress: Progress) -> Outcome:
        """Make the slot what readers see."""
        return self._publisher.publish(step, progress)

    def is_built(self, step: BuildSlot) -> bool:
        """Probe of the build step: the slot was built to the end, with every test passed."""
        return step.slot in self._facts.read().complete_slots

    def build(self, step: BuildSlot, progress: Progress) -> Outcome:
        """Build the slot; live data is not touched.

        Raises:
            StepFailed: a model or a data test failed; the slot stays incomplete and unpublished.
        """
        self._session.run(*bookkeeping(self._environment.warehouse.ops_database))
        began = time.monotonic()
        cloned = self._clone(step, progress) if step.clone_from else 0
        state = self._state(step.clone_from) if step.clone_from else None
        selection = ["--full-refresh"]
        if state is not None:
            selection += ["--select", "state:modified+", "config.materialized:view", "--state", str(state)]
        code, lines = _dbt(
            "build",
            self._project,
            self._work,
            variables(self._environment, step.slot, address=self._address, key_file=self._key_file),
            *selection,
            on_line=lambda line: _report(line, progress),
            timeout_s=self._environment.timeouts.build_s,
        )
        outside_s = time.monotonic() - began
        results = self._results() if code in (0, 1) else []
        failed = [one for one in results if one["status"] in ("error", "fail", "runtime error")]
        if code or failed or not results:
            raise StepFailed(
                _failure(failed, lines),
                fix="mend the model or the data, commit, deploy again; live data was not touched",
            )
        self._complete(step)
        passed = sum(one["status"] in ("success", "pass") for one in results)
        return Outcome(
            summary=f"{passed} nodes and tests passed"
            + (f", {cloned} schemas cloned from {step.clone_from}" if cloned else ""),
            evidence={"slot": step.slot, "nodes": len(results), "passed": passed, "cloned_from": step.clone_from},
            outside_s=outside_s,
        )

    def _clone(self, step: BuildSlot, progress: Progress) -> int:
        analytics = self._environment.warehouse.analytics_database
        present = {
            str(row[0])
            for row in self._session.rows(f"SELECT SCHEMA_NAME FROM {analytics}.INFORMATION_SCHEMA.SCHEMATA")
        }
        layers = [layer for layer in LAYERS if schema_in(layer, str(step.clone_from)) in present]
        role = self._environment.warehouse.transformer.role
        for layer in layers:
            source, target = schema_in(layer, str(step.clone_from)), schema_in(layer, step.slot)
            progress(f"cloning {source} to {target}")
            self._session.run(
                f"CREATE OR REPLACE SCHEMA {analytics}.{target} CLONE {analytics}.{source}",
                f"GRANT OWNERSHIP ON ALL TABLES IN SCHEMA {analytics}.{target} TO ROLE {role} COPY CURRENT GRANTS",
                f"GRANT OWNERSHIP ON ALL VIEWS IN SCHEMA {analytics}.{target} TO ROLE {role} COPY CURRENT GRANTS",
                f"GRANT OWNERSHIP ON SCHEMA {analytics}.{target} TO ROLE {role} COPY CURRENT GRANTS",
            )
        return len(layers)

    def _state(self, slot: str) -> Path | None:
        """Fetch the manifest of what was built into `slot`; without it everything is built again."""
        content = self._bucket.dbt_manifest(slot)
        if content is None:
            return None
        folder = self._work / f"state-{slot}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").write_bytes(content)
        return folder

    def _complete(self, step: BuildSlot) -> None:
        """Keep the manifest, then say that the slot is complete: in this order, so that one never lacks the other."""
        self._bucket.put_dbt_manifest(step.slot, (self._work / "target" / "manifest.json").read_bytes())
        self._session.rows(
            f"INSERT INTO {self._environment.warehouse.ops_database}.{OPS_SCHEMA}.SLOTS "
            "SELECT %s, %s, CURRENT_TIMESTAMP()::TIMESTAMP_NTZ",
            [step.slot, step.release],
        )

    def _results(self) -> list[dict[str, Any]]:
        try:
            content = json.loads((self._work / "target" / "run_results.json").read_text())
        except FileNotFoundError:
            return []
        return list(content["results"])


def _dbt(
    command: str, project: Path, work: Path, profile: Mapping[str, str], *arguments: str, on_line: Any, timeout_s: float
) -> tuple[int, list[str]]:
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
        environment={**os.environ, **profile, "PYTHONWARNINGS": "ignore"},
        on_line=on_line,
        timeout_s=timeout_s,
    )


def _event(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "info" in found else None


def _report(line: str, progress: Progress) -> None:
    event = _event(line)
    if event and event["info"]["name"] in ("LogModelResult", "LogTestResult", "LogSeedResult", "LogSnapshotResult"):
        progress(event["info"]["msg"].split(" [")[0].strip())


def _failure(failed: list[dict[str, Any]], lines: list[str]) -> str:
    if not failed:
        events = [
            event["info"]["msg"] for line in lines if (event := _event(line)) and event["info"]["level"] == "error"
        ]
        return "dbt build failed: " + " ".join(" ".join(events or lines[-5:]).split())[:600]
    shown = [
        f"  {one['unique_id'].split('.', 2)[-1]}: {' '.join(str(one['message']).split())[:200]}" for one in failed[:5]
    ]
    more = f"\n  and {len(failed) - 5} more" if len(failed) > 5 else ""
    return f"{len(failed)} of the slot's models and tests failed:\n" + "\n".join(shown) + more
