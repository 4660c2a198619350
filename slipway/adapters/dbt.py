"""The slots of a release: built by dbt, caught up, compared, published.

Rules:
- A slot that starts as a clone of the live one holds views that still name the live slot's schemas, so every view is
  built again beside what changed (`state:modified+`).
- dbt compares nodes: their SQL, their configuration, the macros they name. What stands under all of them (variables,
  macros that dbt calls by itself, packages, the profile, dbt) it does not compare, so a change there builds everything.
- A slot holds what its manifest names and nothing else: what a clone brought along and no node makes is dropped.
- A slot is complete from the end of a build to the beginning of the next, or of a catching up. What readers see is
  never built into.
- What is not built is read from the clone in the slot itself, so that nothing is deferred to the live slot: with
  `--defer` a view of the new slot could name the live one, and readers would see both.
- A build that failed begins anew. What it had built stands on rows as they were then, and no test has passed on them
  together with the rest: to go on would make a slot of two moments.
- While a slot is built the live one goes on: pipelines build it. Whatever they wrote to since the clone is built again
  in the new slot, with what descends from it, until the live one stands still. What is new in the slot is built again
  when its sources were written to: once, and again with what the live one has got, so that loads alone keep nobody
  waiting.
https://docs.getdbt.com/reference/node-selection/state-selection
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from slipway.adapters.comparer import SlotComparer
from slipway.adapters.dbt_process import queries_of, run_to_end
from slipway.adapters.dbt_tree import ground_of, variables
from slipway.adapters.dependents import Dependents
from slipway.adapters.grant import quoted
from slipway.adapters.private_key import private_key
from slipway.adapters.publisher import SlotPublisher
from slipway.adapters.release_bucket import ReleaseBucket
from slipway.adapters.snowflake import MOMENT_TABLE, OPS_SCHEMA, Address, Session, SnowflakeFacts, bookkeeping
from slipway.config import Environment
from slipway.errors import Differs, StepFailed
from slipway.node import Node, Relation, behind, copied, fed_by, newcomers, nodes_in, unfit
from slipway.ports import Outcome, Progress
from slipway.slot import layers_among, schema_in
from slipway.step import BuildSlot, CatchUpSlot, CompareSlot, PublishSlot


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
        """Hold the slot against the live one.

        Raises:
            StepFailed: the live slot was written to meanwhile, so what was seen is of two moments.
            Differs: see `SlotComparer.compare`.
        """
        try:
            found = self._comparer.compare(step, progress)
        except Differs as error:
            self._refuse_moved(step, cause=error)
            raise
        self._refuse_moved(step)
        return found

    def _refuse_moved(self, step: CompareSlot, *, cause: Differs | None = None) -> None:
        follows = CatchUpSlot(slot=step.slot, release=step.release, follows=step.against)
        if self._has_moment(step.slot) and self._behind(follows):
            raise StepFailed(
                f"slot {step.against}, which is live, was written to while it was compared",
                fix="give the same command again: it catches up and compares again",
            ) from cause

    def _has_moment(self, slot: str) -> bool:
        return bool(self._session.rows(f"SELECT 1 FROM {self._moments_table} WHERE SLOT = %s LIMIT 1", [slot]))

    def is_published(self, step: PublishSlot) -> bool:
        """Probe of the publish step."""
        return self._publisher.is_published(step)

    def publish(self, step: PublishSlot, progress: Progress) -> Outcome:
        """Make the slot what readers see.

        Raises:
            StepFailed: the slot was not built to its end; see `SlotPublisher.publish` for the others.
        """
        if step.slot not in self._facts.read().complete_slots:
            raise StepFailed(
                f"slot {step.slot} was not built to its end, and is not shown to anybody",
                fix="deploy again: what is not complete is built",
            )
        return self._publisher.publish(step, progress)

    def is_caught_up(self, step: CatchUpSlot) -> bool:
        """Probe of the catching up: the slot is complete, and since its clone, or the last catching up, began nothing
        it has too was written to in the live one, and no source of what only it has."""
        live = self._facts.published()
        if live is not None and live.slot == step.slot:
            return True
        return step.slot in self._facts.read().complete_slots and not self._due(step, is_first=True)

    def catch_up(self, step: CatchUpSlot, progress: Progress) -> Outcome:
        """Build again what was written to in the live slot, and all that descends from it, until that stands still.

        A slot that an earlier catching up left incomplete is built anew first: its plan may have no build.

        Raises:
            StepFailed: a model or a data test failed, or the live slot does not come to rest; the slot stays
                unpublished.
            Unavailable: the warehouse was lost meanwhile; the slot stays incomplete.
        """
        began, passes, results, copies = time.monotonic(), 0, list[dict[str, Any]](), set[str]()
        with self._session.noting() as queries:
            self._session.run(*bookkeeping(self._environment.warehouse.ops_database))
            anew = self._build_incomplete(step, progress)
            while due := self._due(step, is_first=not passes):
                self._refuse_restless(step, due, waited_s=time.monotonic() - began)
                passes += 1
                progress(f"{len(due)} relations lack what was written since; pass {passes}")
                done, copies_now = self._pass(step, due, progress)
                results, copies = results + done, copies | copies_now
        built = _passed(results)
        said = f"{built} nodes and tests passed in {passes} pass(es)" if passes else "nothing was written meanwhile"
        return Outcome(
            summary=f"built anew: {anew.summary}; then {said}" if anew else said,
            evidence={
                "slot": step.slot,
                "follows": step.follows,
                "anew": anew.evidence if anew else None,
                "passes": passes,
                "passed": built,
                "copied": sorted(copies),
                **queries_of(results, step.slot).evidence(),
                "session": queries.evidence(),
            },
            outside_s=time.monotonic() - began,
        )

    def _build_incomplete(self, step: CatchUpSlot, progress: Progress) -> Outcome | None:
        """Build the slot when it is not complete, from a clone of the live one if that is; None when it is complete."""
        complete = self._facts.read().complete_slots
        if step.slot in complete:
            return None
        clone_from = step.follows if step.follows in complete else None
        return self.build(BuildSlot(slot=step.slot, release=step.release, clone_from=clone_from), progress)

    def _pass(
        self, step: CatchUpSlot, nodes: tuple[Node, ...], progress: Progress
    ) -> tuple[list[dict[str, Any]], set[str]]:
        """Build `nodes` and their descendants, and return dbt's results and which snapshots were copied.

        The slot is incomplete meanwhile: a process that dies leaves one that is built anew.
        """
        (ground,) = self._session.rows(f"SELECT PROJECT_SHA256 FROM {self._slots_table} WHERE SLOT = %s", [step.slot])[
            0
        ]
        self._session.change(f"DELETE FROM {self._slots_table} WHERE SLOT = %s", [step.slot])
        moment = self._now()
        live = self._bucket.dbt_manifest(step.follows)
        same = copied(nodes, nodes_in(live, step.follows) if live else ())
        for node in same:
            self._copy(node.relation, source=step.follows, target=step.slot)
        profile = variables(self._environment, step.slot, address=self._address, key_file=self._key_file)
        results = self._run(profile, ["--select", *(f"{node.selector}+" for node in nodes)], progress)
        self._note_moment(step.slot, moment)
        self._complete(step.slot, step.release, ground)
        return results, {".".join(node.relation) for node in same}

    def _copy(self, relation: Relation, *, source: str, target: str) -> None:
        """Put the table of slot `source` in the place of slot `target`'s own, owned by who builds there.

        What is transient, as dbt makes tables unless told otherwise, has transient clones only.
        https://docs.snowflake.com/en/user-guide/tables-temp-transient
        """
        analytics, (layer, name) = self._environment.warehouse.analytics_database, relation
        found = self._session.rows(
            f"SELECT IS_TRANSIENT FROM {analytics}.INFORMATION_SCHEMA.TABLES "
            "WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s",
            [schema_in(layer, source), name],
        )
        kind = "TRANSIENT TABLE" if found == [("YES",)] else "TABLE"
        there, here = (f"{analytics}.{quoted(schema_in(layer, slot))}.{quoted(name)}" for slot in (source, target))
        role = self._environment.warehouse.transformer.role
        self._session.clone(
            f"CREATE OR REPLACE {kind} {here} CLONE {there}", seconds=self._environment.timeouts.clone_s
        )
        self._session.run(f"GRANT OWNERSHIP ON TABLE {here} TO ROLE {role} COPY CURRENT GRANTS")

    def _due(self, step: CatchUpSlot, *, is_first: bool) -> tuple[Node, ...]:
        """Return the nodes that a pass builds again; what is new in the slot is no reason for a second one."""
        behind_now = self._behind(step)
        if not (behind_now or is_first):
            return ()
        return tuple(dict.fromkeys((*behind_now, *self._newcomers_behind(step))))

    def _behind(self, step: CatchUpSlot) -> tuple[Node, ...]:
        """Return the nodes of the slot whose relation in the live one was written to since the slot's last moment."""
        content, warehouse = self._bucket.dbt_manifest(step.slot), self._environment.warehouse
        suffix = schema_in("", step.follows)
        rows = self._session.rows(
            f"SELECT TABLE_SCHEMA, TABLE_NAME FROM {warehouse.analytics_database}.INFORMATION_SCHEMA.TABLES "
            f"WHERE ENDSWITH(TABLE_SCHEMA, %s) AND {self._is_since}",
            [suffix, step.slot],
        )
        return behind(nodes_in(content, step.slot), _in_layers(rows, suffix)) if content else ()

    def _newcomers_behind(self, step: CatchUpSlot) -> tuple[Node, ...]:
        """Return the nodes that the live slot has no table of and whose sources in the raw database were written to
        since the slot's last moment. What names that database without a source is not seen."""
        content, warehouse = self._bucket.dbt_manifest(step.slot), self._environment.warehouse
        suffix = schema_in("", step.follows)
        tables = self._session.rows(
            f"SELECT TABLE_SCHEMA, TABLE_NAME FROM {warehouse.analytics_database}.INFORMATION_SCHEMA.TABLES "
            "WHERE ENDSWITH(TABLE_SCHEMA, %s) AND TABLE_TYPE <> 'VIEW'",
            [suffix],
        )
        fresh = newcomers(nodes_in(content, step.slot), _in_layers(tables, suffix)) if content else ()
        if not content or not fresh:
            return ()
        rows = self._session.rows(
            f"SELECT TABLE_SCHEMA, TABLE_NAME FROM {warehouse.raw_database}.INFORMATION_SCHEMA.TABLES "
            f"WHERE {self._is_since}",
            [step.slot],
        )
        raw = warehouse.raw_database.upper()
        return fed_by(fresh, content, {(raw, str(schema).upper(), str(name).upper()) for schema, name in rows})

    @property
    def _is_since(self) -> str:
        """The condition that a relation was written to since a slot's last moment; the slot is its parameter."""
        last = f"SELECT COALESCE(MAX(SINCE), TO_TIMESTAMP_LTZ(0)) FROM {self._moments_table} WHERE SLOT = %s"
        return f"LAST_ALTERED >= ({last})"

    def _refuse_restless(self, step: CatchUpSlot, nodes: tuple[Node, ...], *, waited_s: float) -> None:
        if waited_s > self._environment.timeouts.build_s:
            names = ", ".join(".".join(node.relation) for node in nodes[:5])
            raise StepFailed(
                f"slot {step.follows}, which readers see, is still being written to: {names}",
                fix="wait until finance_daily has ended, and deploy again",
            )

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
            self._session.change(f"DELETE FROM {self._slots_table} WHERE SLOT = %s", [step.slot])
            began = time.monotonic()
            moment = self._now()
            cloned = self._prepare(step, progress)
            profile = variables(self._environment, step.slot, address=self._address, key_file=self._key_file)
            ground = ground_of(self._project, profile)
            state, unfit_for = self._state(step.clone_from, ground) if step.clone_from else (None, "")
            results = self._run(profile, _selection(state), progress)
            dropped = self._drop_strangers(step.slot, progress)
            outside_s = time.monotonic() - began
            self._session.change(f"DELETE FROM {self._moments_table} WHERE SLOT = %s", [step.slot])
            self._note_moment(step.slot, moment)
            self._bucket.put_dbt_manifest(step.slot, (self._work / "target" / "manifest.json").read_bytes())
            self._complete(step.slot, step.release, ground)  # last, so that a complete slot lacks nothing
        passed = _passed(results)
        return Outcome(
            summary=f"{passed} nodes and tests passed"
            + (f", {cloned} schemas cloned from {step.clone_from}" if cloned else "")
            + (f"; everything, because {unfit_for}" if unfit_for else "")
            + (f"; no node makes {', '.join(dropped)} any more: gone from the slot" if dropped else ""),
            evidence={
                "slot": step.slot,
                "nodes": len(results),
                "passed": passed,
                "cloned_from": step.clone_from,
                "everything": state is None,
                "everything_because": unfit_for or None,
                "dropped": dropped,
                **queries_of(results, step.slot).evidence(),
                "session": queries.evidence(),
            },
            outside_s=outside_s,
        )

    def _run(self, profile: Mapping[str, str], selection: Sequence[str], progress: Progress) -> list[dict[str, Any]]:
        """Have dbt build what is selected, and return its results."""
        return run_to_end(
            ("build", *selection),
            self._project,
            self._work,
            profile,
            progress=progress,
            timeout_s=self._environment.timeouts.build_s,
            watch=self._session.require_answer,
        )

    def _now(self) -> Any:
        """Return what the warehouse's clock says, by which it knows when tables were written to."""
        return self._session.rows("SELECT CURRENT_TIMESTAMP()::TIMESTAMP_LTZ::VARCHAR")[0][0]

    def _note_moment(self, slot: str, moment: Any) -> None:
        self._session.change(
            f"INSERT INTO {self._moments_table} (SLOT, SINCE) SELECT %s, %s::TIMESTAMP_LTZ", [slot, moment]
        )

    @property
    def _moments_table(self) -> str:
        return f"{self._environment.warehouse.ops_database}.{OPS_SCHEMA}.{MOMENT_TABLE}"

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
            self._session.clone(
                f"CREATE OR REPLACE SCHEMA {analytics}.{target} CLONE {analytics}.{source}",
                seconds=self._environment.timeouts.clone_s,
            )
            self._session.run(
                f"GRANT OWNERSHIP ON ALL TABLES IN SCHEMA {analytics}.{target} TO ROLE {role} COPY CURRENT GRANTS",
                f"GRANT OWNERSHIP ON ALL VIEWS IN SCHEMA {analytics}.{target} TO ROLE {role} COPY CURRENT GRANTS",
                f"GRANT OWNERSHIP ON SCHEMA {analytics}.{target} TO ROLE {role} COPY CURRENT GRANTS",
            )
        return len(layers)

    def _state(self, slot: str, ground: str) -> tuple[Path | None, str]:
        """Fetch the manifest of what was built into `slot`; or say why it is not one to compare with."""
        rows = self._session.rows(f"SELECT PROJECT_SHA256 FROM {self._slots_table} WHERE SLOT = %s", [slot])
        content = self._bucket.dbt_manifest(slot)
        if content is None:
            return None, f"no manifest of {slot} is kept"
        if reason := unfit(content, dbt=version("dbt-core")):
            return None, reason
        if (ground,) not in rows:
            return None, "what every node stands on changed: project file, macros, packages, databases or dbt"
        folder = self._work / f"state-{slot}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").write_bytes(content)
        return folder, ""

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

    def _complete(self, slot: str, release: str, ground: str) -> None:
        """Say that the slot is complete."""
        self._session.change(
            f"INSERT INTO {self._slots_table} (SLOT, RELEASE, BUILT_AT, PROJECT_SHA256) "
            "SELECT %s, %s, CURRENT_TIMESTAMP()::TIMESTAMP_NTZ, %s",
            [slot, release, ground],
        )


def _selection(state: Path | None) -> list[str]:
    """Return what a build selects: what differs from `state`, everything without it, and every view."""
    if state is None:
        return ["--full-refresh"]
    return ["--full-refresh", "--select", "state:modified+", "config.materialized:view", "--state", str(state)]


def _in_layers(rows: Collection[tuple[Any, ...]], suffix: str) -> set[Relation]:
    """Return layer and name of a slot's relations, given schema and name."""
    return {(str(schema).removesuffix(suffix).upper(), str(name).upper()) for schema, name in rows}


def _passed(results: Collection[Mapping[str, Any]]) -> int:
    return sum(one["status"] in ("success", "pass") for one in results)
