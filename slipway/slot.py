"""Slots: where one dbt component is built, and how a published schema names what it shows.

Rules:
- A slot is named by the digest of the dbt component it was built from, so equal code shares a slot and a slot is
  never renamed.
- Its schemas are `<LAYER>__<SLOT>` in the analytics database; readers never name them.
- A published schema is a set of thin views onto one slot, in a database that holds nothing else.
"""

from __future__ import annotations

SLOT_LENGTH = 8  # hex digits of the dbt component's digest
LAYERS = ("SEEDS", "STAGING", "INTERMEDIATE", "SNAPSHOTS", "FINANCE", "CUSTOMER")
PUBLISHED_LAYERS = ("FINANCE", "CUSTOMER")
MARKER_SCHEMA = "SLIPWAY"
MARKER_VIEW = "PUBLISHED"


def slot_of(dbt_digest: str) -> str:
    """Return the slot of a dbt component, e.g. `3F2A9C1B`."""
    return dbt_digest[:SLOT_LENGTH].upper()


def schema_in(layer: str, slot: str) -> str:
    """Return the schema of one layer in a slot, e.g. `FINANCE__3F2A9C1B`."""
    return f"{layer}__{slot}"


def slots_among(schemas: set[str]) -> frozenset[str]:
    """Return the slots that have at least one schema among `schemas`."""
    found = set()
    for schema in schemas:
        layer, _, slot = schema.rpartition("__")
        if layer in LAYERS and len(slot) == SLOT_LENGTH:
            found.add(slot)
    return frozenset(found)
