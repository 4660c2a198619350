"""Which scripts run, in which order, and which must never."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.migration import edited_scripts, late_scripts, pending_scripts, scripts_in, scripts_without_undo
from slipway.observation import AppliedMigration


def component(*names: str, content: str = "1") -> dict[str, str]:
    return {f"scripts/{name}": content for name in names}


def applied(*names: str, sha256: str | None = "1") -> list[AppliedMigration]:
    return [AppliedMigration(script=name, succeeded=True, sha256=sha256) for name in names]


VERSIONS = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 20)).map(lambda pair: f"{pair[0]}.{pair[1]}"), unique=True, max_size=8
)


@given(VERSIONS, st.randoms())
def test_versions_run_in_the_order_of_numbers_not_of_text(versions: list[str], chance: random.Random) -> None:
    names = [f"V{version}__x.sql" for version in versions]
    chance.shuffle(names)
    order = [script.name for script in scripts_in(component(*names))]
    assert order == sorted(names, key=lambda name: tuple(map(int, name[1:].split("__")[0].split("."))))


@given(VERSIONS)
def test_after_everything_ran_nothing_is_pending(versions: list[str]) -> None:
    names = [f"V{version}__x.sql" for version in versions] + ["R__views.sql", "A__grants.sql"]
    assert pending_scripts(component(*names), applied(*names)) == ()


def test_repeatable_scripts_run_after_versions_and_always_scripts_last() -> None:
    names = ["A__grants.sql", "R__views.sql", "V2__b.sql", "V10__c.sql", "V1__a.sql"]
    assert pending_scripts(component(*names), []) == (
        "V1__a.sql",
        "V2__b.sql",
        "V10__c.sql",
        "R__views.sql",
        "A__grants.sql",
    )


def test_always_scripts_run_with_others_but_not_alone() -> None:
    names = ["A__grants.sql", "V1__a.sql"]
    assert pending_scripts(component(*names), applied(*names)) == ()
    assert pending_scripts(component(*names, "V2__b.sql"), applied(*names)) == ("V2__b.sql", "A__grants.sql")


def test_a_changed_repeatable_script_runs_again() -> None:
    assert pending_scripts(component("R__views.sql", content="2"), applied("R__views.sql")) == ("R__views.sql",)


def test_a_script_whose_digest_was_never_recorded_runs_again_unless_it_is_versioned() -> None:
    names = ["R__views.sql", "V1__a.sql"]
    assert pending_scripts(component(*names), applied(*names, sha256=None)) == ("R__views.sql",)
    assert edited_scripts(component(*names), applied(*names, sha256=None)) == ()


def test_an_edited_version_is_named_and_an_edited_repeatable_is_not() -> None:
    changed = component("V1__a.sql", "R__views.sql", content="2")
    assert edited_scripts(changed, applied("V1__a.sql", "R__views.sql")) == ("V1__a.sql",)


@pytest.mark.parametrize(
    ("new", "late"), [("V1.5__x.sql", True), ("V0.9__x.sql", True), ("V2.1__x.sql", False), ("V10__x.sql", False)]
)
def test_a_version_below_the_highest_applied_is_late(new: str, late: bool) -> None:
    names = ["V1__a.sql", "V2__b.sql"]
    assert late_scripts(component(*names, new), applied(*names)) == ((new,) if late else ())


def test_an_undo_belongs_to_the_script_of_its_name() -> None:
    files = {**component("V1__a.sql", "V2__b.sql"), "undo/U1__a.sql": "1", "undo/U2__other.sql": "1"}
    assert scripts_without_undo(files) == ("V2__b.sql",)


def test_other_files_are_no_scripts() -> None:
    assert scripts_in({"bootstrap.sql": "1", "scripts/notes.txt": "1", "undo/U1__a.sql": "1"}) == ()
