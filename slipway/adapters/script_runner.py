"""Versioned migration scripts, run statement by statement and recorded as schemachange records them.

schemachange runs a script as one: what failed in the middle is begun anew from its first statement. Here every one is
written down before it runs and when it is done, so that a run goes on where the last one ended, and an undo knows that
there is something to take back. Rendering, splitting, checksum and the row of the history are schemachange's own.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from schemachange.JinjaTemplateProcessor import JinjaTemplateProcessor
from schemachange.session.Script import VersionedScript
from schemachange.sql_splitter import split_sql_statements

from slipway.adapters.snowflake import HISTORY_TABLE, OPS_SCHEMA, Session
from slipway.adapters.statement_journal import StatementJournal
from slipway.config import Environment
from slipway.errors import ConfigurationError, StepFailed, Unavailable
from slipway.migration import SCRIPTS_FOLDER, UNDO_FOLDER, undo_of
from slipway.ports import Progress
from slipway.statement import Mark, Standing, Unit, rest_of, standing_of, units_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A script as it is run: its variables filled in."""

    name: str
    units: tuple[Unit, ...]
    checksum: str  # schemachange's

    @property
    def count(self) -> int:
        """How many of its units leave something behind."""
        return max((unit.place for unit in self.units), default=0)


class ScriptRunner:
    """Runs and undoes the versioned scripts of one tree in one environment.

    Args:
        migrations: the folder that holds `scripts` and `undo`.
        variables: what `{{ name }}` stands for.
    """

    def __init__(
        self, environment: Environment, migrations: Path, *, session: Session, variables: Mapping[str, str]
    ) -> None:
        self._environment, self._migrations, self._session = environment, migrations, session
        self._variables = dict(variables)
        self._ops = environment.warehouse.ops_database
        self.journal = StatementJournal(session, self._ops)

    def standings(self) -> dict[str, Standing]:
        """Return how far every script came that is not whole; those of which something may stand."""
        found = {script: standing_of(marks) for script, marks in self.journal.marks().items()}
        half = {script: standing for script, standing in found.items() if standing.is_half}
        return {script: standing for script, standing in half.items() if not self._is_recorded(script, standing)}

    def _is_recorded(self, name: str, standing: Standing) -> bool:
        """Return whether all of a script stands and the history says so: only the last mark of it is missing, because
        the process died before it."""
        if standing.doubt is not None or standing.is_undoing:
            return False
        if not (self._migrations / SCRIPTS_FOLDER / name).exists():
            return False
        if len(standing.done) != self.read(SCRIPTS_FOLDER, name).count:
            return False
        statement = f"SELECT 1 FROM {self._history} WHERE STATUS = 'Success' AND SCRIPT = %s"
        return bool(self._session.rows(statement, [name]))

    def apply(self, name: str, tag: str, progress: Progress) -> None:
        """Run what is left of a script and record it.

        Args:
            tag: of this run alone; what the warehouse knows its statements by begins with it.

        Raises:
            StepFailed: a statement failed, and those before it stand; or the script begins with other ones than stand.
            Unavailable: the warehouse was lost; what became of the last statement is asked when the run goes on.
            Locked: the guard of the session does not allow it any more.
        """
        text = self.read(SCRIPTS_FOLDER, name)
        standing = standing_of(self.journal.marks().get(name, ()))
        if standing.is_undoing:
            raise StepFailed(f"{name}: its undo did not end", fix=self._undo_command(name))
        done = self._settled(text, standing, progress)
        began = time.monotonic()
        try:
            rest = rest_of(text.units, done)
        except StepFailed as error:
            raise StepFailed(f"{name}: {error.message}", fix=self._undo_command(name)) from error
        try:
            self._run(text, rest, tag, progress)
        except Unavailable:
            raise
        except StepFailed:
            self._record(text, "Failed", seconds=time.monotonic() - began)
            raise
        self._record(text, "Success", seconds=time.monotonic() - began)
        self.journal.write(name, Mark(place=0, word="applied"))

    def settle(self, name: str, progress: Progress) -> None:
        """Ask the warehouse about a statement in doubt, and write down that it was done, if it was.

        Raises: as `apply`.
        """
        standing = standing_of(self.journal.marks().get(name, ()))
        self._settled(self.read(SCRIPTS_FOLDER, name), standing, progress)

    def repeat(self, name: str, progress: Progress) -> None:
        """Run an R script from its first statement, and record nothing.

        Raises: as `apply`.
        """
        text = self.read(SCRIPTS_FOLDER, name)
        self._use()
        for unit in text.units:
            self._run_unit(text, unit, progress, fix=f"mend {SCRIPTS_FOLDER}/{name}")
        self._forget_session(text)

    def undo(self, name: str, progress: Progress) -> None:
        """Take a script back, however far it came: its undo runs from its first statement, and may do so again.

        What R scripts make may stand on what is gone now, so the history says of them that they are to run again.

        Raises: as `apply`.
        """
        undo = self.read(UNDO_FOLDER, undo_of(name))
        self.journal.write(name, Mark(place=0, word="undoing"))
        self._use()
        for unit in undo.units:
            self._run_unit(
                undo, unit, progress, fix=f"mend {UNDO_FOLDER}/{undo.name}, then: {self._undo_command(name)}"
            )
        self._session.change(
            f"UPDATE {self._history} SET STATUS = 'Undone' "
            "WHERE STATUS = 'Success' AND (SCRIPT = %s OR SCRIPT_TYPE = 'R')",
            [name],
        )
        self.journal.write(name, Mark(place=0, word="undone"))
        self._forget_session(undo)

    def read(self, folder: str, name: str) -> Text:
        """Return a script with its variables filled in.

        Raises:
            ConfigurationError: it is not there, or cannot be rendered or split.
        """
        try:
            content = JinjaTemplateProcessor(self._migrations / folder).render(name, self._variables)
            units = units_of(one.rstrip().removesuffix(";") for one in split_sql_statements(content))
        except StepFailed as error:
            raise ConfigurationError(f"{folder}/{name}: {error.message}", fix=str(error.fix)) from error
        except Exception as error:  # jinja's and schemachange's own, of many kinds
            raise ConfigurationError(f"{folder}/{name} cannot be read: {error}", fix=f"mend {folder}/{name}") from error
        checksum = hashlib.sha224(content.encode()).hexdigest()
        return Text(name=name, units=units, checksum=checksum)

    def _settled(self, text: Text, standing: Standing, progress: Progress) -> tuple[str, ...]:
        """Return the digests of what was done, a unit in doubt settled. Side effects: a mark."""
        doubt = standing.doubt
        if doubt is None:
            return standing.done
        unit = next((one for one in text.units if one.sha256 == doubt.sha256 and not one.is_session), None)
        within_s = float(self._environment.timeouts.migrate_s)
        if not self.journal.was_done(doubt, unit, within_s=within_s, tell=progress):
            return standing.done
        if unit is None:
            raise StepFailed(
                f"{text.name}: statement {doubt.place} stands in the warehouse, and the script does not hold it any "
                "more",
                fix=f"bring it back, or: {self._undo_command(text.name)}",
            )
        self.journal.write(text.name, Mark(place=doubt.place, word="done", sha256=doubt.sha256))
        return (*standing.done, doubt.sha256)

    def _run(self, text: Text, rest: tuple[Unit, ...], run: str, progress: Progress) -> None:
        self._use()
        told: Mark | None = None  # what was done and is not written down yet: said together with what begins
        for unit in rest:
            if unit.is_session:
                self._run_unit(text, unit, progress, fix=self._mend(text))
                continue
            tag = f"{run}:{text.name}#{unit.place}"
            began = Mark(place=unit.place, word="began", sha256=unit.sha256, tag=tag)
            self.journal.write(text.name, *filter(None, (told, began)))
            try:
                self._tag(tag)
                self._run_unit(text, unit, progress, fix=self._mend(text))
            except Unavailable:
                raise
            except StepFailed:
                if len(unit.statements) > 1:
                    self._session.rows("ROLLBACK")
                self.journal.write(text.name, Mark(place=unit.place, word="failed", sha256=unit.sha256, tag=tag))
                self._forget_session(text)
                raise
            told = Mark(place=unit.place, word="done", sha256=unit.sha256, tag=tag)
        if told is not None:
            self.journal.write(text.name, told)
        self._forget_session(text)

    def _run_unit(self, text: Text, unit: Unit, progress: Progress, *, fix: str) -> None:
        progress(f"{text.name}: statement {unit.place} of {text.count}: {unit.headline}")
        try:
            self._session.run(*unit.statements)
        except Unavailable:
            raise
        except StepFailed as error:
            raise StepFailed(
                f"{text.name}: statement {unit.place} of {text.count} failed: {error.message}", fix=fix
            ) from error

    def _use(self) -> None:
        """Have scripts run where schemachange runs them: names without a schema are Slipway's own."""
        self._session.run(f"USE SCHEMA {self._ops}.{OPS_SCHEMA}")

    def _tag(self, tag: str) -> None:
        quoted = tag.replace("'", "''")
        self._session.run(f"ALTER SESSION SET QUERY_TAG = '{quoted}'")

    def _forget_session(self, text: Text) -> None:
        """Give the session its own tag back; one that the script changed is ended, and the next begins anew."""
        if any(unit.is_session for unit in text.units):
            self._session.close()
        else:
            self._tag(self._session.query_tag)

    def _record(self, text: Text, status: str, *, seconds: float) -> None:
        """Write the row that schemachange would write."""
        script = VersionedScript.from_path(self._migrations / SCRIPTS_FOLDER / text.name)
        self._session.change(
            f"INSERT INTO {self._history} (VERSION, DESCRIPTION, SCRIPT, SCRIPT_TYPE, CHECKSUM, EXECUTION_TIME, "
            "STATUS, INSTALLED_BY, INSTALLED_ON) "
            "SELECT %s, %s, %s, 'V', %s, %s, %s, CURRENT_USER(), CURRENT_TIMESTAMP()",
            [script.version, script.description, text.name, text.checksum, round(seconds), status],
        )

    def _mend(self, text: Text) -> str:
        return f"mend the statement, commit, deploy again: it goes on there; or {self._undo_command(text.name)}"

    def _undo_command(self, name: str) -> str:
        return f"invoke migrate.undo --env {self._environment.name} --script {name}"

    @property
    def _history(self) -> str:
        return f"{self._ops}.{OPS_SCHEMA}.{HISTORY_TABLE}"
