"""What migration scripts take away, who needs it, and which rollbacks that ends. Pure.

Rules:
- Whoever selects a star, or whose columns cannot be told, needs every column.
- The live release and the one that is deployed may not lose what they need: the one works on while the migration
  runs, the other comes after it.
- An earlier release that is retained, so that a rollback goes back to it in seconds, may not either, unless the script
  says that it ends rollbacks, and why. One whose slot is gone loses its rollback in any case.
- A rollback that was ended is visible in the plan that ends it, and is refused afterwards with what it would miss.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

ANY = "*"  # in the place of a relation's name: every relation of the schema
Place = Literal["deployed", "live", "retained", "earlier"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """One thing that a script takes away or gives another name; names are in upper case.

    Attributes:
        column: None for the whole relation.
        ends_rollbacks: whether the script says that it ends rollbacks.
    """

    script: str
    schema: str
    relation: str
    column: str | None = None
    ends_rollbacks: bool = False

    def __str__(self) -> str:
        if self.schema == ANY:
            return "the database"
        name = f"{self.schema}.{self.relation}" if self.relation != ANY else f"schema {self.schema}"
        return name if self.column is None else f"{name}.{self.column}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """What one model, pipeline or view reads or writes of one relation; names are in upper case.

    Attributes:
        by: who, for people.
        columns: None for all of them.
    """

    by: str
    schema: str
    relation: str
    columns: frozenset[str] | None = None

    def includes(self, taken: Taken) -> bool:
        """Return whether it cannot do without what is taken."""
        if taken.schema not in (ANY, self.schema) or taken.relation not in (ANY, self.relation):
            return False
        return taken.column is None or self.columns is None or taken.column in self.columns


@dataclass(frozen=True, kw_only=True, slots=True)
class Needy:
    """A release, what of it matters, and what it needs."""

    version: str
    place: Place
    needs: tuple[Need, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Contraction:
    """What the pending scripts mean to the releases there are.

    Attributes:
        conflicts: (script, sentence) of what stands in the way.
        ends: versions that a rollback cannot go to any more.
    """

    conflicts: tuple[tuple[str, str], ...] = ()
    ends: tuple[str, ...] = ()


NOTHING_TAKEN = Contraction()
_SAID: dict[Place, str] = {
    "deployed": "the release that is deployed",
    "live": "the live release",
    "retained": "the retained release",
    "earlier": "the earlier release",
}


def contraction_by(taken: Sequence[Taken], releases: Iterable[Needy]) -> Contraction:
    """Return what stands in the way of taking things away, and which rollbacks it ends. No side effects."""
    conflicts, ends = list[tuple[str, str]](), list[str]()
    for release in releases:
        missed = [(one, by) for one in taken if (by := needed_by(one, release.needs))]
        for one, by in missed:
            may_end = release.place == "earlier" or (release.place == "retained" and one.ends_rollbacks)
            if not may_end:
                said = f"it takes {one}, which {_SAID[release.place]} {release.version} needs: {_few(by)}"
                conflicts.append((one.script, said))
        if missed and release.place in ("retained", "earlier"):
            ends.append(release.version)
    return Contraction(conflicts=tuple(conflicts), ends=tuple(dict.fromkeys(ends)))


def needed_by(taken: Taken, needs: Iterable[Need]) -> tuple[str, ...]:
    """Return who needs what is taken, each once."""
    return tuple(dict.fromkeys(need.by for need in needs if need.includes(taken)))


def _few(names: Collection[str]) -> str:
    shown = list(names)[:3]
    return ", ".join(shown) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
