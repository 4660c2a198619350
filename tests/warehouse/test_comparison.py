"""The comparison of slots in a real server: faults planted in a built slot, and what is found, explained, let pass.

A live slot, and a twin of it: the same models, the same data. Each test plants its fault in a twin of its own. One more
slot was built by dbt from a model that changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from typing import Any

import pytest

from slipway.adapters.comparer import SlotComparer
from slipway.adapters.profile import Sample, catalog
from slipway.adapters.snowflake import Session
from slipway.comparison import Comparison, Finding
from slipway.documents import canonical
from slipway.errors import Differs, StepFailed
from slipway.step import CompareSlot
from slipway.threshold import Acknowledgement, ComparisonRules, Measure
from tests.dbt.warehouse import Server
from tests.warehouse.place import bare_place
from tests.warehouse.test_build import TODAY, Manifests, Small

LIVE, CHANGED = "BBBB0001", "BBBB0002"
ORDERS = 200
SETTINGS = """
name: shop
version: "1.0"
config-version: 2
profile: finedge
models:
  shop:
    +materialized: table
    staging: {+schema: staging, +materialized: view}
    finance: {+schema: finance}
    customer: {+schema: customer}
    risk: {+schema: risk}
"""
NUMBERS = ", ".join(f"({number})" for number in range(1, ORDERS + 1))
MODELS = {
    "staging/stg_orders.sql": f"""
        select
            'o' || column1 as order_id,
            (column1 * 1.25)::number(18, 2) as amount,
            dateadd(day, mod(column1, 20), '2026-01-01'::date) as booked_on,
            case when mod(column1, 10) = 0 then null else 'note ' || column1 end as note
        from values {NUMBERS}
        """,
    "finance/orders.sql": "select order_id, amount, booked_on, note from {{ ref('stg_orders') }}",
    "finance/daily.sql": "select booked_on, sum(amount) as amount, count(*) as n from {{ ref('orders') }} group by 1",
    "customer/people.sql": f"""
        select column1 as person_id, 'p' || column1 || '@shop.example' as email, 'Name ' || column1 as full_name,
            dateadd(day, -column1, '2000-01-01'::date) as born_on
        from values {NUMBERS}
        """,
    "customer/addresses.sql": "select person_id, email as address from {{ ref('people') }}",
    "risk/exposure.sql": "select 1 as one",
    "schema.yml": """
version: 2
models:
  - name: orders
    columns:
      - {name: order_id, data_tests: [unique]}
  - name: daily
    columns:
      - {name: booked_on, data_tests: [unique]}
  - name: people
    columns:
      - {name: person_id, data_tests: [unique]}
      - {name: email, config: {meta: {personal: true}}}
      - {name: full_name, config: {tags: [personal]}}
      - {name: born_on, config: {meta: {personal: true}}}
""",
}


@dataclass
class Shop:
    """The project, its live slot, and what makes twins of it."""

    small: Small
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def session(self) -> Session:
        return self.small.place.deployer

    def table(self, title: str, slot: str) -> str:
        layer, name = title.split(".")
        return f"{self.small.place.database('ANALYTICS')}.{layer}__{slot}.{name}"

    def twin(self, *faults: str, of: str = LIVE) -> str:
        """Return a slot with the same content and manifest, but for the faults: SQL with `{FINANCE.ORDERS}` in it."""
        slot, analytics = f"CCCC{next(self.numbers):04d}", self.small.place.database("ANALYTICS")
        layers = ("STAGING", "FINANCE", "CUSTOMER", "RISK")
        self.session.run(*(f"CREATE SCHEMA {analytics}.{one}__{slot} CLONE {analytics}.{one}__{of}" for one in layers))
        kept = self.small.manifests.dbt_manifest(of)
        assert kept is not None
        self.small.manifests.put_dbt_manifest(slot, kept.replace(of.encode(), slot.encode()))
        self.small.place.complete(slot)
        ops = self.small.place.database("OPS")
        self.session.run(
            f"UPDATE {ops}.SLIPWAY.SLOTS SET PROJECT_SHA256 = (SELECT MAX(PROJECT_SHA256) FROM {ops}.SLIPWAY.SLOTS "
            f"WHERE SLOT = '{of}') WHERE SLOT = '{slot}'"
        )
        for fault in faults:
            for title in ("FINANCE.ORDERS", "FINANCE.DAILY", "CUSTOMER.PEOPLE", "CUSTOMER.ADDRESSES", "RISK.EXPOSURE"):
                fault = fault.replace(f"{{{title}}}", self.table(title, slot))
            self.session.run(fault)
        return slot

    def comparer(self, rules: ComparisonRules | None = None, *, today: date = TODAY) -> SlotComparer:
        return self.small.comparer(rules, today=today)

    def look(self, slot: str, rules: ComparisonRules | None = None, *, rows: int = 0) -> Comparison:
        return self.comparer(rules).look(slot, LIVE, lambda line: None, rows=rows)[0]

    def samples(self, slot: str, *, rows: int = 20) -> dict[str, Sample]:
        return {one.relation: one for one in self.comparer().look(slot, LIVE, lambda line: None, rows=rows)[1]}

    def step(self, slot: str, rules: ComparisonRules | None = None) -> CompareSlot:
        return CompareSlot(slot=slot, release=slot * 8, against=LIVE, rules=(rules or ComparisonRules()).digest)


@pytest.fixture(scope="module")
def shop(server: Server, deployer: Session, admin: Session, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with bare_place(server, deployer, admin, "SHOP") as place:
        small = Small(place, tmp_path_factory.mktemp("shop"), Manifests())
        small.write(SETTINGS, MODELS)
        small.build(LIVE)
        place.publish(LIVE)
        yield Shop(small)


@pytest.fixture(scope="module")
def changed(shop: Shop) -> str:
    """A slot that dbt built from a clone of the live one after the model `orders` changed."""
    model = shop.small.project / "models/finance/orders.sql"
    model.write_text(model.read_text().replace("amount, booked_on", "amount - 0.01 as amount, booked_on"))
    shop.small.build(CHANGED, clone_from=LIVE)
    return CHANGED


def found(comparison: Comparison) -> dict[tuple[str, Measure], Finding]:
    """Return the findings by their place and what differs."""
    return {(one.place, one.difference.measure): one for one in comparison.findings}


def test_a_twin_differs_in_nothing_and_everything_of_it_was_looked_at(shop: Shop) -> None:
    comparison = shop.look(shop.twin(), rows=20)
    assert comparison.findings == ()
    assert [(one.relation, one.rows) for one in comparison.relations] == [
        ("CUSTOMER.ADDRESSES", (ORDERS, ORDERS)),
        ("CUSTOMER.PEOPLE", (ORDERS, ORDERS)),
        ("FINANCE.DAILY", (20, 20)),
        ("FINANCE.ORDERS", (ORDERS, ORDERS)),
        ("RISK.EXPOSURE", (1, 1)),
    ]
    assert comparison.unread == 1, "the staging view"
    assert not any(one.because for one in comparison.relations)


def test_a_profile_tells_rows_nulls_distinct_values_sums_dates_and_keys(shop: Shop) -> None:
    profile = shop.look(shop.twin()).relation("FINANCE.ORDERS").after
    assert profile is not None
    assert (profile.rows, profile.duplicates, profile.is_estimated) == (ORDERS, {"ORDER_ID": 0}, False)
    columns = {one.name: one for one in profile.columns}
    assert columns["AMOUNT"].type == "NUMBER(18,2)"
    assert columns["AMOUNT"].sum == "25125.00"
    assert (columns["BOOKED_ON"].earliest, columns["BOOKED_ON"].latest) == ("2026-01-01", "2026-01-20")
    assert (columns["NOTE"].nulls, columns["NOTE"].distinct, columns["NOTE"].sum) == (20, 180, None)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ("UPDATE {FINANCE.ORDERS} SET NOTE = 'another' WHERE ORDER_ID = 'o1'", "FINANCE.ORDERS.NOTE"),
        (
            "UPDATE {FINANCE.ORDERS} SET NOTE = CASE ORDER_ID WHEN 'o1' THEN 'note 2' ELSE 'note 1' END "
            "WHERE ORDER_ID IN ('o1', 'o2')",
            "FINANCE.ORDERS",
        ),
        ("UPDATE {CUSTOMER.PEOPLE} SET EMAIL = 'another' WHERE PERSON_ID = 1", "CUSTOMER.PEOPLE"),
    ],
    ids=["another value", "two that change places", "a personal one"],
)
def test_values_that_leave_every_figure_as_it_was_are_told_and_stop_nothing(
    shop: Shop, change: str, place: str
) -> None:
    slot = shop.twin(change)
    (only,) = shop.look(slot).findings
    assert (only.place, only.difference.measure, only.is_over) == (place, "values", False)
    assert shop.samples(slot)[only.difference.relation].total in (1, 2)


# What is planted in a twin -> the one finding that stops, as place, measure, before, after.
FAULTS: dict[str, tuple[str, str, str, str | None, str | None]] = {
    "rows lost": ("DELETE FROM {FINANCE.ORDERS} WHERE ORDER_ID = 'o7'", "FINANCE.ORDERS", "rows", "200", "199"),
    "nulls risen": (
        "UPDATE {FINANCE.ORDERS} SET NOTE = NULL WHERE ORDER_ID = 'o7'",
        "FINANCE.ORDERS.NOTE",
        "nulls",
        "20",
        "21",
    ),
    "a cent": (
        "UPDATE {FINANCE.ORDERS} SET AMOUNT = AMOUNT + 0.01 WHERE ORDER_ID = 'o7'",
        "FINANCE.ORDERS.AMOUNT",
        "sum",
        "25125.00",
        "25125.01",
    ),
    "two values become one": (
        "UPDATE {CUSTOMER.PEOPLE} SET EMAIL = 'p8@shop.example' WHERE PERSON_ID = 7",
        "CUSTOMER.PEOPLE.EMAIL",
        "distinct",
        "200",
        "199",
    ),
    "newest day gone back": (
        "UPDATE {FINANCE.DAILY} SET BOOKED_ON = '2025-12-31' WHERE BOOKED_ON = '2026-01-20'",
        "FINANCE.DAILY.BOOKED_ON",
        "latest",
        "2026-01-20",
        "2026-01-19",
    ),
    "oldest day gone": (
        "UPDATE {FINANCE.DAILY} SET BOOKED_ON = '2026-01-21' WHERE BOOKED_ON = '2026-01-01'",
        "FINANCE.DAILY.BOOKED_ON",
        "earliest",
        "2026-01-01",
        "2026-01-02",
    ),
    "keys doubled": (
        "INSERT INTO {FINANCE.ORDERS} SELECT * FROM {FINANCE.ORDERS} WHERE ORDER_ID IN ('o7', 'o8')",
        "FINANCE.ORDERS.ORDER_ID",
        "duplicates",
        "0",
        "2",
    ),
    "type changed": (
        "CREATE OR REPLACE TABLE {FINANCE.ORDERS} AS "
        "SELECT ORDER_ID, AMOUNT::FLOAT AS AMOUNT, BOOKED_ON, NOTE FROM {FINANCE.ORDERS}",
        "FINANCE.ORDERS.AMOUNT",
        "type",
        "NUMBER(18,2)",
        "FLOAT",
    ),
    "column dropped": (
        "ALTER TABLE {FINANCE.ORDERS} DROP COLUMN NOTE",
        "FINANCE.ORDERS.NOTE",
        "removed",
        "TEXT",
        None,
    ),
    "relation gone": ("DROP TABLE {FINANCE.DAILY}", "FINANCE.DAILY", "removed", "20", None),
    "all rows gone": ("DELETE FROM {RISK.EXPOSURE}", "RISK.EXPOSURE", "rows", "1", "0"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_stops_where_it_is(shop: Shop, fault: tuple[str, str, str, str | None, str | None]) -> None:
    statement, place, measure, before, after = fault
    slot = shop.twin(statement)
    with pytest.raises(Differs) as refused:
        shop.comparer().compare(shop.step(slot), lambda line: None)
    told = {(one.place, one.difference.measure): one for one in shop.look(slot).stopping}
    one = told[place, measure]  # type: ignore[index]
    assert (one.difference.before, one.difference.after) == (before, after)
    relation = place if place.count(".") == 1 else place.rpartition(".")[0]
    assert all(name == relation or name.startswith(f"{relation}.") for name, _ in told)
    assert f"{place} {measure}: {before or 'nothing'} -> {after or 'nothing'}" in refused.value.message
    assert "explained by no changed model" in refused.value.message
    assert "invoke dbt.compare --env ENV" in str(refused.value.fix)
    assert f'what = "{measure}"' in str(refused.value.fix)


def test_a_key_that_only_the_live_project_declares_is_looked_at_too(shop: Shop) -> None:
    """A change takes a test away together with what the test held."""
    slot = shop.twin(FAULTS["keys doubled"][0])
    manifest = json.loads(shop.small.manifests.dbt_manifest(slot) or b"{}")
    tests = [name for name, one in manifest["nodes"].items() if one["resource_type"] == "test"]
    for name in tests:
        del manifest["nodes"][name]
    shop.small.manifests.put_dbt_manifest(slot, json.dumps(manifest).encode())
    told = [one.difference for one in shop.look(slot).stopping if one.difference.measure == "duplicates"]
    assert [(one.column, one.before, one.after) for one in told] == [("ORDER_ID", "0", "2")]
    assert shop.samples(slot, rows=1)["FINANCE.ORDERS"].total is not None


def test_what_is_new_and_what_is_not_published_is_told_and_does_not_stop(shop: Shop) -> None:
    slot = shop.twin(
        "ALTER TABLE {FINANCE.ORDERS} ADD COLUMN CHANNEL VARCHAR",
        "CREATE TABLE {FINANCE.DAILY}_NEW AS SELECT * FROM {FINANCE.DAILY}",
        "DROP TABLE {RISK.EXPOSURE}",
    )
    comparison = shop.look(slot)
    assert {place: one.difference.after for (place, _), one in found(comparison).items()} == {
        "FINANCE.ORDERS.CHANNEL": "TEXT",
        "FINANCE.DAILY_NEW": "20",
        "RISK.EXPOSURE": None,
    }
    assert comparison.stopping == ()


def test_a_changed_model_explains_itself_and_what_is_made_from_it(shop: Shop, changed: str) -> None:
    comparison = shop.look(changed)
    assert {one.relation: one.because for one in comparison.relations} == {
        "CUSTOMER.ADDRESSES": (),
        "CUSTOMER.PEOPLE": (),
        "FINANCE.DAILY": ("orders",),
        "FINANCE.ORDERS": ("orders",),
        "RISK.EXPOSURE": (),
    }
    sums = found(comparison)
    assert sums["FINANCE.ORDERS.AMOUNT", "sum"].difference.after == "25123.00"
    assert sums["FINANCE.DAILY.AMOUNT", "sum"].moved == "-0.01 %"
    assert sums["FINANCE.ORDERS.AMOUNT", "type"].moved == "wider"
    assert comparison.stopping == ()


def test_what_a_changed_model_explains_has_its_thresholds_too(shop: Shop, changed: str) -> None:
    slot = shop.twin("DELETE FROM {FINANCE.ORDERS} WHERE BOOKED_ON > '2026-01-18'", of=changed)
    stopping = {one.place: one for one in shop.look(slot).stopping}
    assert stopping["FINANCE.ORDERS"].moved == "-10 %"
    assert stopping["FINANCE.ORDERS"].allowed == "-5 %"


def test_a_changed_project_explains_everything(shop: Shop) -> None:
    slot = shop.twin("UPDATE {FINANCE.ORDERS} SET AMOUNT = AMOUNT + 0.01 WHERE ORDER_ID = 'o7'")
    ops = shop.small.place.database("OPS")
    shop.session.run(f"UPDATE {ops}.SLIPWAY.SLOTS SET PROJECT_SHA256 = 'other' WHERE SLOT = '{slot}'")
    comparison = shop.look(slot)
    assert all(one.because for one in comparison.relations)
    assert len(comparison.findings) == 1
    assert comparison.stopping == ()


LOST = "DELETE FROM {CUSTOMER.ADDRESSES} WHERE PERSON_ID = 7"


def lost(**changes: Any) -> ComparisonRules:
    """Return rules that acknowledge what `LOST` takes away."""
    said = {"model": "addresses", "reason": "asked for by the person", **changes}
    what: tuple[Measure, ...] = ("rows", "distinct")
    return ComparisonRules(
        acknowledgements=tuple(Acknowledgement.from_mapping({**said, "what": one}, origin="test") for one in what)
    )


def test_an_acknowledged_difference_passes_and_is_told_with_its_reason(shop: Shop) -> None:
    slot = shop.twin(LOST)
    rules = lost(slot=slot)
    outcome = shop.comparer(rules).compare(shop.step(slot, rules), lambda line: None)
    assert "3 acknowledged" in outcome.summary
    told = outcome.evidence["relations"][0]["findings"][0]
    assert (told["difference"]["measure"], told["acknowledged"]) == ("rows", "asked for by the person")


@pytest.mark.parametrize(
    "changes",
    [
        {"slot": LIVE},
        {"until": "2026-11-27"},
        {"slot": LIVE, "until": "2026-12-31"},
        {"model": "people", "until": "2026-12-31"},
    ],
    ids=["another release", "too late", "another release in time", "another model"],
)
def test_an_acknowledgement_of_something_else_does_not_let_it_pass(shop: Shop, changes: dict[str, str]) -> None:
    slot, rules = shop.twin(LOST), lost(**changes)
    with pytest.raises(Differs, match=r"CUSTOMER\.ADDRESSES rows: 200 -> 199"):
        shop.comparer(rules).compare(shop.step(slot, rules), lambda line: None)


def test_thresholds_that_are_not_those_of_the_plan_are_not_used(shop: Shop) -> None:
    slot = shop.twin(LOST)
    with pytest.raises(StepFailed, match="the thresholds are not those of the plan"):
        shop.comparer(lost(slot=slot)).compare(shop.step(slot), lambda line: None)


def test_two_queries_for_each_relation_and_four_for_all_and_one_more_for_a_sample(shop: Shop) -> None:
    slot = shop.twin("DELETE FROM {FINANCE.ORDERS} WHERE ORDER_ID = 'o7'")
    for rows, samples in ((0, 0), (20, 1)):
        comparison, _, queries = shop.comparer().look(slot, LIVE, lambda line: None, rows=rows)
        assert queries.count == 4 + 2 * len(comparison.relations) + samples


def test_the_evidence_is_plain_data_without_floats_and_names_the_queries(shop: Shop) -> None:
    slot = shop.twin()
    evidence = shop.comparer().compare(shop.step(slot), lambda line: None).evidence
    assert canonical(dict(evidence))
    assert evidence["queries"] == 4 + 2 * 5 == len(evidence["query_ids"])
    orders = next(one for one in evidence["relations"] if one["relation"] == "FINANCE.ORDERS")
    assert {one["name"]: one["sum"] for one in orders["after"]["columns"]}["AMOUNT"] == "25125.00"


def test_distinct_values_of_what_is_large_are_estimated_and_near_ones_do_not_differ(shop: Shop) -> None:
    slot = shop.twin("UPDATE {CUSTOMER.PEOPLE} SET EMAIL = 'p8@shop.example' WHERE PERSON_ID = 7")
    comparison = shop.look(slot, ComparisonRules(exact_rows=100))
    people = comparison.relation("CUSTOMER.PEOPLE")
    assert people.after is not None
    assert people.after.is_estimated
    assert [one.difference.measure for one in people.findings] == ["values"], "one value fewer is within the error"


# ---- samples of rows -------------------------------------------------------------------------------------------


def test_rows_that_differ_are_shown_by_key_with_what_was_and_what_is(shop: Shop) -> None:
    slot = shop.twin(
        "UPDATE {FINANCE.ORDERS} SET AMOUNT = 1, NOTE = NULL WHERE ORDER_ID = 'o7'",
        "DELETE FROM {FINANCE.ORDERS} WHERE ORDER_ID = 'o8'",
        "INSERT INTO {FINANCE.ORDERS} SELECT 'o900', 1, '2026-01-02', NULL",
    )
    sample = shop.samples(slot)["FINANCE.ORDERS"]
    assert sample.total == 3
    rows = {str(row.key["ORDER_ID"]): row for row in sample.rows}
    assert {key: row.side for key, row in rows.items()} == {"o7": "changed", "o8": "gone", "o900": "new"}
    assert {(one.column, one.before, one.after) for one in rows["o7"].cells} == {
        ("AMOUNT", "8.75", "1.00"),
        ("NOTE", "note 7", None),
    }
    assert rows["o8"].cells == ()


def test_a_sample_is_cut_off_and_says_of_how_many(shop: Shop) -> None:
    slot = shop.twin("UPDATE {FINANCE.ORDERS} SET NOTE = NULL WHERE AMOUNT > 125")
    sample = shop.samples(slot, rows=4)["FINANCE.ORDERS"]
    assert (sample.total, len(sample.rows)) == (90, 4)


def test_personal_values_are_never_shown_only_that_they_differ(shop: Shop) -> None:
    """Neither in a sample nor as a date in a profile."""
    slot = shop.twin(
        "UPDATE {CUSTOMER.PEOPLE} SET EMAIL = NULL, FULL_NAME = 'Somebody', BORN_ON = '1980-01-01' WHERE PERSON_ID = 7"
    )
    comparison, samples, _ = shop.comparer().look(slot, LIVE, lambda line: None, rows=20)
    (row,) = next(one for one in samples if one.relation == "CUSTOMER.PEOPLE").rows
    assert {one.column for one in row.cells} == {"EMAIL", "FULL_NAME", "BORN_ON"}
    assert all(one.is_personal and (one.before, one.after) == (None, None) for one in row.cells)
    people = comparison.relation("CUSTOMER.PEOPLE")
    assert people.after is not None
    assert [one.earliest for one in people.after.columns if one.name == "BORN_ON"] == [None]
    assert {one.name for one in people.after.columns if one.content} == {"PERSON_ID"}
    assert people.after.content is not None
    assert b"content" not in comparison.to_bytes(), "a hash of few values tells them"
    assert b"Somebody" not in comparison.to_bytes()
    assert b"@shop.example" not in comparison.to_bytes()


def test_a_personal_value_under_another_name_is_not_shown_either(shop: Shop) -> None:
    slot = shop.twin("UPDATE {CUSTOMER.ADDRESSES} SET ADDRESS = 'else@shop.example' WHERE PERSON_ID = 7")
    manifest = json.loads(shop.small.manifests.dbt_manifest(slot) or b"{}")
    manifest["nodes"]["model.shop.addresses"]["config"]["unique_key"] = "person_id"
    shop.small.manifests.put_dbt_manifest(slot, json.dumps(manifest).encode())
    (row,) = shop.samples(slot)["CUSTOMER.ADDRESSES"].rows
    assert row.key == {"PERSON_ID": "7"}
    assert [(one.column, one.before, one.after, one.is_personal) for one in row.cells] == [
        ("ADDRESS", None, None, True)
    ]


def test_a_relation_without_a_key_says_that_its_rows_cannot_be_told_apart(shop: Shop) -> None:
    assert shop.samples(shop.twin(LOST))["CUSTOMER.ADDRESSES"] == Sample(
        relation="CUSTOMER.ADDRESSES", total=None, note="no key is declared, so its rows cannot be told apart"
    )


def test_a_key_of_another_type_is_not_joined_by(shop: Shop) -> None:
    slot = shop.twin(
        "CREATE OR REPLACE TABLE {CUSTOMER.PEOPLE} AS SELECT 'p' || PERSON_ID AS PERSON_ID, EMAIL, FULL_NAME, BORN_ON "
        "FROM {CUSTOMER.PEOPLE}"
    )
    told = shop.samples(slot)["CUSTOMER.PEOPLE"]
    assert (told.total, told.rows) == (None, ())
    assert "the type of its key changed (PERSON_ID)" in told.note


def test_keys_that_several_rows_hold_are_counted_and_left_out_of_a_sample(shop: Shop) -> None:
    slot = shop.twin(
        "INSERT INTO {FINANCE.ORDERS} SELECT * FROM {FINANCE.ORDERS} WHERE ORDER_ID IN ('o7', 'o8')",
        "INSERT INTO {FINANCE.ORDERS} SELECT * FROM {FINANCE.ORDERS} WHERE ORDER_ID = 'o7'",
        "UPDATE {FINANCE.ORDERS} SET NOTE = 'other' WHERE ORDER_ID = 'o9'",
    )
    told = shop.samples(slot)["FINANCE.ORDERS"]
    assert (told.total, told.doubled, [row.key["ORDER_ID"] for row in told.rows]) == (1, 2, ["o9"])


def test_a_live_table_that_was_written_to_since_is_named_as_such(shop: Shop) -> None:
    slot, live = shop.twin(), shop.table("RISK.EXPOSURE", LIVE)
    shop.session.run(f"CREATE OR REPLACE TABLE {live} AS SELECT 1 AS ONE UNION ALL SELECT 2")
    try:
        with pytest.raises(Differs, match=r"RISK\.EXPOSURE rows: 2 -> 1 .* the live one was written to since"):
            shop.comparer().compare(shop.step(slot), lambda line: None)
    finally:
        shop.session.run(f"CREATE OR REPLACE TABLE {live} AS SELECT 1 AS ONE")


def test_the_catalog_of_two_slots_is_read_by_two_queries(shop: Shop, changed: str) -> None:
    asked: list[str] = []

    def rows(statement: str) -> list[tuple[Any, ...]]:
        asked.append(statement)
        return shop.session.rows(statement)

    present = catalog(rows, shop.small.place.database("ANALYTICS"), (LIVE, changed))
    assert len(asked) == 2
    assert set(present[LIVE]) == set(present[changed])
    assert present[LIVE]["STAGING.STG_ORDERS"].is_view
