"""What hangs on slots: told apart from what may stay, by names alone."""

from __future__ import annotations

import pytest

from slipway.dependent import Ground, Stream, Task, View, bystanders, hanging, mixtures, strangers

GROUND = Ground(analytics="S_ANALYTICS", marts="S_MARTS", elsewhere={"P_RAW": "prod"})
OWN, OTHER = "AAAA0001", "AAAA0002"


def view(*names: str, place: str = f"S_ANALYTICS.FINANCE__{OWN}.V") -> View:
    return View(place=tuple(place.split(".")), names=frozenset(tuple(one.split(".")) for one in names))


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        (f"S_ANALYTICS.STAGING__{OWN}.STG", ""),
        (f"STAGING__{OWN}.STG", ""),
        ("S_RAW.CORE.T", ""),
        ("SHARED_RATES.PUBLIC.T", ""),
        ("CTE", ""),
        (f"S_ANALYTICS.STAGING__{OTHER}.STG", "of slot AAAA0002"),
        (f"STAGING__{OTHER}.STG", "of slot AAAA0002"),
        ("P_RAW.CORE.T", "of prod"),
        ("S_MARTS.FINANCE.F", "published from another slot"),
    ],
)
def test_a_view_of_a_slot_names_its_own_slot_and_what_was_loaded(named: str, reason: str) -> None:
    found = mixtures([view(named)], GROUND, slot=OWN)
    assert bool(found) == bool(reason)
    assert all(reason in str(one) for one in found)


def test_a_view_whose_text_is_hidden_is_not_taken_for_a_good_one() -> None:
    hidden = View(place=("S_ANALYTICS", f"FINANCE__{OWN}", "V"), names=None)
    assert "nobody knows" in str(mixtures([hidden], GROUND, slot=OWN)[0])


def test_nobody_else_names_a_slot() -> None:
    names = f"S_ANALYTICS.FINANCE__{OTHER}.F"
    report = view(names, place="S_ANALYTICS.REPORTS.R")
    thin = view(names, place="S_MARTS.FINANCE.F")
    aside = view(names, place="S_MARTS__NEXT.FINANCE.F")
    inside = view(names)
    assert [one.place for one in bystanders([report, thin, aside, inside], GROUND)] == ["S_ANALYTICS.REPORTS.R"]
    assert bystanders([view("S_MARTS.FINANCE.F", place="S_OPS.A.B")], GROUND) == ()


def test_streams_and_tasks_hang_where_every_release_puts_something_else() -> None:
    streams = [
        Stream(place=("S_OPS", "A", "ON_VIEW"), source=("S_MARTS", "FINANCE", "F")),
        Stream(place=("S_OPS", "A", "ON_SLOT"), source=("S_ANALYTICS", f"FINANCE__{OWN}", "F")),
        Stream(place=("S_MARTS", "FINANCE", "INSIDE"), source=("S_RAW", "CORE", "T")),
        Stream(place=("S_RAW", "CORE", "FINE"), source=("S_RAW", "CORE", "T")),
        Stream(place=("S_OPS", "A", "FINE"), source=("S_ANALYTICS", "REPORTS", "T")),
    ]
    tasks = [
        Task(place=("S_MARTS", "FINANCE", "NIGHTLY"), is_started=True),
        Task(place=("S_ANALYTICS", f"FINANCE__{OWN}", "T"), is_started=False),
        Task(place=("S_RAW", "CORE", "FINE"), is_started=True),
    ]
    found = [str(one) for one in hanging(streams, tasks, GROUND)]
    assert len(found) == 5
    assert not [one for one in found if "FINE" in one]
    assert any("task S_MARTS.FINANCE.NIGHTLY (started)" in one for one in found)


def test_what_somebody_put_into_the_published_database_is_known_from_what_the_slot_holds() -> None:
    contents = {"FINANCE": {"F", "HAND"}, "CUSTOMER": {"C"}, "SLIPWAY": {"PUBLISHED"}, "MINE": {"V"}, "PUBLIC": set()}
    made = {"FINANCE": {"F"}, "CUSTOMER": {"C", "NEW"}}
    assert strangers(contents, made) == (("FINANCE", "HAND"), ("MINE", "V"))
