"""Builds of one slot through its life, and marts that say what the sources say."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import psycopg
import pytest

from slipway.adapters.snowflake import Session
from slipway.slot import schema_in
from tests.dbt.feed import SOURCES, Feed
from tests.dbt.project import LAYERS, SLOT, Outcome, Project

CENT, RATE = Decimal("0.01"), Decimal("1e-12")
NEWEST = "(SELECT DISTINCT ON (transaction_id) * FROM core.card_transactions ORDER BY transaction_id, updated_at DESC)"


@pytest.fixture(scope="module")
def source(feed: Feed, built: Outcome) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(feed.dsn) as connection:
        yield connection


def rounded(value: Decimal, to: Decimal) -> Decimal:
    """Round half away from zero, as the warehouse does."""
    return value.quantize(to, rounding=ROUND_HALF_UP)


def lines_of(feed: Feed, prefix: str) -> list[dict[str, str]]:
    """Return the distinct lines of the newest version of every file under a prefix."""
    listed = feed.s3.list_objects_v2(Bucket=SOURCES, Prefix=prefix)["Contents"]
    keys = sorted(entry["Key"] for entry in listed)
    newest = {re.sub(r"_v\d+\.", ".", key): key for key in keys}  # the first version sorts before its corrections
    found = []
    for key in newest.values():
        body = feed.s3.get_object(Bucket=SOURCES, Key=key)["Body"].read()
        text = (gzip.decompress(body) if key.endswith(".gz") else body).decode()
        header, *lines = text.splitlines()
        found += list(csv.DictReader(io.StringIO("\n".join([header, *sorted(set(lines))]))))
    return found


class TestBuildsOfASlot:
    """Every test passes at every moment a build may meet."""

    def test_the_build_of_a_first_deployment_passes_on_empty_sources(self, built_empty: Outcome) -> None:
        assert built_empty.having("error", "fail", "warn", "skipped", "runtime error") == []
        assert built_empty.warnings == ()
        assert built_empty.success

    def test_all_unit_tests_run_on_the_embedded_warehouse(self, built_empty: Outcome, manifest: dict[str, Any]) -> None:
        assert len(built_empty.of("unit_test")) == len(manifest["unit_tests"]) >= 12
        assert set(built_empty.of("unit_test").values()) == {"pass"}

    def test_builds_pass_while_files_are_awaited_and_after_they_came(
        self, built_first: Outcome, built: Outcome
    ) -> None:
        for outcome in (built_first, built):
            assert outcome.having("error", "fail", "warn", "skipped", "runtime error") == []
            assert outcome.warnings == ()
            assert len(outcome.results) > 100

    def test_nothing_built_holds_a_float(self, built: Outcome, transformer: Session, project: Project) -> None:
        """A float among amounts would make sums depend on the order of rows."""
        analytics = project.server.environment.warehouse.analytics_database
        schemas = ", ".join(f"'{schema_in(layer, SLOT)}'" for layer in LAYERS)
        rows = transformer.rows(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, NUMERIC_SCALE "
            f"FROM {analytics}.INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA IN ({schemas})"
        )
        assert len(rows) > 200
        assert [row for row in rows if row[3] in ("FLOAT", "DOUBLE", "REAL")] == []
        assert [row for row in rows if re.search(r"AMOUNT|BALANCE", row[2]) and row[4] != 2] == []

    def test_an_incremental_fact_equals_the_one_built_from_nothing(
        self, built: Outcome, transformer: Session, project: Project
    ) -> None:
        query = f"SELECT * FROM {project.relation('FINANCE', 'FCT_CARD_TRANSACTIONS')} ORDER BY TRANSACTION_ID"
        merged = transformer.rows(query)
        refreshed = project.run("run", "--full-refresh", "--select", "fct_card_transactions")
        assert refreshed.success
        assert transformer.rows(query) == merged

    def test_a_row_that_the_source_withdrew_leaves_the_fact(
        self, built: Outcome, transformer: Session, project: Project
    ) -> None:
        fact = project.relation("FINANCE", "FCT_CARD_TRANSACTIONS")
        transformer.run(f"INSERT INTO {fact} SELECT * REPLACE ('withdrawn' AS TRANSACTION_ID) FROM {fact} LIMIT 1")
        assert project.run("run", "--select", "fct_card_transactions").success
        assert transformer.rows(f"SELECT 1 FROM {fact} WHERE TRANSACTION_ID = 'withdrawn'") == []


class TestMartsAgainstTheirSources:
    """Late, repeated and corrected records included."""

    def test_the_sources_have_what_real_feeds_have(self, feed: Feed, source: psycopg.Connection[Any]) -> None:
        count = "SELECT count(*), count(DISTINCT {key}) FROM core.{table}"
        for table, key in (("card_transactions", "transaction_id"), ("customer_changes", "change_id")):
            rows, keys = source.execute(count.format(table=table, key=key)).fetchone() or (0, 0)
            assert rows > keys > 0
        late = "SELECT count(*) FROM core.card_transactions WHERE updated_at::date > booked_at::date + 1"
        assert (source.execute(late).fetchone() or (0,))[0] > 0
        assert any("_v2" in entry["Key"] for entry in feed.s3.list_objects_v2(Bucket=SOURCES, Prefix="fx/")["Contents"])

    def test_transactions_are_all_there_once_in_their_newest_version(
        self, source: psycopg.Connection[Any], transformer: Session, project: Project
    ) -> None:
        by = "transaction_id, customer_id, amount, currency{}, {}status, booked_at, updated_at"
        wanted = source.execute(f"SELECT {by.format('', '')} FROM {NEWEST} AS newest").fetchall()
        found = transformer.rows(
            f"SELECT {by.format('_code', 'transaction_')} FROM {project.relation('FINANCE', 'FCT_CARD_TRANSACTIONS')}"
        )
        assert sorted(found) == sorted(wanted)

    def test_amounts_in_euro_follow_from_the_newest_rates_to_the_cent(
        self, feed: Feed, built: Outcome, transformer: Session, project: Project
    ) -> None:
        rates = {
            (line["rate_date"], line["quote_currency"]): rounded(1 / Decimal(line["rate"]), RATE)
            for line in lines_of(feed, "fx/")
        }
        rows = transformer.rows(
            "SELECT booked_on, currency_code, transaction_status, amount, fee_amount, amount_eur, net_amount_eur, "
            f"fee_amount_eur FROM {project.relation('FINANCE', 'FCT_CARD_TRANSACTIONS')}"
        )
        assert {row[1] for row in rows} == {"EUR", "CHF", "GBP", "PLN", "SEK", "USD"}
        for booked_on, currency, status, amount, fee, amount_eur, net_eur, fee_eur in rows:
            rate = Decimal(1) if currency == "EUR" else rates[str(booked_on), currency]
            net = amount if status == "captured" else Decimal(0)
            assert fee == rounded(net * Decimal("0.018"), CENT)
            assert (amount_eur, net_eur) == (rounded(amount * rate, CENT), rounded(net * rate, CENT))
            assert fee_eur == rounded(fee * rate, CENT)

    def test_the_ledger_mart_equals_the_postings_and_sums_to_zero_per_day_and_currency(
        self, source: psycopg.Connection[Any], transformer: Session, project: Project
    ) -> None:
        wanted = source.execute(
            "SELECT posting_date, account_code, currency, count(*), sum(amount) FROM core.ledger_postings "
            "GROUP BY 1, 2, 3"
        ).fetchall()
        found = transformer.rows(
            "SELECT posting_date, account_code, currency_code, posting_count, net_amount, closing_balance "
            f"FROM {project.relation('FINANCE', 'FCT_LEDGER_DAILY')} ORDER BY posting_date"
        )
        assert sorted(row[:5] for row in found) == sorted(wanted)
        per_day, balances = defaultdict(Decimal), defaultdict(Decimal)
        for day, account, currency, _, net, closing in found:
            per_day[day, currency] += net
            balances[account, currency] += net
            assert closing == balances[account, currency]
        assert set(per_day.values()) == {Decimal(0)}
        assert len(per_day) > 100

    def test_customers_are_those_of_the_source_with_deleted_ones_nameless(
        self, source: psycopg.Connection[Any], transformer: Session, project: Project
    ) -> None:
        wanted = source.execute(
            "SELECT customer_id, full_name, email, segment, country, risk_rating, status FROM core.customers"
        ).fetchall()
        found = transformer.rows(
            "SELECT customer_id, full_name, email, segment, country_code, risk_rating, customer_status, is_deleted, "
            f"is_inferred FROM {project.relation('CUSTOMER', 'DIM_CUSTOMER')}"
        )
        assert sorted(row[:7] for row in found if not row[7] and not row[8]) == sorted(wanted)
        deleted = [row for row in found if row[7]]
        assert deleted
        assert {row[1:3] for row in deleted} == {(None, None)}

    def test_every_change_of_a_customer_that_deletes_nothing_is_a_version(
        self, source: psycopg.Connection[Any], transformer: Session, project: Project
    ) -> None:
        wanted = source.execute(
            "SELECT DISTINCT change_id FROM core.customer_changes WHERE operation <> 'D'"
        ).fetchall()
        history = project.relation("CUSTOMER", "DIM_CUSTOMER_HISTORY")
        assert sorted(transformer.rows(f"SELECT customer_version_id FROM {history}")) == sorted(wanted)

    def test_settlements_are_the_lines_of_the_files_against_what_was_booked(
        self, feed: Feed, source: psycopg.Connection[Any], transformer: Session, project: Project
    ) -> None:
        settled: dict[str, Decimal] = defaultdict(Decimal)
        for line in lines_of(feed, "settlement/"):
            settled[line["transaction_id"]] += Decimal(line["gross_amount"])
        booked = source.execute(f"SELECT transaction_id, amount, status FROM {NEWEST} AS newest").fetchall()
        rows = transformer.rows(
            "SELECT transaction_id, settled_amount, settlement_status "
            f"FROM {project.relation('FINANCE', 'FCT_SETTLEMENT_RECONCILIATION')}"
        )
        assert {row[0]: row[1] for row in rows if row[1] is not None} == settled
        assert {row[0] for row in rows} == {row[0] for row in booked}
        wanted = Counter(
            "reversed_after_settlement"
            if status != "captured"
            else "matched"
            if amount == settled[key]
            else "amount_differs"
            for key, amount, status in booked
            if key in settled
        )
        found = Counter(row[2] for row in rows)
        assert {status: found[status] for status in wanted} == dict(wanted)
        assert len(wanted) == 3
        assert set(found) - set(wanted) <= {"pending", "unsettled"}

    def test_revenue_is_what_the_ledger_earned_less_what_the_schemes_kept(
        self, feed: Feed, source: psycopg.Connection[Any], transformer: Session, project: Project
    ) -> None:
        earned = source.execute("SELECT -sum(amount) FROM core.ledger_postings WHERE account_code = '4100'").fetchone()
        kept = sum(Decimal(line["fee_amount"]) for line in lines_of(feed, "settlement/"))
        ((fees, scheme_fees, revenue),) = transformer.rows(
            "SELECT SUM(fee_income_amount)::NUMBER(38, 2), SUM(scheme_fee_amount)::NUMBER(38, 2), "
            f"SUM(revenue_amount)::NUMBER(38, 2) FROM {project.relation('FINANCE', 'AGG_DAILY_REVENUE')}"
        )
        assert earned is not None
        assert (fees, scheme_fees, revenue) == (earned[0], kept, earned[0] - kept)

    def test_totals_agree_between_the_domains(self, built: Outcome, transformer: Session, project: Project) -> None:
        def total(layer: str, name: str, column: str) -> Any:
            return transformer.rows(f"SELECT SUM({column})::NUMBER(38, 2) FROM {project.relation(layer, name)}")[0][0]

        net = total("FINANCE", "FCT_CARD_TRANSACTIONS", "net_amount_eur")
        assert net > 0
        for name in ("FCT_CUSTOMER_ACTIVITY", "AGG_CUSTOMER_VALUE", "AGG_SEGMENT_DAILY"):
            assert total("CUSTOMER", name, "net_amount_eur") == net

    def test_every_load_is_reconciled_and_corrections_show_as_superseded(
        self, built: Outcome, transformer: Session, project: Project
    ) -> None:
        rows = transformer.rows(
            f"SELECT load_status, COUNT(*) FROM {project.relation('FINANCE', 'FCT_LOAD_RECONCILIATION')} GROUP BY 1"
        )
        assert {status for status, _ in rows} == {"matched", "superseded"}

    def test_a_corrected_rate_is_remembered_as_it_was_believed(
        self, built: Outcome, transformer: Session, project: Project
    ) -> None:
        rows = transformer.rows(
            "SELECT fx_rate_id, units_per_eur, dbt_valid_to IS NULL "
            f"FROM {project.relation('SNAPSHOTS', 'SNAP_FX_RATES')} "
            "QUALIFY COUNT(*) OVER (PARTITION BY fx_rate_id) > 1 ORDER BY fx_rate_id, dbt_valid_from"
        )
        assert [row[0] for row in rows] == ["2026-03-10/USD", "2026-03-10/USD"]
        (_, believed, first_is_current), (_, corrected, second_is_current) = rows
        assert (first_is_current, second_is_current) == (False, True)
        assert rounded(believed / Decimal("1.1"), Decimal("1e-7")) == rounded(corrected, Decimal("1e-7"))


class TestContracts:
    """What the contract of a mart says, the warehouse holds."""

    def test_columns_have_the_types_of_the_contract(
        self, built: Outcome, manifest: dict[str, Any], transformer: Session, project: Project
    ) -> None:
        analytics = project.server.environment.warehouse.analytics_database
        held = {
            (schema, table, column): f"number({precision}, {scale})" if kind == "NUMBER" else kind
            for schema, table, column, kind, precision, scale in transformer.rows(
                "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE "
                f"FROM {analytics}.INFORMATION_SCHEMA.COLUMNS"
            )
        }
        names = {"varchar": "TEXT", "date": "DATE", "boolean": "BOOLEAN", "timestamp_ntz": "TIMESTAMP_NTZ"}
        marts = [node for node in manifest["nodes"].values() if node.get("contract", {}).get("enforced")]
        wanted = {
            (node["schema"], node["name"].upper(), name.upper()): names.get(column["data_type"], column["data_type"])
            for node in marts
            for name, column in node["columns"].items()
        }
        assert len(wanted) > 100
        assert {key: held.get(key) for key in wanted} == wanted
