"""The backfill of a dbt model: built aside, compared, swapped in (docs/adr/0020-backfills.md).

Rules:
- What readers see is never built into. The model is built in a clone of the published slot, whose name is made of the
  backfill's mark; tests included. What was cloned and is a view names the published slot still, so views are built
  anew.
- The slot keeps its name, because the DAGs of the version build into it. So readers are shown the clone, by the
  publisher's one swap; its tables are taken over into the slot, which nobody sees meanwhile; and a second swap shows
  readers the slot again. Of what was compared nothing is built again: only views are, and no test runs that could keep
  readers on the clone.
- A scheduled run that builds into the slot is waited for: the two would write the same tables.
- What was written to the slot since the clone was begun refuses the swap, and the clone is built anew. What a
  scheduled build writes in the moment after that look, its next run builds again; snapshots are never taken over.
- Killed at any point, readers see one whole slot or the other. While tables are taken over the slot does not count as
  complete, and no deployment comes in between; a rollback may.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from slipway.adapters.dbt import DbtSlots
from slipway.adapters.dbt_process import Order, queries_of, run_to_end
from slipway.adapters.dbt_tree import ground_of, variables
from slipway.adapters.grant import quoted
from slipway.adapters.snowflake import OPS_SCHEMA, bookkeeping
from slipway.comparison import refusal
from slipway.dbt_project import read_manifest
from slipway.errors import Differs, StepFailed
from slipway.node import made_by, nodes_in
from slipway.ports import Outcome, Progress
from slipway.slot import layers_among, schema_in
from slipway.step import AdoptModel, BuildSlot, CatchUpSlot, PublishSlot, RebuildModel

VIEWS = "config.materialized:view"  # as a word of its own: every view; behind a comma: those of what stands before it
_NEITHER = ("--exclude-resource-type", "unit_test", "snapshot")  # they test code; they keep what cannot be had again


class ModelBackfills(DbtSlots):
    """Builds models aside and takes them over."""

    allow: Callable[[str], None] = staticmethod(lambda mark: None)  # raises what must end a build
    wait_for_builds: Callable[[str, Progress], None] = staticmethod(lambda mark, progress: None)  # scheduled ones

    def is_rebuilt(self, step: RebuildModel) -> bool:
        """Probe: the clone was built to the end with every test passed, and nothing was written to the slot since it
        was cloned unless readers see the clone already; or it was taken over."""
        if self._is_taken_over(step.mark):
            return True
        is_complete = step.aside in self._facts.read().complete_slots
        return is_complete and (self._seen() == step.aside or not self._is_behind(step))

    def rebuild(self, step: RebuildModel, progress: Progress) -> Outcome:
        """Build the model in a clone of the published slot; one that was begun is begun anew.

        Raises:
            StepFailed: the slot is not what readers see, or a model or a data test failed; readers see what they saw.
            Unavailable: the warehouse was lost meanwhile.
        """
        build = BuildSlot(slot=step.aside, release=step.release, clone_from=step.slot)
        began = time.monotonic()
        with self._session.noting() as queries:
            self._session.run(*bookkeeping(self._environment.warehouse.ops_database))
            self._require_seen(step.slot)
            self._refuse_published(build)
            self.wait_for_builds(step.mark, progress)
            self._session.change(f"DELETE FROM {self._slots_table} WHERE SLOT = %s", [step.aside])
            moment = self._now()
            self._prepare(build, progress)
            runs = [self._dbt(step.aside, order, progress, mark=step.mark) for order in _runs_of(step)]
            results = [one for run in runs for one in run]
            _require_built(step.request.model, results)
            self._bucket.put_dbt_manifest(step.aside, (self._work / "target" / "manifest.json").read_bytes())
            self._session.change(f"DELETE FROM {self._moments_table} WHERE SLOT = %s", [step.aside])
            self._note_moment(step.aside, moment)
            self._complete(step.aside, step.release, self._ground(step.aside))
        passed = sum(one["status"] in ("success", "pass") for one in results)
        return Outcome(
            summary=f"{passed} nodes and tests passed in {step.aside}, a clone of {step.slot}",
            evidence={
                "model": step.request.model,
                "aside": step.aside,
                "microbatch": step.is_microbatch,
                "runs_of_dbt": len(runs),
                "passed": passed,
                **queries_of(results, step.aside).evidence(),
                "session": queries.evidence(),
            },
            outside_s=time.monotonic() - began,
        )

    def was_swapped_in(self, step: AdoptModel) -> bool:
        """Return whether readers see the clone, or it was taken over; it was compared before, and is not again."""
        return self._seen() == step.aside or self._is_taken_over(step.mark)

    def is_adopted(self, step: AdoptModel) -> bool:
        """Probe: the tables were taken over, readers see the slot again, and the clone is gone."""
        return (
            self._is_taken_over(step.mark)
            and self._publisher.is_published(self._back(step))
            and not layers_among(self._facts.schemas(), step.aside)
        )

    def adopt(self, step: AdoptModel, progress: Progress) -> Outcome:
        """Compare, swap in, take over, swap back; goes on where an earlier process was.

        A run that builds into the slot is waited for before tables are taken over, or readers see the clone.

        Raises:
            Differs: the clone differs beyond the policy's thresholds; readers see what they saw.
            StepFailed: readers see another slot than either, or the slot was written to since it was cloned.
        """
        began, compared = time.monotonic(), dict[str, Any]()
        with self._session.noting() as queries:
            if not self._is_taken_over(step.mark):
                if not self.was_swapped_in(step):
                    self._require_seen(step.slot)
                    progress(f"comparing {step.aside} with {step.slot}")
                    compared = self._compared(step, progress)
                    self.wait_for_builds(step.mark, progress)
                    self._refuse_behind(step)
                    show = PublishSlot(slot=step.aside, release=step.release, replaces=step.slot)
                    self._publisher.publish(show, progress)
                else:
                    self.wait_for_builds(step.mark, progress)
                self._take_over(step, progress)
            if not self._publisher.is_published(self._back(step)):
                self._publisher.publish(self._back(step), progress)
            self._drop(step.aside)
        return Outcome(
            summary=f"{len(step.relations)} table(s) taken over into {step.slot}, by two swaps of what readers see",
            evidence={"slot": step.slot, "aside": step.aside, "compared": compared, **queries.evidence()},
            outside_s=time.monotonic() - began,
        )

    # ---- the parts of it

    def _compared(self, step: AdoptModel, progress: Progress) -> dict[str, Any]:
        """Return the comparison of the clone with what readers see; what was built again, and views on it, may differ
        as what a changed model explains."""
        changed = (*step.relations, *self._views_on(step))
        because = dict.fromkeys(changed, (f"the backfill of {step.request.model}",))
        found, _, queries = self._comparer.look(step.aside, step.slot, progress, because=because)
        if found.stopping:
            refused = Differs(
                refusal(found),
                fix=f"look: invoke dbt.compare --env ENV --slot {step.aside} --with {step.slot}; mend the data, or "
                "acknowledge in config/policy.toml what is wanted, and plan again: invoke backfill.plan --env ENV",
            )
            self._refuse_behind(step, cause=refused)
            raise refused
        return {**found.evidence(), **queries.evidence()}

    def _views_on(self, step: AdoptModel) -> tuple[str, ...]:
        """Return `LAYER.NAME` of the clone's views that show rows of what was built again."""
        content = self._bucket.dbt_manifest(step.aside)
        if content is None:
            return ()
        project, built = read_manifest(content, slot=step.aside), frozenset(step.relations)
        views = made_by([node for node in nodes_in(content, step.aside) if not node.follows_data])
        return tuple(view for view in views if project.made_from(view) & built)

    @property
    def _analytics(self) -> str:
        return self._environment.warehouse.analytics_database

    def _is_behind(self, step: RebuildModel | AdoptModel) -> bool:
        """Return whether the slot that readers see was written to since its clone was begun."""
        return bool(self._behind(CatchUpSlot(slot=step.aside, release=step.release, follows=step.slot)))

    def _refuse_behind(self, step: AdoptModel, *, cause: Differs | None = None) -> None:
        if self._is_behind(step):
            raise StepFailed(
                f"slot {step.slot} was written to since {step.aside} was cloned from it, by a scheduled build perhaps; "
                "readers see what they saw",
                fix="give the same command again: the clone is built anew",
            ) from cause

    def _seen(self) -> str | None:
        live = self._facts.published()
        return live.slot if live else None

    def _require_seen(self, slot: str) -> None:
        if (seen := self._seen()) != slot:
            raise StepFailed(
                f"readers see slot {seen or 'none'}, not {slot}: another deployment changed it",
                fix="invoke status --env ENV, then invoke deploy --env ENV",
            )

    def _back(self, step: AdoptModel) -> PublishSlot:
        return PublishSlot(slot=step.slot, release=step.release, replaces=step.aside)

    def _ground(self, slot: str) -> str:
        return ground_of(self._project, self._profile(slot))

    def _profile(self, slot: str) -> dict[str, str]:
        return variables(self._environment, slot, address=self._address, key_file=self._key_file)

    def _dbt(self, slot: str, order: Order, progress: Progress, *, mark: str | None = None) -> list[dict[str, Any]]:
        """Run dbt in a slot and return its results. Raises as `rebuild`.

        Args:
            mark: of the backfill, when it may be stopped meanwhile; then what `allow` raises ends it.
        """

        def watch() -> None:
            self._session.require_answer()
            if mark is not None:
                self.allow(mark)

        return run_to_end(
            order,
            self._project,
            self._work,
            self._profile(slot),
            progress=progress,
            timeout_s=self._environment.timeouts.build_s,
            watch=watch,
            may_be_nothing=True,  # a model may stand on nothing, and have no tests
        )

    def _take_over(self, step: AdoptModel, progress: Progress) -> None:
        """Fill the slot, which nobody sees, with the tables of the clone; then say that it was done."""
        self._session.change(f"DELETE FROM {self._slots_table} WHERE SLOT = %s", [step.slot])
        for relation in step.relations:
            layer, name = relation.split(".")
            progress(f"taking over {relation}")
            self._copy((layer, name), source=step.aside, target=step.slot)
        views: Order = ("run", "--select", f"+{step.request.model}+,{VIEWS}")
        self._dbt(step.slot, views, progress)  # to its end: readers see the clone, which is not to stay
        self._complete(step.slot, step.release, self._ground(step.slot))
        self._session.change(
            f"INSERT INTO {self._marks_table} (MARK, MODEL, SLOT, ADOPTED_AT) "
            "SELECT %s, %s, %s, CURRENT_TIMESTAMP()::TIMESTAMP_NTZ",
            [step.mark, step.request.model, step.slot],
        )

    def _drop(self, slot: str) -> None:
        """Drop a slot that nobody sees; its row first, so that what is half dropped is not complete."""
        self._session.change(f"DELETE FROM {self._slots_table} WHERE SLOT = %s", [slot])
        for layer in layers_among(self._facts.schemas(), slot):
            self._session.run(f"DROP SCHEMA IF EXISTS {self._analytics}.{quoted(schema_in(layer, slot))}")

    @property
    def _marks_table(self) -> str:
        return f"{self._environment.warehouse.ops_database}.{OPS_SCHEMA}.BACKFILLS"

    def _is_taken_over(self, mark: str) -> bool:
        ops = self._environment.warehouse.ops_database
        tables = self._session.rows(
            f"SELECT 1 FROM {ops}.INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = 'BACKFILLS'",
            [OPS_SCHEMA],
        )
        return bool(tables) and bool(self._session.rows(f"SELECT 1 FROM {self._marks_table} WHERE MARK = %s", [mark]))


def _require_built(model: str, results: Sequence[Mapping[str, Any]]) -> None:
    if not any(
        str(one["unique_id"]).startswith("model.") and one["unique_id"].endswith(f".{model}") for one in results
    ):
        raise StepFailed(f"dbt built everything but {model}", fix="see that the release that is live enables it")


def _runs_of(step: RebuildModel) -> Iterator[Order]:
    """Yield the arguments of each run of dbt that the build aside is made of.

    Every view is built, because what was cloned names the published slot. A microbatch model is never built with
    `--full-refresh` for a stretch of time: dbt would throw its other rows away. What stands on it, and the tests of
    that, come after it: before, they would find the rows that it is built again for.
    https://docs.getdbt.com/reference/node-selection/set-operators
    """
    model = step.request.model
    if not step.is_microbatch:
        yield ("build", "--full-refresh", "--select", f"+{model}+", VIEWS, *_NEITHER)
        return
    yield ("build", "--select", f"+{model}", VIEWS, "--exclude", f"{model}+", *_NEITHER)
    for first, behind in _stretches(step.request.since, step.request.until, step.request.chunk_days):
        yield ("run", "--select", model, "--event-time-start", f"{first}", "--event-time-end", f"{behind}")
    yield ("build", "--full-refresh", "--select", f"{model}+", "--exclude", model, *_NEITHER)
    yield ("test", "--select", model, *_NEITHER)


def _stretches(since: date, until: date, days: int) -> Iterator[tuple[date, date]]:
    """Yield stretches of at most so many days, the end of each being the day behind it."""
    end = until + timedelta(days=1)
    while since < end:
        yield since, min(since + timedelta(days=days), end)
        since += timedelta(days=days)
