"""A view reads with the rights of its owner: it fails for everybody once the owner may not read what it is made of.

https://docs.snowflake.com/en/user-guide/views-introduction
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.sandbox.snowflake import error, relation
from slipway.sandbox.snowflake.reader import Name

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.session import Session


class Expansions:
    """What each view was found to lack; looked up anew when a grant or an object changes."""

    def __init__(self) -> None:
        self._version = -1
        self._lacking: dict[Name, Name | None] = {}

    def require(self, session: Session, view: Name) -> None:
        """Raise 2037 when the owner of a view, or of one it reads, may not read what the view reads."""
        registry = session.instance.registry
        if self._version != registry.version:
            self._version, self._lacking = registry.version, {}
        if view not in self._lacking:
            self._lacking[view] = _lacking(session, view)
        lacking = self._lacking[view]
        if lacking is not None:
            raise error.not_expanded(".".join(view), ".".join(lacking))


def _lacking(session: Session, view: Name, seen: frozenset[Name] = frozenset()) -> Name | None:
    """Return what a view reads and its owner may not, or None."""
    access, registry = session.instance.access, session.instance.registry
    owner = registry.owner("VIEW", view)
    for name in relation.read_by(session, view):
        kind = session.instance.relation_kind(name)
        if kind is None or name in seen:
            continue
        if not access.may_read(owner, name):
            return name
        if kind == "VIEW" and (deeper := _lacking(session, name, seen | {view})) is not None:
            return deeper
    return None
