"""The sources of the tests, and the loads that bring them into RAW by the pipelines' own library."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psycopg

sys.path.insert(0, str(Path(__file__).parents[2] / "dags"))

from etl import catalog, extract, files, load
from etl.dataset import Dataset, Drop
from etl.window import Window

from slipway.sandbox.sources import Scale
from slipway.sandbox.sources import load as load_sources
from tests.dbt.warehouse import Server

DATABASE, SOURCES, REGION = "finedge_core", "finedge-sources", "eu-west-1"


@dataclass(frozen=True)
class Feed:
    """Seeded sources, and the warehouse they are loaded into.

    Attributes:
        day0: the day after the newest one of the sources.
        first: the first logical date, whose loads bring all history before it too.
    """

    server: Server
    dsn: str
    s3: Any
    scale: Scale
    day0: date
    first: date

    def seed(self, *, late_files: bool = True) -> None:
        """Make the sources, or bring what was held back.

        Side effects: the source database, the sources bucket, an empty landing bucket.
        """
        load_sources(
            postgres_dsn=self.dsn,
            s3=self.s3,
            bucket=SOURCES,
            day0=self.day0,
            scale=self.scale,
            late_files=late_files,
        )
        landing = self.server.environment.bucket("landing")
        if landing not in {bucket["Name"] for bucket in self.s3.list_buckets()["Buckets"]}:
            self.s3.create_bucket(Bucket=landing, CreateBucketConfiguration={"LocationConstraint": REGION})

    def load(self, day: date, *datasets: Dataset) -> None:
        """Run the loads of one logical date, as the service user of the pipelines."""
        warehouse = self.server.environment.warehouse
        with psycopg.connect(self.dsn) as source, self.server.connection(warehouse.loader) as connection:
            for dataset in datasets or catalog.LOADED:
                load.load(
                    connection,
                    dataset=dataset,
                    batch=self._extract(source, dataset, day),
                    database=warehouse.raw_database,
                    release="r1",
                )

    def _extract(self, source: psycopg.Connection[Any], dataset: Dataset, day: date) -> Any:
        landing, window = self.server.environment.bucket("landing"), Window.of_day(day, first=self.first)
        if isinstance(dataset.source, Drop):
            return files.extract(
                self.s3, dataset=dataset, window=window, sources_bucket=SOURCES, landing_bucket=landing
            )
        return extract.extract(source, self.s3, dataset=dataset, window=window, source_schema="core", bucket=landing)
