"""Rehearsals: what is pending runs on clones, up, undo, up; the live databases stay as they are and no clone stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from slipway.adapters.catalog import Catalog, catalog_of
from slipway.adapters.rehearsal import SUFFIX, reach_of
from slipway.adapters.schemachange import Schemachange
from slipway.errors import StepFailed
from slipway.plan import rehearsal_step
from slipway.step import RehearseMigrations
from tests.migrations.migration import release_of
from tests.warehouse.place import Place
from tests.warehouse.test_migration import EACH, FIRST, SECOND, TABLE, VIEW, Scripts

SCRIPTS = {
    FIRST: f"CREATE TABLE IF NOT EXISTS {TABLE} (A NUMBER);",
    SECOND: f"ALTER TABLE {TABLE} ADD COLUMN IF NOT EXISTS B NUMBER;\nUPDATE {TABLE} SET B = 1 WHERE B IS NULL;",
    VIEW: "CREATE OR REPLACE VIEW {{ raw_database }}.PUBLIC.V AS SELECT A, B FROM " + TABLE + ";",
    EACH: "GRANT USAGE ON DATABASE {{ raw_database }} TO ROLE {{ environment }}_READER;",
}
UNDOS = {
    FIRST: f"DROP TABLE IF EXISTS {TABLE};",
    SECOND: f"ALTER TABLE {TABLE} DROP COLUMN IF EXISTS B;",
}


class Stage(Scripts):
    """Scripts with undos, to be rehearsed in one place."""

    def rehearsal(
        self, scripts: Mapping[str, str] = SCRIPTS, undos: Mapping[str, str] = UNDOS
    ) -> tuple[Schemachange, RehearseMigrations]:
        made = self.schemachange(scripts)
        folder = self.folder.parent / "undo"
        folder.mkdir(exist_ok=True)
        for name, text in undos.items():
            (folder / f"U{name[1:]}").write_text(text)
        step = rehearsal_step(release_of(self.component(scripts)), self.place.facts.migrations())
        assert step is not None
        return made, step

    def catalog(self) -> Catalog:
        return catalog_of(self.place.deployer, self.place.database("RAW"))

    def clones(self) -> list[str]:
        rows = self.place.admin.rows("SHOW DATABASES")
        own = self.place.database("RAW").removesuffix("RAW")
        return [str(row[1]) for row in rows if str(row[1]).endswith(SUFFIX) and str(row[1]).startswith(own)]


@pytest.fixture
def stage(place: Place, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(place, tmp_path)
    yield made
    assert made.clones() == []


def test_what_passes_is_recorded_with_its_time_and_the_live_databases_are_as_they_were(stage: Stage) -> None:
    schemachange, step = stage.rehearsal()
    assert step.scripts == (FIRST, SECOND, VIEW)
    before, reached = stage.catalog(), list[str]()

    def look(line: str) -> None:
        if VIEW in line:
            grants = stage.place.admin.rows(f"SHOW GRANTS ON DATABASE {stage.place.database('RAW')}{SUFFIX}")
            reached.extend(str(row[5]) for row in grants)

    assert not schemachange.are_rehearsed(step)
    outcome = schemachange.rehearse(step, look)
    assert stage.catalog() == before
    assert outcome.evidence["took_ms"].keys() == set(step.scripts)
    assert outcome.evidence["not_rehearsed"] == {}
    assert set(reached) == {"STAGING_DEPLOYER"}
    assert schemachange.are_rehearsed(step)
    assert stage.place.facts.rehearsals(step.content) == (sum(outcome.evidence["took_ms"].values()),)
    assert not schemachange.are_rehearsed(step.model_copy(update={"content": "0" * 64}))
    stage.migrate(SCRIPTS)
    assert stage.pending(SCRIPTS) == ()


@pytest.mark.parametrize(
    ("scripts", "undos", "said"),
    [
        (SCRIPTS, {**UNDOS, SECOND: "SELECT 1;"}, f"the undo of {SECOND} does not lead back: new: column PUBLIC T B"),
        ({**SCRIPTS, FIRST: f"CREATE TABLE {TABLE} (A NO_SUCH);"}, UNDOS, f"{FIRST}: statement 1 of 1 failed"),
        ({**SCRIPTS, VIEW: "CREATE VIEW {{ raw_database }}.NO.V AS SELECT 1 AS N;"}, UNDOS, f"{VIEW}: statement 1"),
        (SCRIPTS, {**UNDOS, SECOND: f"ALTER TABLE {TABLE} DROP COLUMN C;"}, f"U{SECOND[1:]}: statement 1 of 1 failed"),
    ],
)
def test_what_does_not_pass_is_named_and_nothing_is_recorded(
    stage: Stage, scripts: Mapping[str, str], undos: Mapping[str, str], said: str
) -> None:
    schemachange, step = stage.rehearsal(scripts, undos)
    before = stage.catalog()
    with pytest.raises(StepFailed) as failed:
        schemachange.rehearse(step, lambda line: None)
    assert said in failed.value.message
    assert "the live databases are as they were" in failed.value.message
    assert stage.catalog() == before
    assert not schemachange.are_rehearsed(step)


def test_a_column_that_was_dropped_comes_back_as_the_last_and_that_is_no_difference(stage: Stage) -> None:
    schemachange, step = stage.rehearsal(
        {FIRST: f"CREATE TABLE {TABLE} (A NUMBER, B NUMBER);", SECOND: f"ALTER TABLE {TABLE} DROP COLUMN A;"},
        {**UNDOS, SECOND: f"ALTER TABLE {TABLE} ADD COLUMN A NUMBER;"},
    )
    assert schemachange.rehearse(step, lambda line: None).evidence["not_rehearsed"] == {}


def test_a_script_of_which_a_part_stands_is_rehearsed_from_there(stage: Stage) -> None:
    start = f"CREATE TABLE {TABLE} (A NUMBER);"  # cannot be run twice
    broken = {**SCRIPTS, FIRST: f"{start}\nSELECT * FROM NOWHERE.A.B;"}
    stage.rehearsal(broken)
    with pytest.raises(StepFailed):
        stage.migrate(broken)
    mended = {**SCRIPTS, FIRST: f"{start}\nINSERT INTO {TABLE} SELECT 1;"}
    schemachange, step = stage.rehearsal(mended)
    schemachange.rehearse(step, lambda line: None)
    stage.migrate(mended)
    assert stage.place.deployer.rows(f"SELECT A FROM {stage.place.database('RAW')}.PUBLIC.T") == [(1,)]


def test_what_future_grants_give_is_not_missed_on_a_clone(stage: Stage) -> None:
    """A table that stands has them, and one that is made anew on a clone has not."""
    raw = stage.place.database("RAW")
    stage.place.admin.run(f"GRANT SELECT ON FUTURE TABLES IN DATABASE {raw} TO ROLE STAGING_LOADER")
    broken = {**SCRIPTS, FIRST: f"{SCRIPTS[FIRST]}\nSELECT * FROM NOWHERE.A.B;"}
    stage.rehearsal(broken)
    with pytest.raises(StepFailed):
        stage.migrate(broken)
    schemachange, step = stage.rehearsal({**SCRIPTS, FIRST: f"{SCRIPTS[FIRST]}\nSELECT 1;"})
    schemachange.rehearse(step, lambda line: None)
    assert schemachange.are_rehearsed(step)


def test_clones_that_a_process_left_behind_are_gone_after_the_next(stage: Stage) -> None:
    raw = stage.place.database("RAW")
    stage.place.deployer.run(f"CREATE DATABASE {raw}{SUFFIX}", f"CREATE TABLE {raw}{SUFFIX}.PUBLIC.T (OLD NUMBER)")
    schemachange, step = stage.rehearsal()
    schemachange.rehearse(step, lambda line: None)
    assert stage.clones() == []


def test_what_reaches_beyond_the_clones_is_left_out_with_all_after_it_and_why_is_said(stage: Stage) -> None:
    beyond = {**SCRIPTS, SECOND: "CREATE ROLE IF NOT EXISTS {{ environment }}_RISK;"}
    schemachange, step = stage.rehearsal(beyond)
    outcome = schemachange.rehearse(step, lambda line: None)
    assert outcome.evidence["took_ms"].keys() == {FIRST}
    assert f"not {SECOND}: it changes the account: CREATE ROLE" in outcome.summary
    assert stage.place.facts.rehearsals(step.content) == (None,), "what was left out has no time"
    assert outcome.evidence["not_rehearsed"][VIEW] == f"it comes after {SECOND}"


@pytest.mark.parametrize("where", ["script", "undo"])
def test_a_script_that_writes_a_live_name_out_is_not_run_on_it(stage: Stage, where: str) -> None:
    raw = stage.place.database("RAW")
    written = f"USE DATABASE {raw};\nCREATE SCHEMA IF NOT EXISTS STRAY;"
    scripts = {**SCRIPTS, SECOND: written} if where == "script" else SCRIPTS
    undos = {**UNDOS, SECOND: written} if where == "undo" else UNDOS
    schemachange, step = stage.rehearsal(scripts, undos)
    before = stage.catalog()
    outcome = schemachange.rehearse(step, lambda line: None)
    assert stage.catalog() == before
    assert outcome.evidence["not_rehearsed"][SECOND].endswith(f"it names {raw}, which is live")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("CREATE TABLE C.A.T (A NUMBER)", ""),
        ("GRANT SELECT ON ALL TABLES IN DATABASE C TO ROLE R", ""),
        ("BEGIN TRANSACTION", ""),
        ("INSERT INTO C.A.T SELECT 1 FROM D.A.U", "it names D, which is not cloned"),
        ("create or replace role r", "it changes the account"),
        ("ALTER WAREHOUSE W SET WAREHOUSE_SIZE = 'LARGE'", "it changes the account"),
        ("CREATE STORAGE INTEGRATION S TYPE = EXTERNAL_STAGE", "it changes the account"),
        ("GRANT ROLE A TO ROLE B", "it grants outside of schemas"),
        ("GRANT USAGE ON DATABASE C TO ROLE R", "it grants outside of schemas"),
        ("COPY INTO @C.A.STAGE FROM C.A.T", "it writes files"),
        ("CREATE PIPE C.A.P AS COPY INTO C.A.T FROM @C.A.S", "it loads by itself"),
        ("-- why\nEXECUTE IMMEDIATE $$ SELECT 1 $$", "it cannot be looked into"),
        ("INSERT INTO IDENTIFIER($T) SELECT 1", "it cannot be looked into"),
        ("USE DATABASE L", "it names L, which is live"),
        ("USE SCHEMA L.CORE", "it names L, which is live"),
        ("use l", "it names L, which is live"),
        ("CREATE STREAM IF NOT EXISTS L.CORE.X ON TABLE L.CORE.T", "it names L, which is live"),
        ("CREATE TASK C.CORE.X AS INSERT INTO L.CORE.T SELECT 1", "it names L, which is live"),
        ("ALTER TASK L.CORE.X RESUME", "it names L, which is live"),
        ("DROP TASK IF EXISTS L.CORE.X", "it names L, which is live"),
        ("GRANT SELECT ON ALL TABLES IN SCHEMA L.CORE TO ROLE R", "it names L, which is live"),
        ("TRUNCATE TABLE IDENTIFIER('l.core.t')", "it names L, which is live"),
        ('DROP TABLE "L"."CORE"."T"', "it names L, which is live"),
        ("COMMENT ON SCHEMA L.CORE IS 'x'", "it names L, which is live"),
        ("SELECT L.CORE.IDS.NEXTVAL", "it names L, which is live"),
        ("CREATE FUNCTION C.A.F() RETURNS INT AS $$ SELECT MAX(A) FROM L.CORE.T $$", "it names L, which is live"),
        ("USE DATABASE D", "it names D, which is not cloned"),
        ("USE SCHEMA D.CORE", "it names D, which is not cloned"),
        ("USE D.CORE", "it names D, which is not cloned"),
        ("CREATE TASK D.CORE.X AS SELECT 1", "it names D, which is not cloned"),
        ("ALTER TASK D.CORE.X RESUME", "it names D, which is not cloned"),
        ('DROP TASK "D".CORE.X', "it names D, which is not cloned"),
        ("GRANT SELECT ON ALL TABLES IN SCHEMA D.CORE TO ROLE R", "it names D, which is not cloned"),
        ("GRANT USAGE ON ALL SCHEMAS IN DATABASE D TO ROLE R", "it names D, which is not cloned"),
        ("ALTER SCHEMA D.CORE RENAME TO D.OLD", "it names D, which is not cloned"),
        ("COMMENT ON SCHEMA D.CORE IS 'x'", "it names D, which is not cloned"),
        ("COPY INTO C.A.T FROM @D.A.S", "it names D, which is not cloned"),
        ("SELECT D.CORE.IDS.NEXTVAL", "it names D, which is not cloned"),
        ("INSERT INTO C.A.T SELECT 'L.CORE.T' -- from L.CORE.T", ""),
        ("COMMENT ON TABLE C.A.T IS 'as in L, it''s IN SCHEMA D.A'", ""),
        ("USE SCHEMA C.L", ""),
        ("USE SCHEMA CORE", ""),
        ("USE ROLE R", ""),
        ("USE WAREHOUSE W", ""),
        ("GRANT SELECT ON ALL TABLES IN SCHEMA C.CORE TO ROLE L_READER", ""),
        ("CREATE TASK C.CORE.X AS SELECT 1", ""),
        ("ALTER SCHEMA C.CORE RENAME TO C.OLD", ""),
        ("COPY INTO C.A.T FROM @C.A.S", ""),
        ("CREATE PROCEDURE C.A.P() RETURNS INT LANGUAGE PYTHON AS $$ self.a.b = 1 $$", ""),
    ],
)
def test_what_reaches_beyond_a_clone(statement: str, said: str) -> None:
    found = reach_of(statement, ["C"], ["L"])
    assert found.startswith(said) if said else found == ""
