"""What a dbt model is built from, and what is built from it."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.errors import ConfigurationError
from slipway.model import model_in


def node(name: str, layer: str, materialized: str = "table", kind: str = "model", **config: str) -> dict[str, Any]:
    return {
        "name": name,
        "resource_type": kind,
        "schema": f"{layer}__AAAA0001",
        "alias": name,
        "config": {"materialized": materialized, **config},
    }


MANIFEST: dict[str, Any] = {
    "nodes": {
        "seed.rates": node("rates", "SEEDS", "seed", "seed"),
        "model.stg": node("stg", "STAGING", "view"),
        "model.fct": node("fct", "FINANCE", "incremental", incremental_strategy="microbatch"),
        "model.agg": node("agg", "CUSTOMER"),
        "model.other": node("other", "CUSTOMER"),
        "snapshot.kept": node("kept", "SNAPSHOTS", "snapshot", "snapshot"),
        "test.unique": node("unique", "TESTS", "test", "test"),
    },
    "parent_map": {"model.fct": ["model.stg"], "model.stg": ["seed.rates", "source.raw"], "model.agg": ["model.fct"]},
    "child_map": {"model.fct": ["model.agg", "test.unique", "snapshot.kept"], "seed.rates": ["model.other"]},
}


def test_the_tables_above_and_below_a_model_belong_to_it_and_its_cousins_do_not() -> None:
    found = model_in(MANIFEST, "fct")
    assert found.relations == ("CUSTOMER.AGG", "FINANCE.FCT", "SEEDS.RATES")
    assert found.is_microbatch


def test_a_snapshot_is_never_built_again() -> None:
    assert "SNAPSHOTS.KEPT" not in model_in(MANIFEST, "fct").relations


def test_a_model_without_batches_is_known_as_such() -> None:
    assert not model_in(MANIFEST, "agg").is_microbatch


@pytest.mark.parametrize(
    ("model", "said", "fix"),
    [
        ("fcts", "there is no dbt model 'fcts'", "--model fct"),
        ("rates", "there is no dbt model 'rates'", "give the name of a model"),
        ("stg", "stg is materialized as view", "a table, incremental or microbatch"),
    ],
)
def test_what_holds_no_rows_or_is_no_model_is_refused(model: str, said: str, fix: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        model_in(MANIFEST, model)
    assert fix in (refused.value.fix or "")
