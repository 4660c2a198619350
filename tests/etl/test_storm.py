"""Retries, clears, reruns, late, doubled, corrected and corrupted files, dying loaders, in any order.

A few seeded examples in the plain run. More, and others each time:

    STORM_EXAMPLES=200 ./nox -s tests -- tests/etl/test_storm.py
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.etl.conftest import Stored
from tests.etl.storm import SOURCES, Storm, World

EXAMPLES = int(os.environ.get("STORM_EXAMPLES", "0"))  # read before tests get an environment of their own
SETTINGS = settings(
    max_examples=EXAMPLES or 6,
    stateful_step_count=25 if EXAMPLES else 14,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def world(loader: Stored, source_dsn: str, s3: Any) -> Iterator[World]:
    s3.create_bucket(Bucket=SOURCES, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    with psycopg.connect(source_dsn, autocommit=True) as source:
        world = World(source, s3, loader)
        with closing(world.warehouse):
            yield world


@pytest.mark.timeout(0 if EXAMPLES else 900)
def test_whatever_happens_in_whatever_order_raw_equals_the_source_in_the_end(world: World) -> None:
    run_state_machine_as_test(lambda: Storm(world), settings=SETTINGS)
