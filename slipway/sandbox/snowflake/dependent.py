"""Streams and tasks name other objects: what becomes of them when those move, are cloned, replaced or dropped.

Rules:
- a stream follows its table or view through every rename and swap, as it follows the object and not the name;
- a stream whose source was dropped or replaced is stale
  (https://docs.snowflake.com/en/user-guide/streams-intro#data-retention-period-and-staleness);
- in a cloned schema or database a stream reads the cloned source when that was cloned too, and tasks are suspended
  (https://docs.snowflake.com/en/user-guide/object-clone#cloning-and-tasks).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from slipway.sandbox.snowflake.privilege import SCHEMA_OBJECT_KINDS
from slipway.sandbox.snowflake.reader import Name

Key = tuple[str, Name]


def renaming(source: Name, target: Name, *, swap: bool = False) -> Callable[[Name], Name]:
    """Return the function from names before a rename (or swap, or clone) to names after it."""
    turned, depth = {source: target} | ({target: source} if swap else {}), len(source)
    return lambda name: (*turned.get(name[:depth], name[:depth]), *name[depth:])


def is_cloned(kind: str, definition: str) -> bool:
    """Tell whether an object without a table behind it is in a clone of its schema: internal stages are not."""
    return kind in ("SCHEMA", "FILE FORMAT", "STREAM", "TASK", "PROCEDURE") or (
        kind == "STAGE" and definition.startswith('{"url": "s3')
    )


def moved(objects: Mapping[Key, str], renamed: Callable[[Name], Name]) -> dict[Key, str]:
    """Return the definitions that change when objects get the names `renamed` gives them; no side effects."""
    found = {}
    for key, definition in objects.items():
        if key[0] in ("STREAM", "TASK") and (changed := _renamed(key[0], definition, renamed)) != definition:
            found[key] = changed
    return found


def cloned(kind: str, definition: str, renamed: Callable[[Name], Name]) -> str:
    """Return the definition an object has in a clone, where `renamed` gives what was cloned its new name."""
    if kind not in ("STREAM", "TASK"):
        return definition
    facts = json.loads(_renamed(kind, definition, renamed))
    if kind == "TASK":
        facts["state"] = "suspended"
    return json.dumps(facts)


def orphaned(objects: Mapping[Key, str], name: Name) -> dict[Key, str]:
    """Return the streams that become stale because `name`, or what it contains, is no more; no side effects."""
    found = {}
    for key, definition in objects.items():
        if key[0] != "STREAM" or key[1][: len(name)] == name:
            continue
        facts = json.loads(definition)
        if tuple(facts["source"][: len(name)]) == name and not facts["stale"]:
            found[key] = json.dumps({**facts, "stale": True})
    return found


def _renamed(kind: str, definition: str, renamed: Callable[[Name], Name]) -> str:
    facts: dict[str, Any] = json.loads(definition)
    if kind == "STREAM":
        if not facts["stale"]:
            facts["source"] = list(renamed(tuple(facts["source"])))
            facts["tables"] = [list(renamed(tuple(table))) for table in facts["tables"]]
    else:
        facts["after"] = [list(renamed(tuple(task))) for task in facts["after"]]
    return json.dumps(facts)


def is_below(key: tuple[str, Name], name: Name) -> bool:
    """Tell whether what is granted under a key goes when `name` goes."""
    kind, known = key
    if known[: len(name)] != name:
        return False
    return len(name) > 1 or len(known) > 1 or kind in ("DATABASE", "SCHEMA", "RELATION") or kind in SCHEMA_OBJECT_KINDS
