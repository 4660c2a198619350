"""What a load promises, on a real warehouse: nothing doubled, nothing lost, corrections replace, all or nothing."""

from __future__ import annotations

import gzip
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import snowflake.connector
from etl import catalog, statement
from etl.batch import NOTHING, Batch
from etl.dataset import Dataset, Drop, FileSeries
from etl.error import CheckError, LoadError
from etl.ledger import TABLE, pipelines_loaded

from tests.dbt.warehouse import ADMIN
from tests.etl.conftest import (
    DAY0,
    FIRST,
    HISTORY_DAYS,
    SOURCES,
    Platform,
    changed_file,
    changed_source,
    delivered,
    withheld,
)

SECOND = FIRST + timedelta(days=1)
DAYS = tuple(FIRST + timedelta(days=n) for n in range((DAY0 - FIRST).days))
FEEDS = tuple(dataset for dataset in catalog.LOADED if not isinstance(dataset.source, Drop))
DROPS = tuple(dataset for dataset in catalog.LOADED if isinstance(dataset.source, Drop))


def by_name(dataset: Dataset) -> str:
    return dataset.pipeline


@pytest.mark.parametrize("dataset", FEEDS, ids=by_name)
def test_after_all_days_a_feed_equals_its_source(platform: Platform, dataset: Dataset) -> None:
    for day in DAYS:
        platform.run(dataset, day)
        checked = platform.check(dataset, day)
        assert checked["newest_logical_date"] == str(day)
    assert checked["rows"] > 0


@pytest.mark.parametrize("dataset", DROPS, ids=by_name)
def test_after_all_days_every_file_is_loaded_once(platform: Platform, dataset: Dataset) -> None:
    for day in DAYS:
        platform.run(dataset, day)
        platform.check(dataset, day)
    entries = platform.entries(dataset)
    assert len(entries) >= HISTORY_DAYS - 1
    assert sum(entry.loaded_rows for entry in entries.values()) == len(platform.rows(dataset))


@pytest.mark.parametrize("dataset", catalog.LOADED, ids=by_name)
def test_running_a_logical_date_again_changes_nothing(platform: Platform, dataset: Dataset) -> None:
    platform.run(dataset, FIRST)
    platform.run(dataset, SECOND)
    rows, entries = platform.rows(dataset), platform.entries(dataset)
    for day in (FIRST, SECOND):
        again = platform.run(dataset, day)
        assert (again.loaded, again.awaited, again.rows) == ((), (), 0)
        assert again.skipped
    assert platform.rows(dataset) == rows
    assert platform.entries(dataset) == entries


def test_the_first_logical_date_brings_all_history(platform: Platform) -> None:
    platform.run(catalog.CARD_TRANSACTIONS, FIRST)
    ((oldest,),) = platform.query(f"SELECT MIN(UPDATED_AT) FROM {platform.raw}.CORE.CARD_TRANSACTIONS")
    assert oldest.date() == DAY0 - timedelta(days=HISTORY_DAYS)


def test_a_large_window_comes_in_parts_that_share_no_key(platform: Platform) -> None:
    batch = platform.extract(catalog.CARD_TRANSACTIONS, FIRST, part_rows=300)
    assert len(batch.parts) > 3
    platform.load(catalog.CARD_TRANSACTIONS, batch)
    assert sum(part.rows for part in batch.parts) == len(platform.rows(catalog.CARD_TRANSACTIONS))


def test_other_part_sizes_replace_a_batch_without_doubling_it(platform: Platform) -> None:
    dataset = catalog.CARD_TRANSACTIONS
    platform.load(dataset, platform.extract(dataset, FIRST, part_rows=300))
    rows = {row[:-2] for row in platform.rows(dataset)}
    platform.load(dataset, platform.extract(dataset, FIRST, part_rows=900))
    assert {row[:-2] for row in platform.rows(dataset)} == rows
    assert len(platform.rows(dataset)) == len(rows)
    platform.check(dataset, FIRST)


def test_days_loaded_in_the_wrong_order_end_in_the_newest_versions(platform: Platform) -> None:
    dataset = catalog.CARD_TRANSACTIONS
    for day in reversed(DAYS):
        platform.run(dataset, day)
    platform.check(dataset, DAYS[-1])


def test_a_row_that_reaches_the_source_behind_the_window_is_brought_by_a_rerun(platform: Platform) -> None:
    dataset = catalog.LEDGER_POSTINGS
    for day in DAYS:
        platform.run(dataset, day)
    late = (
        "INSERT INTO core.ledger_postings SELECT posting_id + 1000000000, 'J-late', NULL, account_code, posting_date, "
        f"currency, amount, posted_at FROM core.ledger_postings WHERE posted_at::date = '{SECOND}'"
    )
    with changed_source(platform, late):
        with pytest.raises(CheckError, match="the source has"):
            platform.check(dataset, DAYS[-1])
        before = len(platform.rows(dataset))
        platform.run(dataset, SECOND)
        assert len(platform.rows(dataset)) > before
        platform.check(dataset, DAYS[-1])


def test_a_row_withdrawn_from_the_source_goes_with_a_rerun(platform: Platform) -> None:
    dataset = catalog.LEDGER_POSTINGS
    for day in DAYS:
        platform.run(dataset, day)
    with changed_source(platform, f"DELETE FROM core.ledger_postings WHERE posted_at::date = '{SECOND}'"):
        result = platform.run(dataset, SECOND)
        assert (result.rows, len(result.loaded)) == (0, 1)
        platform.check(dataset, DAYS[-1])


def test_withdrawing_a_correction_brings_back_what_it_corrected(platform: Platform) -> None:
    dataset = catalog.CARD_TRANSACTIONS
    for day in DAYS:
        platform.run(dataset, day)
    withdrawn = (
        f"DELETE FROM core.card_transactions WHERE updated_at::date = '{SECOND}' AND transaction_id IN "
        f"(SELECT transaction_id FROM core.card_transactions WHERE updated_at < '{SECOND}')"
    )
    with changed_source(platform, withdrawn):
        assert platform.run(dataset, SECOND).loaded
        with pytest.raises(CheckError, match=f"no ledger entry for {FIRST}: clear"):
            platform.check(dataset, DAYS[-1])
        assert platform.run(dataset, FIRST).loaded
        platform.check(dataset, DAYS[-1])


def test_a_row_withdrawn_from_a_date_that_is_open_again_goes_with_its_rerun(platform: Platform) -> None:
    dataset, key = catalog.CARD_TRANSACTIONS, "'T-withdrawn'"
    copied = "card_id, customer_id, merchant_id, merchant_category, country, amount, currency, status, booked_at"
    booked = (
        f"INSERT INTO core.card_transactions SELECT id, {copied}, at::timestamp FROM (SELECT {copied} FROM "
        f"core.card_transactions LIMIT 1) AS one, (VALUES ('T-corrected', '{FIRST}'), ('T-corrected', '{SECOND}'), "
        f"({key}, '{FIRST}')) AS versions (id, at)"
    )
    with changed_source(platform, booked):
        for day in DAYS:
            platform.run(dataset, day)
        for day, withdrawn in ((SECOND, "'T-corrected'"), (FIRST, key)):
            with platform.source.transaction():
                platform.source.execute(
                    f"DELETE FROM core.card_transactions WHERE transaction_id = {withdrawn} AND updated_at = '{day}'"
                )
            platform.run(dataset, day)
        platform.check(dataset, DAYS[-1])
    assert not platform.query(f"SELECT 1 FROM {platform.raw}.CORE.CARD_TRANSACTIONS WHERE TRANSACTION_ID = {key}")


def test_of_two_versions_of_one_moment_source_and_warehouse_take_the_same(platform: Platform) -> None:
    dataset = catalog.CARD_TRANSACTIONS
    doubled = (
        "INSERT INTO core.card_transactions SELECT transaction_id, card_id, customer_id, merchant_id, "
        "merchant_category, country, amount + (1 - 2 * (card_id < customer_id)::int), currency, status, booked_at, "
        f"updated_at FROM core.card_transactions WHERE updated_at::date = '{FIRST}'"
    )
    with changed_source(platform, doubled):
        assert platform.run(dataset, FIRST).rows > 0
        platform.check(dataset, FIRST)


def test_text_arrives_as_it_left(platform: Platform) -> None:
    dataset, day = catalog.CUSTOMERS, DAY0 + timedelta(days=40)
    texts = ["", " two  spaces ", 'O\'Brien, "Ann"', "back\\slash\\N", "Zoë 😀", "%s", "NULL"]
    quoted = (text.replace("'", "''") for text in texts)
    rows = [f"({n}, 'C', '{text}', 'x', 'x', 'x', 'x', 'x', '{day}', 'I')" for n, text in enumerate(quoted)]
    with changed_source(platform, f"INSERT INTO core.customer_changes VALUES {', '.join(rows)}"):
        assert platform.run(dataset, day).rows == len(texts)
    assert [row[2] for row in platform.rows(dataset)] == texts


def test_totals_are_exact_to_the_cent_however_large(platform: Platform) -> None:
    dataset, day = catalog.LEDGER_POSTINGS, DAY0 + timedelta(days=40)
    amounts = ["9999999999999999.99", "9999999999999999.98", "0.01", "-9999999999999999.99", "-9999999999999999.99"]
    rows = [f"({10**9 + n}, 'J', NULL, '1100', '{day}', 'EUR', {amount}, '{day}')" for n, amount in enumerate(amounts)]
    with changed_source(platform, f"INSERT INTO core.ledger_postings VALUES {', '.join(rows)}"):
        assert platform.run(dataset, day).rows == len(amounts)
    (entry,) = platform.entries(dataset).values()
    assert entry.source_amount == Decimal("0.00")
    assert platform.query(f"SELECT {statement.total(dataset)} FROM {platform.raw}.CORE.LEDGER_POSTINGS") == [
        (Decimal("0.00"),)
    ]


def test_a_window_without_rows_is_entered_in_the_ledger(platform: Platform) -> None:
    result = platform.run(catalog.CUSTOMERS, DAY0 + timedelta(days=30))
    assert result.rows == 0
    (entry,) = platform.entries(catalog.CUSTOMERS).values()
    assert (entry.part, entry.source_rows, entry.loaded_rows) == ("000", 0, 0)


def test_a_corrected_file_replaces_what_it_corrects(platform: Platform) -> None:
    dataset, key = catalog.FX_RATES, f"fx/fx_rates_{FIRST}.csv"
    platform.run(dataset, FIRST)
    rows = platform.rows(dataset)
    content = platform.s3.get_object(Bucket=SOURCES, Key=key)["Body"].read().decode()
    corrected = "\n".join(line[:-2] + "77" if ",USD," in line else line for line in content.splitlines()) + "\n"
    with delivered(platform, key.replace(".csv", "_v2.csv"), corrected.encode()):
        result = platform.run(dataset, SECOND)  # found by the run of the next day
        assert f"{FIRST}/fx_rates" in result.loaded
        after = platform.rows(dataset)
        assert len(after) == len(rows) + 5  # the second day's own rates
        (usd,) = (row for row in after if row[0] == FIRST and row[2] == "USD")
        assert str(usd[3]).endswith("77")
        assert usd[4] == f"fx/fx_rates_{FIRST}_v2.csv"
        platform.check(dataset, SECOND)
        assert platform.entries(dataset)[(FIRST, "fx_rates")].source == usd[4]
    assert platform.run(dataset, SECOND).loaded == ()  # the older version does not come back


def test_a_file_sent_again_with_other_content_replaces_its_rows(platform: Platform) -> None:
    dataset, key = catalog.SETTLEMENT_FILES, f"settlement/visa/visa_{FIRST}.csv.gz"
    platform.run(dataset, FIRST)
    lines = gzip.decompress(platform.s3.get_object(Bucket=SOURCES, Key=key)["Body"].read()).decode().splitlines()
    with delivered(platform, key, gzip.compress(("\n".join(lines[:-3]) + "\n").encode(), mtime=0)):
        before = len(platform.rows(dataset))
        assert platform.run(dataset, FIRST).loaded == (f"{FIRST}/visa",)
        assert len(platform.rows(dataset)) < before
        platform.check(dataset, FIRST)


def test_a_file_with_blank_lines_and_windows_line_ends_loads_as_any_other(platform: Platform) -> None:
    dataset, key = catalog.FX_RATES, f"fx/fx_rates_{SECOND}.csv"
    platform.run(dataset, FIRST)
    body = platform.s3.get_object(Bucket=SOURCES, Key=key)["Body"].read()
    with delivered(platform, key, b"\xef\xbb\xbf" + body.replace(b"\n", b"\r\n") + b"\r\n\r\n"):
        platform.run(dataset, SECOND)
        platform.check(dataset, SECOND)
        assert platform.entries(dataset)[(SECOND, "fx_rates")].loaded_rows == 5


def test_parts_of_a_day_are_loaded_beside_each_other_as_series_of_their_own(platform: Platform) -> None:
    drop = catalog.SETTLEMENT_FILES.drop
    second = FileSeries("visa_2", "settlement/visa_2/visa_", ".csv.gz")
    dataset = replace(catalog.SETTLEMENT_FILES, source=replace(drop, series=(*drop.series, second)))
    key, other = (f"settlement/{folder}/visa_{FIRST}.csv.gz" for folder in ("visa", "visa_2"))
    platform.run(catalog.SETTLEMENT_FILES, FIRST)
    whole = [row[: len(dataset.names)] for row in platform.rows(dataset)]
    first = changed_file(platform, key, lambda lines: lines[:4])
    rest = changed_file(platform, key, lambda lines: [lines[0], *lines[4:]])
    with delivered(platform, key, first), delivered(platform, other, rest):
        result = platform.run(dataset, FIRST)
        assert (set(result.loaded), result.quarantined) == ({f"{FIRST}/visa", f"{FIRST}/visa_2"}, ())
        platform.check(dataset, FIRST)
    assert [row[: len(dataset.names)] for row in platform.rows(dataset)] == whole


def test_a_file_without_lines_is_loaded_and_checked_as_any_other(platform: Platform) -> None:
    dataset, key = catalog.SETTLEMENT_FILES, f"settlement/visa/visa_{FIRST}.csv.gz"
    with delivered(platform, key, gzip.compress(f"{dataset.header}\n".encode(), mtime=0)):
        platform.run(dataset, FIRST)
        platform.check(dataset, FIRST)
        entry = platform.entries(dataset)[(FIRST, "visa")]
        assert (entry.source, entry.loaded_rows, entry.source_amount) == (key, 0, Decimal("0.00"))


def test_repeated_lines_of_a_file_count_once(platform: Platform) -> None:
    dataset, key = catalog.SETTLEMENT_FILES, f"settlement/visa/visa_{FIRST}.csv.gz"
    lines = gzip.decompress(platform.s3.get_object(Bucket=SOURCES, Key=key)["Body"].read()).decode().splitlines()
    doubled = gzip.compress("\n".join([*lines, *lines[1:]]).encode(), mtime=0)
    with delivered(platform, key, doubled):
        platform.run(dataset, FIRST)
        assert platform.entries(dataset)[(FIRST, "visa")].loaded_rows == len(set(lines)) - 1


def test_an_awaited_file_is_noted_and_loaded_by_a_later_run(platform: Platform) -> None:
    dataset, key = catalog.SETTLEMENT_FILES, f"settlement/visa/visa_{SECOND}.csv.gz"
    platform.run(dataset, FIRST)
    with withheld(platform, key):
        assert platform.run(dataset, SECOND).awaited == (f"{SECOND}/visa",)
        assert f"{SECOND}/visa" in platform.check(dataset, SECOND)["awaited"]
        assert platform.entries(dataset)[(SECOND, "visa")].content_sha256 == NOTHING
    result = platform.run(dataset, DAYS[-1])
    assert f"{SECOND}/visa" in result.loaded
    assert platform.entries(dataset)[(SECOND, "visa")].source == key
    assert f"{SECOND}/visa" not in platform.check(dataset, DAYS[-1])["awaited"]


def test_a_file_that_disappears_takes_nothing_with_it(platform: Platform) -> None:
    dataset, key = catalog.FX_RATES, f"fx/fx_rates_{SECOND}.csv"
    platform.run(dataset, FIRST)
    platform.run(dataset, SECOND)
    rows = platform.rows(dataset)
    with withheld(platform, key):
        assert platform.run(dataset, SECOND).awaited == ()
    assert platform.rows(dataset) == rows


@pytest.mark.parametrize(("told", "complaint"), [({"rows": 1}, "rows staged"), ({"amount": Decimal("1.00")}, "sum to")])
def test_nothing_is_written_when_what_arrived_is_not_what_was_counted(
    platform: Platform, told: dict[str, Any], complaint: str
) -> None:
    dataset = catalog.CARD_TRANSACTIONS
    batch = platform.extract(dataset, FIRST)
    wrong = replace(batch, parts=(*batch.parts[:-1], replace(batch.parts[-1], **told)))
    with pytest.raises(LoadError, match=complaint):
        platform.load(dataset, wrong)
    assert platform.rows(dataset) == []
    assert platform.entries(dataset) == {}


def test_rows_and_ledger_are_written_together_or_not_at_all(platform: Platform) -> None:
    dataset = catalog.LEDGER_POSTINGS
    platform.run(dataset, FIRST)
    rows, entries = platform.rows(dataset), platform.entries(dataset)
    batch = platform.extract(dataset, SECOND)
    with (
        platform.without("INSERT, UPDATE", f"{platform.raw}.{TABLE}"),  # the ledger is written after the merge
        pytest.raises(snowflake.connector.errors.ProgrammingError, match="privileges"),
    ):
        platform.load(dataset, batch)
    assert platform.rows(dataset) == rows
    assert platform.entries(dataset) == entries
    assert platform.load(dataset, batch).rows > 0


@pytest.mark.parametrize("dataset", [catalog.FX_RATES, catalog.CARD_TRANSACTIONS], ids=by_name)
def test_rows_that_were_deleted_are_there_again_when_what_replaces_them_fails(
    platform: Platform, dataset: Dataset
) -> None:
    platform.run(dataset, FIRST)
    rows, entries = platform.rows(dataset), platform.entries(dataset)
    platform.query(f"UPDATE {platform.raw}.{TABLE} SET CONTENT_SHA256 = 'x' WHERE PIPELINE = '{dataset.pipeline}'")
    batch = platform.extract(dataset, FIRST)
    with (
        platform.without("INSERT", statement.target(dataset, platform.raw)),
        pytest.raises(snowflake.connector.errors.ProgrammingError, match="privileges"),
    ):
        platform.load(dataset, batch)
    assert platform.rows(dataset) == rows
    platform.load(dataset, batch)
    assert platform.rows(dataset) == rows
    assert {key: entry.content_sha256 for key, entry in platform.entries(dataset).items()} == {
        key: entry.content_sha256 for key, entry in entries.items()
    }


@pytest.mark.parametrize("dataset", [catalog.FX_RATES, catalog.CARD_TRANSACTIONS], ids=by_name)
def test_after_a_clone_was_swapped_in_the_ledger_knows_what_is_loaded(platform: Platform, dataset: Dataset) -> None:
    """A clone has none of Snowflake's own memory of files: COPY alone would load them once more."""
    platform.run(dataset, FIRST)
    rows, entries = platform.rows(dataset), platform.entries(dataset)
    with platform.server.session(ADMIN) as admin:
        for table in (statement.target(dataset, platform.raw), f"{platform.raw}.{TABLE}"):
            admin.run(f"CREATE TABLE {table}__CLONE CLONE {table} COPY GRANTS")
            admin.run(f"ALTER TABLE {table} SWAP WITH {table}__CLONE", f"DROP TABLE {table}__CLONE")
    again = platform.run(dataset, FIRST)
    assert (again.loaded, again.rows) == ((), 0)
    assert (platform.rows(dataset), platform.entries(dataset)) == (rows, entries)
    platform.query(f"DELETE FROM {platform.raw}.{TABLE} WHERE PIPELINE = '{dataset.pipeline}'")
    assert platform.run(dataset, FIRST).loaded  # nobody knows of it any more: it is loaded, in place of what is there
    assert platform.rows(dataset) == rows


def test_the_ledger_must_balance(platform: Platform) -> None:
    dataset = catalog.LEDGER_POSTINGS
    platform.run(dataset, FIRST)
    platform.query(
        f"UPDATE {platform.raw}.CORE.LEDGER_POSTINGS SET AMOUNT = AMOUNT + 0.01 WHERE POSTING_ID = "
        f"(SELECT MIN(POSTING_ID) FROM {platform.raw}.CORE.LEDGER_POSTINGS)"
    )
    with pytest.raises(CheckError, match="not zero"):
        platform.check(dataset, FIRST)


def test_a_day_that_never_loaded_is_named(platform: Platform) -> None:
    platform.run(catalog.CUSTOMERS, FIRST)
    platform.run(catalog.CUSTOMERS, DAYS[-1])
    with pytest.raises(CheckError, match=f"no ledger entry for {SECOND}"):
        platform.check(catalog.CUSTOMERS, DAYS[-1])


def test_the_build_can_see_which_pipelines_have_loaded_a_date(platform: Platform) -> None:
    for dataset in (catalog.FX_RATES, catalog.CUSTOMERS):
        platform.run(dataset, FIRST)
    with platform.warehouse.cursor() as cursor:
        loaded = pipelines_loaded(cursor, database=platform.raw, logical_date=FIRST)
        assert loaded == {"fx_rates", "customers"}
        assert pipelines_loaded(cursor, database=platform.raw, logical_date=SECOND) == frozenset()


def test_a_batch_survives_the_way_through_json(platform: Platform) -> None:
    for dataset in catalog.LOADED:
        batch = platform.extract(dataset, DAYS[-1])
        assert Batch.from_dict(batch.to_dict()) == batch
