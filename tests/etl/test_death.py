"""A loader dies at each moment of a load: RAW, ledger and quarantine are as before or as after; a retry ends it."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
import snowflake.connector
from etl import catalog, load, quarantine
from etl.batch import Batch
from etl.connection import warehouse_parameters
from etl.dataset import Dataset

from tests.etl.conftest import FIRST, SOURCES, Platform, Stored, changed_source, delivered
from tests.etl.death import POINTS, Died, MortalConnection, Point

SECOND = FIRST + timedelta(days=1)
RATES, TRANSACTIONS = catalog.FX_RATES, catalog.CARD_TRANSACTIONS


def state(platform: Platform, dataset: Dataset) -> tuple[Any, ...]:
    """Rows, ledger without its times, quarantine."""
    entries = [entry.values()[:-1] for entry in platform.entries(dataset).values()]
    kept = platform.query(
        f"SELECT SOURCE, FAULTY_LINES FROM {platform.raw}.{quarantine.TABLE} WHERE CLEARED_AT IS NULL"
    )
    return platform.rows(dataset), sorted(entries), kept


def die(platform: Platform, loader: Stored, dataset: Dataset, batch: Batch, point: Point) -> bool:
    """Load in a session that ends at `point`; return whether the load came that far."""
    parameters = warehouse_parameters(loader, query_tag="slipway/r1/mortal")
    with closing(snowflake.connector.connect(**parameters, login_timeout=10)) as connection:
        mortal = MortalConnection(connection, point)
        try:
            load.load(mortal, dataset=dataset, batch=batch, database=platform.raw, release=platform.release)
        except Died:
            return True
    return False


@pytest.mark.parametrize("point", POINTS, ids=repr)
def test_files_are_loaded_whole_or_not_at_all(platform: Platform, loader: Stored, point: Point) -> None:
    """The batch corrects a day, brings another for the first time, and has a faulty line."""
    key = f"fx/fx_rates_{FIRST}.csv"
    platform.run(RATES, FIRST)
    content = platform.s3.get_object(Bucket=SOURCES, Key=key)["Body"].read()
    corrected = content.replace(b"EUR,USD,", b"EUR,USD,1") + b"x\n"
    with delivered(platform, key, corrected):
        batch = platform.extract(RATES, SECOND)
    assert len(batch.faulty) == 1
    before = state(platform, RATES)
    assert die(platform, loader, RATES, batch, point)
    died = state(platform, RATES)
    platform.load(RATES, batch)
    after = state(platform, RATES)
    assert after != before
    assert died == (after if point.name == "after the commit" else before)
    platform.check(RATES, SECOND)


@pytest.mark.parametrize("point", [p for p in POINTS if "quarantine" not in p.name], ids=repr)
def test_a_feed_is_loaded_whole_or_not_at_all(platform: Platform, loader: Stored, point: Point) -> None:
    """The batch replaces one of other content, so that rows are withdrawn before the new ones come."""
    full = platform.extract(TRANSACTIONS, SECOND)
    platform.run(TRANSACTIONS, FIRST)
    platform.load(TRANSACTIONS, full)
    fewer = (
        f"DELETE FROM core.card_transactions WHERE updated_at::date = '{SECOND}' AND transaction_id < "
        f"(SELECT max(transaction_id) FROM core.card_transactions WHERE updated_at::date = '{SECOND}')"
    )
    with changed_source(platform, fewer):
        less = platform.extract(TRANSACTIONS, SECOND)
    before = state(platform, TRANSACTIONS)
    assert die(platform, loader, TRANSACTIONS, less, point)
    died = state(platform, TRANSACTIONS)
    platform.load(TRANSACTIONS, less)
    after = state(platform, TRANSACTIONS)
    assert after != before
    assert died == (after if point.name == "after the commit" else before)
