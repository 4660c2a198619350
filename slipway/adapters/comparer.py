"""The comparison of two slots in the warehouse, relation by relation, over a few sessions at once. It only reads.

What is compared: the relations that are published, and every table. A view of another layer is left out: to read it
would be to compute it, and what it changes shows in what is built from it.

What a catching up built again comes from newer data than the live relation: the source is read as it is then. A clone
is as new to the catalog as what dbt built, so the slot's moments tell: such a relation was altered after the first
catching up began, and it or what it is made from was written to in the live slot since the build.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar

from slipway.adapters.profile import Relation, Sample, catalog, common_key, profile, sample
from slipway.adapters.query import Queries
from slipway.adapters.release_bucket import ReleaseBucket
from slipway.adapters.snowflake import MOMENT_TABLE, OPS_SCHEMA, Session
from slipway.comparison import NAMED, Comparison, acknowledgement_lines, compare, refusal
from slipway.config import Warehouse
from slipway.dbt_project import Keys, Project, explained, read_manifest
from slipway.difference import Profile
from slipway.errors import ConfigurationError, Differs, StepFailed
from slipway.ports import Outcome, Progress
from slipway.slot import PUBLISHED_LAYERS
from slipway.step import CompareSlot
from slipway.threshold import ComparisonRules

SESSIONS = 4  # at once
NEWER = "built again from newer data"
Because = Mapping[str, tuple[str, ...]]
NOTHING_ELSE: Because = MappingProxyType({})
_T = TypeVar("_T")


class Sessions:
    """A few sessions of one principal, each used by one thread, closed at the end of the block.

    Attributes:
        queries: notes what all of them ran.
    """

    def __init__(self, open_session: Callable[[], Session], *, tag: str) -> None:
        self._open, self._own, self._opened = open_session, threading.local(), list[Session]()
        self._lock, self.queries = threading.Lock(), Queries(tag=tag)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Run one statement in the session of this thread."""
        session = getattr(self._own, "session", None)
        if session is None:
            session = self._own.session = self._open()
            with self._lock:
                self._opened.append(session)
        with session.noting() as noted:
            found = session.rows(statement)
        with self._lock:
            self.queries.note(noted.ids)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self._opened:
            session.close()


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Two slots as catalog and manifests have them.

    Attributes:
        relations: that are compared, of the built slot and of the live one, by title.
        projects: of the built slot and of the live one; None where no manifest was kept.
        columns: of every relation, unread ones too.
        built_again: titles of what a catching up built from newer data.
        unread: how many relations are left out.
    """

    slot: str
    against: str
    relations: tuple[Mapping[str, Relation], Mapping[str, Relation]]
    projects: tuple[Project, Project | None]
    ground_moved: bool
    built_again: frozenset[str]
    unread: int
    columns: tuple[Mapping[str, Collection[str]], Mapping[str, Collection[str]]]
    _personal: dict[str, frozenset[str]] = field(default_factory=dict)

    @property
    def titles(self) -> tuple[str, ...]:
        """Every relation of either side."""
        new, old = self.relations
        return tuple(sorted({*new, *old}))

    def keys(self, title: str) -> Keys:
        """Return the keys that either project declares, of columns that the relation has on each side it is on: a
        change that no longer says what is unique must not keep it from being looked at."""
        declared = dict.fromkeys(key for project in self.projects if project for key in project.keys(title))
        present = [set(one[title].columns) for one in self.relations if title in one]
        return tuple(key for key in declared if all(set(key) <= columns for columns in present))

    def personal(self, title: str) -> frozenset[str]:
        """Return the columns that are marked as personal on either side: neither dates nor sums of them are told."""
        if title not in self._personal:
            found = (project.personal(title) for project in self.projects if project)
            self._personal[title] = frozenset[str]().union(*found)
        return self._personal[title]

    def concealed(self, title: str) -> frozenset[str]:
        """Return the columns whose values no row shows: personal on either side, or made from what is."""
        sides = zip(self.projects, self.columns, strict=True)
        return frozenset[str]().union(*(one.concealed(title, columns) for one, columns in sides if one))


class SlotComparer:
    """Compares a built slot with the live one.

    Args:
        open_session: gives a session that may read both.
        bucket: keeps the manifests of what was built.
        today: that acknowledgements must reach.
    """

    def __init__(
        self,
        open_session: Callable[[], Session],
        warehouse: Warehouse,
        bucket: ReleaseBucket,
        rules: ComparisonRules,
        *,
        tag: str = "slipway",
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        self._open, self._warehouse, self._bucket, self._rules = open_session, warehouse, bucket, rules
        self._tag, self._today = tag, today

    def compare(self, step: CompareSlot, progress: Progress) -> Outcome:
        """Compare the slot that was built with the live one.

        Raises:
            Differs: it differs beyond the thresholds; what is live was not touched, and the slot stays.
        """
        if step.rules != self._rules.digest:
            raise StepFailed(
                "the thresholds are not those of the plan", fix="invoke plan --env ENV, and deploy by that one"
            )
        began = time.monotonic()
        with self._sessions() as sessions:
            found = self._compared(sessions, self._sides(sessions, step.slot, step.against), progress)
        if found.stopping:
            lines = "\n    ".join(acknowledgement_lines(found, most=NAMED))
            more = "\n    and so on, as that command shows" if len(found.stopping) > NAMED else ""
            differs = Differs(
                refusal(found),
                fix="look: invoke dbt.compare --env ENV; mend the model or the data and deploy again, or commit in "
                f"config/policy.toml what is wanted:\n    {lines}{more}",
            )
            differs.evidence = sessions.queries.evidence()
            raise differs
        return Outcome(
            summary=found.summary(),
            evidence={**found.evidence(), **sessions.queries.evidence()},
            outside_s=time.monotonic() - began,
        )

    def look(
        self, slot: str, against: str, progress: Progress, *, rows: int = 0, because: Because | None = None
    ) -> tuple[Comparison, tuple[Sample, ...], Queries]:
        """Return the comparison of two slots, and samples of what differs.

        Args:
            rows: how many keys a sample may name; 0 takes none.
            because: what explains the differences of a relation besides changed models, by title.
        """
        with self._sessions() as sessions:
            sides = self._sides(sessions, slot, against)
            found = self._compared(sessions, sides, progress, because or {})
            samples = self._samples(sessions, sides, found, progress, rows) if rows else ()
        return found, samples, sessions.queries

    def _sessions(self) -> Sessions:
        return Sessions(self._open, tag=self._tag)

    def _sides(self, sessions: Sessions, slot: str, against: str) -> Sides:
        warehouse, slots = self._warehouse, (slot, against)
        content = self._bucket.dbt_manifest(slot)
        if content is None:
            raise ConfigurationError(
                f"no manifest was kept of what was built into slot {slot}", fix="deploy the commit it belongs to again"
            )
        before = self._bucket.dbt_manifest(against)
        grounds = dict(sessions.rows(f"SELECT SLOT, PROJECT_SHA256 FROM {warehouse.ops_database}.{OPS_SCHEMA}.SLOTS"))
        present = catalog(sessions.rows, warehouse.analytics_database, slots)
        project = read_manifest(content, slot=slot)
        compared = {name: {title: one for title, one in present[name].items() if _is_read(one)} for name in slots}
        return Sides(
            slot=slot,
            against=against,
            relations=(compared[slot], compared[against]),
            projects=(
                project,
                read_manifest(before, slot=against) if before is not None else None,
            ),
            ground_moved=grounds.get(slot) != grounds.get(against),
            built_again=_built_again(project, (present[slot], present[against]), self._moments(sessions, slot)),
            unread=len(present[slot]) - len(compared[slot]),
            columns=(_columns_in(present[slot]), _columns_in(present[against])),
        )

    def _moments(self, sessions: Sessions, slot: str) -> tuple[datetime, ...]:
        """Return when the build of a slot began, and then each catching up of it."""
        table = f"{self._warehouse.ops_database}.{OPS_SCHEMA}.{MOMENT_TABLE}"
        return tuple(since for (since,) in sessions.rows(f"SELECT SINCE FROM {table} WHERE SLOT = '{slot}' ORDER BY 1"))

    def _compared(
        self, sessions: Sessions, sides: Sides, progress: Progress, because: Because = NOTHING_ELSE
    ) -> Comparison:
        profiles = self._profiles(sessions, sides, progress)
        new, old = sides.projects
        models_say = explained(old, new, ground_moved=sides.ground_moved)
        models = {
            title: project.nodes[name].name
            for project in (old, new)
            if project
            for title, name in project.by_relation.items()
        }
        return compare(
            profiles[1],
            profiles[0],
            self._rules,
            slot=sides.slot,
            against=sides.against,
            today=self._today(),
            models=models,
            because={
                title: (
                    *because.get(title, ()),
                    *models_say.get(title, ()),
                    *((NEWER,) if title in sides.built_again else ()),
                )
                for title in {*because, *models_say, *sides.built_again}
            },
            notes=dict(_moved_on(sides)),
            unread=sides.unread,
        )

    def _profiles(
        self, sessions: Sessions, sides: Sides, progress: Progress
    ) -> tuple[dict[str, Profile], dict[str, Profile]]:
        """Return the profiles of the built slot and of the live one, by title: one query each."""

        def ask(title: str, number: int) -> Callable[[], Profile]:
            relation, slot = sides.relations[number][title], (sides.slot, sides.against)[number]
            sizes = [one[title].rows or 0 for one in sides.relations if title in one]
            return lambda: profile(
                sessions.rows,
                relation,
                relation.place(self._warehouse.analytics_database, slot),
                keys=sides.keys(title),
                personal=sides.personal(title),
                concealed=sides.concealed(title),
                estimates=max(sizes) > self._rules.exact_rows,
            )

        jobs = {
            (title, number): ask(title, number)
            for title in sides.titles
            for number in (0, 1)
            if title in sides.relations[number]
        }
        found = at_once(jobs, lambda one, done: progress(f"{one[0]}: {done} of {len(jobs)} profiles"))
        new, old = ({title: one for (title, side), one in found.items() if side == number} for number in (0, 1))
        return new, old

    def _samples(
        self, sessions: Sessions, sides: Sides, found: Comparison, progress: Progress, limit: int
    ) -> tuple[Sample, ...]:
        """Return samples of the relations that differ, and of those that a changed model explains: one query each."""
        wanted = [
            one.relation
            for one in found.relations
            if (one.findings or one.because) and one.before is not None and one.after is not None
        ]

        def ask(title: str) -> Callable[[], Sample]:
            new, old = (relations[title] for relations in sides.relations)
            database = self._warehouse.analytics_database
            key, why_none = common_key(old, new, sides.keys(title))
            if not key:
                return lambda: Sample(relation=title, total=None, note=why_none)
            return lambda: sample(
                sessions.rows,
                old,
                new,
                (old.place(database, sides.against), new.place(database, sides.slot)),
                key=key,
                personal=sides.concealed(title),
                limit=limit,
            )

        told = at_once(
            {title: ask(title) for title in wanted},
            lambda title, done: progress(f"{title}: {done} of {len(wanted)} samples"),
        )
        return tuple(told[title] for title in wanted if told[title].total != 0 or told[title].doubled)


def _columns_in(relations: Mapping[str, Relation]) -> dict[str, Collection[str]]:
    return {title: one.columns for title, one in relations.items()}


def _is_read(relation: Relation) -> bool:
    return not relation.is_view or relation.layer in PUBLISHED_LAYERS


def _built_again(
    project: Project, relations: tuple[Mapping[str, Relation], Mapping[str, Relation]], moments: Sequence[datetime]
) -> frozenset[str]:
    """Return what a catching up built again of the first of two slots, by title."""
    if len(moments) < 2:
        return frozenset()
    new, old = relations
    written = {
        title for title, one in old.items() if not one.is_view and one.altered_at and one.altered_at >= moments[0]
    }
    return frozenset(
        title
        for title, one in new.items()
        if one.altered_at and one.altered_at >= moments[1] and written & project.made_from(title)
    )


def _moved_on(sides: Sides) -> Iterable[tuple[str, str]]:
    """Yield what is said of a table of the live slot that was written to after the built slot got its own."""
    new, old = sides.relations
    for title in set(new) & set(old):
        before, after = old[title].altered_at, new[title].altered_at
        if before and after and before > after and not old[title].is_view:
            yield title, "the live one was written to since, and the next deployment builds the slot anew"


def at_once(jobs: Mapping[Any, Callable[[], _T]], tell: Callable[[Any, int], None]) -> dict[Any, _T]:
    """Return what the jobs return; what one raises is raised once the others that run are over."""
    found = {}
    with ThreadPoolExecutor(max_workers=SESSIONS) as pool:
        running: dict[Future[_T], Any] = {pool.submit(job): name for name, job in jobs.items()}
        try:
            for done, future in enumerate(as_completed(running), start=1):
                found[running[future]] = future.result()
                tell(running[future], done)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return found
