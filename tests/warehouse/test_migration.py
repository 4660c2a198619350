"""What a run of migrations records, and what it says when one fails."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from slipway.adapters.schemachange import Schemachange
from slipway.errors import StepFailed
from slipway.migration import edited_scripts, pending_scripts
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

    def component(self, scripts: Mapping[str, str]) -> dict[str, str]:
        return {f"scripts/{name}": hashlib.sha256(text.encode()).hexdigest() for name, text in scripts.items()}

    def pending(self, scripts: Mapping[str, str]) -> tuple[str, ...]:
        return pending_scripts(self.component(scripts), self.place.facts.migrations())

    def keepers(self) -> dict[str, str]:
        """Return script -> the release that its digest was kept by."""
        table = f"{self.place.database('OPS')}.SLIPWAY.SCRIPT_DIGESTS"
        return dict(self.place.deployer.rows(f"SELECT SCRIPT, RELEASE FROM {table}"))

    def migrate(self, scripts: Mapping[str, str], progress: Progress = lambda line: None) -> Outcome:
        return self.schemachange(scripts).migrate(self.step(scripts), progress)

    def step(self, scripts: Mapping[str, str]) -> MigrateWarehouse:
        return MigrateWarehouse(scripts=self.pending(scripts), release=release_of(self.component(scripts)).id)

    def schemachange(self, scripts: Mapping[str, str]) -> Schemachange:
        """Write the scripts into the tree, and return what runs them."""
        folder = self.tree / "snowflake_migrations" / "scripts"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in scripts.items():
            (folder / name).write_text(text)
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
    assert f"undo: snowflake_migrations/undo/U{SECOND[1:]}" in fix
    assert f"the statements of {SECOND} before the one that failed stand" in fix
    assert VIEW in scripts.pending(broken), "it succeeded in an earlier run, with other content"

    mended = {**broken, SECOND: WHOLE}
    assert set(scripts.pending(mended)) == {SECOND, VIEW, EACH}
    scripts.migrate(mended)
    assert scripts.pending(mended) == ()
    assert place.deployer.rows(f"SELECT N FROM {place.database('RAW')}.PUBLIC.V") == [(2,)]

    # a run that was killed at its end did not keep a digest any more
    place.deployer.run(f"DELETE FROM {place.database('OPS')}.SLIPWAY.SCRIPT_DIGESTS")
    assert VIEW in scripts.pending(mended)
    scripts.migrate(mended)
    assert scripts.pending(mended) == ()
    assert {one.sha256 for one in place.facts.migrations()} == set(scripts.component(mended).values())
    assert scripts.keepers()[EACH] == release_of(scripts.component(mended)).id


def test_a_digest_is_kept_once_under_the_release_that_brought_it(place: Place, tmp_path: Path) -> None:
    scripts = Scripts(place, tmp_path)
    scripts.migrate(SCRIPTS)
    first, wider = release_of(scripts.component(SCRIPTS)).id, {**SCRIPTS, SECOND: WHOLE}
    scripts.migrate(wider)
    second = release_of(scripts.component(wider)).id
    assert place.facts.migration_runs()[EACH] == 2
    assert scripts.keepers() == {FIRST: first, VIEW: first, EACH: first, SECOND: second}


def test_a_run_that_died_before_its_end_is_not_taken_for_done(place: Place, tmp_path: Path) -> None:
    scripts, history = Scripts(place, tmp_path), f"{place.database('OPS')}.SLIPWAY.CHANGE_HISTORY"
    step, schemachange = scripts.step(SCRIPTS), scripts.schemachange(SCRIPTS)
    assert not schemachange.are_applied(step)
    scripts.migrate(SCRIPTS)
    assert schemachange.are_applied(step)

    place.deployer.run(f"UPDATE {history} SET INSTALLED_ON = '2020-01-01' WHERE SCRIPT = '{EACH}'")
    assert scripts.pending(SCRIPTS) == ()
    assert not schemachange.are_applied(step), "what runs after all others did not run after them"
    schemachange.migrate(step, lambda line: None)
    assert schemachange.are_applied(step)

    place.deployer.run(f"DELETE FROM {place.database('OPS')}.SLIPWAY.SCRIPT_DIGESTS WHERE SCRIPT = '{FIRST}'")
    assert not schemachange.are_applied(step), "it did not keep what the script was"
    schemachange.migrate(step, lambda line: None)
    assert schemachange.are_applied(step)


@pytest.mark.parametrize("left", [FIRST, EACH])
def test_what_a_run_applied_that_died_is_not_run_again(place: Place, tmp_path: Path, left: str) -> None:
    scripts = Scripts(place, tmp_path)
    step, schemachange = scripts.step(SCRIPTS), scripts.schemachange(SCRIPTS)
    died_after(left, scripts)
    found = {one.script: one.sha256 for one in place.facts.migrations()}
    assert found[left] == scripts.component(SCRIPTS)[f"scripts/{left}"], "its content is known before it is kept"
    assert not schemachange.are_applied(step)

    schemachange.migrate(step, lambda line: None)
    assert schemachange.are_applied(step)
    assert place.facts.migration_runs() == {FIRST: 1, VIEW: 1, EACH: 1}
    assert place.facts.unkept_digests() == {}


def test_a_script_edited_after_the_run_that_died_is_found_edited(place: Place, tmp_path: Path) -> None:
    scripts = Scripts(place, tmp_path)
    died_after(FIRST, scripts)
    edited = {**SCRIPTS, FIRST: SCRIPTS[FIRST].replace("A NUMBER", "B NUMBER")}
    assert edited_scripts(scripts.component(edited), place.facts.migrations()) == (FIRST,)
    scripts.migrate(edited)
    assert edited_scripts(scripts.component(edited), place.facts.migrations()) == (FIRST,), "what ran stays known"


class Died(BaseException):
    """The process that migrates is no more."""


def died_after(script: str, scripts: Scripts) -> None:
    """Migrate until the history names `script`, and leave all as it is then."""

    def look(line: str) -> None:
        if script in scripts.place.facts.migration_runs():
            raise Died

    with pytest.raises(Died):
        scripts.migrate(SCRIPTS, look)
