"""Slots: where one dbt component is built, and how a published schema names what it shows.

Rules:
- A slot is named by the digest of the dbt component it was built from, so equal code shares a slot and a slot is
  never renamed.
- Its schemas are `<LAYER>__<SLOT>` in the analytics database; readers never name them. Which layers there are is dbt's
  affair: a slot has those whose schemas are there.
- A published schema is a set of thin views onto one slot, in a database that holds nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

SLOT_LENGTH = 8  # hex digits of the dbt component's digest
PUBLISHED_LAYERS = ("FINANCE", "CUSTOMER")
MARKER_SCHEMA = "SLIPWAY"
MARKER_VIEW = "PUBLISHED"
_SCHEMA = re.compile(rf"(?P<layer>.+)__(?P<slot>[0-9A-F]{{{SLOT_LENGTH}}})")


def slot_of(dbt_digest: str) -> str:
    """Return the slot of a dbt component, e.g. `3F2A9C1B`."""
    return dbt_digest[:SLOT_LENGTH].upper()


def schema_in(layer: str, slot: str) -> str:
    """Return the schema of one layer in a slot, e.g. `FINANCE__3F2A9C1B`."""
    return f"{layer}__{slot}"


def slots_among(schemas: Iterable[str]) -> frozenset[str]:
    """Return the slots that have at least one schema among `schemas`."""
    return frozenset(found["slot"] for schema in schemas if (found := _SCHEMA.fullmatch(schema)))


def slot_named_in(schema: str) -> str | None:
    """Return the slot that a schema belongs to, or None when it is no slot's."""
    found = _SCHEMA.fullmatch(schema)
    return found["slot"] if found else None


def layers_among(schemas: Iterable[str], slot: str) -> tuple[str, ...]:
    """Return the layers of `slot` among `schemas`, by name."""
    found = (_SCHEMA.fullmatch(schema) for schema in schemas)
    return tuple(sorted(one["layer"] for one in found if one and one["slot"] == slot))


def layer_of(schema: str) -> str:
    """Return the layer that a slot's schema is of, in upper case, e.g. `FINANCE` of `FINANCE__3F2A9C1B`."""
    return schema.upper().rpartition("__")[0]
