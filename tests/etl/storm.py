"""Sources, runs and what must come of them, in any order: the state machine of `test_storm.py`.

The expectation is kept by a model of its own: plain Python over what was put into the sources, without a line of the
library. A file counts by what a run saw of it; a feed by what its table holds in the end.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import snowflake.connector
from etl import catalog, checks, extract, files, ledger, load, quarantine, statement
from etl.batch import Batch
from etl.connection import warehouse_parameters
from etl.dataset import Dataset, Drop
from etl.error import CheckError
from etl.window import Window
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from tests.etl.conftest import LANDING, RAW, Stored
from tests.etl.death import POINTS, Died, MortalConnection, Point
from tests.etl.delivery import LOOKBACK, RATES, SERIES, SETTLEMENTS, Sent, cents, name_of, sent

FIRST = date(2026, 2, 27)
DAYS = tuple(FIRST + timedelta(days=n) for n in range(4))
SOURCES = "etl-storm"
SCHEMA = "storm"
VERSIONS = (1, 2, 3)
PASSES = 6  # over all days, within which everything must have settled


TRANSACTIONS = catalog.CARD_TRANSACTIONS
DATASETS = (RATES, SETTLEMENTS, TRANSACTIONS)
PIPELINES = {dataset.pipeline: dataset for dataset in DATASETS}

days, versions, pipelines = st.sampled_from(DAYS), st.sampled_from(VERSIONS), st.sampled_from(sorted(PIPELINES))


@dataclass
class Pending:
    """An extract whose load has not come yet, and what of the sources it saw."""

    dataset: Dataset
    day: date
    batch: Batch
    seen: dict[tuple[str, date, int], Sent]


@dataclass(frozen=True)
class Held:
    """A file that counts for its series and day."""

    version: int
    file: Sent

    @property
    def keys(self) -> set[str]:
        return {key for key, _ in self.file.counts or ()}


@dataclass
class World:
    """The servers the storm rages on."""

    source: psycopg.Connection[Any]
    s3: Any
    loader: Stored
    warehouse: Any = field(init=False)

    def __post_init__(self) -> None:
        self.warehouse = self.connect()

    def connect(self) -> Any:
        return snowflake.connector.connect(**warehouse_parameters(self.loader, query_tag="slipway/r1/storm"))

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with self.warehouse.cursor() as cursor:
            rows: list[tuple[Any, ...]] = cursor.execute(sql).fetchall()
        return rows

    def clear(self) -> None:
        """Empty the sources and all that was loaded from them."""
        with self.source.transaction():
            self.source.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
            self.source.execute(f"CREATE SCHEMA {SCHEMA}")
            self.source.execute(f"CREATE TABLE {SCHEMA}.card_transactions (LIKE core.card_transactions)")
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=SOURCES):
            for entry in page.get("Contents", ()):
                self.s3.delete_object(Bucket=SOURCES, Key=entry["Key"])
        for dataset in DATASETS:
            self.query(f"DELETE FROM {statement.target(dataset, RAW)}")
        for table in (ledger.TABLE, quarantine.TABLE, quarantine.LINES):
            self.query(f"DELETE FROM {RAW}.{table}")

    def extract(self, dataset: Dataset, day: date) -> Batch:
        window = Window.of_day(day, first=FIRST)
        if isinstance(dataset.source, Drop):
            return files.extract(
                self.s3, dataset=dataset, window=window, sources_bucket=SOURCES, landing_bucket=LANDING
            )
        return extract.extract(
            self.source,
            self.s3,
            dataset=dataset,
            window=window,
            source_schema=SCHEMA,
            bucket=LANDING,
            part_rows=3,
        )

    def load(self, dataset: Dataset, batch: Batch, *, connection: Any = None) -> load.LoadResult:
        return load.load(
            connection or self.warehouse,
            dataset=dataset,
            batch=Batch.from_dict(batch.to_dict()),
            database=RAW,
            release="r1",
        )

    def check(self, dataset: Dataset, day: date) -> None:
        window = Window.of_day(day, first=FIRST)
        if isinstance(dataset.source, Drop):
            checks.check_files(self.warehouse, dataset=dataset, window=window, database=RAW)
            return
        checks.check_feed(
            self.warehouse,
            dataset=dataset,
            window=window,
            first=FIRST,
            database=RAW,
            source_totals=lambda: extract.source_totals(
                self.source, dataset=dataset, source_schema=SCHEMA, until=window.until
            ),
        )

    def state(self, dataset: Dataset) -> tuple[Any, ...]:
        """Rows, ledger and quarantine of a dataset, without when they were written."""
        names = ", ".join(name for name in statement.columns(dataset) if name != "_LOADED_AT")
        rows = self.query(f"SELECT {names} FROM {statement.target(dataset, RAW)}")
        entries = self.query(
            "SELECT LOGICAL_DATE, PART, SOURCE, CONTENT_SHA256, SOURCE_ROWS, SOURCE_AMOUNT, LOADED_ROWS "
            f"FROM {RAW}.{ledger.TABLE} WHERE PIPELINE = '{dataset.pipeline}'"
        )
        kept = self.query(
            f"SELECT SOURCE, CONTENT_SHA256, CLEARED_AT IS NULL FROM {RAW}.{quarantine.TABLE} "
            f"WHERE PIPELINE = '{dataset.pipeline}'"
        )
        return tuple(sorted(found, key=repr) for found in (rows, entries, kept))


class Storm(RuleBasedStateMachine):
    """Anything that can happen to sources, runs and loaders; after each step nothing is doubled or half there."""

    pending = Bundle("pending")

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.sent: dict[tuple[str, date, int], Sent] = {}
        self.booked: dict[tuple[str, datetime], Decimal] = {}
        self.held: dict[tuple[str, date], Held] = {}

    @initialize()
    def begin(self) -> None:
        self.world.clear()

    # the sources -----------------------------------------------------------------------------------------------------

    @rule(key=st.sampled_from("ABCDE"), day=st.sampled_from((FIRST - timedelta(days=3), *DAYS)), amount=cents)
    def book(self, key: str, day: date, amount: Decimal) -> None:
        """A version of a transaction, perhaps of a day long loaded."""
        at = datetime.combine(day, datetime.min.time()) + timedelta(seconds=len(self.booked))
        while any(at == other for _, other in self.booked):
            at += timedelta(hours=1)
        self.world.source.execute(
            f"INSERT INTO {SCHEMA}.card_transactions VALUES "
            "(%s, 'c', 'u', 'm', '5411', 'DE', %s, 'EUR', 'captured', %s, %s)",
            (key, amount, at, at),
        )
        self.world.source.commit()
        self.booked[key, at] = amount

    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        if self.booked:
            key, at = data.draw(st.sampled_from(sorted(self.booked)))
            self.world.source.execute(
                f"DELETE FROM {SCHEMA}.card_transactions WHERE transaction_id = %s AND updated_at = %s", (key, at)
            )
            self.world.source.commit()
            del self.booked[key, at]

    @rule(series=st.sampled_from(sorted(SERIES)), day=days, version=versions, data=st.data())
    def deliver(self, series: str, day: date, version: int, data: st.DataObject) -> None:
        """A file: for the first time, late, again, corrected or corrupted."""
        file = data.draw(sent(series, day))
        self.world.s3.put_object(Bucket=SOURCES, Key=name_of(series, day, version), Body=file.body)
        self.sent[series, day, version] = file

    @rule(data=st.data())
    def deliver_twice(self, data: st.DataObject) -> None:
        """The same content under the next version's name."""
        if self.sent:
            series, day, version = data.draw(st.sampled_from(sorted(self.sent)))
            file = self.sent[series, day, version]
            after = min(version + 1, VERSIONS[-1])
            self.world.s3.put_object(Bucket=SOURCES, Key=name_of(series, day, after), Body=file.body)
            self.sent[series, day, after] = file

    @rule(data=st.data(), day=days, version=versions)
    def deliver_as_another(self, data: st.DataObject, day: date, version: int) -> None:
        """A file once more, under the name of another day or series of its dataset."""
        if self.sent:
            place = data.draw(st.sampled_from(sorted(self.sent)))
            file, dataset = self.sent[place], SERIES[place[0]]
            series = data.draw(st.sampled_from(sorted(one for one in SERIES if SERIES[one] is dataset)))
            self.world.s3.put_object(Bucket=SOURCES, Key=name_of(series, day, version), Body=file.body)
            self.sent[series, day, version] = file

    # the runs ----------------------------------------------------------------------------------------------------

    @rule(pipeline=pipelines, day=days)
    def run(self, pipeline: str, day: date) -> None:
        """A run, a rerun, a clear or a backfill: they are one."""
        self._load(self._extract(PIPELINES[pipeline], day))

    @rule(target=pending, pipeline=pipelines, day=days)
    def extract_only(self, pipeline: str, day: date) -> Pending:
        """The run dies between extract and load, or its load has to wait."""
        return self._extract(PIPELINES[pipeline], day)

    @rule(late=consumes(pending))
    def load_late(self, late: Pending) -> None:
        """A load is cleared by itself: with what was extracted then, whatever happened since."""
        self._load(late)

    @rule(target=pending, pipeline=pipelines, day=days, point=st.sampled_from(POINTS), retried=st.booleans())
    def die(self, pipeline: str, day: date, point: Point, retried: bool) -> Any:
        """The loader dies; a retry takes the same extract, or comes later, or never."""
        dataset = PIPELINES[pipeline]
        run, before = self._extract(dataset, day), self.world.state(dataset)
        with closing(self.world.connect()) as connection:
            try:
                self.world.load(dataset, run.batch, connection=MortalConnection(connection, point))
            except Died:
                if point.name != "after the commit":
                    assert self.world.state(dataset) == before, f"half a load {point}"
                    if not retried:
                        return run
        self._load(run)
        return multiple()

    def _extract(self, dataset: Dataset, day: date) -> Pending:
        return Pending(dataset, day, self.world.extract(dataset, day), dict(self.sent))

    def _load(self, run: Pending) -> None:
        self.world.load(run.dataset, run.batch)
        if isinstance(run.dataset.source, Drop):
            self._hold(run)

    def _hold(self, run: Pending) -> None:
        """Note which files count now: of each day looked at the newest sound one, unless a newer one is held.

        None that shares keys with one that stays, nor with one before it that comes too.
        """
        since = date.min if run.day == FIRST else run.day - timedelta(days=LOOKBACK)
        coming: dict[tuple[str, date], Held] = {}
        for day in DAYS:
            for series in (one for one in SERIES if SERIES[one] is run.dataset and since <= day <= run.day):
                sound = [v for v in VERSIONS if (s := run.seen.get((series, day, v))) and s.counts is not None]
                if sound and self._is_news(series, day, sound[-1], run.seen[series, day, sound[-1]]):
                    coming[series, day] = Held(sound[-1], run.seen[series, day, sound[-1]])
        while (doubled := self._doubled(coming)) is not None:
            del coming[doubled]
        self.held |= coming

    def _is_news(self, series: str, day: date, version: int, file: Sent) -> bool:
        held = self.held.get((series, day))
        return held is None or (held.version <= version and held.file.landed != file.landed)

    def _doubled(self, coming: dict[tuple[str, date], Held]) -> tuple[str, date] | None:
        staying = {key for place, held in self.held.items() if place not in coming for key in held.keys}
        for place, file in coming.items():
            if staying & file.keys:
                return place
        for place, file in coming.items():
            if staying & file.keys:
                return place
            staying |= file.keys
        return None

    # what must hold -------------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_doubled(self) -> None:
        for dataset in DATASETS:
            key = " || '/' || ".join(f"{name}::VARCHAR" for name in dataset.key)
            ((rows, keys),) = self.world.query(
                f"SELECT COUNT(*), COUNT(DISTINCT {key}) FROM {statement.target(dataset, RAW)}"
            )
            assert rows == keys

    @invariant()
    def files_are_what_runs_saw_of_them_and_ledger_says_so(self) -> None:
        for dataset, value in ((RATES, "RATE"), (SETTLEMENTS, "GROSS_AMOUNT")):
            key = "RATE_DATE::VARCHAR || '/' || QUOTE_CURRENCY" if dataset is RATES else "TRANSACTION_ID"
            found = self.world.query(f"SELECT {key}, {value}, _BATCH FROM {statement.target(dataset, RAW)}")
            wanted = {
                (line, amount, f"{dataset.pipeline}/{day}/{series}")
                for (series, day), held in self.held.items()
                for line, amount in held.file.counts or ()
                if SERIES[series] is dataset
            }
            assert sorted(found) == sorted(wanted)
            entries = self.world.query(
                f"SELECT PART, LOGICAL_DATE, LOADED_ROWS, SOURCE_ROWS, SOURCE_AMOUNT FROM {RAW}.{ledger.TABLE} "
                f"WHERE PIPELINE = '{dataset.pipeline}' AND SOURCE IS NOT NULL"
            )
            sums = {
                (part, day, len(counts), len(counts), sum(a for _, a in counts) if dataset is SETTLEMENTS else None)
                for (part, day), held in self.held.items()
                if SERIES[part] is dataset and (counts := held.file.counts) is not None
            }
            assert set(entries) == sums

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            self.world.clear()

    def settle(self) -> None:
        """Run every day until a pass changes nothing; then RAW, ledger and quarantine equal the sources."""
        for dataset in DATASETS:
            for _ in range(PASSES):
                results = [self._run_and_tell(dataset, day) for day in DAYS]
                if not any(result.loaded for result in results):
                    break
            else:
                raise AssertionError(f"{dataset.pipeline} does not settle")
            for day in DAYS:
                self._check(dataset, day)
        self.files_are_what_runs_saw_of_them_and_ledger_says_so()
        self._feed_equals_its_source()
        self._quarantine_holds_what_is_faulty()

    def _run_and_tell(self, dataset: Dataset, day: date) -> load.LoadResult:
        run = self._extract(dataset, day)
        result = self.world.load(dataset, run.batch)
        if isinstance(dataset.source, Drop):
            self._hold(run)
        return result

    def _check(self, dataset: Dataset, day: date) -> None:
        try:
            self.world.check(dataset, day)
        except CheckError as error:
            raise AssertionError(f"{dataset.pipeline} {day}: {error}") from error

    def _feed_equals_its_source(self) -> None:
        newest: dict[str, tuple[datetime, Decimal]] = {}
        by_day: dict[date, dict[str, tuple[datetime, Decimal]]] = {day: {} for day in DAYS}
        for (key, at), amount in sorted(self.booked.items(), key=lambda item: item[0][1]):
            newest[key] = at, amount
            by_day[max(at.date(), FIRST)][key] = at, amount
        found = self.world.query(
            f"SELECT TRANSACTION_ID, UPDATED_AT, AMOUNT FROM {statement.target(TRANSACTIONS, RAW)}"
        )
        assert sorted(found) == sorted((key, at, amount) for key, (at, amount) in newest.items())
        entries = self.world.query(
            "SELECT LOGICAL_DATE, SUM(LOADED_ROWS)::NUMBER(38,0), SUM(SOURCE_AMOUNT)::NUMBER(38,2) FROM "
            f"{RAW}.{ledger.TABLE} WHERE PIPELINE = '{TRANSACTIONS.pipeline}' GROUP BY LOGICAL_DATE"
        )
        wanted = {(day, len(rows), sum((a for _, a in rows.values()), Decimal("0.00"))) for day, rows in by_day.items()}
        assert {(day, int(rows), amount) for day, rows, amount in entries} == wanted

    def _quarantine_holds_what_is_faulty(self) -> None:
        wanted = set()
        for series in SERIES:
            for day in DAYS:
                for version in reversed(VERSIONS):
                    file = self.sent.get((series, day, version))
                    if file is None:
                        continue
                    stays_out = file.counts is None or self._is_news(series, day, version, file)
                    if file.faulty or stays_out:
                        wanted.add((name_of(series, day, version), stays_out))
                    if file.counts is not None:
                        break
        found = self.world.query(f"SELECT SOURCE, WHOLE_FILE FROM {RAW}.{quarantine.TABLE} WHERE CLEARED_AT IS NULL")
        assert set(found) == wanted
        assert len(found) == len(wanted)
