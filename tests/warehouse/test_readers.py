"""Readers while sixty relations are published and swapped back: none sees two releases, none fails, how long one waits.

Two publishings; as many as `SLIPWAY_PUBLISHINGS` says, of which a full measurement takes 100.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from slipway.adapters.snowflake import Session
from slipway.errors import SlipwayError
from tests.dbt.warehouse import READER
from tests.report import tell
from tests.warehouse.place import Place

PUBLISHINGS = int(os.environ.get("SLIPWAY_PUBLISHINGS", "2"))
READERS = 4
SLOTS = ("AAAA0001", "AAAA0002")
RELATIONS = tuple(f"{layer}.T{number:02d}" for layer in ("FINANCE", "CUSTOMER") for number in range(30))


@dataclass
class Readings:
    """What one reader saw."""

    reads: int = 0
    mixed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    longest_s: float = 0.0

    def read(self, session: Session, marts: str, some: random.Random) -> None:
        """Read six relations of both schemas in one statement."""
        chosen = [*some.sample(RELATIONS[:30], 3), *some.sample(RELATIONS[30:], 3)]
        query = " UNION ".join(f"SELECT MADE_IN FROM {marts}.{name}" for name in chosen)
        began = time.monotonic()
        try:
            rows = session.rows(query)
        except SlipwayError as error:
            self.failed.append(error.message)
            return
        self.longest_s = max(self.longest_s, time.monotonic() - began)
        self.reads += 1
        self.seen |= {str(row[0]) for row in rows}
        if len(rows) != 1:
            self.mixed.append(f"{chosen}: {rows}")


@contextmanager
def reading(place: Place) -> Iterator[list[Readings]]:
    """Give what readers see, each over a connection of its own, until the end of the block."""
    stop, all_readings = threading.Event(), [Readings() for _ in range(READERS)]

    def work(number: int) -> None:
        some = random.Random(number)
        with place.server.session(READER) as session:
            while not stop.is_set():
                all_readings[number].read(session, place.database("MARTS"), some)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(READERS)]
    for thread in threads:
        thread.start()
    try:
        yield all_readings
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.timeout(300 + 30 * PUBLISHINGS)
def test_no_read_fails_or_mixes_over_many_publishings_and_swaps_back(
    place: Place, request: pytest.FixtureRequest
) -> None:
    for slot in SLOTS:
        place.fill(slot, *RELATIONS)
    place.publish(SLOTS[0])
    took = []
    with reading(place) as readings:
        for number in range(1, PUBLISHINGS + 1):
            began = time.monotonic()
            place.publish(SLOTS[number % 2], replaces=SLOTS[(number + 1) % 2])
            took.append(time.monotonic() - began)
    reads = sum(one.reads for one in readings)
    mixed, failed = ([said for one in readings for said in getattr(one, kind)] for kind in ("mixed", "failed"))
    tell(
        request.config,
        "readers",
        f"{len(RELATIONS)} relations, {READERS} readers, {PUBLISHINGS} publishings and swaps back: {reads} reads, "
        f"{len(mixed)} mixed, {len(failed)} failed",
        f"longest read {max(one.longest_s for one in readings):.2f} s, median publishing "
        f"{sorted(took)[len(took) // 2]:.1f} s",
    )
    assert (mixed, failed) == ([], [])
    assert all(one.reads for one in readings)
    assert {slot for one in readings for slot in one.seen} == set(SLOTS), "they read while it was swapped"
