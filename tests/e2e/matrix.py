"""The kill matrix: every point at which a deployment or a rollback may die, or hear nothing of what it did.

It is made from the kinds of steps and of events, so that a new one is in it by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from slipway.deployment import NOTES, EventKind
from slipway.step import BACKFILL_KINDS, StepKind
from tests.e2e.mortal import Death, Purpose

KINDS: Mapping[Purpose, tuple[StepKind, ...]] = {
    "deploy": tuple(kind for kind in get_args(StepKind) if kind not in BACKFILL_KINDS),
    # Migrations and infrastructure stay as they are; the release and its slot are still there.
    "rollback": ("publish", "flip"),
}
SHARES = {"1/3": 1 / 3, "2/3": 2 / 3}  # of the time an effect takes undisturbed
STEP_POINTS = ("before", *SHARES, "last word", "after", "recorded")
# Moments between two effects of one step, where there is something to forget
MOMENTS: Mapping[StepKind, Mapping[str, Death]] = {
    "build": {"cloned": Death(point="statement", step="build", text="GRANT OWNERSHIP ON SCHEMA")},
    "rehearse": {"cloned": Death(point="statement", step="rehearse", text="__REHEARSAL CLONE")},
    "migrate": {"V applied, A not": Death(point="word", step="migrate", text="a_script_name=A__")},
    "publish": {"swapped": Death(point="statement", step="publish", text="SWAP WITH")},
}
# Events of a step are the points "before", "recorded" and "step-failed".
STEP_EVENTS: frozenset[EventKind] = frozenset({"step-started", "step-done"})
EVENTS: Mapping[Purpose, tuple[EventKind, ...]] = {
    "deploy": tuple(kind for kind in get_args(EventKind) if kind not in NOTES | STEP_EVENTS),
    "rollback": ("began", "verifying", "succeeded"),
}
LOST = "answers lost"  # every effect happens, and nobody dies: what it answered does not come back the first time
FAILING: frozenset[EventKind] = frozenset({"step-failed", "failed"})
FAILED_STEP: StepKind = "build"  # whose effect fails, where a failure is needed


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One place in the matrix.

    Attributes:
        row: the kind of step, or "-" for what belongs to none.
        column: the point.
        reviewed: whether a plan is made first, and the deployment asked for by its id.
    """

    purpose: Purpose
    row: str
    column: str
    reviewed: bool = False

    @property
    def id(self) -> str:
        """Return what the test is called by."""
        words = re.findall(r"\w+", f"{self.purpose} {self.row} {self.column.replace('/', 'of')}")
        return "-".join(words)


def cells(purpose: Purpose) -> tuple[Cell, ...]:
    """Return the matrix of a deployment or of a rollback."""
    steps = [Cell(purpose=purpose, row=kind, column=point) for kind in KINDS[purpose] for point in STEP_POINTS]
    steps += [Cell(purpose=purpose, row=kind, column=name) for kind in KINDS[purpose] for name in MOMENTS.get(kind, ())]
    events = [Cell(purpose=purpose, row="-", column=kind) for kind in EVENTS[purpose]]
    rest = [Cell(purpose=purpose, row="-", column=name) for name in ("sealed", LOST)]
    if purpose == "deploy":
        rest.append(Cell(purpose=purpose, row="-", column="reviewed", reviewed=True))
    return (*steps, *events, *rest)


def alternating() -> tuple[Cell, ...]:
    """Return all cells: while there are rollbacks left, each follows a deployment that it can undo."""
    deployments, rollbacks = cells("deploy"), cells("rollback")
    rest = iter(rollbacks)
    ordered: list[Cell] = []
    for one in deployments:
        ordered += [one, *(found for found in (next(rest, None),) if found)]
    return (*ordered, *rest)


def deaths(cell: Cell, *, seconds: Mapping[str, float], words: Mapping[str, int]) -> tuple[Death, ...]:
    """Return how processes die, one after the other, until the command is given that goes on; none for lost answers.

    Args:
        seconds: that each effect takes undisturbed.
        words: how many lines each effect tells.
    """
    column: Any = cell.column
    step: Any = cell.row
    if column == LOST:
        return ()
    if cell.reviewed:
        return (Death(point="during", step="build", after_s=seconds["build"] / 2),)
    if column in SHARES:
        return (Death(point="during", step=step, after_s=seconds[step] * SHARES[column]),)
    if column in MOMENTS.get(step, ()):
        return (MOMENTS[step][column],)
    if column == "last word":
        return (Death(point="word", step=step, word=words[step]),)
    if column == "sealed" or step != "-":
        return (Death(point=column, step=None if step == "-" else step),)
    if column in FAILING:
        return (Death(point="failing", step=FAILED_STEP, event=column),)
    if column == "resumed":
        return (Death(point="before", step="migrate"), Death(point="event", event="resumed"))
    if column == "abandoned":
        return (Death(point="event", event="began"), Death(point="event", event="abandoned"))
    return (Death(point="event", event=column),)
