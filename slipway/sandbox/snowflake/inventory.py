"""Which schemas, tables and views there are, and what views read: DuckDB answers that by going through all databases.

The registry keeps it up to date with every statement; an instance reads it from DuckDB when it opens.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from slipway.sandbox.snowflake.privilege import RELATION_KINDS
from slipway.sandbox.snowflake.reader import Name


class Inventory:
    """Names of schemas, and the kind (TABLE or VIEW) of every relation. Not for temporary ones.

    What a view reads is looked up when it is first asked for, and anew when it, or anything by its name, has changed.
    """

    def __init__(self) -> None:
        self._schemas: set[Name] = set()
        self._relations: dict[Name, str] = {}
        self._reads: dict[Name, tuple[Name, ...]] = {}
        self._changes = 0
        self._reading = threading.Lock()  # held to change what views read

    def load(self, schemas: Iterable[Name], relations: Iterable[tuple[str, Name]]) -> None:
        """Start anew with what there is."""
        self._forget_reads()
        self._schemas = set(schemas)
        self._relations = {name: kind for kind, name in relations}

    def has_schema(self, name: Name) -> bool:
        return name in self._schemas

    def schemas(self, database: str) -> tuple[str, ...]:
        """Return the schemas of a database, sorted."""
        return tuple(sorted(schema for owner, schema in list(self._schemas) if owner == database))

    def kind(self, name: Name) -> str | None:
        """Return TABLE or VIEW for what exists under `name`, else None."""
        return self._relations.get(name)

    def relations(self, container: Name) -> tuple[tuple[str, Name], ...]:
        """Return (kind, name) of the tables and views in a database or schema, sorted by name."""
        depth = len(container)
        found = ((kind, name) for name, kind in list(self._relations.items()) if name[:depth] == container)
        return tuple(sorted(found, key=lambda item: item[1]))

    def read_by(self, view: Name, look_up: Callable[[Name], tuple[Name, ...]]) -> tuple[Name, ...]:
        """Return what a view reads; `look_up` is asked when that is not known."""
        known = self._reads.get(view)
        if known is None:
            changes, known = self._changes, look_up(view)
            with self._reading:
                if changes == self._changes:  # else it may be of a definition that is no more
                    self._reads[view] = known
        return known

    def redefined(self, view: Name) -> None:
        """Note that a view may read something else."""
        self._forget_reads(view)

    def _forget_reads(self, view: Name | None = None) -> None:
        """Forget what a view reads, or what all do."""
        with self._reading:
            self._changes += 1
            if view is None:
                self._reads.clear()
            else:
                self._reads.pop(view, None)

    def add(self, kind: str, name: Name) -> None:
        """Note what was created; kinds that are neither schema nor relation are not kept here."""
        if kind == "SCHEMA":
            self._schemas.add(name)
        elif kind in RELATION_KINDS:
            self._relations[name] = kind
            self.redefined(name)

    def forget(self, name: Name) -> None:
        """Note that something was dropped, with all that was in it."""
        self._forget_reads()
        depth = len(name)
        self._schemas = {known for known in self._schemas if known[:depth] != name}
        self._relations = {known: kind for known, kind in self._relations.items() if known[:depth] != name}

    def copy(self, source: Name, target: Name) -> None:
        """Note that all that is in `source` is in its clone too."""
        self._forget_reads()
        depth = len(source)
        self._schemas |= {(*target, *known[depth:]) for known in self._schemas if known[:depth] == source}
        copies = {(*target, *n[depth:]): kind for n, kind in self._relations.items() if n[:depth] == source}
        self._relations |= copies

    def move(self, old: Name, new: Name, *, swap: bool) -> None:
        """Note that something was renamed, or two things swapped, with all that is in them."""
        self._forget_reads()
        depth = len(old)
        turned = {old: new, new: old} if swap else {old: new}

        def renamed(name: Name) -> Name:
            head = turned.get(name[:depth])
            return name if head is None else (*head, *name[depth:])

        self._schemas = {renamed(known) for known in self._schemas}
        self._relations = {renamed(known): kind for known, kind in self._relations.items()}
