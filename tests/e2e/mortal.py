"""A deployment or a rollback that kills itself: `python -m tests.e2e.mortal deploy --point after --step build`.

It goes the way of `invoke deploy` and `invoke rollback` through the library. Only what it is given differs: an
operation whose effects, and a journal whose writes, end this process where that is wanted, as the kernel would.

Without a point it lives; what its ports do is held to their contract, and it prints which kinds of steps that was true
of, what they told and how long they took. With `--lost` the first answer of every effect is lost on the way.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

from slipway.adapters.journal import DynamoJournal, Fence
from slipway.adapters.query import Queries
from slipway.adapters.snowflake import Session
from slipway.audit import JournalItem
from slipway.deployment import Event, EventKind
from slipway.errors import StepFailed
from slipway.launch import Order, launch
from slipway.operation import Operation, open_site, operate, operate_earlier
from slipway.ports import Effects, Outcome, Progress
from slipway.progress import Progress as Shown
from slipway.rollback import live_in, rollback_target
from slipway.site import Site
from slipway.step import (
    ApplyInfrastructure,
    BuildSlot,
    CatchUpSlot,
    CompareSlot,
    FlipPointer,
    MigrateWarehouse,
    PublishSlot,
    RehearseMigrations,
    Step,
    StepKind,
    UploadVersion,
)
from tests.ports.contract.effects import Kept, through

Purpose = Literal["deploy", "rollback"]
# before: of the step it is journalled that it started, and its probe said no. during: so many seconds after its effect
# began. word: as the effect tells a line. statement: after one was run in the warehouse. after: its effect is done, and
# not recorded. recorded: it is. failing: the effect fails, and an event of this kind says so. event: one of this kind
# was journalled. sealed: the end was signed.
Point = Literal["before", "during", "word", "statement", "after", "recorded", "failing", "event", "sealed"]
PROJECT = Path(__file__).parents[2]
ENVIRONMENT = "staging"


@dataclass(frozen=True, kw_only=True)
class Death:
    """Where a process dies.

    Attributes:
        step: of the step's points.
        after_s: of `during`.
        word: of `word`, the number of the line, from 1.
        text: of `word` and `statement`, a part of the line or statement, e.g. "SWAP WITH".
        event: of `event`.
    """

    point: Point
    step: StepKind | None = None
    after_s: float = 0.0
    word: int = 0
    text: str = ""
    event: EventKind | None = None

    def arguments(self) -> list[str]:
        """Return the command line that asks for it."""
        options = {
            "step": self.step,
            "after-s": self.after_s,
            "word": self.word,
            "text": self.text,
            "event": self.event,
        }
        return [
            f"--point={self.point}",
            *(f"--{name}={value}" for name, value in options.items() if value),
        ]


def die() -> NoReturn:
    """End this process as the kernel would: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL cannot be survived")


@dataclass
class Fate:
    """Knows when to die, and notes what effects took and told."""

    death: Death | None
    seconds: dict[str, float] = field(default_factory=dict)
    words: dict[str, list[str]] = field(default_factory=dict)
    doing: StepKind | None = None

    def surround(self, step: Step, progress: Progress, effect: Callable[[Progress], Outcome]) -> Outcome:
        """Cause the effect of a step, or die before, in, or after it."""
        mine = self.death is not None and self.death.step == step.kind
        point = self.death.point if self.death is not None and mine else None
        if point == "before":
            die()
        if point == "failing":
            raise StepFailed(f"{step.kind}: failed because that was wanted")
        if point == "during" and self.death is not None:
            timer = threading.Timer(self.death.after_s, die)
            timer.daemon = True
            timer.start()
        told = self.words.setdefault(step.kind, [])

        def tell(line: str) -> None:
            told.append(line)
            progress(line)
            if point == "word" and self.death is not None and self._is_said(line, len(told)):
                die()

        self.doing, began = step.kind, time.monotonic()
        outcome = effect(tell)
        self.doing, self.seconds[step.kind] = None, time.monotonic() - began
        if point in ("during", "word", "statement"):
            print(f"the effect of {step.kind} ended first", file=sys.stderr, flush=True)
        if point in ("during", "word", "statement", "after"):
            die()
        return outcome

    def _is_said(self, line: str, number: int) -> bool:
        death = self.death
        return death is not None and (death.text in line if death.text else number == death.word)

    def ran(self, statement: str) -> None:
        """Die if this is the statement."""
        death = self.death
        if death is not None and (death.point, death.step) == ("statement", self.doing) and death.text in statement:
            die()

    def journalled(self, kind: EventKind, step: StepKind | None) -> None:
        """Die if this is the event."""
        death = self.death
        if death is None:
            return
        if (death.point, death.event) == ("event", kind):
            die()
        if (death.point, kind, death.step) == ("recorded", "step-done", step):
            die()
        if (death.point, death.event) == ("failing", kind):
            die()


class MortalEffects:
    """Every port that changes something, around the real ones; implements all of `ports.Effects`.

    Args:
        write_to: writes to a slot as a pipeline would, once, so that there is something to catch up with.
    """

    def __init__(self, real: Effects, fate: Fate, write_to: Callable[[str], None]) -> None:
        self._real, self._fate, self._write_to, self._wrote = real, fate, write_to, False

    def is_applied(self, step: ApplyInfrastructure) -> bool:
        return self._real.infrastructure.is_applied(step)

    def apply(self, step: ApplyInfrastructure, progress: Progress) -> Outcome:
        return self._fate.surround(step, progress, lambda tell: self._real.infrastructure.apply(step, tell))

    def is_uploaded(self, step: UploadVersion) -> bool:
        return self._real.releases.is_uploaded(step)

    def upload(self, step: UploadVersion, progress: Progress) -> Outcome:
        return self._fate.surround(step, progress, lambda tell: self._real.releases.upload(step, tell))

    def are_rehearsed(self, step: RehearseMigrations) -> bool:
        return self._real.migrations.are_rehearsed(step)

    def rehearse(self, step: RehearseMigrations, progress: Progress) -> Outcome:
        return self._fate.surround(step, progress, lambda tell: self._real.migrations.rehearse(step, tell))

    def are_applied(self, step: MigrateWarehouse) -> bool:
        return self._real.migrations.are_applied(step)

    def migrate(self, step: MigrateWarehouse, progress: Progress) -> Outcome:
        return self._fate.surround(step, progress, lambda tell: self._real.migrations.migrate(step, tell))

    def is_built(self, step: BuildSlot) -> bool:
        return self._real.slots.is_built(step)

    def build(self, step: BuildSlot, progress: Progress) -> Outcome:
        return self._fate.surround(step, progress, lambda tell: self._real.slots.build(step, tell))

    def is_caught_up(self, step: CatchUpSlot) -> bool:
        if not self._wrote:
            self._wrote = True
            self._write_to(step.follows)
        return self._real.slots.is_caught_up(step)

    def catch_up(self, step: CatchUpSlot, progress: Progress) -> Outcome:
        return self._fate.surround(step, progress, lambda tell: self._real.slots.catch_up(step, tell))

    def is_compared(self, step: CompareSlot) -> bool:
        return self._real.slots.is_compared(step)

    def compare(self, step: CompareSlot, progress: Progress) -> Outcome:
        return self._fate.surround(step, progress, lambda tell: self._real.slots.compare(step, tell))

    def is_published(self, step: PublishSlot) -> bool:
        return self._real.slots.is_published(step)

    def publish(self, step: PublishSlot, progress: Progress) -> Outcome:
        return self._fate.surround(step, progress, lambda tell: self._real.slots.publish(step, tell))

    def is_live(self, step: FlipPointer) -> bool:
        return self._real.orchestrator.is_live(step)

    def flip(self, step: FlipPointer, progress: Progress) -> Outcome:
        return self._fate.surround(step, progress, lambda tell: self._real.orchestrator.flip(step, tell))


class MortalOperation(Operation):
    """An operation whose effects may be the last that this process does; when not, they are held to the contract.

    Args:
        other: the same environment as another process finds it.
        loses: whether the first answer of every effect is lost.
    """

    def __init__(self, living: Operation, fate: Fate, other: Site, *, loses: bool = False) -> None:
        super().__init__(living.site, living.release, living.version, living.commits)
        self._fate, self._other, self._loses = fate, other, loses
        self._mortal: MortalEffects | None = None
        self.kept: Kept | None = None

    def _anew(self) -> Operation:
        return Operation(self._other, self.release, self.version, self.commits)

    def _write_to(self, slot: str) -> None:
        """Write what is there already to a table of a slot: the warehouse only knows that it was written to."""
        session, analytics = self.site.session, self.site.environment.warehouse.analytics_database
        schema, table, column = session.rows(
            f"SELECT C.TABLE_SCHEMA, C.TABLE_NAME, C.COLUMN_NAME FROM {analytics}.INFORMATION_SCHEMA.COLUMNS C "
            f"JOIN {analytics}.INFORMATION_SCHEMA.TABLES T ON T.TABLE_SCHEMA = C.TABLE_SCHEMA "
            "AND T.TABLE_NAME = C.TABLE_NAME WHERE T.TABLE_TYPE = 'BASE TABLE' AND T.ROW_COUNT > 0 "
            "AND C.TABLE_SCHEMA = %s ORDER BY 2, 3 LIMIT 1",
            [f"FINANCE__{slot}"],
        )[0]
        session.rows(f'UPDATE {analytics}.{schema}.{table} SET "{column}" = "{column}"')

    def effects(self) -> Effects:
        """Return every port that changes something, each under the same fate."""
        if self._mortal is None:
            self._mortal = MortalEffects(super().effects(), self._fate, self._write_to)
        mortal = self._mortal
        found = through(mortal)
        if self._fate.death is not None:
            return found
        self.kept = self.kept or Kept(
            found,
            anew=lambda: self._anew().effects(),
            observe=lambda: self._anew().observer.observe(infrastructure=False),
            loses=self._loses,
        )
        return self.kept.effects()


class MortalJournal(DynamoJournal):
    """A journal whose next event may be the last that this process writes."""

    def __init__(self, real: DynamoJournal, fate: Fate) -> None:
        self._real, self._fate = real, fate
        self._step: StepKind | None = None

    def fenced_by(self, fence: Fence) -> MortalJournal:
        return MortalJournal(self._real.fenced_by(fence), self._fate)

    def events(self) -> tuple[Event, ...]:
        return self._real.events()

    def items(self) -> tuple[JournalItem, ...]:
        return self._real.items()

    def append(self, deployment: str, kind: EventKind, data: Mapping[str, Any]) -> Event:
        event = self._real.append(deployment, kind, data)
        if kind == "step-started":
            self._step = data["kind"]
        self._fate.journalled(kind, self._step)
        return event


class MortalSession(Session):
    """A session in the warehouse whose next statement may be the last that this process has run."""

    def __init__(self, real: Session, fate: Fate) -> None:
        self._real, self._fate, self.query_tag = real, fate, real.query_tag

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        found = self._real.rows(statement, values)
        self._fate.ran(statement)
        return found

    def require_answer(self) -> None:
        self._real.require_answer()

    @contextmanager
    def noting(self) -> Iterator[Queries]:
        with self._real.noting() as queries:
            yield queries

    def close(self) -> None:
        self._real.close()


def run(purpose: Purpose, fate: Fate, plan: str = "", *, loses: bool = False) -> list[StepKind]:
    """Deploy the commit checked out, or roll back, as far as fate allows. Side effects: those of the plan.

    Returns the kinds of the steps whose ports kept their contract.
    """
    shown, chosen = Shown(), list[MortalOperation]()
    with (
        open_site(PROJECT, ENVIRONMENT, start=purpose == "deploy", progress=shown) as site,
        open_site(PROJECT, ENVIRONMENT, start=False) as other,
    ):
        site.journal, site.session = MortalJournal(site.journal, fate), MortalSession(site.session, fate)
        reviewed = site.bucket.plan(plan) if plan else None

        def choose() -> Operation:
            if purpose == "deploy":
                living = operate(site, reviewed.commit or "HEAD" if reviewed else "HEAD")
            else:
                target = rollback_target(site.history(), live_in(site.observe_live()), environment=ENVIRONMENT)
                living = operate_earlier(site, target)
            chosen.append(MortalOperation(living, fate, other, loses=loses))
            return chosen[-1]

        order = Order(purpose=purpose, choose=choose, plan=reviewed)
        launch(site, order, listener=shown, is_stopping=lambda: False)
        if fate.death is not None and fate.death.point == "sealed":
            die()
    return [step.kind for one in chosen if one.kept for step in one.kept.done]


def main() -> None:
    """Read the command line and live accordingly."""
    parser = argparse.ArgumentParser()
    parser.add_argument("purpose", choices=get_args(Purpose))
    parser.add_argument("--point", choices=get_args(Point))
    parser.add_argument("--step", choices=get_args(StepKind))
    parser.add_argument("--after-s", type=float, default=0.0)
    parser.add_argument("--word", type=int, default=0)
    parser.add_argument("--text", default="")
    parser.add_argument("--event", choices=get_args(EventKind))
    parser.add_argument("--plan", default="")
    parser.add_argument("--lost", action="store_true")
    given = parser.parse_args()
    death = None
    if given.point:
        death = Death(
            point=given.point,
            step=given.step,
            after_s=given.after_s,
            word=given.word,
            text=given.text,
            event=given.event,
        )
    fate = Fate(death)
    kept = run(given.purpose, fate, given.plan, loses=given.lost)
    if death is not None:
        raise SystemExit(f"{death} never came")
    json.dump({"kept": kept, "seconds": fate.seconds, "words": fate.words}, sys.stdout)


if __name__ == "__main__":
    main()
