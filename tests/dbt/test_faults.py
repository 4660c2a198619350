"""Every data test is shown to fail: on a copy of what it looks at, with a fault planted in it.

The copy is a temporary table beside the relation, and the test's own SQL, as dbt sent it, is run against the copy. A
fault below a view is seen through the view: its SQL is put in its place, as far as the fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from slipway.adapters.snowflake import Session
from tests.dbt.project import Outcome, Project

Node = dict[str, Any]
POSTINGS, TRANSACTIONS = "stg_core__ledger_postings", "stg_core__card_transactions"
NEWEST_POSTING = "posting_id = (SELECT MAX(posting_id) FROM {copy})"
ONE_TRANSACTION = "transaction_id = (SELECT MIN(transaction_id) FROM {copy} WHERE transaction_status = 'captured')"
RECONCILED = ("int_loads_reconciled",)


@dataclass(frozen=True)
class Fault:
    """A statement that spoils a copy of `node`, and the views between the copy and the test."""

    test: str
    node: str
    statement: str
    through: tuple[str, ...] = ()


BY_HAND = (
    Fault(
        "assert_journals_sum_to_zero", POSTINGS, f"UPDATE {{copy}} SET amount = amount + 0.01 WHERE {NEWEST_POSTING}"
    ),
    Fault("assert_journals_sum_to_zero", POSTINGS, f"DELETE FROM {{copy}} WHERE {NEWEST_POSTING}"),
    Fault("assert_ledger_sums_to_zero_per_day_and_currency", POSTINGS, f"DELETE FROM {{copy}} WHERE {NEWEST_POSTING}"),
    Fault(
        "assert_ledger_sums_to_zero_per_day_and_currency",
        POSTINGS,
        f"UPDATE {{copy}} SET posting_date = posting_date + 1 WHERE {NEWEST_POSTING}",
    ),
    Fault(
        "assert_ledger_mart_sums_to_zero",
        "fct_ledger_daily",
        "UPDATE {copy} SET net_amount = net_amount - 0.01 WHERE account_code = '4100'",
    ),
    Fault(
        "ledger_debits_less_credits_are_net", "fct_ledger_daily", "UPDATE {copy} SET debit_amount = debit_amount + 0.01"
    ),
    Fault(
        "assert_receivables_tie_to_captured_transactions",
        TRANSACTIONS,
        f"UPDATE {{copy}} SET amount = amount + 0.01 WHERE {ONE_TRANSACTION}",
    ),
    Fault(
        "assert_receivables_tie_to_captured_transactions",
        TRANSACTIONS,
        f"UPDATE {{copy}} SET transaction_status = 'reversed' WHERE {ONE_TRANSACTION}",
    ),
    Fault(
        "assert_raw_amounts_match_the_load_ledger",
        POSTINGS,
        f"UPDATE {{copy}} SET amount = amount + 0.01 WHERE {NEWEST_POSTING}",
        RECONCILED,
    ),
    Fault(
        "assert_raw_rows_match_the_load_ledger", POSTINGS, f"DELETE FROM {{copy}} WHERE {NEWEST_POSTING}", RECONCILED
    ),
    Fault(
        "assert_raw_rows_match_the_load_ledger",
        POSTINGS,
        f"INSERT INTO {{copy}} SELECT * FROM {{copy}} WHERE {NEWEST_POSTING}",
        RECONCILED,
    ),
    Fault(
        "assert_raw_rows_match_the_load_ledger",
        POSTINGS,
        f"UPDATE {{copy}} SET batch_id = 'by hand' WHERE {NEWEST_POSTING}",
        RECONCILED,
    ),
    Fault(
        "assert_raw_rows_match_the_load_ledger",
        TRANSACTIONS,
        "DELETE FROM {copy} WHERE logical_date = (SELECT MAX(logical_date) FROM {copy})",
        RECONCILED,
    ),
    Fault(
        "assert_transactions_reach_the_fact",
        TRANSACTIONS,
        "UPDATE {copy} SET transaction_id = 'lost', loaded_at = DATEADD('day', -1, loaded_at) "
        f"WHERE {ONE_TRANSACTION}",
    ),
    Fault(
        "assert_transactions_have_their_customer",
        "fct_card_transactions",
        f"UPDATE {{copy}} SET customer_id = 'nobody' WHERE {ONE_TRANSACTION}",
    ),
    Fault(
        "assert_customer_versions_do_not_overlap",
        "dim_customer_history",
        "UPDATE {copy} SET valid_to = NULL WHERE NOT is_current",
    ),
    Fault(
        "customer_version_ends_after_it_begins",
        "int_customers_versioned",
        "UPDATE {copy} SET valid_to = DATEADD('second', -1, valid_from)",
    ),
    Fault(
        "settlement_gross_less_fee_is_net",
        "stg_cards__settlements",
        "UPDATE {copy} SET fee_amount = fee_amount + 0.01",
    ),
    Fault(
        "always_fct_card_transactions_net_amount",
        "fct_card_transactions",
        "UPDATE {copy} SET net_amount = amount WHERE transaction_status = 'refunded'",
    ),
    Fault("always_int_fx_rates_filled_eur_per_unit", "int_fx_rates_filled", "UPDATE {copy} SET eur_per_unit = 0"),
    Fault("always_stg_core__card_transactions_amount", TRANSACTIONS, "UPDATE {copy} SET amount = -amount"),
    Fault(
        "always_stg_market__fx_rates_units_per_eur", "stg_market__fx_rates", "UPDATE {copy} SET units_per_eur = NULL"
    ),
)


def faults_of(test: Node, nodes: dict[str, Node]) -> list[Fault]:
    """Return the faults that a data test must find; for tests dbt brings along they follow from their arguments."""
    by_hand = [fault for fault in BY_HAND if test["name"].startswith(fault.test)]
    if by_hand or not test.get("attached_node"):
        return by_hand
    metadata, column = test["test_metadata"], test["column_name"]
    node = nodes[test["attached_node"]]["name"]
    match metadata["name"]:
        case "unique":
            statements = ["INSERT INTO {copy} SELECT * FROM {copy} LIMIT 1"]
        case "unique_combination":
            statements = ["INSERT INTO {copy} SELECT * FROM {copy} LIMIT 1"]
            statements += [f"UPDATE {{copy}} SET {key} = NULL" for key in metadata["kwargs"]["columns"]]
        case "not_null":
            statements = [f"UPDATE {{copy}} SET {column} = NULL"]
        case "accepted_values":
            bad = "'unheard of'" if metadata["kwargs"].get("quote", True) else "-1"
            statements = [f"UPDATE {{copy}} SET {column} = {bad}"]
        case "relationships":
            statements = [f"UPDATE {{copy}} SET {column} = 'nobody'"]
        case _:
            statements = []
    return [Fault(test["name"], node, statement) for statement in statements]


class Plant:
    """Plants faults in copies and runs tests against them; every fault is taken out again."""

    def __init__(self, session: Session, nodes: dict[str, Node]) -> None:
        self._session, self._nodes = session, nodes
        self._by_name = {node["name"]: node for node in nodes.values()}
        self._copies: dict[str, str] = {}

    def found(self, test: Node) -> int:
        """Return how many rows the test complains of as things are."""
        return self._count(test["compiled_code"])

    def found_with(self, fault: Fault, test: Node) -> int:
        """Return how many rows the test complains of with the fault planted."""
        node = self._by_name[fault.node]
        copy = self._copy(node)
        code = str(test["compiled_code"])
        for name in fault.through:
            view = self._by_name[name]
            code = code.replace(view["relation_name"], f"({view['compiled_code']})")
        assert node["relation_name"] in code, f"{test['name']} does not look at {fault.node}"
        self._session.run("BEGIN", fault.statement.format(copy=copy))
        try:
            return self._count(code.replace(node["relation_name"], copy))
        finally:
            self._session.run("ROLLBACK")

    def _copy(self, node: Node) -> str:
        relation = str(node["relation_name"])
        if relation not in self._copies:
            copy = f"{node['database']}.{node['schema']}.SPOILED_{node['name']}".upper()
            self._session.run(f"CREATE TEMPORARY TABLE {copy} AS SELECT * FROM {relation}")
            self._copies[relation] = copy
        return self._copies[relation]

    def _count(self, code: str) -> int:
        return int(self._session.rows(f"SELECT COUNT(*) FROM ({code}) AS found")[0][0])


@pytest.fixture(scope="module")
def nodes(built: Outcome, project: Project) -> dict[str, Node]:
    """The project's nodes with their SQL filled in."""
    assert project.run("compile").success
    found: dict[str, Node] = project.manifest()["nodes"]
    return found


@pytest.fixture(scope="module")
def data_tests(nodes: dict[str, Node]) -> list[Node]:
    found = [node for node in nodes.values() if node["resource_type"] == "test"]
    assert len(found) > 70
    return found


def test_every_data_test_has_a_fault_that_it_must_find(data_tests: list[Node], nodes: dict[str, Node]) -> None:
    assert [test["name"] for test in data_tests if not faults_of(test, nodes)] == []
    named = {fault.test for fault in BY_HAND}
    assert {name for name in named if not any(test["name"].startswith(name) for test in data_tests)} == set()


def test_every_data_test_finds_the_faults_planted_for_it_and_nothing_without_them(
    data_tests: list[Node], nodes: dict[str, Node], transformer: Session
) -> None:
    plant = Plant(transformer, nodes)
    wrong = []
    for test in data_tests:
        if found := plant.found(test):
            wrong.append(f"{test['name']} finds {found} rows in sound data")
        for fault in faults_of(test, nodes):
            if not plant.found_with(fault, test):
                wrong.append(f"{test['name']} does not find: {fault.statement}")
    assert wrong == []


def test_a_posting_loaded_by_half_stops_the_build_before_any_mart_is_touched(
    built: Outcome, project: Project, transformer: Session
) -> None:
    """The raw row is gone, as if a load had lost it; it comes back by the load's own rerun or by hand."""
    warehouse = project.server.environment.warehouse
    postings = f"{warehouse.raw_database}.CORE.LEDGER_POSTINGS"
    mart = project.relation("FINANCE", "FCT_LEDGER_DAILY")
    before = transformer.rows(f"SELECT * FROM {mart} ORDER BY 1, 2, 3")
    with project.server.session(warehouse.loader) as loader:
        loader.run(
            f"CREATE TEMPORARY TABLE {warehouse.raw_database}.OPS.KEPT AS "
            f"SELECT * FROM {postings} QUALIFY ROW_NUMBER() OVER (ORDER BY POSTING_ID DESC) = 1",
            f"DELETE FROM {postings} WHERE POSTING_ID IN (SELECT POSTING_ID FROM {warehouse.raw_database}.OPS.KEPT)",
        )
        outcome = project.run("build", "--select", "stg_core__ledger_postings+", "--exclude-resource-type", "unit_test")
        loader.run(f"INSERT INTO {postings} SELECT * FROM {warehouse.raw_database}.OPS.KEPT")
    assert not outcome.success
    assert {"assert_journals_sum_to_zero", "assert_ledger_sums_to_zero_per_day_and_currency"} <= set(
        outcome.having("fail")
    )
    assert {"fct_ledger_daily", "agg_daily_revenue"} <= set(outcome.having("skipped"))
    assert transformer.rows(f"SELECT * FROM {mart} ORDER BY 1, 2, 3") == before
