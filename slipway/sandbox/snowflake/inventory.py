"""Which schemas, tables and views there are, in memory: DuckDB answers that by going through all of its databases.

The registry keeps it up to date with every statement; an instance reads it from DuckDB when it opens.
"""

from __future__ import annotations

from collections.abc import Iterable

from slipway.sandbox.snowflake.privilege import RELATION_KINDS
from slipway.sandbox.snowflake.reader import Name


class Inventory:
    """Names of schemas, and the kind (TABLE or VIEW) of every relation. Not for temporary ones."""

    def __init__(self) -> None:
        self._schemas: set[Name] = set()
        self._relations: dict[Name, str] = {}

    def load(self, schemas: Iterable[Name], relations: Iterable[tuple[str, Name]]) -> None:
        """Start anew with what there is."""
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

    def add(self, kind: str, name: Name) -> None:
        """Note what was created; kinds that are neither schema nor relation are not kept here."""
        if kind == "SCHEMA":
            self._schemas.add(name)
        elif kind in RELATION_KINDS:
            self._relations[name] = kind

    def forget(self, name: Name) -> None:
        """Note that something was dropped, with all that was in it."""
        depth = len(name)
        self._schemas = {known for known in self._schemas if known[:depth] != name}
        self._relations = {known: kind for known, kind in self._relations.items() if known[:depth] != name}

    def copy(self, source: Name, target: Name) -> None:
        """Note that all that is in `source` is in its clone too."""
        depth = len(source)
        self._schemas |= {(*target, *known[depth:]) for known in self._schemas if known[:depth] == source}
        copies = {(*target, *n[depth:]): kind for n, kind in self._relations.items() if n[:depth] == source}
        self._relations |= copies

    def move(self, old: Name, new: Name, *, swap: bool) -> None:
        """Note that something was renamed, or two things swapped, with all that is in them."""
        depth = len(old)
        turned = {old: new, new: old} if swap else {old: new}

        def renamed(name: Name) -> Name:
            head = turned.get(name[:depth])
            return name if head is None else (*head, *name[depth:])

        self._schemas = {renamed(known) for known in self._schemas}
        self._relations = {renamed(known): kind for known, kind in self._relations.items()}
