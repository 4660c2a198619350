"""What the engine relies on of every port that a plan changes something through, checked while it works with them.

`Kept` stands before the ports in memory as before the real ones. What does not keep to a rule is an `AssertionError`:

- a probe changes nothing, and says no until the effect has happened;
- after the effect it says yes, also to a process that has just begun and saw no answer, and still does after the last
  step;
- a backfill leaves readers on the slot, and DAGs on the version, that they were on;
- a comparison is the exception: it only reads, and is not done before its slot is published;
- an effect tells whole lines, and returns one line and evidence that a journal can hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from slipway import engine
from slipway.documents import canonical
from slipway.errors import Unavailable
from slipway.observation import Observation
from slipway.ports import Effects, Outcome, Progress
from slipway.step import BACKFILL_KINDS, CompareSlot, PublishSlot, Step, StepKind

# by the methods of the ports
EFFECTS: Final = (
    *("apply", "upload", "rehearse", "migrate", "build", "catch_up", "compare", "publish", "flip"),
    *("fill", "rebuild", "adopt"),
)
LAST: Final = frozenset({"flip", "adopt"})  # steps that nothing comes behind


def through(ports: Any, *, backfills: Any = None) -> Effects:
    """Return one object as every port; backfills apart, which a release has none of."""
    return Effects(
        infrastructure=ports,
        releases=ports,
        migrations=ports,
        slots=ports,
        orchestrator=ports,
        backfills=backfills,
    )


class Kept:
    """Every port of an environment, around others, with what they do checked.

    Args:
        anew: returns the same ports as another process finds them.
        observe: returns what is there; only read.
        loses: whether the first answer of every effect is lost on the way.

    Attributes:
        done: the steps whose effects happened, in order.
    """

    def __init__(
        self, real: Effects, *, anew: Callable[[], Effects], observe: Callable[[], Observation], loses: bool = False
    ) -> None:
        self._real, self._anew, self._observe, self._loses = real, anew, observe, loses
        ports = (real.infrastructure, real.releases, real.migrations, real.slots, real.orchestrator, real.backfills)
        self._ports = tuple(one for one in ports if one is not None)  # a plan may need some only
        self.done: list[Step] = []
        self._lost: set[StepKind] = set()

    def effects(self) -> Effects:
        """Return the ports."""
        return through(self, backfills=self if self._real.backfills is not None else None)

    def __getattr__(self, name: str) -> Any:
        if name in EFFECTS:
            return self._cause
        ask = getattr(next((one for one in self._ports if hasattr(one, name)), self._real), name)
        return self._is_compared if name == "is_compared" else ask

    def _is_compared(self, step: CompareSlot) -> bool:
        shown, said = self._observe().warehouse.published, self._real.slots.is_compared(step)
        assert said is (shown is not None and shown.slot == step.slot), f"compare is {said} while {shown} is published"
        return said

    def _cause(self, step: Step, progress: Progress) -> Outcome:
        before = self._observe()
        assert not engine.is_done(step, self._real), f"{step.kind} was done before it was done"
        assert self._observe() == before, f"asking whether {step.kind} was done changed something"
        outcome = engine.perform(step, self._real, lambda line: progress(_whole(line, step)))
        _whole(outcome.summary, step)
        canonical(dict(outcome.evidence))
        assert outcome.outside_s >= 0, f"{step.kind} took less than no time"
        if step not in self.done:
            self.done.append(step)
        self._refuse_forgetting(self.done if step.kind in LAST else [step])
        if step.kind in BACKFILL_KINDS:
            after = self._observe()
            assert _shown(after) == _shown(before), f"after {step.kind}, readers or DAGs are elsewhere"
        if self._loses and step.kind not in self._lost:
            self._lost.add(step.kind)
            raise Unavailable(f"the answer of {step.kind} was lost")
        return outcome

    def _refuse_forgetting(self, steps: list[Step]) -> None:
        published = {step.slot for step in self.done if isinstance(step, PublishSlot)}
        effects = self._anew()
        for step in steps:
            expected = step.slot in published if step.kind == "compare" else True
            assert engine.is_done(step, effects, recorded=True) is expected, (
                f"after {self.done[-1].kind}, {step.kind} is {'not ' if expected else ''}done"
            )


def _shown(seen: Observation) -> object:
    return (seen.warehouse.published, seen.pointer)


def _whole(line: str, step: Step) -> str:
    assert line.strip(), f"{step.kind} told nothing"
    assert "\n" not in line, f"{step.kind} told several lines at once: {line!r}"
    return line
