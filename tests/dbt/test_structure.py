"""Rules that every model follows, read from what dbt parsed."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

import pytest

from slipway.slot import schema_in
from tests.dbt.project import LAYERS, SLOT, Outcome

Node = dict[str, Any]
PREFIXES = {"staging": ("stg_",), "intermediate": ("int_",), "marts": ("dim_", "fct_", "agg_")}
MONEY = re.compile(r"(^|_)(amount|balance)(_|$)")
ALLOWED = {  # layer of a model -> layers it may read
    "staging": {"sources"},
    "intermediate": {"staging", "intermediate", "seeds"},
    "marts": {"intermediate", "marts", "seeds"},
}


@pytest.fixture(scope="module")
def models(manifest: dict[str, Any]) -> list[Node]:
    found = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    assert len(found) >= 15
    return found


def layer_of(node: Node) -> str:
    """Return `sources`, `seeds`, or the first folder of a model."""
    kind = str(node["resource_type"])
    return PurePosixPath(node["path"]).parts[0] if kind == "model" else f"{kind}s"


def key_tests(manifest: dict[str, Any], node: Node) -> set[tuple[str, ...]]:
    """Return the columns, or combinations of columns, of a node that are tested to be unique."""
    found = set()
    for test in manifest["nodes"].values():
        if test["resource_type"] == "test" and test.get("attached_node") == node["unique_id"]:
            metadata = test["test_metadata"]
            if metadata["name"] == "unique":
                found.add((str(test["column_name"]),))
            if metadata["name"] == "unique_combination":
                found.add(tuple(metadata["kwargs"]["columns"]))
    return found


def test_the_project_parses_without_a_warning(parsed: Outcome) -> None:
    assert parsed.exception is None
    assert parsed.warnings == ()


def test_names_say_the_layer(models: list[Node]) -> None:
    assert [node["name"] for node in models if not node["name"].startswith(PREFIXES[layer_of(node)])] == []


def test_every_staging_model_is_named_for_its_source_and_stands_in_its_folder(models: list[Node]) -> None:
    for node in models:
        if layer_of(node) == "staging":
            source, _, table = node["name"].removeprefix("stg_").partition("__")
            assert node["depends_on"]["nodes"] == [f"source.finedge.{source}.{table}"]
            assert PurePosixPath(node["path"]).parts[1] == source


def test_every_model_reads_only_the_layers_below_it(manifest: dict[str, Any], models: list[Node]) -> None:
    known = {**manifest["nodes"], **manifest["sources"]}
    wrong = [
        f"{node['name']} reads {known[below]['name']}"
        for node in models
        for below in node["depends_on"]["nodes"]
        if layer_of(known[below]) not in ALLOWED[layer_of(node)]
    ]
    assert wrong == []


def test_finance_reads_nothing_of_the_customer_domain(manifest: dict[str, Any], models: list[Node]) -> None:
    finance = [node for node in models if node["path"].startswith("marts/finance")]
    read = {below for node in finance for below in node["depends_on"]["nodes"]}
    assert finance
    assert [name for name in read if "/customer/" in manifest["nodes"][name]["path"]] == []


def test_every_source_table_has_its_staging_model(manifest: dict[str, Any], models: list[Node]) -> None:
    read = {below for node in models for below in node["depends_on"]["nodes"]}
    assert manifest["sources"]
    assert set(manifest["sources"]) - read == set()


def test_everything_is_described_and_models_name_their_grain(manifest: dict[str, Any], models: list[Node]) -> None:
    described = [node for node in manifest["nodes"].values() if node["resource_type"] in ("seed", "snapshot")]
    described += [*models, *manifest["sources"].values()]
    assert [node["name"] for node in described if not node["description"].strip()] == []
    assert [node["name"] for node in models if "one row per" not in node["description"]] == []


def test_every_key_that_something_is_stored_by_is_tested(manifest: dict[str, Any], models: list[Node]) -> None:
    """Staging models, whatever they are, and what is stored; a view above staging is tested where it is stored."""
    seeds = [node for node in manifest["nodes"].values() if node["resource_type"] == "seed"]
    stored = [node for node in models if layer_of(node) == "staging" or node["config"]["materialized"] != "view"]
    assert len(stored) > 15
    assert [node["name"] for node in (*stored, *seeds) if not key_tests(manifest, node)] == []


def test_every_test_stops_a_deployment_but_the_one_that_may_wait_for_a_rate(manifest: dict[str, Any]) -> None:
    tests = [node for node in manifest["nodes"].values() if node["resource_type"] == "test"]
    lenient = [node["name"] for node in tests if node["config"]["severity"].lower() != "error"]
    assert lenient == ["not_null_fct_card_transactions_amount_eur"]


def test_every_mart_has_an_enforced_contract_over_described_columns(models: list[Node]) -> None:
    marts = [node for node in models if layer_of(node) == "marts"]
    assert len(marts) >= 10
    for node in marts:
        assert node["contract"]["enforced"], node["name"]
        for column in node["columns"].values():
            assert column["data_type"], f"{node['name']}.{column['name']}"
            assert column["description"], f"{node['name']}.{column['name']}"


def test_money_in_contracts_is_exact_with_two_decimals(models: list[Node]) -> None:
    columns = {
        f"{node['name']}.{name}": column["data_type"]
        for node in models
        if layer_of(node) == "marts"
        for name, column in node["columns"].items()
    }
    money = {name: kind for name, kind in columns.items() if MONEY.search(name.split(".")[1])}
    assert len(money) > 30
    assert set(money.values()) <= {"number(18, 2)", "number(38, 2)"}
    assert [name for name, kind in columns.items() if kind in ("float", "double", "real")] == []


def test_every_node_builds_into_a_schema_of_the_slot(manifest: dict[str, Any]) -> None:
    built = [n for n in manifest["nodes"].values() if n["resource_type"] in ("model", "seed", "snapshot")]
    schemas = {schema_in(layer, SLOT) for layer in LAYERS}
    assert {node["schema"] for node in built} == schemas


def test_every_model_belongs_to_a_domain(models: list[Node]) -> None:
    assert [node["name"] for node in models if not {"finance", "customer"} & set(node["tags"])] == []


def test_the_arithmetic_of_money_has_unit_tests(manifest: dict[str, Any]) -> None:
    tested = {test["model"] for test in manifest["unit_tests"].values()}
    assert {
        "int_transactions_converted",
        "int_fx_rates_filled",
        "int_ledger_daily_balances",
        "int_settlements_matched",
        "agg_daily_revenue",
    } <= tested
