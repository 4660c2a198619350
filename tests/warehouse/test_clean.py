"""`slots.clean` on a real journal, lock and warehouse: what it says, does and leaves on record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway.deployment import fold
from slipway.record import Record
from slipway.retention import RetentionRules
from slipway.sandbox.aws.instance import running
from slipway.tasks.slots import carry_out, document_of
from tests.tamper import world as made
from tests.warehouse.place import Place

SLOTS = ("AAAA0001", "AAAA0002", "AAAA0003", "AAAA0004")
RULES = RetentionRules(slots=1, days=0, quarantine_days=1)


class Idle:
    """An Airflow in which nothing runs."""

    def dags(self) -> dict[str, Any]:
        return {}

    def import_errors(self) -> tuple[Any, ...]:
        return ()

    def open_runs(self) -> tuple[Any, ...]:
        return ()


@pytest.fixture
def site(place: Place, tmp_path: Path) -> Iterator[made.Account]:
    """An environment of four releases, one after the other, the last of which is live."""
    with running(tmp_path) as instance:
        site = made.made(f"http://127.0.0.1:{instance.port}", tmp_path).site
        site.environment = site.environment.model_copy(update={"warehouse": place.environment.warehouse})
        site.session, site.warehouse = place.deployer, place.facts
        site.airflow = Idle()  # type: ignore[assignment]
        site.policy = site.policy.model_copy(update={"retention": RULES})
        key = f"policies/{site.policy.digest}.json"
        site.aws.s3.put_object(Bucket=site.bucket.bucket, Key=key, Body=site.policy.to_bytes())
        for number, slot in enumerate(SLOTS):
            deploy(site, place, f"d-{number}", slot, SLOTS[number - 1] if number else None)
        yield site
        place.deployer.guard = lambda: None


def deploy(site: made.Account, place: Place, name: str, slot: str, before: str | None) -> None:
    """Show a slot, and have the journal tell of it."""
    place.fill(slot, "FINANCE.F", "CUSTOMER.C")
    place.complete(slot)
    place.publish(slot)
    journal = Record(site).anchored(site.journal)
    facts = {"plan": "p" * 64, "release": "r" * 64, "version": f"v-{slot}", "slot": slot, "by": "ann", "commit": None}
    replaces = f"v-{before}" if before else None
    journal.append(name, "began", {**facts, "purpose": "deploy", "replaces": replaces, "policy": site.policy.digest})
    for kind in ("verifying", "succeeded"):
        journal.append(name, kind, {"outside_ms": 0} if kind == "succeeded" else {})


def test_what_nothing_needs_is_quarantined_then_dropped_and_the_journal_tells_of_both(
    site: made.Account, place: Place
) -> None:
    said: list[str] = []
    first = carry_out(site, tell=said.append)
    assert first.quarantine == SLOTS[:2]
    assert set(first.kept) == set(SLOTS[2:]), "the live one, and where a rollback goes"
    assert set(place.facts.read().complete_slots) == set(SLOTS), "quarantine touches nothing"
    assert carry_out(site, tell=said.append).changes_nothing
    ops = place.database("OPS")
    place.deployer.rows(f"UPDATE {ops}.SLIPWAY.QUARANTINE SET EPOCH_S = EPOCH_S - 100000 WHERE NAME = '{SLOTS[0]}'")
    second = carry_out(site, tell=said.append)
    assert (second.drop, tuple(second.waiting)) == (SLOTS[:1], SLOTS[1:2])
    assert set(place.facts.read().slots) == set(SLOTS[1:])
    notes = [event.data for event in site.journal.events() if event.kind == "cleaned"]
    assert [(note["quarantined"], note["dropped"]) for note in notes] == [(list(SLOTS[:2]), []), ([], [SLOTS[0]])]
    assert len(fold(site.journal.events())) == len(SLOTS), "a note is no deployment"
    Record(site).require_anchored(site.journal.events())
    document = document_of("prod", second)
    assert document["drop"] == [SLOTS[0]]
    assert {one["name"] for one in document["kept"]} == set(SLOTS[2:])
