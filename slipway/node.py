"""What a dbt manifest tells of its nodes: what they make, which follow the live data, which are the same in two. Pure.

https://schemas.getdbt.com/dbt/manifest/v12.json
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from slipway.slot import schema_in

SCHEMA = "https://schemas.getdbt.com/dbt/manifest/v12.json"  # what the locked dbt writes; a test holds it to that
Relation = tuple[str, str]  # layer and name, in upper case
Source = tuple[str, str, str]  # database, schema and name, in upper case
_FOLLOWING = frozenset({"table", "incremental", "snapshot"})  # that hold rows which come from the data
_ROWLESS = frozenset({"view", "ephemeral"})  # that show the rows of what they stand on


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One node that makes a relation in a slot.

    Attributes:
        selector: what dbt's `--select` finds it by, and nothing else.
        follows_data: whether its rows change when nothing but the data does: seeds do not, views hold none.
        substance: what its rows are computed by, the slot left out.
    """

    id: str
    relation: Relation
    selector: str
    is_snapshot: bool
    follows_data: bool
    substance: str


def nodes_in(content: bytes, slot: str) -> tuple[Node, ...]:
    """Return the nodes of a manifest that make something in `slot`, by id. No side effects."""
    found = []
    for name, node in sorted(json.loads(content)["nodes"].items()):
        schema, suffix = str(node.get("schema", "")).upper(), schema_in("", slot)
        if node.get("relation_name") and schema.endswith(suffix):
            found.append(_node(name, node, schema.removesuffix(suffix)))
    return tuple(found)


def _node(name: str, node: Mapping[str, Any], layer: str) -> Node:
    kind = str(node["config"].get("materialized"))
    return Node(
        id=name,
        relation=(layer, str(node["alias"]).upper()),
        selector="fqn:" + ".".join(node["fqn"]),
        is_snapshot=node["resource_type"] == "snapshot",
        follows_data=node["resource_type"] in ("model", "snapshot") and kind in _FOLLOWING,
        substance=json.dumps([node.get("raw_code"), node["config"]], sort_keys=True),
    )


def behind(nodes: Collection[Node], moved: Collection[Relation]) -> tuple[Node, ...]:
    """Return the nodes whose relation in the live slot was written to, when its rows come from the data."""
    return tuple(node for node in nodes if node.follows_data and node.relation in moved)


def newcomers(nodes: Collection[Node], tables: Collection[Relation]) -> tuple[Node, ...]:
    """Return the nodes whose rows come from the data and that the live slot has no table of: new, renamed, or a view
    there. Nothing that is written to in the live slot tells that they are behind.

    Args:
        tables: of the live slot.
    """
    return tuple(node for node in nodes if node.follows_data and node.relation not in tables)


def fed_by(nodes: Collection[Node], content: bytes, written: Collection[Source]) -> tuple[Node, ...]:
    """Return those of a manifest's nodes that stand, directly or through what holds no rows, on sources written to."""
    manifest = json.loads(content)
    moved = {name for name, source in manifest.get("sources", {}).items() if _place(source) in written}
    return tuple(node for node in nodes if moved & _stands_on(node.id, manifest["nodes"]))


def _place(source: Mapping[str, Any]) -> Source:
    return (str(source["database"]).upper(), str(source["schema"]).upper(), str(source["identifier"]).upper())


def _stands_on(start: str, nodes: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the ids of what a node reads, up to the first on every way that holds rows."""
    found, waiting = set[str](), [start]
    while waiting:
        for parent in nodes[waiting.pop()].get("depends_on", {}).get("nodes", ()):
            if parent not in found:
                found.add(parent)
                if parent in nodes and nodes[parent]["config"].get("materialized") in _ROWLESS:
                    waiting.append(parent)
    return found


def copied(nodes: Collection[Node], live: Collection[Node]) -> tuple[Node, ...]:
    """Return the snapshots among `nodes` that are the same in the live slot: its history is copied, because what it
    saw in between cannot be seen again."""
    substances = {node.relation: node.substance for node in live if node.is_snapshot}
    return tuple(node for node in nodes if node.is_snapshot and substances.get(node.relation) == node.substance)


def orphans(live: Collection[Node], coming: Collection[str]) -> tuple[str, ...]:
    """Return what the live slot makes and the coming one does not: removed, renamed, turned off or made ephemeral.

    Args:
        coming: as `made_by` returns it.
    """
    return tuple(one for one in made_by(live) if one not in coming)


def made_by(nodes: Collection[Node]) -> tuple[str, ...]:
    """Return LAYER.NAME of everything that nodes make, by name."""
    return tuple(sorted(".".join(node.relation) for node in nodes))


def unfit(content: bytes, *, dbt: str) -> str | None:
    """Return why a manifest cannot be compared with one of this dbt; None when it can.

    https://docs.getdbt.com/reference/node-selection/state-comparison-caveats: another version compares what it does
    not know the same way.
    """
    try:
        metadata = json.loads(content)["metadata"]
        schema, version = metadata["dbt_schema_version"], metadata["dbt_version"]
    except (ValueError, LookupError, TypeError):
        return "the manifest is not one that dbt writes"
    if schema != SCHEMA:
        return f"the manifest follows another schema: {schema}"
    if version != dbt:
        return f"the manifest was written by dbt {version}, and this is {dbt}"
    return None
