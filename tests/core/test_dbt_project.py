"""What dbt's manifests say: what changed, what that explains, which keys there are, and what is personal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from slipway.dbt_project import GROUND, Project, explained, read_manifest
from slipway.errors import ConfigurationError

OLD, NEW = "AAAA0001", "AAAA0002"
Node = dict[str, Any]


def node(name: str, *parents: str, layer: str = "finance", kind: str = "model", **changes: Any) -> tuple[str, Node]:
    """Return the unique id and the node of a model, as a manifest has them."""
    return f"{kind}.shop.{name}", {
        "resource_type": kind,
        "name": name,
        "alias": name,
        "layer": layer,
        "relation_name": name,
        "checksum": {"checksum": f"code of {name}"},
        "config": {"materialized": "table"},
        "depends_on": {"nodes": list(parents)},
        "columns": {},
        **changes,
    }


def key_test(of: str, name: str, columns: Any, **config: Any) -> tuple[str, Node]:
    """Return a data test that declares a key."""
    alone = name == "unique"
    argument = {"unique_combination": "columns"}.get(name, "combination_of_columns")
    return f"test.shop.{of}.{name}.{columns}", {
        "resource_type": "test",
        "attached_node": of,
        "column_name": columns if alone else None,
        "test_metadata": {"name": name, "kwargs": {} if alone else {argument: columns}},
        "config": config,
    }


def project(*nodes: tuple[str, Node], slot: str = NEW, sources: dict[str, Node] | None = None) -> Project:
    """Return the project of a manifest as dbt writes it into a slot."""
    told = {name: {**one, "schema": f"{one.get('layer')}__{slot}".upper()} for name, one in nodes}
    return read_manifest(json.dumps({"nodes": told, "sources": sources or {}}).encode(), slot=slot)


def shop(*, slot: str = NEW, **changes: Any) -> Project:
    """Return a small project; `changes` are of its model `orders`."""
    return project(
        node("stg", "source.shop.raw", layer="staging"),
        node("orders", "model.shop.stg", **changes),
        node("daily", "model.shop.orders"),
        node("people", layer="customer"),
        slot=slot,
        sources={"source.shop.raw": {"source_name": "core", "name": "raw", "schema": "S", "identifier": "RAW"}},
    )


def test_the_same_project_in_two_slots_explains_nothing() -> None:
    found = explained(shop(slot=OLD), shop(), ground_moved=False)
    assert found == {"STAGING.STG": (), "FINANCE.ORDERS": (), "FINANCE.DAILY": (), "CUSTOMER.PEOPLE": ()}


@pytest.mark.parametrize(
    "changes",
    [
        {"checksum": {"checksum": "other"}},
        {"config": {"materialized": "view"}},
        {"columns": {"a": {"name": "a", "data_type": "date"}}},
        {"depends_on": {"nodes": ["model.shop.stg"]}, "config": {"materialized": "table", "unique_key": "a"}},
    ],
    ids=["code", "materialization", "types", "key"],
)
def test_a_changed_model_explains_its_own_relation_and_what_is_made_from_it(changes: dict[str, Any]) -> None:
    found = explained(shop(slot=OLD), shop(**changes), ground_moved=False)
    assert found["FINANCE.ORDERS"] == found["FINANCE.DAILY"] == ("orders",)
    assert found["STAGING.STG"] == found["CUSTOMER.PEOPLE"] == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {"materialized": "table", "tags": ["daily"], "meta": {"owner": "ana"}}},
        {"description": "another"},
        {"columns": {"a": {"name": "a", "description": "more", "meta": {"personal": True}}}},
    ],
)
def test_what_only_describes_a_model_explains_nothing(changes: dict[str, Any]) -> None:
    before = {**changes, "config": {"materialized": "table"}, "description": "one"}
    before["columns"] = {name: {"name": name} for name in changes.get("columns", {})}
    found = explained(shop(slot=OLD, **before), shop(**changes), ground_moved=False)
    assert not any(found.values())


def test_models_that_came_and_went_explain_what_is_made_from_them() -> None:
    before = project(node("gone"), node("total", "model.shop.gone"), slot=OLD)
    after = project(node("new"), node("total", "model.shop.new"))
    found = explained(before, after, ground_moved=False)
    assert found == {"FINANCE.GONE": ("gone",), "FINANCE.NEW": ("new",), "FINANCE.TOTAL": ("gone", "new")}


def test_a_changed_ground_explains_everything_and_so_does_one_that_nobody_knows() -> None:
    for before, ground_moved in ((shop(slot=OLD), True), (None, False)):
        assert set(explained(before, shop(), ground_moved=ground_moved).values()) == {(GROUND,)}


def test_keys_are_what_is_declared_unique_for_all_rows() -> None:
    orders = "model.shop.orders"
    built = project(
        node("orders", config={"unique_key": ["a", "b"]}, constraints=[{"type": "primary_key", "columns": ["p"]}]),
        key_test(orders, "unique", "id"),
        key_test(orders, "unique", "sometimes", where="is_current"),
        key_test(orders, "unique_combination", ["c", "d"]),
        key_test(orders, "unique_combination_of_columns", ["e", "f"]),
        key_test(orders, "not_null", ["g"]),
        node("ratings", kind="snapshot", config={"unique_key": "customer_id"}),
        node("codes", kind="seed", columns={"k": {"name": "k", "constraints": [{"type": "unique"}]}}),
    )
    assert set(built.keys("FINANCE.ORDERS")) == {("A", "B"), ("P",), ("ID",), ("C", "D"), ("E", "F")}
    assert built.keys("FINANCE.RATINGS") == (("DBT_SCD_ID",),)
    assert built.keys("FINANCE.CODES") == (("K",),)
    assert built.keys("FINANCE.NO_SUCH") == ()


def test_a_column_is_personal_in_whatever_is_made_from_it_under_the_same_name() -> None:
    marks = ({"meta": {"personal": True}}, {"config": {"meta": {"personal": True}}}, {"tags": ["personal"]})
    columns = {f"c{number}": {"name": f"c{number}", **mark} for number, mark in enumerate(marks)}
    columns["open"] = {"name": "open", "meta": {"personal": False}}
    built = project(node("people", columns=columns), node("total", "model.shop.people"), node("other"))
    assert built.personal("FINANCE.PEOPLE") == built.personal("FINANCE.TOTAL") == {"C0", "C1", "C2"}
    assert built.personal("FINANCE.OTHER") == built.personal("FINANCE.NO_SUCH") == frozenset()


def test_what_is_made_from_personal_data_under_another_name_is_concealed_and_so_is_what_is_made_from_that() -> None:
    mail = {"email": {"name": "email", "meta": {"personal": True}}}
    raw = {"source_name": "core", "name": "raw", "schema": "S", "identifier": "RAW"}
    raw["columns"] = {**mail, "id": {"name": "id"}, "segment": {"name": "segment"}}  # type: ignore[assignment]
    built = project(
        node(
            "stg", "source.shop.raw", layer="staging", columns={"plan": {"name": "plan", "meta": {"personal": False}}}
        ),
        node("people", "model.shop.stg"),
        node("plain"),
        sources={"source.shop.raw": raw},
    )
    columns = {
        "STAGING.STG": ("ID", "EMAIL", "SEGMENT", "LOGIN", "PLAN"),
        "FINANCE.PEOPLE": ("ID", "LOGIN", "SEGMENT", "PLAN", "TOTAL"),
        "FINANCE.PLAIN": ("ANY",),
    }
    assert built.concealed("STAGING.STG", columns) == {"EMAIL", "LOGIN"}
    assert built.concealed("FINANCE.PEOPLE", columns) == {"EMAIL", "LOGIN", "TOTAL"}
    assert built.concealed("FINANCE.PLAIN", columns) == built.concealed("FINANCE.NONE", columns) == frozenset()


def test_an_ephemeral_model_makes_no_relation_and_explains_what_it_goes_into() -> None:
    def built(code: str, slot: str) -> Project:
        thin = node("thin", relation_name=None, checksum={"checksum": code}, config={"materialized": "ephemeral"})
        return project(thin, node("total", "model.shop.thin"), slot=slot)

    found = explained(built("one", OLD), built("two", NEW), ground_moved=False)
    assert found == {"FINANCE.TOTAL": ("thin",)}


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"nodes": {"a": {}}}', b'{"nodes": 1}'])
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigurationError, match="the manifest of slot AAAA0002 is not one that dbt writes"):
        read_manifest(content, slot=NEW)
