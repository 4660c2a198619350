"""What hangs on slots and published schemas, read from the catalogs; what it means says `slipway.dependent`.

Two looks: before a slot is built, at everything of the environment, so that nobody waits for a build that cannot be
published; before a publishing, at what the slot itself shows and at what the swap would take away. A rollback takes the
second only: it is not held up by what it does no harm to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import sqlglot
from sqlglot import exp

from slipway.adapters.grant import contents_of, present_grants
from slipway.adapters.snowflake import Session
from slipway.config import Warehouse
from slipway.dependent import (
    Ground,
    Hindrance,
    Name,
    Stream,
    Task,
    View,
    bystanders,
    hanging,
    mixtures,
    strangers,
)
from slipway.errors import StepFailed
from slipway.slot import PUBLISHED_LAYERS, schema_in, slot_named_in

SHOWN = 20  # hindrances an error names
_PART = r'(?:"(?:[^"]|"")+"|[A-Za-z_][\w$]*)'
_DOTTED = re.compile(rf"{_PART}(?:\s*\.\s*{_PART})+")


class Dependents:
    """Looks for what would not survive a publishing.

    Args:
        elsewhere: databases of the other environments -> which.
    """

    def __init__(self, session: Session, warehouse: Warehouse, *, elsewhere: Mapping[str, str]) -> None:
        self._session, self._warehouse = session, warehouse
        self._ground = Ground(
            analytics=warehouse.analytics_database, marts=warehouse.marts_database, elsewhere=elsewhere
        )

    def refuse_before_build(self) -> None:
        """Return when nothing of the environment hangs on slots or published schemas; raise `StepFailed` otherwise."""
        warehouse = self._warehouse
        databases = (warehouse.raw_database, warehouse.analytics_database, warehouse.ops_database)
        views = [view for database in databases for view in self._views(database)]
        hangs = hanging(self._streams(), self._tasks(), self._ground)
        _refuse((*hangs, *bystanders(views, self._ground), *self._makers()))

    def refuse_before_publishing(self, slot: str, *, live: str | None) -> None:
        """Return when the slot shows nothing but itself and the swap takes nothing along; raise `StepFailed` otherwise.

        Args:
            live: the slot that is published now.
        """
        own = [view for view in self._views(self._warehouse.analytics_database) if _is_in(view, slot)]
        found = [*hanging(self._streams(), self._tasks(), self._ground), *mixtures(own, self._ground, slot=slot)]
        _refuse((*found, *(self._strangers(live) if live else ())))

    def of_slot(self, slot: str) -> tuple[Hindrance, ...]:
        """Return what names a slot or follows a table of it, from outside of slots. No side effects."""
        warehouse = self._warehouse
        databases = (warehouse.raw_database, warehouse.analytics_database, warehouse.ops_database)
        views = [view for database in databases for view in self._views(database)]
        streams = [one for one in self._streams() if one.source[1:2] and slot_named_in(one.source[1]) == slot]
        named = [one for one in bystanders(views, self._ground) if one.reason.endswith(f"of slot {slot}")]
        return (*hanging(streams, (), self._ground), *named)

    def _strangers(self, live: str) -> tuple[Hindrance, ...]:
        marts, analytics = self._warehouse.marts_database, self._warehouse.analytics_database
        shown = contents_of(self._session.rows, analytics, kinds=None)
        made = {layer: shown.get(schema_in(layer, live), set()) for layer in PUBLISHED_LAYERS}
        return tuple(
            Hindrance(
                place=".".join((marts, *name)),
                reason="was made there by somebody else, and the swap would put it away",
                fix="make it a model, or move it to another database",
            )
            for name in strangers(contents_of(self._session.rows, marts, kinds=None), made)
        )

    def _makers(self) -> tuple[Hindrance, ...]:
        """Return which roles may make something beside what is published: what they made, nobody else may see.

        INFORMATION_SCHEMA and SHOW list what the one who asks holds a privilege on, and the owner of a database holds
        none on what others make in it. https://docs.snowflake.com/en/sql-reference/info-schema/tables
        """
        marts, deployer = self._warehouse.marts_database, self._warehouse.deployer.role
        contents = {schema: set[str]() for schema in contents_of(self._session.rows, marts)}
        found: dict[tuple[tuple[str, ...], str], list[str]] = {}
        for grant in sorted(present_grants(self._session.rows, marts, contents)):
            may_make = grant.privilege.startswith("CREATE ") or (grant.privilege == "OWNERSHIP" and grant.path)
            if may_make and grant.grantee != deployer:
                found.setdefault((grant.path, grant.grantee), []).append(grant.privilege)
        return tuple(
            Hindrance(
                place=".".join((marts, *path)),
                reason=f"lets {role} make objects there ({', '.join(held)}), and the swap would put them away unseen",
                fix="revoke that, and have them made in another database",
            )
            for (path, role), held in found.items()
        )

    def _views(self, database: str) -> list[View]:
        rows = self._session.rows(
            f"SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION FROM {database}.INFORMATION_SCHEMA.VIEWS "
            "WHERE TABLE_SCHEMA <> 'INFORMATION_SCHEMA'"
        )
        return [
            View(place=(database, str(schema), str(name)), names=names_in(text) if text else None)
            for schema, name, text in rows
        ]

    def _streams(self) -> list[Stream]:
        """Return every stream that is to be seen.

        https://docs.snowflake.com/en/sql-reference/sql/show-streams: name, database_name, schema_name from the second
        column on, table_name in the seventh.
        """
        return [
            Stream(place=(str(row[2]), str(row[3]), str(row[1])), source=_split(str(row[6])))
            for row in self._session.rows("SHOW STREAMS IN ACCOUNT")
        ]

    def _tasks(self) -> list[Task]:
        """Return every task that is to be seen.

        https://docs.snowflake.com/en/sql-reference/sql/show-tasks: name second, database_name and schema_name fourth
        and fifth, state eleventh.
        """
        return [
            Task(place=(str(row[3]), str(row[4]), str(row[1])), is_started=str(row[10]).lower() == "started")
            for row in self._session.rows("SHOW TASKS IN ACCOUNT")
        ]


def names_in(text: str) -> frozenset[Name]:
    """Return the tables and views that the text of a view names, each with as many parts as it has there.

    Of a text that cannot be parsed, every dotted name: too many are better than one too few.
    """
    try:
        parsed = sqlglot.parse_one(text, dialect="snowflake")
    except sqlglot.errors.SqlglotError:
        return frozenset(_split(found[0]) for found in _DOTTED.finditer(text))
    target = parsed.this.find(exp.Table) if isinstance(parsed, exp.Create) else None
    return frozenset(
        tuple(_folded(part) for part in table.parts)
        for table in parsed.find_all(exp.Table)
        if table is not target and all(isinstance(part, exp.Identifier) for part in table.parts)
    )


def _folded(part: exp.Expr) -> str:
    return str(part.name) if part.args.get("quoted") else str(part.name).upper()


def _split(name: str) -> Name:
    parts = re.findall(_PART, name)
    return tuple(part[1:-1].replace('""', '"') if part.startswith('"') else part.upper() for part in parts)


def _is_in(view: View, slot: str) -> bool:
    return view.place[1].endswith(schema_in("", slot))


def _refuse(found: tuple[Hindrance, ...]) -> None:
    if not found:
        return
    shown = [f"  {one}" for one in found[:SHOWN]]
    more = [f"  and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    raise StepFailed(
        f"{len(found)} thing(s) would not survive the publishing; readers see what they saw before:\n"
        + "\n".join([*shown, *more]),
        fix="do what is said beside each, and deploy again: docs/guides/slots.md",
    )
