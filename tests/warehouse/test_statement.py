"""A script of six statements that fails, or whose process dies, at every one of them: gone on with, or taken back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import pytest

from slipway.adapters.catalog import Catalog, catalog_of
from slipway.adapters.query import Queries
from slipway.adapters.script_runner import ScriptRunner
from slipway.adapters.snowflake import HISTORY_TABLE, Session, bookkeeping
from slipway.errors import Locked, StepFailed
from tests.report import tell
from tests.warehouse.place import Place

NAME = "V2.0.0__six.sql"
T, LOG = "{{ raw_database }}.PUBLIC.T", "{{ raw_database }}.PUBLIC.LOG"
SIX = (
    f"ALTER TABLE {T} ADD COLUMN B NUMBER",
    f"CREATE TABLE {LOG} (WHAT VARCHAR)",
    f"-- Twice would be seen\nINSERT INTO {LOG} SELECT 'made'",  # the history keeps no comment before a statement
    f"BEGIN TRANSACTION;\nUPDATE {T} SET B = A;\nINSERT INTO {LOG} SELECT 'filled';\nCOMMIT",
    f"/* So would\nthis */ UPDATE {T} /* in place */ SET B = B + 1",
    "CREATE VIEW {{ raw_database }}.PUBLIC.V AS SELECT A, B FROM " + T,
)
UNDO = (
    "DROP VIEW IF EXISTS {{ raw_database }}.PUBLIC.V",
    f"DROP TABLE IF EXISTS {LOG}",
    f"ALTER TABLE {T} DROP COLUMN IF EXISTS B",
)
FAILS = "SELECT * FROM {{ raw_database }}.PUBLIC.NOT_THERE"
PLACES = range(1, len(SIX) + 1)
Moment = Literal["before", "after"]


class Died(BaseException):
    """The process that migrates is no more."""


class MortalSession(Session):
    """A session in which the process dies: when a statement is about to be run, or when its answer is lost."""

    def __init__(self, real: Session, statement: str, moment: Moment) -> None:
        self._real, self._statement, self._moment, self.query_tag = real, statement, moment, real.query_tag

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        is_last = statement == self._statement
        if is_last and self._moment == "before":
            raise Died
        found = self._real.rows(statement, values)
        if is_last:
            raise Died
        return found

    @contextmanager
    def noting(self) -> Iterator[Queries]:
        with self._real.noting() as queries:
            yield queries

    def close(self) -> None:
        self._real.close()


class Six:
    """The script in one place, as it is or with another statement in one of its places."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.place, self._folder = place, folder
        for name in ("scripts", "undo"):
            (folder / name).mkdir()
        self.write(SIX)
        (folder / "undo" / f"U{NAME[1:]}").write_text(";\n".join(UNDO) + ";\n")
        raw = place.database("RAW")
        place.deployer.run(
            *bookkeeping(place.database("OPS")),
            f"CREATE TABLE {raw}.PUBLIC.T (A NUMBER)",
            f"INSERT INTO {raw}.PUBLIC.T SELECT 1 UNION ALL SELECT 2",
        )

    def write(self, statements: Sequence[str]) -> None:
        (self._folder / "scripts" / NAME).write_text(";\n\n".join(statements) + ";\n")

    def runner(self, session: Session | None = None) -> ScriptRunner:
        variables = {"raw_database": self.place.database("RAW")}
        session = session or self.place.deployer
        return ScriptRunner(self.place.environment, self._folder, session=session, variables=variables)

    def apply(self, session: Session | None = None) -> None:
        self.runner(session).apply(NAME, f"test:{uuid4().hex}", lambda line: None)

    def undo(self) -> None:
        self.runner().undo(NAME, lambda line: None)

    def die(self, at: int, moment: Moment) -> None:
        """Apply until the process dies at the last statement of a place."""
        raw = self.place.database("RAW")
        text = SIX[at - 1].rpartition(";\n")[2].replace("{{ raw_database }}", raw)
        with pytest.raises(Died):
            self.apply(MortalSession(self.place.deployer, text, moment))
        self.place.deployer.close()  # as the end of the process would; an open transaction ends with it

    def catalog(self) -> Catalog:
        return catalog_of(self.place.deployer, self.place.database("RAW"))

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        return self.place.deployer.rows(f"SELECT * FROM {self.place.database('RAW')}.PUBLIC.{table} ORDER BY 1")

    def require_done(self) -> None:
        """Each statement happened once, the history says so, and nothing is left to go on with."""
        assert self.rows("LOG") == [("filled",), ("made",)]
        assert self.rows("V") == [(1, 2), (2, 3)]
        assert [(one.script, one.succeeded) for one in self.place.facts.migrations()] == [(NAME, True)]
        assert self.runner().standings() == {}


@pytest.fixture
def six(place: Place, tmp_path: Path) -> Six:
    return Six(place, tmp_path)


@pytest.fixture(scope="module", autouse=True)
def table(request: pytest.FixtureRequest) -> Iterator[None]:
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed == failed:
        tell(
            request.config,
            "statements",
            f"6 statements: failed at {len(PLACES)}, died at {2 * len(PLACES)}; each resumed, each undone",
        )


@pytest.mark.parametrize("at", PLACES)
def test_a_statement_that_failed_is_mended_and_the_script_goes_on_there(six: Six, at: int) -> None:
    six.write([*SIX[: at - 1], FAILS, *SIX[at:]])
    with pytest.raises(StepFailed, match=f"statement {at} of 6 failed") as failed:
        six.apply()
    assert f"invoke migrate.undo --env staging --script {NAME}" in str(failed.value.fix)
    assert six.runner().standings().keys() == ({NAME} if at > 1 else set())
    six.write(SIX)
    six.apply()
    six.require_done()


@pytest.mark.parametrize("at", PLACES)
def test_a_statement_that_failed_is_taken_back_with_all_before_it(six: Six, at: int) -> None:
    before = six.catalog()
    six.write([*SIX[: at - 1], FAILS, *SIX[at:]])
    with pytest.raises(StepFailed):
        six.apply()
    six.undo()
    assert six.catalog() == before
    assert six.runner().standings() == {}
    six.write(SIX)
    six.apply()
    six.require_done()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", PLACES)
def test_a_process_that_died_at_a_statement_is_gone_on_with_and_nothing_happens_twice(
    six: Six, at: int, moment: Moment
) -> None:
    six.die(at, moment)
    assert six.runner().standings()[NAME].is_half
    six.apply()
    six.require_done()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("at", PLACES)
def test_what_a_process_left_that_died_can_be_taken_back(six: Six, at: int, moment: Moment) -> None:
    before = six.catalog()
    six.die(at, moment)
    six.undo()
    assert six.catalog() == before


def test_a_script_that_was_applied_whole_and_taken_back_runs_whole_again(six: Six) -> None:
    before = six.catalog()
    six.apply()
    six.undo()
    assert six.catalog() == before
    assert [one.succeeded for one in six.place.facts.migrations()] == [False]
    six.apply()
    six.require_done()


def test_a_script_whose_process_died_before_its_last_mark_is_no_half_one(six: Six) -> None:
    six.apply()
    table = f"{six.place.database('OPS')}.SLIPWAY.SCRIPT_STATEMENTS"
    six.place.deployer.run(f"DELETE FROM {table} WHERE WORD = 'applied'")
    six.require_done()
    assert six.runner().standings() == {}


def test_an_undo_that_did_not_end_is_ended_before_the_script_runs_again(six: Six) -> None:
    six.apply()
    second = UNDO[1].replace("{{ raw_database }}", six.place.database("RAW"))
    with pytest.raises(Died):
        six.runner(MortalSession(six.place.deployer, second, "before")).undo(NAME, lambda line: None)
    with pytest.raises(StepFailed, match="its undo did not end"):
        six.apply()
    six.undo()
    six.apply()
    six.require_done()


def test_a_statement_that_died_before_it_ran_may_be_another_when_the_script_goes_on(six: Six) -> None:
    six.die(5, "before")
    six.write([*SIX[:4], f"UPDATE {T} SET B = A + 1", SIX[5]])
    six.apply()
    six.require_done()


@pytest.mark.parametrize("at", [3, 4])
def test_a_statement_that_stands_and_was_not_told_of_must_be_in_the_script(six: Six, at: int) -> None:
    six.die(at, "after")
    six.write([*SIX[: at - 1], *SIX[at:]])
    with pytest.raises(StepFailed, match=f"statement {at} stands in the warehouse, and the script does not hold it"):
        six.apply()
    six.write(SIX)
    six.apply()
    six.require_done()


def test_what_does_not_begin_with_what_stands_is_refused_and_nothing_is_run(six: Six) -> None:
    six.write([*SIX[:2], FAILS])
    with pytest.raises(StepFailed):
        six.apply()
    before = six.catalog()
    six.write([SIX[0], "SELECT 1", *SIX[2:]])
    with pytest.raises(StepFailed, match="statement 2 is another"):
        six.apply()
    assert six.catalog() == before


def test_a_comment_is_no_statement(six: Six) -> None:
    six.write([*SIX[:2], FAILS])
    with pytest.raises(StepFailed):
        six.apply()
    six.write([f"-- first\n{SIX[0]}  /* said again */", *SIX[1:]])
    six.apply()
    six.require_done()


def test_a_deployer_that_lost_its_lease_runs_no_further_statement(six: Six) -> None:
    session, ran = six.place.deployer, list[str]()

    def guard() -> None:
        if any("CREATE TABLE" in one for one in ran):
            raise Locked("lost")

    def look(line: str) -> None:
        ran.append(line)

    session.guard = guard  # type: ignore[method-assign]
    try:
        with pytest.raises(Locked):
            six.runner().apply(NAME, "test:lease", look)
    finally:
        del session.guard
    assert len(ran) == 2
    six.apply()
    six.require_done()


def test_what_r_scripts_made_on_what_is_taken_back_is_made_again(six: Six) -> None:
    six.apply()
    history = f"{six.place.database('OPS')}.SLIPWAY.{HISTORY_TABLE}"
    six.place.deployer.run(
        f"INSERT INTO {history} (SCRIPT, SCRIPT_TYPE, STATUS, INSTALLED_ON) "
        "SELECT 'R__v.sql', 'R', 'Success', CURRENT_TIMESTAMP()::TIMESTAMP_NTZ"
    )
    six.undo()
    assert {one.script: one.succeeded for one in six.place.facts.migrations()} == {NAME: False, "R__v.sql": False}
