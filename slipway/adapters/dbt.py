"""dbt in a process of its own: the check that a project compiles, and the build of a slot.

Rules:
- A slot that starts as a clone of the live one holds views that still name the live slot's schemas, so every view is
  built again beside what changed (`state:modified+`).
- dbt compares nodes: their SQL, their configuration, the macros they name. What stands under all of them (variables,
  macros that dbt calls by itself, packages, the profile, dbt) it does not compare, so a change there builds everything.
- A slot holds what its manifest names and nothing else: what a clone brought along and no node makes is dropped.
- A slot is complete from the end of a build to the beginning of the next. What readers see is never built into.
https://docs.getdbt.com/reference/node-selection/state-selection
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from slipway.adapters.comparer import SlotComparer
from slipway.adapters.dependents import Dependents
from slipway.adapters.grant import quoted
from slipway.adapters.loss import FIX, is_loss
from slipway.adapters.private_key import private_key
from slipway.adapters.process import run
from slipway.adapters.publisher import SlotPublisher
from slipway.adapters.query import Queries
from slipway.adapters.release_bucket import ReleaseBucket
from slipway.adapters.snowflake import OPS_SCHEMA, Address, Session, SnowflakeFacts, bookkeeping
from slipway.adapters.surroundings import for_child
from slipway.config import Environment
from slipway.documents import canonical
from slipway.errors import StepFailed, Unavailable
from slipway.gate import Problem
from slipway.ports import Outcome, Progress
from slipway.slot import layers_among, schema_in
from slipway.step import BuildSlot, CompareSlot, PublishSlot

_PROGRAM = Path(sys.executable).parent / "dbt"
MESSAGE = 1200  # characters of one node's error: a contract's names every column that does not fit
PARSE_TIMEOUT_S = 120
# Folders of the project whose files are nodes, which dbt compares one by one; and what dbt leaves behind
_NODE_FOLDERS = frozenset({"models", "seeds", "snapshots", "tests", "analyses"})
_LEFTOVERS = frozenset({"target", "logs"})


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


def ground_of(project: Path, profile: Mapping[str, str]) -> str:
    """Return the digest of what every node stands on and dbt's comparison of two manifests does not see."""
    files = {
        str(path.relative_to(project)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in project.rglob("*")
        if path.is_file() and path.relative_to(project).parts[0] not in _NODE_FOLDERS | _LEFTOVERS
    }
    databases = {name: profile[name] for name in ("SLIPWAY_ANALYTICS_DATABASE", "SLIPWAY_RAW_DATABASE")}
    programs = {name: version(name) for name in ("dbt-core", "dbt-snowflake")}
    return hashlib.sha256(canonical({"files": files, "databases": databases, "programs": programs})).hexdigest()


class DbtSlots:
    """Builds one release's slot, compares it and publishes it; implements `ports.Slots`."""

    def __init__(
        self,
        environment: Environment,
        project: Path,
        work: Path,
        *,
        session: Session,
        facts: SnowflakeFacts,
        comparer: SlotComparer,
        publisher: SlotPublisher,
        dependents: Dependents,
        bucket: ReleaseBucket,
        address: Address,
        key_file: Path,
    ) -> None:
        self._environment, self._project, self._work = environment, project, work
        self._session, self._facts, self._bucket = session, facts, bucket
        self._comparer, self._publisher, self._dependents = comparer, publisher, dependents
        self._address, self._key_file = address, key_file

    def is_compared(self, step: CompareSlot) -> bool:
        """Probe of the compare step: readers see the slot, so it was compared. It only reads, so until then it is done
        again, however often it was done (docs/adr/0007-unknown-outcomes.md)."""
        live = self._facts.published()
        return live is not None and live.slot == step.slot

    def compare(self, step: CompareSlot, progress: Progress) -> Outcome:
        """Hold the slot against the live one."""
        return self._comparer.compare(step, progress)

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
            StepFailed: the slot is what readers see, something hangs on slots that would not survive, or a model or a
                data test failed; the slot stays incomplete and unpublished.
            Unavailable: the warehouse was lost meanwhile; the slot stays incomplete.
        """
        warehouse = self._environment.warehouse
        private_key(self._key_file, user=warehouse.transformer.user)
        with self._session.noting() as queries:
            self._session.run(*bookkeeping(warehouse.ops_database))
            self._refuse_published(step)
            self._dependents.refuse_before_build()
            self._session.rows(f"DELETE FROM {self._slots_table} WHERE SLOT = %s", [step.slot])
            began = time.monotonic()
            cloned = self._prepare(step, progress)
            profile = variables(self._environment, step.slot, address=self._address, key_file=self._key_file)
            ground = ground_of(self._project, profile)
            state = self._state(step.clone_from, ground) if step.clone_from else None
            results = self._run(profile, state, progress)
            dropped = self._drop_strangers(step.slot, progress)
            outside_s = time.monotonic() - began
            self._complete(step, ground)
        passed = sum(one["status"] in ("success", "pass") for one in results)
        return Outcome(
            summary=f"{passed} nodes and tests passed"
            + (f", {cloned} schemas cloned from {step.clone_from}" if cloned else "")
            + (f", {len(dropped)} relations dropped that no node makes" if dropped else ""),
            evidence={
                "slot": step.slot,
                "nodes": len(results),
                "passed": passed,
                "cloned_from": step.clone_from,
                "everything": state is None,
                "dropped": dropped,
                **queries_of(results, step.slot).evidence(),
                "session": queries.evidence(),
            },
            outside_s=outside_s,
        )

    def _run(self, profile: Mapping[str, str], state: Path | None, progress: Progress) -> list[dict[str, Any]]:
        """Have dbt build what differs from `state`, everything without it, and every view; return its results."""
        selection = ["--full-refresh"]
        if state is not None:
            selection += ["--select", "state:modified+", "config.materialized:view", "--state", str(state)]
        return dbt_run(
            ("build", *selection),
            self._project,
            self._work,
            profile,
            progress=progress,
            timeout_s=self._environment.timeouts.build_s,
            watch=self._session.require_answer,
        )

    @property
    def _slots_table(self) -> str:
        return f"{self._environment.warehouse.ops_database}.{OPS_SCHEMA}.SLOTS"

    def _refuse_published(self, step: BuildSlot) -> None:
        live = self._facts.published()
        if live is not None and live.slot == step.slot:
            raise StepFailed(
                f"slot {step.slot} is what readers see: building into it would show them half of a build. "
                f"{self._slots_table} does not say that it was built to the end",
                fix="deploy a release with another dbt component first, or put the slot's row back",
            )

    def _prepare(self, step: BuildSlot, progress: Progress) -> int:
        """Leave nothing of an earlier build in the slot, and return how many schemas were cloned into it."""
        analytics, present = self._environment.warehouse.analytics_database, self._facts.schemas()
        layers = layers_among(present, step.clone_from) if step.clone_from else ()
        for layer in set(layers_among(present, step.slot)) - set(layers):
            self._session.run(f"DROP SCHEMA IF EXISTS {analytics}.{quoted(schema_in(layer, step.slot))}")
        role = self._environment.warehouse.transformer.role
        for layer in layers:
            source, target = (quoted(schema_in(layer, slot)) for slot in (str(step.clone_from), step.slot))
            progress(f"cloning {source} to {target}")
            self._session.run(
                f"CREATE OR REPLACE SCHEMA {analytics}.{target} CLONE {analytics}.{source}",
                f"GRANT OWNERSHIP ON ALL TABLES IN SCHEMA {analytics}.{target} TO ROLE {role} COPY CURRENT GRANTS",
                f"GRANT OWNERSHIP ON ALL VIEWS IN SCHEMA {analytics}.{target} TO ROLE {role} COPY CURRENT GRANTS",
                f"GRANT OWNERSHIP ON SCHEMA {analytics}.{target} TO ROLE {role} COPY CURRENT GRANTS",
            )
        return len(layers)

    def _state(self, slot: str, ground: str) -> Path | None:
        """Fetch the manifest of what was built into `slot`, when it was built on the same ground; else None."""
        rows = self._session.rows(f"SELECT PROJECT_SHA256 FROM {self._slots_table} WHERE SLOT = %s", [slot])
        content = self._bucket.dbt_manifest(slot)
        if content is None or (ground,) not in rows:
            return None
        folder = self._work / f"state-{slot}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").write_bytes(content)
        return folder

    def _drop_strangers(self, slot: str, progress: Progress) -> list[str]:
        """Drop what no node of the manifest makes, and return its names: models that were removed, renamed, turned off
        or made ephemeral since the slot that was cloned."""
        analytics, made = self._environment.warehouse.analytics_database, self._made()
        schemas = [schema_in(layer, slot) for layer in layers_among(self._facts.schemas(), slot)]
        present = self._session.rows(
            f"SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM {analytics}.INFORMATION_SCHEMA.TABLES "
            f"WHERE ENDSWITH(TABLE_SCHEMA, %s) ORDER BY TABLE_SCHEMA, TABLE_NAME",
            [schema_in("", slot)],
        )
        dropped = []
        for schema, name, kind in present:
            if (schema.upper(), name.upper()) in made or schema not in schemas:
                continue
            progress(f"dropping {schema}.{name}, which no node makes")
            what = "VIEW" if kind == "VIEW" else "TABLE"
            self._session.run(f"DROP {what} IF EXISTS {analytics}.{quoted(schema)}.{quoted(name)}")
            dropped.append(f"{schema}.{name}")
        for schema in set(schemas) - {schema for schema, _ in made}:
            self._session.run(f"DROP SCHEMA IF EXISTS {analytics}.{quoted(schema)}")
        return dropped

    def _made(self) -> set[tuple[str, str]]:
        """Return schema and name, in upper case, of every relation that the nodes just built make."""
        nodes = json.loads((self._work / "target" / "manifest.json").read_text())["nodes"].values()
        return {(node["schema"].upper(), node["alias"].upper()) for node in nodes if node.get("relation_name")}

    def _complete(self, step: BuildSlot, ground: str) -> None:
        """Keep the manifest, then say that the slot is complete: in this order, so that one never lacks the other."""
        self._bucket.put_dbt_manifest(step.slot, (self._work / "target" / "manifest.json").read_bytes())
        self._session.rows(
            f"INSERT INTO {self._slots_table} (SLOT, RELEASE, BUILT_AT, PROJECT_SHA256) "
            "SELECT %s, %s, CURRENT_TIMESTAMP()::TIMESTAMP_NTZ, %s",
            [step.slot, step.release, ground],
        )


def dbt_run(
    words: Sequence[str],
    project: Path,
    work: Path,
    profile: Mapping[str, str],
    *,
    progress: Progress,
    timeout_s: float,
    watch: Callable[[], None],
    may_be_nothing: bool = False,
) -> list[dict[str, Any]]:
    """Run dbt with a command and its options, and return the results of its nodes.

    Args:
        may_be_nothing: whether the options may select no node.

    Raises:
        StepFailed: a model or a data test failed, or dbt ran none.
        Unavailable: the warehouse was lost meanwhile.

    Side effects: those of the command, and files under `work`.
    """
    code, lines = _dbt(
        words[0],
        project,
        work,
        profile,
        *words[1:],
        on_line=lambda line: _report(line, progress),
        timeout_s=timeout_s,
        watch=watch,
    )
    watch()
    results = _results(work) if code in (0, 1) else []
    failed = [one for one in results if one["status"] in ("error", "fail", "runtime error")]
    if code or failed or not (results or may_be_nothing):
        raise _failure(failed, lines)
    return results


def _results(work: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads((work / "target" / "run_results.json").read_text())
    except FileNotFoundError:
        return []
    return list(content["results"])


def _dbt(
    command: str,
    project: Path,
    work: Path,
    profile: Mapping[str, str],
    *arguments: str,
    on_line: Callable[[str], None],
    timeout_s: float,
    watch: Callable[[], None] | None = None,
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
        environment=for_child(os.environ, {**profile, "PYTHONWARNINGS": "ignore"}, host=profile.get("SNOWFLAKE_HOST")),
        on_line=on_line,
        timeout_s=timeout_s,
        watch=watch,
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


def _failure(failed: list[dict[str, Any]], lines: list[str]) -> StepFailed:
    """Return what to raise: `Unavailable` when the connection is all that failed."""
    said = [str(one["message"]) for one in failed] or [
        event["info"]["msg"] for line in lines if (event := _event(line)) and event["info"]["level"] == "error"
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


def queries_of(results: list[dict[str, Any]], slot: str) -> Queries:
    """Return the queries that made a slot's nodes, the last one of each: dbt-snowflake tells no others."""
    queries = Queries(tag=f"slipway:dbt:{slot}")  # as dbt/profiles.yml sets it
    queries.note((one.get("adapter_response") or {}).get("query_id") for one in results)
    return queries
