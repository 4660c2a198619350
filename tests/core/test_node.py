"""What a manifest tells: which nodes follow the data, which snapshots are the same, and whether it can be compared."""

from __future__ import annotations

import json
from typing import Any

import pytest

from slipway.node import SCHEMA, behind, copied, fed_by, made_by, newcomers, nodes_in, orphans, unfit


def manifest(*nodes: tuple[str, str, str], slot: str = "AAAA0001", code: str = "select 1") -> bytes:
    """Return a manifest of nodes (kind, materialized, layer.name)."""
    found: dict[str, Any] = {}
    for kind, materialized, place in nodes:
        layer, name = place.split(".")
        found[f"{kind}.p.{name}"] = {
            "schema": f"{layer}__{slot}",
            "alias": name.lower(),
            "relation_name": None if materialized == "ephemeral" else f"A.{layer}__{slot}.{name}",
            "resource_type": kind,
            "config": {"materialized": materialized},
            "fqn": ["p", layer.lower(), name.lower()],
            "raw_code": code,
        }
    return json.dumps({"metadata": {"dbt_schema_version": SCHEMA, "dbt_version": "1"}, "nodes": found}).encode()


EVERY = (
    ("model", "table", "FINANCE.A"),
    ("model", "incremental", "FINANCE.B"),
    ("snapshot", "snapshot", "SNAPSHOTS.S"),
    ("model", "view", "STAGING.V"),
    ("seed", "seed", "SEEDS.C"),
    ("model", "ephemeral", "FINANCE.E"),
)


def test_what_holds_rows_that_come_from_the_data_is_behind_when_the_live_one_was_written_to() -> None:
    nodes = nodes_in(manifest(*EVERY), "AAAA0001")
    everything = [node.relation for node in nodes]
    assert ("FINANCE", "E") not in everything
    found = behind(nodes, everything)
    assert {node.selector for node in found} == {"fqn:p.finance.a", "fqn:p.finance.b", "fqn:p.snapshots.s"}
    assert behind(nodes, [("FINANCE", "A")]) == tuple(node for node in nodes if node.relation == ("FINANCE", "A"))
    assert nodes_in(manifest(*EVERY), "AAAA0002") == (), "of another slot"


def test_what_the_live_slot_has_no_table_of_is_a_newcomer_when_its_rows_come_from_the_data() -> None:
    nodes = nodes_in(manifest(*EVERY), "AAAA0001")
    found = newcomers(nodes, {("FINANCE", "A")})  # V is a view on either side
    assert {node.relation for node in found} == {("FINANCE", "B"), ("SNAPSHOTS", "S")}
    assert newcomers(nodes, {node.relation for node in nodes}) == ()


@pytest.mark.parametrize(
    ("parents", "is_fed"),
    [
        ({"A": ["source.t"]}, True),
        ({"A": ["model.p.V"], "V": ["model.p.E"], "E": ["source.t"]}, True),  # through a view and what is inlined
        ({"A": ["model.p.V", "source.u"], "V": ["model.p.E"], "E": ["model.p.V"]}, False),
        ({"A": ["model.p.B"], "B": ["source.t"]}, False),  # B holds rows; A descends from it
        ({"A": ["seed.p.C"]}, False),
        ({}, False),
    ],
)
def test_what_stands_on_a_source_that_was_written_to_is_fed_by_it(parents: dict[str, list[str]], is_fed: bool) -> None:
    content = json.loads(manifest(*EVERY))
    for node in content["nodes"].values():
        node["depends_on"] = {"nodes": parents.get(node["alias"].upper(), [])}
    content["sources"] = {
        f"source.{name}": {"database": "raw", "schema": "core", "identifier": name} for name in ("t", "u")
    }
    text = json.dumps(content).encode()
    (node,) = (one for one in nodes_in(text, "AAAA0001") if one.relation == ("FINANCE", "A"))
    assert bool(fed_by([node], text, {("RAW", "CORE", "T")})) is is_fed


def test_a_snapshots_history_is_copied_only_when_both_mean_the_same() -> None:
    nodes = nodes_in(manifest(*EVERY), "AAAA0001")
    same = nodes_in(manifest(*EVERY, slot="AAAA0002"), "AAAA0002")
    other = nodes_in(manifest(*EVERY, slot="AAAA0002", code="select 2"), "AAAA0002")
    assert [node.relation for node in copied(nodes, same)] == [("SNAPSHOTS", "S")]
    assert copied(nodes, other) == ()


def test_orphans_are_what_no_node_makes_any_more() -> None:
    live = nodes_in(manifest(*EVERY), "AAAA0001")
    ephemeral = ("model", "ephemeral", "FINANCE.A")
    renamed = ("model", "incremental", "FINANCE.BB")
    coming = nodes_in(manifest(ephemeral, renamed, *EVERY[2:], slot="AAAA0002"), "AAAA0002")
    assert orphans(live, made_by(coming)) == ("FINANCE.A", "FINANCE.B")


@pytest.mark.parametrize(
    ("content", "dbt", "reason"),
    [
        (manifest(*EVERY), "1", None),
        (manifest(*EVERY), "2", "written by dbt 1, and this is 2"),
        (manifest().replace(b"v12", b"v11"), "1", "another schema"),
        (b"[]", "1", "not one that dbt writes"),
        (b"{", "1", "not one that dbt writes"),
    ],
)
def test_a_manifest_of_another_dbt_or_schema_is_not_compared_with(content: bytes, dbt: str, reason: str | None) -> None:
    found = unfit(content, dbt=dbt)
    assert (found is None) == (reason is None)
    assert reason is None or reason in str(found)
