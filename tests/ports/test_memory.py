"""What the ports in memory do beyond the contract: faults, and use by the core's tests."""

from __future__ import annotations

import pytest

from slipway.errors import Locked, Unavailable
from slipway.ports import Journal, Lease
from tests.ports.memory import Faults, MemoryJournal, MemoryLease, MemoryTable


def test_they_are_the_ports_the_engine_asks_for() -> None:
    journal: Journal = MemoryJournal()
    lease: Lease = MemoryLease()
    lease.check()
    assert journal.append("d-1", "began", {}) == journal.events()[0]


def test_a_lease_by_itself_is_held_and_is_lost_after_so_many_checks() -> None:
    lease = MemoryLease(checks=2)
    lease.check()
    lease.check()
    with pytest.raises(Locked):
        lease.check()


def test_a_journal_counts_its_events_and_its_clock_moves() -> None:
    journal = MemoryJournal()
    for _ in range(3):
        journal.append("d-1", "began", {})
    assert [event.at for event in journal.written] == [f"2026-11-01T00:00:0{n}.000+00:00" for n in (1, 2, 3)]


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize(("moment", "more"), [("before", 0), ("after", 1)])
def test_the_chosen_call_fails_before_or_after_its_effect(at: int, moment: str, more: int) -> None:
    faults = Faults(at=at, moment="before" if moment == "before" else "after")
    journal = MemoryJournal(faults=faults)
    for _ in range(at - 1):
        journal.append("d-1", "began", {})
    with pytest.raises(Unavailable):
        journal.append("d-1", "failed", {})
    assert len(journal.written) == at - 1 + more
    journal.append("d-1", "failed", {})
    assert faults.calls == ["append began"] * (at - 1) + ["append failed"] * 2


def test_faults_are_counted_over_all_that_share_them() -> None:
    table, faults = MemoryTable(), Faults(at=3)
    with MemoryLease(table=table, faults=faults) as lease:
        journal = MemoryJournal(table, faults=faults).fenced_by(lease)
        journal.append("d-1", "began", {})
        with pytest.raises(Unavailable):
            lease.check()
    assert faults.calls == ["take", "append began", "check"]
