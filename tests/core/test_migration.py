"""Which scripts run, in which order, and which must never."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slipway.migration import (
    Script,
    ScriptRun,
    SetOut,
    applied_migrations,
    edited_scripts,
    late_scripts,
    pending_scripts,
    scripts_in,
    scripts_without_undo,
)
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
    ("new", "late"),
    [("V1.5__x.sql", True), ("V0.9__x.sql", True), ("V2__x.sql", True), ("V2.1__x.sql", False), ("V10__x.sql", False)],
)
def test_a_version_that_is_not_above_the_highest_applied_is_late(new: str, late: bool) -> None:
    names = ["V1__a.sql", "V2__b.sql"]
    assert late_scripts(component(*names, new), applied(*names)) == ((new,) if late else ())
    assert late_scripts(component("V1__a.sql", new), applied(*names)) == ((new,) if late else ()), "of another release"


def test_an_undo_belongs_to_the_script_of_its_name() -> None:
    files = {**component("V1__a.sql", "V2__b.sql"), "undo/U1__a.sql": "1", "undo/U2__other.sql": "1"}
    assert scripts_without_undo(files) == ("V2__b.sql",)


def test_other_files_are_no_scripts() -> None:
    assert scripts_in({"bootstrap.sql": "1", "scripts/notes.txt": "1", "undo/U1__a.sql": "1"}) == ()


class Died(Exception):
    """The run is no more."""


class Warehouse:
    """What stands in a warehouse, and what is written down of it: a model of Slipway's run around schemachange's.

    A script's content is its digest, its checksum too.
    """

    def __init__(self) -> None:
        self.stands: dict[str, str] = {}  # script -> content; "half" of one that failed
        self.order: list[str] = []  # of all that was committed
        self.history: list[tuple[str, str, str, datetime]] = []  # script, content, status, at
        self.set_out: list[SetOut] = []
        self.moments = 0
        self.dies_at: int | None = None

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.moments)

    def moment(self) -> None:
        """Let time go on, and the run die if it is its time."""
        self.moments += 1
        if self.dies_at is not None:
            self.dies_at -= 1
            if self.dies_at < 0:
                raise Died

    @property
    def applied(self) -> tuple[AppliedMigration, ...]:
        last = {row[0]: row for row in self.history}
        runs = [ScriptRun(script=name, succeeded=row[2] == "Success", at=row[3]) for name, row in last.items()]
        return applied_migrations(runs, self.set_out)

    def migrate(self, release: Mapping[str, str], *, dies_at: int | None, fails: str | None) -> None:
        self.dies_at = dies_at
        pending = pending_scripts(release, self.applied)
        if not pending:
            return
        for script in scripts_in(release):
            if script.name in pending:
                self.moment()
                self.set_out.append(SetOut(script=script.name, sha256=script.sha256, since=self.now()))
                self.moment()
                if script.kind == "R":
                    self.history = [
                        (name, content, "Superseded" if name == script.name and status == "Success" else status, at)
                        for name, content, status, at in self.history
                    ]
        for script in scripts_in(release):
            if self._goes_past(script):
                continue
            self.moment()
            if script.name == fails:
                self.stands[script.name] = "half"
                self.history.append((script.name, script.sha256, "Failed", self.now()))
                return
            self.stands[script.name] = script.sha256
            self.order.append(script.name)
            self.moment()
            self.history.append((script.name, script.sha256, "Success", self.now()))
        self.moment()

    def _goes_past(self, script: Script) -> bool:
        """Return what schemachange decides by its own history."""
        successes = [
            content for name, content, status, _ in self.history if name == script.name and status == "Success"
        ]
        if script.kind == "R":
            return successes[-1:] == [script.sha256]
        return script.kind == "V" and bool(successes)


NAMES = ["V1__a.sql", "V2__b.sql", "R__a.sql", "R__b.sql", "A__a.sql", "A__b.sql"]
CONTENT = st.sampled_from("12")
RELEASES = st.fixed_dictionaries(
    {f"scripts/{name}": CONTENT for name in ("V1__a.sql", "R__a.sql", "A__a.sql")},
    optional={f"scripts/{name}": CONTENT for name in ("V2__b.sql", "R__b.sql", "A__b.sql")},
)
RUNS = st.lists(st.tuples(RELEASES, st.none() | st.integers(0, 24), st.none() | st.sampled_from(NAMES)), max_size=5)
BEFORE = {"scripts/V1__a.sql": "1", "scripts/R__a.sql": "1", "scripts/A__a.sql": "1"}
AFTER = BEFORE | {"scripts/A__a.sql": "2"}
LATER, MORE = BEFORE | {"scripts/R__a.sql": "2"}, {"scripts/A__b.sql": "1"}


@settings(max_examples=500)
@given(RUNS, RELEASES)
@example(runs=[(BEFORE, None, None), (AFTER, 2, None)], last=AFTER)  # dies before what it set out with
@example(runs=[(BEFORE, None, None), (LATER, None, "R__a.sql")], last=BEFORE)
@example(runs=[(BEFORE | MORE, None, None), (LATER, None, None)], last=LATER | MORE)  # one release did not hold it
def test_whatever_runs_died_or_failed_of_nothing_is_pending_only_where_all_stands(
    runs: list[tuple[dict[str, str], int | None, str | None]], last: dict[str, str]
) -> None:
    warehouse = Warehouse()
    for release, dies_at, fails in runs:
        with suppress(Died):
            warehouse.migrate(release, dies_at=dies_at, fails=fails)
        assert_told(warehouse)
        for seen in (release, last):
            if not pending_scripts(seen, warehouse.applied):
                assert_stands(seen, warehouse)
    warehouse.migrate(last, dies_at=None, fails=None)
    assert pending_scripts(last, warehouse.applied) == ()
    assert_stands(last, warehouse)
    assert_told(warehouse)


@given(RELEASES, st.integers(0, 24))
def test_a_script_that_the_history_names_is_not_run_again_by_the_run_that_goes_on(
    release: dict[str, str], dies_at: int
) -> None:
    warehouse = Warehouse()
    with suppress(Died):
        warehouse.migrate(release, dies_at=dies_at, fails=None)
    named = {row[0] for row in warehouse.history if not row[0].startswith("A")}
    began = len(warehouse.order)
    warehouse.migrate(release, dies_at=None, fails=None)
    assert not named & set(warehouse.order[began:])


def assert_told(warehouse: Warehouse) -> None:
    """A digest that is told is of what stands; of a V script that succeeded it is always told."""
    for one in warehouse.applied:
        assert one.sha256 in (None, warehouse.stands[one.script])
        assert one.sha256 or not one.succeeded or not one.script.startswith("V")


def assert_stands(release: Mapping[str, str], warehouse: Warehouse) -> None:
    """What stands is the release's, where it was not edited; and what runs after all others did."""
    scripts = scripts_in(release)
    edited = edited_scripts(release, warehouse.applied)
    for script in scripts:
        assert script.name in edited or warehouse.stands[script.name] == script.sha256
    always = [script.name for script in scripts if script.kind == "A"]
    others = [name for name in warehouse.order if not name.startswith("A")]
    for name in always:
        assert warehouse.order[::-1].index(name) < warehouse.order[::-1].index(others[-1])


MORNING, NOON, EVENING = (datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in (8, 12, 18))


@pytest.mark.parametrize(("script", "known"), [("V1__a.sql", "1"), ("R__a.sql", None), ("A__a.sql", None)])
def test_what_was_set_out_for_and_did_not_come_leaves_only_what_could_run_in_doubt(
    script: str, known: str | None
) -> None:
    run = ScriptRun(script=script, succeeded=True, at=NOON)
    told = [SetOut(script=script, sha256="1", since=MORNING), SetOut(script=script, sha256="2", since=EVENING)]
    assert [one.sha256 for one in applied_migrations([run], told)] == [known]
