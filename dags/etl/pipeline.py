"""The pipeline factory: DAGs of three tasks, extract -> load -> check, and the DAG that builds the marts.

A DAG that loads files has a fourth, `quarantine`, beside `check`: it fails when a file is faulty, so that somebody
looks, and holds nothing up, since builds ask the load ledger and the quarantine, not the state of this DAG.

The only module that imports Airflow. Nothing is looked up while a DAG file is parsed but `version.json`; drivers are
imported inside the tasks.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, CronDataIntervalTimetable, PokeReturnValue, task

from etl import settings as settings_module
from etl.dataset import Dataset, Drop
from etl.error import EtlError
from etl.settings import Settings
from etl.tags import Tag
from etl.window import Window

if TYPE_CHECKING:
    import psycopg

LOADER = "warehouse_loader"
TRANSFORMER = "warehouse_transformer"
SOURCE = "postgres_core"
STORAGE = "aws_default"
POKE_SECONDS = 15
PUBLISHED = ("FINANCE", "CUSTOMER")  # layers that readers see

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """When a DAG runs and what is done when a task fails.

    Attributes:
        cron: in UTC; a run covers the interval that ends at its tick.
        active_runs: one at a time keeps the days in order, which the comparison with the whole source relies on.
    """

    cron: str = "0 0 * * *"
    active_runs: int = 1
    retries: int = 3
    retry_delay: timedelta = timedelta(seconds=30)
    task_timeout: timedelta = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pipeline:
    """One dataset on a schedule."""

    dataset: Dataset
    owner: str
    tags: frozenset[Tag]
    notes: str
    schedule: Schedule = field(default_factory=Schedule)


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """A dbt build that waits until the ledger holds every one of `datasets` for its logical date.

    It also waits while more files of one are missing, being in quarantine, than that tolerates.
    """

    dag_id: str
    datasets: tuple[Dataset, ...]
    owner: str
    tags: frozenset[Tag]
    notes: str
    schedule: Schedule = field(default_factory=Schedule)
    patience: timedelta = timedelta(hours=6)


def load_dag(pipeline: Pipeline) -> DAG:
    """Return the DAG that extracts, loads and checks the pipeline's dataset, and tells of faulty files."""
    dataset = pipeline.dataset
    with _dag(dataset.pipeline, pipeline.owner, pipeline.tags, pipeline.notes, pipeline.schedule) as dag:

        @task
        def extract(logical_date: Any = None, data_interval_end: Any = None) -> dict[str, Any]:
            return _extract(dataset, _window(logical_date, data_interval_end))

        # One load at a time over all runs of the DAG, backfills too: two of them must not insert the same file.
        @task(max_active_tis_per_dag=1)
        def load(batch: dict[str, Any]) -> dict[str, Any]:
            return _load(dataset, batch)

        @task
        def check(logical_date: Any = None, data_interval_end: Any = None) -> dict[str, Any]:
            return _check(dataset, _window(logical_date, data_interval_end))

        # A faulty file stays faulty until its partner sends another: to try again within minutes changes nothing.
        @task(retries=0)
        def quarantine(logical_date: Any = None, data_interval_end: Any = None) -> dict[str, Any]:
            return _quarantine(dataset, _window(logical_date, data_interval_end))

        loaded = load(extract())
        loaded >> check()
        if isinstance(dataset.source, Drop):
            loaded >> quarantine()
    return dag


def build_dag(build: Build) -> DAG:
    """Return the DAG that waits for the loads of its logical date, runs `dbt build` once, and checks the result."""
    with _dag(build.dag_id, build.owner, build.tags, build.notes, build.schedule) as dag:

        @task.sensor(mode="reschedule", poke_interval=POKE_SECONDS, timeout=build.patience.total_seconds())
        def wait_for_loads(logical_date: Any = None, data_interval_end: Any = None) -> PokeReturnValue:
            return _loads_present(build.datasets, _window(logical_date, data_interval_end))

        @task(max_active_tis_per_dag=1)
        def dbt_build() -> dict[str, int]:
            return _dbt_build()

        @task
        def check() -> dict[str, int]:
            return _check_built()

        wait_for_loads() >> dbt_build() >> check()
    return dag


def _dag(dag_id: str, owner: str, tags: frozenset[Tag], notes: str, schedule: Schedule) -> DAG:
    return DAG(
        dag_id=dag_id,
        schedule=CronDataIntervalTimetable(schedule.cron, timezone="UTC"),
        start_date=settings_module.current().start,
        catchup=True,
        max_active_runs=schedule.active_runs,
        default_args={
            "owner": owner,
            "retries": schedule.retries,
            "retry_delay": schedule.retry_delay,
            "execution_timeout": schedule.task_timeout,
        },
        tags=sorted(tag.value for tag in tags),
        doc_md=notes,
    )


def _window(logical_date: datetime | None, data_interval_end: datetime | None) -> Window:
    if logical_date is None or data_interval_end is None:
        raise EtlError("this run has no logical date: trigger it with one")
    return Window.of_run(logical_date, data_interval_end, first=settings_module.current().schedule_start)


def _extract(dataset: Dataset, window: Window) -> dict[str, Any]:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    from etl import extract, files
    from etl.quarantine import described

    settings = settings_module.current()
    s3 = S3Hook(aws_conn_id=STORAGE).get_conn()
    if isinstance(dataset.source, Drop):
        batch = files.extract(
            s3,
            dataset=dataset,
            window=window,
            sources_bucket=settings.sources_bucket,
            landing_bucket=settings.landing_bucket,
        )
    else:
        with _source() as connection:
            batch = extract.extract(
                connection,
                s3,
                dataset=dataset,
                window=window,
                source_schema=settings.source_schema,
                bucket=settings.landing_bucket,
            )
    for file in batch.faulty:
        for line in described(file):
            log.warning("%s", line)
    log.info("%s: %s parts, %s rows", window, len(batch.parts), sum(part.rows for part in batch.parts))
    return batch.to_dict()


def _load(dataset: Dataset, document: dict[str, Any]) -> dict[str, Any]:
    from etl import load
    from etl.batch import Batch

    settings = settings_module.current()
    with _warehouse(LOADER, settings, f"load/{dataset.pipeline}") as connection:
        result = load.load(
            connection,
            dataset=dataset,
            batch=Batch.from_dict(document),
            database=settings.raw_database,
            release=settings.release,
        )
    log.info("%s", result)
    return result.to_dict()


def _check(dataset: Dataset, window: Window) -> dict[str, Any]:
    from etl import checks, extract

    settings = settings_module.current()
    with _warehouse(LOADER, settings, f"check/{dataset.pipeline}") as warehouse:
        if isinstance(dataset.source, Drop):
            return checks.check_files(warehouse, dataset=dataset, window=window, database=settings.raw_database)
        with _source() as source:
            return checks.check_feed(
                warehouse,
                dataset=dataset,
                window=window,
                first=settings.schedule_start,
                database=settings.raw_database,
                source_totals=lambda: extract.source_totals(
                    source, dataset=dataset, source_schema=settings.source_schema, until=window.until
                ),
            )


def _quarantine(dataset: Dataset, window: Window) -> dict[str, Any]:
    from etl import checks

    settings = settings_module.current()
    with _warehouse(LOADER, settings, f"quarantine/{dataset.pipeline}") as warehouse:
        return checks.check_quarantine(warehouse, dataset=dataset, window=window, database=settings.raw_database)


def _loads_present(datasets: tuple[Dataset, ...], window: Window) -> PokeReturnValue:
    from etl import checks

    settings = settings_module.current()
    with _warehouse(TRANSFORMER, settings, "wait_for_loads") as connection, connection.cursor() as cursor:
        obstacles = checks.obstacles(cursor, datasets=datasets, window=window, database=settings.raw_database)
    said = "; ".join(f"{pipeline}: {reason}" for pipeline, reason in sorted(obstacles.items()))
    log.info("%s: %s", window.logical_date, f"waiting for {said}" if said else "all loads present")
    return PokeReturnValue(is_done=not obstacles)


def _dbt_build() -> dict[str, int]:
    from airflow.sdk import Connection

    from etl import connection, dbt

    settings = settings_module.current()
    stored = Connection.get(TRANSFORMER)
    with tempfile.TemporaryDirectory(prefix="dbt-") as name:
        folder = Path(name)
        with connection.key_file(stored, folder=folder) as key:
            variables = dbt.environment(settings, connection=connection.dbt_environment(stored, key=key), folder=folder)
            return dbt.build(settings, variables=variables, folder=folder, on_line=log.info)


def _check_built() -> dict[str, int]:
    from etl import checks

    settings = settings_module.current()
    schemas = tuple(f"{layer}__{settings.slot}" for layer in PUBLISHED)
    with _warehouse(TRANSFORMER, settings, "check/build") as warehouse:
        counts = checks.check_built(warehouse, database=settings.analytics_database, schemas=schemas)
    for relation, rows in counts.items():
        log.info("%s: %s rows", relation, rows)
    return counts


@contextmanager
def _warehouse(conn_id: str, settings: Settings, purpose: str) -> Iterator[Any]:
    import snowflake.connector
    from airflow.sdk import Connection

    from etl.connection import warehouse_parameters

    tag = f"slipway/{settings.release}/{purpose}"
    connection = snowflake.connector.connect(**warehouse_parameters(Connection.get(conn_id), query_tag=tag))
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _source() -> Iterator[psycopg.Connection[Any]]:
    import psycopg
    from airflow.sdk import Connection

    from etl.connection import postgres_parameters

    with psycopg.connect(**postgres_parameters(Connection.get(SOURCE))) as connection:
        yield connection
