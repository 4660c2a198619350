"""The clean-up of a warehouse: what is in quarantine since when, and the drop of slots that nothing needs any more.

Rules (docs/adr/0014-two-phases-of-clean-up.md):
- Only two sorts of things are ever dropped, by names that are put together here: schemas `<LAYER>__<slot>` of the
  analytics database, and the databases `__NEXT` and `__PREV` beside the published one. Anything else is refused.
- What readers see is asked once more right before a drop, and so is who hangs on the slot.
- That a slot is complete is taken back before the first of its schemas goes: half of one is never published.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from slipway.adapters.dependents import Dependents
from slipway.adapters.grant import quoted
from slipway.adapters.snowflake import MOMENT_TABLE, OPS_SCHEMA, QUARANTINE_TABLE, Session, SnowflakeFacts, bookkeeping
from slipway.config import Warehouse
from slipway.errors import StepFailed
from slipway.retention import Holdings
from slipway.slot import SLOT_LENGTH, layers_among, schema_in

_SLOT = re.compile(rf"[0-9A-F]{{{SLOT_LENGTH}}}")
ASIDE = ("__NEXT", "__PREV")  # what a database beside the published one is called by


class Janitor:
    """Reads what could go, and takes it away."""

    def __init__(self, session: Session, warehouse: Warehouse, facts: SnowflakeFacts, dependents: Dependents) -> None:
        self._session, self._warehouse, self._facts = session, warehouse, facts
        self._dependents = dependents
        self._ops = f"{warehouse.ops_database}.{OPS_SCHEMA}"

    def holdings(self) -> Holdings:
        """Return the slots and leftover databases there are, and what is in quarantine. No side effects."""
        tables = self._session.rows(
            f"SELECT TABLE_NAME FROM {self._warehouse.ops_database}.INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = %s",
            [OPS_SCHEMA],
        )
        is_kept = (QUARANTINE_TABLE,) in tables
        since = f"SELECT NAME, MIN(EPOCH_S) FROM {self._ops}.{QUARANTINE_TABLE} GROUP BY NAME"
        rows = self._session.rows(since) if is_kept else []
        marts = self._warehouse.marts_database
        found = {str(row[1]) for row in self._session.rows(f"SHOW DATABASES LIKE '{marts}%'")}
        return Holdings(
            slots=self._facts.read().slots,
            databases=tuple(sorted(found & {f"{marts}{suffix}" for suffix in ASIDE})),
            quarantined={str(name): datetime.fromtimestamp(int(at), UTC) for name, at in rows},
        )

    def quarantine(self, names: Iterable[str], *, now: datetime) -> None:
        """Write down that `names` are in quarantine from now on. Side effects: rows of Slipway's own table."""
        self._session.run(*bookkeeping(self._warehouse.ops_database))
        for name in names:
            self._session.change(
                f"INSERT INTO {self._ops}.{QUARANTINE_TABLE} (NAME, EPOCH_S) SELECT %s, %s",
                [name, int(now.timestamp())],
            )

    def release(self, names: Iterable[str]) -> None:
        """Take `names` out of quarantine. Side effects: rows of Slipway's own table."""
        for name in names:
            self._session.change(f"DELETE FROM {self._ops}.{QUARANTINE_TABLE} WHERE NAME = %s", [name])

    def drop(self, name: str) -> int:
        """Drop a slot or a leftover database, and return how many schemas or databases went.

        Raises:
            StepFailed: it is neither, readers see it, it is not in quarantine, or something hangs on it; it stands.

        Side effects: schemas of the slot, or the database; rows of Slipway's own tables.
        """
        if (name,) not in self._session.rows(f"SELECT NAME FROM {self._ops}.{QUARANTINE_TABLE}"):
            raise _refusal(name, "it is not in quarantine")
        marts = self._warehouse.marts_database
        if name in {f"{marts}{suffix}" for suffix in ASIDE}:
            self._session.run(f"DROP DATABASE IF EXISTS {quoted(name)}")
            dropped = 1
        elif _SLOT.fullmatch(name):
            dropped = self._drop_slot(name)
        else:
            raise _refusal(name, "it is neither a slot nor a database that a publishing leaves")
        self.release([name])
        return dropped

    def _drop_slot(self, slot: str) -> int:
        live = self._facts.published()
        if live is None or live.slot == slot:
            raise _refusal(slot, "readers see it" if live else "nobody knows what readers see")
        if hanging := self._dependents.of_slot(slot):
            raise _refusal(slot, "; ".join(str(one) for one in hanging[:3]))
        for table in ("SLOTS", MOMENT_TABLE):
            self._session.change(f"DELETE FROM {self._ops}.{table} WHERE SLOT = %s", [slot])
        analytics = self._warehouse.analytics_database
        schemas = [schema_in(layer, slot) for layer in layers_among(self._facts.schemas(), slot)]
        for schema in schemas:
            self._session.run(f"DROP SCHEMA IF EXISTS {analytics}.{quoted(schema)}")
        return len(schemas)


def _refusal(name: str, reason: str) -> StepFailed:
    return StepFailed(f"{name} is not dropped: {reason}", fix="invoke slots.status --env ENV")
