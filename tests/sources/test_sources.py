"""The generated sources: reproducible, growing like living feeds, and flawed in the ways that real feeds are."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from slipway.sandbox.postgres import PostgresEndpoint
from slipway.sandbox.sources import Period, Scale, SourceSummary, load, rate, settlement

DAY0 = date(2026, 3, 2)
SMALL = Scale(customers=400, transactions=3_000, days=30)


@dataclass(frozen=True)
class Sources:
    """A loaded small set."""

    dsn: str
    s3: Any
    bucket: str
    summary: SourceSummary

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(statement).fetchall()  # type: ignore[arg-type]

    def value(self, statement: str) -> Any:
        return self.query(statement)[0][0]

    def read(self, key: str) -> bytes:
        body: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return gzip.decompress(body) if key.endswith(".gz") else body

    def objects(self) -> list[str]:
        return [entry["Key"] for entry in self.s3.list_objects_v2(Bucket=self.bucket)["Contents"]]


@pytest.fixture(scope="module")
def sources(postgres: PostgresEndpoint, s3: Any) -> Iterator[Sources]:
    yield fill(postgres, s3, "small")
    postgres.drop_database("small")


def fill(postgres: PostgresEndpoint, s3: Any, name: str, **arguments: Any) -> Sources:
    postgres.create_database(name)
    arguments = {"day0": DAY0, "scale": SMALL, **arguments}
    summary = load(postgres_dsn=postgres.dsn(name), s3=s3, bucket=name, **arguments)
    return Sources(postgres.dsn(name), s3, name, summary)


def digests(sources: Sources) -> dict[str, Any]:
    """Everything the sources hold, in a form to compare."""
    tables = {
        table: sources.value(f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM core.{table} AS t")
        for table in sources.summary.tables
    }
    return tables | {key: hash(sources.read(key)) for key in sources.objects() if not key.startswith("seeding/")}


def test_the_sizes_asked_for_are_reached(sources: Sources) -> None:
    tables = sources.summary.tables
    assert tables["card_transactions"].keys >= SMALL.transactions
    assert tables["customers"].rows == SMALL.customers
    assert sources.summary.files["settlement"] > 40
    assert sources.summary.generated


def test_the_same_seed_gives_the_same_rows_and_bytes(sources: Sources, postgres: PostgresEndpoint, s3: Any) -> None:
    again = fill(postgres, s3, "again")
    try:
        assert digests(again) == digests(sources)
    finally:
        postgres.drop_database("again")


def test_a_second_load_adds_nothing(sources: Sources) -> None:
    before = digests(sources)
    summary = load(postgres_dsn=sources.dsn, s3=sources.s3, bucket=sources.bucket, day0=DAY0, scale=SMALL)
    assert not summary.generated
    assert digests(sources) == before


def test_a_forgotten_bucket_is_filled_again_from_the_database_that_stayed(sources: Sources) -> None:
    load(postgres_dsn=sources.dsn, s3=sources.s3, bucket="elsewhere", day0=DAY0, scale=SMALL)
    elsewhere = replace(sources, bucket="elsewhere")
    assert digests(elsewhere) == digests(sources)


def test_days_added_later_give_what_one_load_of_all_days_gives(
    sources: Sources, postgres: PostgresEndpoint, s3: Any
) -> None:
    later = DAY0 + timedelta(days=3)
    grown = fill(postgres, s3, "grown")
    grown = fill(postgres, s3, "grown", day0=later)
    try:
        before, after = digests(sources), digests(grown)
        assert grown.summary.first_day == sources.summary.first_day
        assert all(after[key] == value for key, value in before.items() if key.startswith(("fx/", "settlement/")))
        assert grown.value("SELECT max(updated_at)::date FROM core.card_transactions") == later - timedelta(days=1)
        old_rows = "SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM core.{} AS t WHERE {} < timestamp '{}'"
        for table, changed in (("card_transactions", "updated_at"), ("ledger_postings", "posted_at")):
            assert grown.value(old_rows.format(table, changed, DAY0)) == before[table]
        assert_books_tie(grown)
    finally:
        postgres.drop_database("grown")


def test_another_seed_replaces_everything(postgres: PostgresEndpoint, s3: Any) -> None:
    first = fill(postgres, s3, "reseeded")
    before = digests(first)
    second = fill(postgres, s3, "reseeded", scale=replace(SMALL, seed=8))
    try:
        after = digests(second)
        assert before["card_transactions"] != after["card_transactions"]
        assert second.summary.tables["customers"].rows == SMALL.customers
        assert {k: v for k, v in before.items() if k in after and after[k] == v} == {}
    finally:
        postgres.drop_database("reseeded")


def test_every_journal_day_and_currency_balances_to_exactly_zero(sources: Sources) -> None:
    assert sources.summary.tables["ledger_postings"].amount == Decimal("0.00")
    for columns in ("journal_id", "posting_date, currency", "posted_at::date, currency"):
        assert (
            sources.query(f"SELECT {columns} FROM core.ledger_postings GROUP BY {columns} HAVING sum(amount) <> 0")
            == []
        )


def test_receivables_equal_the_captured_transactions(sources: Sources) -> None:
    assert_books_tie(sources)


def assert_books_tie(sources: Sources) -> None:
    receivables = sources.query(
        "SELECT currency, sum(amount) FROM core.ledger_postings WHERE account_code = '1100' GROUP BY 1 ORDER BY 1"
    )
    captured = sources.query(
        "SELECT currency, sum(amount) FROM (SELECT DISTINCT ON (transaction_id) * FROM core.card_transactions "
        "ORDER BY transaction_id, updated_at DESC) AS newest WHERE status = 'captured' GROUP BY 1 ORDER BY 1"
    )
    assert receivables == captured
    assert len(receivables) == 6


def test_the_feed_has_duplicates_corrections_and_late_rows(sources: Sources) -> None:
    repeated = "SELECT count(*) FROM (SELECT 1 FROM core.card_transactions AS t GROUP BY t HAVING count(*) > 1) AS x"
    assert sources.value(repeated) > 0
    corrected = (
        "SELECT count(*) FROM (SELECT transaction_id FROM core.card_transactions WHERE status = 'captured' "
        "GROUP BY 1 HAVING count(DISTINCT amount) > 1) AS x"
    )
    assert sources.value(corrected) > 0
    assert sources.value("SELECT count(*) FROM core.card_transactions WHERE status = 'reversed'") > 0
    assert sources.value("SELECT count(*) FROM core.card_transactions WHERE status = 'refunded'") > 0
    late = "SELECT count(*) FROM core.card_transactions WHERE updated_at - booked_at BETWEEN '1 day' AND '5 days'"
    assert sources.value(late) > 0
    assert sources.value("SELECT count(*) FROM core.ledger_postings WHERE posted_at::date > posting_date") > 0


def test_no_row_is_newer_than_the_last_day(sources: Sources) -> None:
    for table, column in (
        ("card_transactions", "updated_at"), ("customer_changes", "changed_at"), ("ledger_postings", "posted_at"),
    ):  # fmt: skip
        assert sources.value(f"SELECT max({column}) FROM core.{table}").date() == DAY0 - timedelta(days=1)


def test_the_customers_are_what_their_changes_leave(sources: Sources) -> None:
    left = sources.query(
        "SELECT customer_id, full_name, email, segment, country, risk_rating, status FROM (SELECT DISTINCT ON "
        "(customer_id) * FROM core.customer_changes ORDER BY customer_id, change_id DESC) AS x "
        "WHERE operation <> 'D' ORDER BY 1"
    )
    current = sources.query(
        "SELECT customer_id, full_name, email, segment, country, risk_rating, status FROM core.customers ORDER BY 1"
    )
    assert left == current
    assert {row[0] for row in sources.query("SELECT DISTINCT operation FROM core.customer_changes")} == {"I", "U", "D"}


def test_every_transaction_belongs_to_a_customer_known_before_it(sources: Sources) -> None:
    strangers = (
        "SELECT count(*) FROM core.card_transactions AS t LEFT JOIN (SELECT customer_id, min(changed_at) AS known "
        "FROM core.customer_changes GROUP BY 1) AS c USING (customer_id) WHERE c.known IS NULL OR known > booked_at"
    )
    assert sources.value(strangers) == 0


def test_a_corrected_rates_file_mends_one_rate(sources: Sources) -> None:
    corrections = [key for key in sources.objects() if key.endswith("_v2.csv")]
    assert corrections
    for key in corrections:
        wrong = sources.read(key.replace("_v2", "")).decode().splitlines()
        right = sources.read(key).decode().splitlines()
        assert [line for line in wrong if line not in right] == [line for line in wrong if ",USD," in line]
        assert len(wrong) == len(right) == 1 + len(rate.LEVEL)


def test_settlement_lines_are_captures_with_net_being_gross_less_fee(sources: Sources) -> None:
    amounts = dict(
        sources.query(
            "SELECT DISTINCT ON (transaction_id) transaction_id, amount FROM core.card_transactions "
            "ORDER BY transaction_id, updated_at"
        )
    )
    lines = list(settlement_lines(sources))
    assert len(lines) > 2_000
    for line in lines:
        assert Decimal(line[4]) - Decimal(line[5]) == Decimal(line[6])
        assert amounts[line[3]] == Decimal(line[4])
    assert max(Counter(map(tuple, lines)).values()) == 2


def test_a_skipped_settlement_day_is_delivered_with_the_next_file(sources: Sources) -> None:
    period = Period.ending(DAY0, SMALL)
    skipped = next(d for d in period.days()[1:-1] if settlement.is_skipped(settlement.SKIPPING, d, seed=SMALL.seed))
    assert settlement.key(settlement.SKIPPING, skipped) not in sources.objects()
    following = sources.read(settlement.key(settlement.SKIPPING, skipped + timedelta(days=1))).decode()
    assert {line.split(",")[1] for line in following.splitlines()[1:]} == {
        str(skipped),
        str(skipped + timedelta(days=1)),
    }


def test_late_files_come_with_a_later_call(postgres: PostgresEndpoint, s3: Any) -> None:
    early = fill(postgres, s3, "early", late_files=False)
    held = set(early.objects())
    assert settlement.key("visa", DAY0 - timedelta(days=2)) not in held
    try:
        late = fill(postgres, s3, "early")
        brought = set(late.objects()) - held
        assert {key.split("/")[0] for key in brought} >= {"settlement"}
        assert late.summary.generated
    finally:
        postgres.drop_database("early")


def test_a_period_survives_writing_and_reading() -> None:
    period = Period.ending(DAY0, SMALL)
    assert Period.from_dict(period.to_dict()) == period
    assert Period.from_dict(period.to_dict() | {"generator": 0}) is None


def settlement_lines(sources: Sources) -> Iterator[list[str]]:
    for key in sources.objects():
        if key.startswith("settlement/"):
            for line in sources.read(key).decode().splitlines()[1:]:
                yield line.split(",")
