"""The publishing of a slot (docs/adr/0004-publish-by-database-swap.md).

The published schemas stand in a database that holds thin views only. The next one is made beside it, with the grants of
the live one, and `ALTER DATABASE .. SWAP WITH` exchanges the two at one instant, so that a reader joining two schemas
never sees two releases. https://docs.snowflake.com/en/sql-reference/sql/alter-database
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from slipway.adapters.dependents import Dependents
from slipway.adapters.grant import (
    carried,
    contents_of,
    future_grants,
    holders_of,
    present_grants,
    quoted,
    statement_of,
    those_within,
)
from slipway.adapters.snowflake import Session, SnowflakeFacts
from slipway.config import Warehouse
from slipway.errors import StepFailed, Unavailable
from slipway.ports import Outcome, Progress
from slipway.privilege import Contents, Grant, Privilege, effective, facts_of, lost
from slipway.slot import MARKER_SCHEMA, MARKER_VIEW, PUBLISHED_LAYERS, schema_in
from slipway.step import PublishSlot

SHOWN = 10  # privileges an error names


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What stands in a published database, what is granted there, and what everybody may do by that."""

    contents: Contents
    grants: frozenset[Grant]
    privileges: frozenset[Privilege]


class SlotPublisher:
    """Makes a slot what readers see."""

    def __init__(self, session: Session, warehouse: Warehouse, facts: SnowflakeFacts, dependents: Dependents) -> None:
        self._session, self._warehouse, self._facts = session, warehouse, facts
        self._dependents = dependents

    def is_published(self, step: PublishSlot) -> bool:
        """Probe of the publish step: readers see the slot, and what they saw before is put away."""
        return self._is_seen(step) and not self._has_next()

    def publish(self, step: PublishSlot, progress: Progress) -> Outcome:
        """Make the next published database, grant on it what is granted on the live one, and swap it in.

        Raises:
            StepFailed: a published layer of the slot is empty, something would not survive the swap, a grant cannot be
                given again, or somebody could do less after than before; readers see what they saw before.
        """
        began = time.monotonic()
        with self._session.noting() as queries:
            views = {layer: self._relations(layer, step.slot) for layer in PUBLISHED_LAYERS}
            if empty := [schema_in(layer, step.slot) for layer, names in views.items() if not names]:
                raise StepFailed(
                    f"{' and '.join(empty)}: nothing to publish, and readers would find nothing there",
                    fix="see that dbt builds a model into it, commit, deploy again",
                )
            live = self._facts.published()
            self._dependents.refuse_before_publishing(step.slot, live=live.slot if live else None)
            privileges = self._show(views, step, progress)
        count = sum(map(len, views.values()))
        return Outcome(
            summary=f"{count} views of {', '.join(PUBLISHED_LAYERS)} swapped in at one instant",
            evidence={
                "slot": step.slot,
                "views": count,
                **privileges,
                "replaces": step.replaces,
                **queries.evidence(),
            },
            outside_s=time.monotonic() - began,
        )

    def _show(self, views: Contents, step: PublishSlot, progress: Progress) -> dict[str, Any]:
        """Make the next database, swap it in, and return how what everybody may do compares with before.

        A process that died between the swap and its end left only that to do: another swap would undo the first.
        """
        live, following = self._warehouse.marts_database, self._next
        swap = f"ALTER DATABASE {live} SWAP WITH {following}"
        if self._is_seen(step) and self._has_next():
            before = self._standing(following)
        else:
            progress(f"making {following}")
            before = self._standing(live)
            kept = carried(before.grants, owner=self._warehouse.deployer.role)
            self._make(following, views, step, kept)
            wanted = those_within(kept, contents_of(self._session.rows, following))
            self._refuse_loss(before, self._granted(following, wanted))
            progress(f"swapping {live} with {following}")
            self._session.run(swap)
        after = self._standing(live)
        try:
            self._refuse_loss(before, after)
        except StepFailed:
            self._session.run(swap)
            raise
        self._session.run(f"DROP DATABASE {following}")
        return {
            "grants": len(those_within(carried(before.grants, owner=self._warehouse.deployer.role), after.contents)),
            "privileges_before": facts_of(before.privileges),
            "privileges_after": facts_of(after.privileges),
            "gone": _gone(before.contents, after.contents),
        }

    @property
    def _next(self) -> str:
        return f"{self._warehouse.marts_database}__NEXT"

    def _is_seen(self, step: PublishSlot) -> bool:
        live = self._facts.published()
        return live is not None and live.slot == step.slot

    def _has_next(self) -> bool:
        """Return whether the database is there that stands aside once a slot is published."""
        return any(str(row[1]) == self._next for row in self._session.rows(f"SHOW DATABASES LIKE '{self._next}'"))

    def _relations(self, layer: str, slot: str) -> list[str]:
        rows = self._session.rows(
            f"SELECT TABLE_NAME FROM {self._warehouse.analytics_database}.INFORMATION_SCHEMA.TABLES "
            "WHERE TABLE_SCHEMA = %s ORDER BY TABLE_NAME",
            [schema_in(layer, slot)],
        )
        return [str(row[0]) for row in rows]

    def _make(self, database: str, views: Contents, step: PublishSlot, kept: frozenset[Grant]) -> None:
        """Make the database; future grants before what they are on, so that what is new gets them too."""
        run = self._session.run
        run(f"CREATE OR REPLACE DATABASE {database}")
        self._give((one for one in kept if one.is_future and not one.path), database)
        for schema in (*views, MARKER_SCHEMA):
            run(f"CREATE SCHEMA {database}.{schema}")
            self._give((one for one in kept if one.is_future and one.path == (schema,)), database)
        for layer, names in views.items():
            source = f"{self._warehouse.analytics_database}.{schema_in(layer, step.slot)}"
            for name in map(quoted, names):
                run(f"CREATE VIEW {database}.{layer}.{name} AS SELECT * FROM {source}.{name}")
        run(
            f"CREATE VIEW {database}.{MARKER_SCHEMA}.{MARKER_VIEW} AS "
            f"SELECT '{step.slot}' AS SLOT, '{step.release}' AS RELEASE"
        )

    def _granted(self, database: str, wanted: frozenset[Grant]) -> Standing:
        """Grant to the readers, then what else is wanted, and return what stands in the database by that."""
        role = self._warehouse.reader_role
        self._session.run(f"GRANT USAGE ON DATABASE {database} TO ROLE {role}")
        for schema in (*PUBLISHED_LAYERS, MARKER_SCHEMA):
            self._session.run(
                f"GRANT USAGE ON SCHEMA {database}.{schema} TO ROLE {role}",
                f"GRANT SELECT ON ALL VIEWS IN SCHEMA {database}.{schema} TO ROLE {role}",
            )
        standing = self._standing(database)
        if not (missing := wanted - standing.grants):
            return standing
        self._give(missing, database)
        return self._standing(database)

    def _give(self, grants: Iterable[Grant], database: str) -> None:
        for one in sorted(grants):
            try:
                self._session.run(statement_of(one, database))
            except Unavailable:
                raise
            except StepFailed as error:
                raise StepFailed(
                    f"a grant on the published database cannot be given on the next one: {one}: {error.message}",
                    fix=f"revoke it and grant to roles on what is there, or GRANT MANAGE GRANTS ON ACCOUNT TO ROLE "
                    f"{self._warehouse.deployer.role}; then deploy again",
                ) from error

    def _refuse_loss(self, before: Standing, after: Standing) -> None:
        """Raise unless everybody may do as much as before with what is still there."""
        if less := lost(before.privileges, after.privileges, after.contents):
            shown = [f"  {one}" for one in less[:SHOWN]]
            more = [f"  and {len(less) - SHOWN} more"] if len(less) > SHOWN else []
            raise StepFailed(
                f"{len(less)} privilege(s) would be lost by the publishing; readers see what they saw before:\n"
                + "\n".join([*shown, *more]),
                fix=f"have {self._warehouse.deployer.role} own what is published, and grant to roles what they need of "
                "it; then deploy again",
            )

    def _standing(self, database: str) -> Standing:
        """Return what stands in a published database and what everybody may do there."""
        rows, contents = self._session.rows, contents_of(self._session.rows, database)
        grants = present_grants(rows, database, contents) | future_grants(
            rows, database, contents, reader=self._warehouse.reader_role
        )
        return Standing(
            contents=contents, grants=grants, privileges=effective(grants, holders_of(rows, grants), contents)
        )


def _gone(before: Contents, after: Contents) -> list[str]:
    """Return the views that were published and are no more, by name."""
    return sorted(f"{schema}.{view}" for schema in before for view in set(before[schema]) - set(after.get(schema, ())))
