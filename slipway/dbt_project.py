"""What dbt's manifests say of two slots: which model makes a relation, what it is made from, and what changed.

Rules:
- A model changed when its code, its columns' types or its configuration did; what only describes it, such as tags and
  descriptions, does not count.
- Every difference of a relation is explained by the changed models among its own and those it is made from. What stands
  under all of them (variables, macros, packages, dbt) is no model: where it changed, it explains everything.
- A key is what the project declares to be unique, for all rows: tests, constraints, an incremental model's
  `unique_key`. A snapshot has several rows of its `unique_key`; dbt gives each an id.
- A column is personal when the project says so (`meta: {personal: true}`, or the tag `personal`), and when a column of
  the same name in what its model is made from is. A column that is made from such data under a name of its own may hold
  it too, and is concealed, unless the project says that it does not (`meta: {personal: false}`).
https://docs.getdbt.com/reference/artifacts/manifest-json
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from slipway.documents import digest_of
from slipway.errors import ConfigurationError
from slipway.slot import schema_in

MAKING = frozenset({"model", "seed", "snapshot"})  # kinds of nodes that make relations, or are part of what does
KEY_TESTS = {"unique_combination": "columns", "unique_combination_of_columns": "combination_of_columns"}
GROUND = "the project's variables, macros, packages or dbt"
_DESCRIBES = frozenset(
    {"tags", "meta", "docs", "group", "access", "persist_docs", "grants", "freshness", "event_time", "quoting"}
)
Keys = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Node:
    """What the project says of one model, seed or snapshot.

    Attributes:
        relation: LAYER.NAME in upper case; None for an ephemeral one.
        parents: unique ids of what it is made from, sources among them.
        digest: of what decides its content.
        keys: columns in upper case that are unique together.
        columns: that are declared; of a relation in the warehouse the catalog knows them better.
        harmless: columns that the project says are not personal.
    """

    name: str
    relation: str | None
    parents: tuple[str, ...]
    digest: str
    keys: Keys
    personal: frozenset[str]
    columns: frozenset[str]
    harmless: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Project:
    """One dbt project as it was built into a slot: nodes by their unique ids."""

    nodes: Mapping[str, Node]

    @cached_property
    def by_relation(self) -> Mapping[str, str]:
        """The unique id of the node that makes each relation."""
        return {node.relation: name for name, node in self.nodes.items() if node.relation}

    def ancestry(self, name: str) -> tuple[str, ...]:
        """Return a node and everything it is made from, the nearest first."""
        found, waiting = dict[str, None](), [name]
        while waiting:
            one = waiting.pop(0)
            if one not in found and one in self.nodes:
                found[one] = None
                waiting += self.nodes[one].parents
        return tuple(found)

    def made_from(self, relation: str) -> frozenset[str]:
        """Return a relation and every other one that it is made from."""
        name = self.by_relation.get(relation)
        made = (self.nodes[one].relation for one in self.ancestry(name)) if name else iter(())
        return frozenset(filter(None, made))

    def keys(self, relation: str) -> Keys:
        """Return the keys that are declared of a relation."""
        name = self.by_relation.get(relation)
        return self.nodes[name].keys if name else ()

    def personal(self, relation: str) -> frozenset[str]:
        """Return the columns of a relation whose values are not shown, by their names in upper case."""
        name = self.by_relation.get(relation)
        return frozenset().union(*(self.nodes[one].personal for one in self.ancestry(name))) if name else frozenset()

    def concealed(self, relation: str, columns: Mapping[str, Collection[str]]) -> frozenset[str]:
        """Return the columns of a relation that hold personal data, or may.

        Args:
            columns: of each relation in the warehouse, by its title.
        """
        name = self.by_relation.get(relation)
        return self._concealed(name, columns, {}) if name else frozenset()

    def _concealed(
        self, name: str, columns: Mapping[str, Collection[str]], found: dict[str, frozenset[str]]
    ) -> frozenset[str]:
        if name not in found:
            before = {one: self._concealed(one, columns, found) for one in self.ancestry(name)[1:]}
            near = (before[one] for one in self.nodes[name].parents if one in before)
            handed = frozenset[str]().union(*near)
            plain = frozenset[str]().union(*(self._columns_of(one, columns) - before[one] for one in before))
            made = self._columns_of(name, columns) - plain if any(before.values()) else frozenset[str]()
            personal = frozenset[str]().union(*(self.nodes[one].personal for one in self.ancestry(name)))
            found[name] = personal | ((handed | made) - self.nodes[name].harmless)
        return found[name]

    def _columns_of(self, name: str, columns: Mapping[str, Collection[str]]) -> frozenset[str]:
        node = self.nodes[name]
        return frozenset(columns.get(node.relation or "", node.columns))


def read_manifest(content: bytes, *, slot: str) -> Project:
    """Return the project that was built into `slot`; raise `ConfigurationError` when it is no manifest of dbt."""
    try:
        manifest = json.loads(content)
        keys = _declared_keys(manifest["nodes"].values())
        nodes = {
            name: _node(name, node, keys.get(name, ()), slot)
            for name, node in manifest["nodes"].items()
            if node["resource_type"] in MAKING
        }
        sources = {name: _source(source) for name, source in manifest.get("sources", {}).items()}
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            f"the manifest of slot {slot} is not one that dbt writes: {error!r}",
            fix="deploy the commit that the slot was built from again",
        ) from error
    return Project(nodes={**nodes, **sources})


def explained(before: Project | None, after: Project, *, ground_moved: bool) -> dict[str, tuple[str, ...]]:
    """Return the names of the changed models that explain each relation's differences. No side effects.

    Args:
        before: None when nobody knows what the live slot was built from; then everything may have changed.
        ground_moved: whether what stands under all models differs between the two.
    """
    ground = (GROUND,) if ground_moved or before is None else ()
    old: Mapping[str, Node] = before.nodes if before else {}
    changed = (
        {name for name in {*old, *after.nodes} if _digest(old, name) != _digest(after.nodes, name)}
        if before
        else set[str]()
    )
    found: dict[str, tuple[str, ...]] = {}
    for project in filter(None, (before, after)):
        for relation, name in project.by_relation.items():
            names = [project.nodes[one].name for one in project.ancestry(name) if one in changed]
            found[relation] = tuple(dict.fromkeys((*ground, *found.get(relation, ()), *names)))
    return found


def _digest(nodes: Mapping[str, Node], name: str) -> str | None:
    return nodes[name].digest if name in nodes else None


def _node(name: str, node: Mapping[str, Any], tested: Keys, slot: str) -> Node:
    config, columns = node.get("config") or {}, node.get("columns") or {}
    layer = str(node["schema"]).upper().removesuffix(schema_in("", slot))
    return Node(
        name=str(node["name"]),
        relation=f"{layer}.{str(node['alias']).upper()}" if node.get("relation_name") else None,
        parents=tuple((node.get("depends_on") or {}).get("nodes") or ()),
        digest=digest_of(_decides(node, config, columns)),
        keys=tuple(dict.fromkeys((*_own_keys(node, config, columns), *tested))),
        **_says(columns),
    )


def _source(source: Mapping[str, Any]) -> Node:
    columns = source.get("columns") or {}
    return Node(
        name=f"{source['source_name']}.{source['name']}",
        relation=None,
        parents=(),
        digest=digest_of([str(source["schema"]), str(source["identifier"])]),
        keys=(),
        **_says(columns),
    )


def _decides(node: Mapping[str, Any], config: Mapping[str, Any], columns: Mapping[str, Any]) -> list[str]:
    """Return what decides a node's content; the rest of a manifest changes from one run to the next."""
    settings = {key: value for key, value in config.items() if key not in _DESCRIBES}
    types = {name: one.get("data_type") for name, one in columns.items()}
    checksum = (node.get("checksum") or {}).get("checksum")
    return [str(checksum), json.dumps(settings, sort_keys=True), json.dumps(types, sort_keys=True)]


def _own_keys(
    node: Mapping[str, Any], config: Mapping[str, Any], columns: Mapping[str, Any]
) -> Iterator[tuple[str, ...]]:
    if node["resource_type"] == "snapshot":
        yield ("DBT_SCD_ID",)
    elif key := config.get("unique_key"):
        yield _columns([key] if isinstance(key, str) else key)
    for constraint in node.get("constraints") or ():
        if constraint.get("type") in ("primary_key", "unique") and constraint.get("columns"):
            yield _columns(constraint["columns"])
    for column in columns.values():
        if any(one.get("type") in ("primary_key", "unique") for one in column.get("constraints") or ()):
            yield _columns([column["name"]])


def _declared_keys(nodes: Iterable[Mapping[str, Any]]) -> dict[str, Keys]:
    """Return the keys that tests declare, by the unique id of what they test."""
    found: dict[str, Keys] = {}
    for node in nodes:
        metadata, config = node.get("test_metadata") or {}, node.get("config") or {}
        if node["resource_type"] != "test" or not node.get("attached_node") or config.get("where"):
            continue
        arguments = metadata.get("kwargs") or {}
        columns = [node["column_name"]] if metadata.get("name") == "unique" and node.get("column_name") else None
        if columns is None and metadata.get("name") in KEY_TESTS:
            columns = arguments.get(KEY_TESTS[metadata["name"]])
        if columns:
            attached = str(node["attached_node"])
            found[attached] = (*found.get(attached, ()), _columns(columns))
    return found


def _columns(names: Iterable[Any]) -> tuple[str, ...]:
    return tuple(str(name).upper() for name in names)


def _says(columns: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Return what is declared of columns: which there are, which are personal, and which are said not to be."""
    names = {str(one["name"]).upper(): one for one in columns.values()}
    return {
        "columns": frozenset(names),
        "personal": frozenset(name for name, one in names.items() if _is_personal(one)),
        "harmless": frozenset(name for name, one in names.items() if _meta(one).get("personal") is False),
    }


def _is_personal(column: Mapping[str, Any]) -> bool:
    tags = {*(column.get("tags") or ()), *((column.get("config") or {}).get("tags") or ())}
    return _meta(column).get("personal") is True or "personal" in tags


def _meta(column: Mapping[str, Any]) -> dict[str, Any]:
    return {**(column.get("meta") or {}), **((column.get("config") or {}).get("meta") or {})}
