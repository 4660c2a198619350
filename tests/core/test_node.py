"""What a manifest tells: which nodes follow the data, which snapshots are the same, and whether it can be compared."""

from __future__ import annotations

import json
from typing import Any

import pytest

from slipway.node import SCHEMA, behind, copied, made_by, nodes_in, orphans, unfit


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
