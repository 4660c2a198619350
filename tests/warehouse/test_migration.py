"""What a run of migrations records, and what it says when one fails."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from slipway.adapters.schemachange import Schemachange
from slipway.adapters.snowflake import bookkeeping
from slipway.errors import Locked, Stale, StepFailed
from slipway.migration import edited_scripts, pending_scripts, scripts_in
from slipway.ports import Outcome, Progress
from slipway.step import MigrateWarehouse
from tests.migrations.migration import release_of
from tests.warehouse.place import Place

FIRST, SECOND = "V1.0.0__make.sql", "V1.1.0__widen.sql"
VIEW, EACH = "R__view.sql", "A__each.sql"
TABLE = "{{ raw_database }}.PUBLIC.T"
SCRIPTS = {
    FIRST: f"CREATE TABLE {TABLE} (A NUMBER);",
    VIEW: "CREATE OR REPLACE VIEW {{ raw_database }}.PUBLIC.V AS SELECT 1 AS N;",
    EACH: "SELECT 1;",
}
HALF = f"ALTER TABLE {TABLE} ADD COLUMN B NUMBER;\nALTER TABLE {TABLE} ADD COLUMN C NO_SUCH_TYPE;"
LONG = "SELECT COUNT(*) AS N FROM TABLE(GENERATOR(ROWCOUNT => 3000000)) A, TABLE(GENERATOR(ROWCOUNT => 30000)) B;"
WHOLE = f"ALTER TABLE {TABLE} ADD COLUMN IF NOT EXISTS B NUMBER;"
SHELL = {
    "SNOWFLAKE_DATABASE": "NOWHERE",
    "SNOWFLAKE_ROLE": "NOBODY",
    "SNOWFLAKE_HOST": "203.0.113.1",
    "SCHEMACHANGE_ROOT_FOLDER": "/nowhere",
    "SCHEMACHANGE_VARS": '{"raw_database": "NOWHERE"}',
}


@dataclass(frozen=True)
class Scripts:
    """Scripts in a tree of their own, applied to one place."""

    place: Place
    tree: Path

    @property
    def folder(self) -> Path:
        return self.tree / "snowflake_migrations" / "scripts"

    def component(self, scripts: Mapping[str, str]) -> dict[str, str]:
        return {f"scripts/{name}": hashlib.sha256(text.encode()).hexdigest() for name, text in scripts.items()}

    def pending(self, scripts: Mapping[str, str]) -> tuple[str, ...]:
        return pending_scripts(self.component(scripts), self.place.facts.migrations())

    def set_out(self) -> list[tuple[str, str]]:
        """Return the scripts that runs set out to run, each with the release it was of, by time and name."""
        table = f"{self.place.database('OPS')}.SLIPWAY.SCRIPT_DIGESTS"
        return list(self.place.deployer.rows(f"SELECT SCRIPT, RELEASE FROM {table} ORDER BY SINCE, SCRIPT"))

    def migrate(self, scripts: Mapping[str, str], progress: Progress = lambda line: None) -> Outcome:
        return self.schemachange(scripts).migrate(self.step(scripts), progress)

    def step(self, scripts: Mapping[str, str]) -> MigrateWarehouse:
        return MigrateWarehouse(scripts=self.pending(scripts), release=release_of(self.component(scripts)).id)

    def schemachange(self, scripts: Mapping[str, str]) -> Schemachange:
        """Write the scripts into the tree, and return what runs them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.iterdir():
            old.unlink()
        for name, text in scripts.items():
            (self.folder / name).write_text(text)
        return Schemachange(
            self.place.environment,
            release_of(self.component(scripts)),
            self.tree,
            session=self.place.deployer,
            facts=self.place.facts,
            address=self.place.server.address,
            key_file=self.place.server.key_of(self.place.environment.warehouse.deployer),
        )


def test_only_what_ran_is_recorded_and_a_failure_names_the_undo(place: Place, tmp_path: Path) -> None:
    scripts = Scripts(place, tmp_path)
    os.environ.update(SHELL)  # the configuration says where scripts go, not the caller's shell
    scripts.migrate(SCRIPTS)
    assert scripts.pending(SCRIPTS) == ()
    assert place.deployer.rows(f"SELECT N FROM {place.database('RAW')}.PUBLIC.V") == [(1,)]

    view = SCRIPTS[VIEW].replace("1 AS N", "2 AS N")
    broken = {**SCRIPTS, VIEW: view, SECOND: HALF}
    with pytest.raises(StepFailed, match=SECOND) as failed:
        scripts.migrate(broken)
    fix = str(failed.value.fix)
    assert f"invoke migrate.undo --env staging --script {SECOND}" in fix
    assert "statement 2 of 2 failed" in str(failed.value)
    assert VIEW in scripts.pending(broken), "it succeeded in an earlier run, with other content"

    with pytest.raises(StepFailed, match="1 of its statements stand in the warehouse, and the script begins otherwise"):
        scripts.migrate({**broken, SECOND: WHOLE})
    mended = {**broken, SECOND: HALF.replace("NO_SUCH_TYPE", "NUMBER")}
    assert set(scripts.pending(mended)) == {SECOND, VIEW, EACH}
    scripts.migrate(mended)
    assert scripts.pending(mended) == ()
    assert place.deployer.rows(f"SELECT N FROM {place.database('RAW')}.PUBLIC.V") == [(2,)]

    # the history is there, and nothing was written down of what it tells
    place.deployer.run(f"DELETE FROM {place.database('OPS')}.SLIPWAY.SCRIPT_DIGESTS")
    assert VIEW in scripts.pending(mended)
    scripts.migrate(mended)
    assert scripts.pending(mended) == ()
    assert {one.sha256 for one in place.facts.migrations()} == set(scripts.component(mended).values())


def test_what_is_set_out_for_is_written_down_for_each_run(place: Place, tmp_path: Path) -> None:
    scripts = Scripts(place, tmp_path)
    scripts.migrate(SCRIPTS)
    first, wider = release_of(scripts.component(SCRIPTS)).id, {**SCRIPTS, SECOND: WHOLE}
    outcome = scripts.migrate(wider)
    second = release_of(scripts.component(wider)).id
    assert place.facts.migration_runs() == {FIRST: 1, SECOND: 1, VIEW: 1, EACH: 2}
    assert outcome.evidence["scripts"] == [SECOND, EACH]
    assert outcome.evidence["ran"] == [EACH, SECOND]
    assert scripts.set_out() == [(EACH, first), (VIEW, first), (FIRST, first), (EACH, second), (SECOND, second)]


@pytest.mark.parametrize("left", [FIRST, VIEW, EACH])
def test_what_a_run_applied_that_died_is_not_run_again(place: Place, tmp_path: Path, left: str) -> None:
    scripts = Scripts(place, tmp_path)
    step, schemachange = scripts.step(SCRIPTS), scripts.schemachange(SCRIPTS)
    assert not schemachange.are_applied(step)
    died_after(left, scripts, SCRIPTS)
    found = {one.script: one.sha256 for one in place.facts.migrations()}
    assert found[left] == scripts.component(SCRIPTS)[f"scripts/{left}"]
    assert schemachange.are_applied(step) == (left == EACH)

    if left != EACH:
        schemachange.migrate(step, lambda line: None)
    assert schemachange.are_applied(step)
    assert place.facts.migration_runs() == {FIRST: 1, VIEW: 1, EACH: 1}


def test_a_script_edited_after_the_run_that_died_is_found_edited(place: Place, tmp_path: Path) -> None:
    scripts = Scripts(place, tmp_path)
    died_after(FIRST, scripts, SCRIPTS)
    edited = {**SCRIPTS, FIRST: SCRIPTS[FIRST].replace("A NUMBER", "B NUMBER")}
    assert edited_scripts(scripts.component(edited), place.facts.migrations()) == (FIRST,)
    scripts.migrate(edited)
    assert edited_scripts(scripts.component(edited), place.facts.migrations()) == (FIRST,), "what ran stays known"


def test_a_view_that_a_run_left_behind_untold_is_brought_back(place: Place, tmp_path: Path) -> None:
    scripts, history = Scripts(place, tmp_path), f"{place.database('OPS')}.SLIPWAY.CHANGE_HISTORY"
    scripts.migrate(SCRIPTS)
    changed = {**SCRIPTS, VIEW: SCRIPTS[VIEW].replace("1 AS N", "2 AS N")}
    died_after(VIEW, scripts, changed, times=2)
    place.deployer.run(  # as it is before the history tells of it
        f"DELETE FROM {history} WHERE SCRIPT = '{VIEW}' AND STATUS = 'Success'"
    )
    assert place.deployer.rows(f"SELECT N FROM {place.database('RAW')}.PUBLIC.V") == [(2,)]

    assert scripts.pending(SCRIPTS) == (VIEW, EACH), "it was committed, and died before it was told"
    scripts.migrate(SCRIPTS)
    assert place.deployer.rows(f"SELECT N FROM {place.database('RAW')}.PUBLIC.V") == [(1,)]
    assert scripts.pending(SCRIPTS) == ()


def test_what_schemachange_takes_for_changed_and_is_not_does_not_run(place: Place, tmp_path: Path) -> None:
    scripts = Scripts(place, tmp_path)
    scripts.migrate(SCRIPTS)
    history = f"{place.database('OPS')}.SLIPWAY.CHANGE_HISTORY"
    place.deployer.run(f"UPDATE {history} SET CHECKSUM = 'another tool' WHERE SCRIPT = '{VIEW}'")
    before = place.facts.migration_runs()
    done = scripts.migrate({**SCRIPTS, EACH: "SELECT 2;"})
    assert done.evidence["ran"] == [EACH]
    assert place.facts.migration_runs()[VIEW] == before[VIEW]


def test_what_runs_always_runs_after_the_scripts_of_a_run_that_died_or_failed(place: Place, tmp_path: Path) -> None:
    scripts = Scripts(place, tmp_path)
    scripts.migrate(SCRIPTS)
    changed = {**SCRIPTS, VIEW: SCRIPTS[VIEW].replace("1 AS N", "2 AS N")}
    died_after(VIEW, scripts, changed, times=2)
    assert scripts.pending(changed) == (EACH,)
    scripts.migrate(changed)
    assert scripts.pending(changed) == ()

    with pytest.raises(StepFailed):
        scripts.migrate({**changed, SECOND: WHOLE, "V1.2.0__broken.sql": HALF})
    without = {**changed, SECOND: WHOLE}
    assert scripts.pending(without) == (EACH,)
    scripts.migrate(without)
    assert scripts.pending(without) == ()


def test_a_view_whose_change_failed_is_brought_back_though_its_last_success_was_the_same(
    place: Place, tmp_path: Path
) -> None:
    scripts = Scripts(place, tmp_path)
    scripts.migrate(SCRIPTS)
    with pytest.raises(StepFailed, match=VIEW):
        scripts.migrate({**SCRIPTS, VIEW: SCRIPTS[VIEW].replace("1 AS N", "2 AS N") + "\nSELECT NO_SUCH_COLUMN;"})
    assert place.deployer.rows(f"SELECT N FROM {place.database('RAW')}.PUBLIC.V") == [(2,)]
    assert scripts.pending(SCRIPTS) == (VIEW, EACH)
    scripts.migrate(SCRIPTS)
    assert place.deployer.rows(f"SELECT N FROM {place.database('RAW')}.PUBLIC.V") == [(1,)]
    assert scripts.pending(SCRIPTS) == ()


def test_a_history_from_before_is_taken_for_what_the_release_holds(place: Place, tmp_path: Path) -> None:
    scripts, schema = Scripts(place, tmp_path), f"{place.database('OPS')}.SLIPWAY"
    scripts.migrate(SCRIPTS)
    place.deployer.run(f"DROP TABLE {schema}.SCRIPT_DIGESTS", f"DROP TABLE {schema}.SLOTS")
    assert {one.sha256 for one in place.facts.migrations()} == {None}
    assert scripts.pending(SCRIPTS) == (VIEW, EACH)
    scripts.migrate(SCRIPTS)
    assert {one.sha256 for one in place.facts.migrations()} == set(scripts.component(SCRIPTS).values())
    assert place.facts.migration_runs() == {FIRST: 1, VIEW: 2, EACH: 2}


def test_what_came_too_late_takes_nothing_from_a_version_that_was_applied(place: Place, tmp_path: Path) -> None:
    scripts, schema = Scripts(place, tmp_path), f"{place.database('OPS')}.SLIPWAY"
    scripts.migrate(SCRIPTS)
    known = place.facts.migrations()
    place.deployer.run(
        f"INSERT INTO {schema}.CHANGE_HISTORY (SCRIPT, SCRIPT_TYPE, STATUS, INSTALLED_ON) "
        f"SELECT '{FIRST}', 'V', 'Failed', CURRENT_TIMESTAMP()",
        f"INSERT INTO {schema}.SCRIPT_DIGESTS SELECT '{FIRST}', 'other', 'r', CURRENT_TIMESTAMP()",
    )
    assert place.facts.migrations() == known
    assert scripts.pending(SCRIPTS) == ()


def test_what_is_pending_beyond_the_plan_is_not_run(place: Place, tmp_path: Path) -> None:
    scripts = Scripts(place, tmp_path)
    step = MigrateWarehouse(scripts=(FIRST, VIEW), release=scripts.step(SCRIPTS).release)
    with pytest.raises(Stale, match=EACH):
        scripts.schemachange(SCRIPTS).migrate(step, lambda line: None)
    assert (scripts.set_out(), place.facts.migration_runs()) == ([], {})


def test_nothing_is_set_out_for_where_the_guard_does_not_allow_it(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts, allowed = Scripts(place, tmp_path), len(bookkeeping(place.database("OPS")))

    def guard() -> None:
        nonlocal allowed
        allowed -= 1
        if allowed < 0:
            raise Locked("taken", fix="wait")

    monkeypatch.setattr(place.deployer, "guard", guard)
    with pytest.raises(Locked):
        scripts.migrate(SCRIPTS)
    assert (scripts.set_out(), place.facts.migration_runs()) == ([], {})


class Died(BaseException):
    """The process that migrates is no more."""


def died_after(script: str, scripts: Scripts, run: Mapping[str, str], *, times: int = 1) -> None:
    """Migrate until the history names `script` so many times, and leave all as it is then.

    What comes after it does not come to its end by itself.
    """
    names = [one.name for one in scripts_in(scripts.component(run))]
    after = dict.fromkeys(names[names.index(script) + 1 :], LONG)
    schemachange, step = scripts.schemachange(run), scripts.step(run)
    for name, text in after.items():
        (scripts.folder / name).write_text(text)  # not what the release says, nor what is set out with

    def look(line: str) -> None:
        if scripts.place.facts.migration_runs().get(script, 0) >= times:
            raise Died

    with pytest.raises(Died):
        schemachange.migrate(step, look)
    scripts.schemachange(run)
