"""Migrations: versioned scripts statement by statement, all others by schemachange, in a process of its own.

What was applied is told by schemachange's history, never by what a run was asked to do. The digests of what a run sets
out to run are written down before it begins. So when the process dies at any moment, it is known of every script that
the history names with which content it ran, and every other one that the run set out with is in doubt and runs again.
A statement that was under way then is the warehouse's to end; nothing here waits for it.

schemachange decides by a checksum of its own which R scripts changed, and another version of it, or another value of a
variable, may make all of them differ. It is shown those alone that a run sets out to run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from secrets import token_hex

from slipway.adapters.loss import FIX, is_loss
from slipway.adapters.process import run
from slipway.adapters.query import Queries
from slipway.adapters.rehearsal import Rehearsal
from slipway.adapters.script_runner import ScriptRunner
from slipway.adapters.snowflake import (
    DIGEST_TABLE,
    HISTORY_TABLE,
    OPS_SCHEMA,
    REHEARSAL_TABLE,
    STATEMENT_TABLE,
    Address,
    Session,
    SnowflakeFacts,
    bookkeeping,
)
from slipway.adapters.surroundings import for_child
from slipway.config import Environment
from slipway.errors import Stale, StepFailed, Unavailable
from slipway.migration import SCRIPTS_FOLDER, pending_scripts, scripts_in
from slipway.ports import Outcome, Progress
from slipway.release import Release
from slipway.script_state import ScriptState, states_of
from slipway.statement import Standing
from slipway.step import MigrateWarehouse, RehearseMigrations

_MOST_QUERIES = 10_000  # the most QUERY_HISTORY gives, newest first


class Schemachange:
    """Runs the migrations component of one release; implements `ports.Migrations`."""

    def __init__(
        self,
        environment: Environment,
        release: Release,
        tree: Path,
        *,
        session: Session,
        facts: SnowflakeFacts,
        address: Address,
        key_file: Path,
    ) -> None:
        self._environment, self._release, self._tree = environment, release, tree
        self._session, self._facts, self._address, self._key_file = session, facts, address, key_file

    def are_applied(self, step: MigrateWarehouse) -> bool:
        """Probe of the migrate step: nothing of the release is pending."""
        return not self._pending()

    def _pending(self) -> tuple[str, ...]:
        return pending_scripts(self._component, self._facts.migrations())

    @property
    def _component(self) -> Mapping[str, str]:
        return self._release.manifest.components["migrations"]

    def standings(self) -> dict[str, Standing]:
        """Return how far every script came of which only a part may stand."""
        return self.runner.standings() if self._facts.has_own_table(STATEMENT_TABLE) else {}

    def states(self) -> tuple[ScriptState, ...]:
        """Return what there is to say of every script of the release, and of those that the history names besides."""
        last_runs, set_out = self._facts.script_record()
        texts = {one.name: self.runner.read(SCRIPTS_FOLDER, one.name) for one in scripts_in(self._component)}
        return states_of(
            self._component,
            last_runs,
            set_out,
            standings=self.standings(),
            counts={name: text.count for name, text in texts.items()},
            checksums={name: text.checksum for name, text in texts.items()},
        )

    def are_rehearsed(self, step: RehearseMigrations) -> bool:
        """Probe of the rehearse step: a rehearsal of exactly these contents on what was applied is recorded."""
        return bool(self._facts.rehearsals(step.content))

    def rehearse(self, step: RehearseMigrations, progress: Progress) -> Outcome:
        """Rehearse what is pending, and record that it passed. Raises: as `Rehearsal.run`."""
        ops = self._environment.warehouse.ops_database
        tag = f"{self._session.query_tag}:rehearse:{token_hex(4)}"
        began = time.monotonic()
        with self._session.noting() as queries:
            self._session.run(*bookkeeping(ops))
            rehearsal = Rehearsal(
                self._environment,
                self._tree / "snowflake_migrations",
                session=self._session,
                live=self.runner,
                variables=variables_of,
            )
            done = rehearsal.run(step.scripts, tag, progress)
            self._session.change(
                f"INSERT INTO {self._table(REHEARSAL_TABLE)} SELECT %s, %s, %s, CURRENT_TIMESTAMP()",
                [step.content, step.release, None if done.left_out else sum(done.took_ms.values())],
            )
        left_out = "".join(f"; not {name}: {why}" for name, why in done.left_out.items())
        return Outcome(
            summary=f"{len(done.took_ms)} script(s) rehearsed on clones, {sum(done.took_ms.values()) / 1000:.1f} s up"
            + left_out,
            evidence={"took_ms": done.took_ms, "not_rehearsed": done.left_out, "session": queries.evidence()},
            outside_s=time.monotonic() - began,
        )

    def migrate(self, step: MigrateWarehouse, progress: Progress) -> Outcome:
        """Run what is pending.

        Raises:
            Stale: something is pending that is not in the step; nothing ran.
            StepFailed: a script failed; those before it stand, and so do its statements before the one that failed.
            Unavailable: the warehouse was lost meanwhile; the same stands.
            Locked: the guard of the session does not allow it any more.
        """
        tag = f"{self._session.query_tag}:migrate:{token_hex(4)}"  # of this run alone
        with self._session.noting() as queries:
            self._session.run(*bookkeeping(self._environment.warehouse.ops_database))
            self._adopt()
            self._set_out(step)
            before = self._facts.migration_runs()
            began = time.monotonic()
            code, lines = self._apply(tag, progress)
            outside_s = time.monotonic() - began
            ran = _grown(before, self._facts.migration_runs())
        if code:
            is_lost = any(map(is_loss, map(_plain, lines)))
            failure = (
                Unavailable(f"the warehouse was lost during the migration: {_cause(lines)}", fix=FIX)
                if is_lost
                else StepFailed(f"migration failed: {_cause(lines)}", fix=self._fix(ran))
            )
            failure.evidence = {"query_tag": tag, "session": queries.evidence()}
            if not is_lost:
                with suppress(StepFailed):  # that its queries cannot be told now is no news
                    failure.evidence = {**failure.evidence, **self._queries(tag).evidence()}
            raise failure
        return Outcome(
            summary=f"{len(step.scripts)} script(s) applied",
            evidence={
                "scripts": list(step.scripts),
                "ran": sorted(ran),  # now: an attempt before may have run others
                **self._queries(tag).evidence(),
                "session": queries.evidence(),
            },
            outside_s=outside_s,
        )

    def _apply(self, tag: str, progress: Progress) -> tuple[int, list[str]]:
        """Run the versioned scripts that are pending, then schemachange for all others: its code and what it said."""
        names = self._pending()
        pending = [script for script in scripts_in(self._component) if script.name in names]
        for script in pending:
            if script.kind == "V":
                self.runner.apply(script.name, tag, progress)
        if all(script.kind == "V" for script in pending):
            return 0, []
        return self._run(frozenset(names), tag, progress)

    @cached_property
    def runner(self) -> ScriptRunner:
        """Runs versioned scripts."""
        return ScriptRunner(
            self._environment,
            self._tree / "snowflake_migrations",
            session=self._session,
            variables=variables_of(self._environment),
        )

    def _run(self, names: frozenset[str], tag: str, progress: Progress) -> tuple[int, list[str]]:
        def tell(line: str) -> None:
            if told := _plain(line)[:160]:
                progress(told)

        self._session.guard()
        unasked = {one.name for one in scripts_in(self._component) if one.kind != "V" and one.name not in names}
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(
                self._tree / "snowflake_migrations" / SCRIPTS_FOLDER,
                Path(folder) / SCRIPTS_FOLDER,
                ignore=lambda _, found: unasked.intersection(found),
            )
            ended = run(
                self._command(Path(folder), tag),
                environment=self._variables(),
                on_line=tell,
                timeout_s=self._environment.timeouts.migrate_s,
                watch=self._session.require_answer,
            )
        self._session.require_answer()
        return ended

    def _queries(self, tag: str) -> Queries:
        """Return the queries of a run of schemachange, which does not tell their ids: Snowflake knows them by the tag.

        https://docs.snowflake.com/en/sql-reference/functions/query_history
        """
        queries = Queries(tag=tag)
        rows = self._session.rows(
            f"SELECT QUERY_ID FROM TABLE({self._environment.warehouse.ops_database}.INFORMATION_SCHEMA."
            f"QUERY_HISTORY(RESULT_LIMIT => {_MOST_QUERIES})) "
            "WHERE CONTAINS(QUERY_TAG, %s) ORDER BY START_TIME, QUERY_ID",
            [tag],
        )
        queries.note(str(row[0]) for row in rows)
        return queries

    def _command(self, folder: Path, tag: str) -> list[str]:
        warehouse = self._environment.warehouse
        settings = {
            "config-version": 2,
            "schemachange": {
                "root-folder": str(folder / SCRIPTS_FOLDER),
                "change-history-table": self._table(HISTORY_TABLE),
                "create-change-history-table": True,
                "raise-exception-on-ignored-versioned-script": True,
                "query-tag": tag,  # schemachange puts its version before it, and a script's name behind
                "vars": variables_of(self._environment),
            },
            "snowflake": {
                "account": warehouse.account,
                "user": warehouse.deployer.user,
                "role": warehouse.deployer.role,
                "warehouse": warehouse.warehouse,
                "database": warehouse.ops_database,
                "schema": OPS_SCHEMA,
                "authenticator": "snowflake_jwt",
                "private-key-file": str(self._key_file),
                "platform-detection-timeout-seconds": 0.0,
                **self._address.parameters(),
            },
        }
        (folder / "schemachange-config.yml").write_text(json.dumps(settings))  # JSON is YAML
        program = Path(sys.executable).parent / "schemachange"
        return [str(program), "deploy", "--config-folder", str(folder)]

    def _variables(self) -> Mapping[str, str]:
        return for_child(os.environ, {"PYTHONWARNINGS": "ignore"}, host=self._address.host)

    def _adopt(self) -> None:
        """Take V scripts that were applied before anything was written down of them for what they are here."""
        unknown = {one.script for one in self._facts.migrations() if one.succeeded and one.sha256 is None}
        for script in scripts_in(self._component):
            if script.kind == "V" and script.name in unknown:
                self._session.change(
                    f"INSERT INTO {self._table(DIGEST_TABLE)} SELECT SCRIPT, %s, %s, MIN(INSTALLED_ON) "
                    f"FROM {self._table(HISTORY_TABLE)} WHERE SCRIPT = %s GROUP BY SCRIPT",
                    [script.sha256, self._release.id, script.name],
                )

    def _set_out(self, step: MigrateWarehouse) -> None:
        """Write down with which contents scripts run from now on, and have schemachange run them.

        It goes past an R script whose last success had the content that it has now, whatever came after that.
        """
        pending = self._pending()
        if others := [name for name in pending if name not in step.scripts]:
            raise Stale(
                f"pending since the plan was made, and not in it: {', '.join(others)}", fix="invoke plan --env ENV"
            )
        scripts = [script for script in scripts_in(self._component) if script.name in pending]
        if not scripts:
            return
        self._session.change(
            f"INSERT INTO {self._table(DIGEST_TABLE)} VALUES "
            + ", ".join(["(%s, %s, %s, CURRENT_TIMESTAMP())"] * len(scripts)),
            [value for script in scripts for value in (script.name, script.sha256, self._release.id)],
        )
        if repeatable := [script.name for script in scripts if script.kind == "R"]:
            self._session.change(
                f"UPDATE {self._table(HISTORY_TABLE)} SET STATUS = 'Superseded' "
                f"WHERE STATUS = 'Success' AND SCRIPT IN ({', '.join(['%s'] * len(repeatable))})",
                repeatable,
            )

    def _table(self, name: str) -> str:
        return f"{self._environment.warehouse.ops_database}.{OPS_SCHEMA}.{name}"

    def _fix(self, ran: frozenset[str]) -> str:
        """Return what to do about a script that failed: it begins with its first statement when it is run again."""
        failed = [one.script for one in self._facts.migrations() if one.script in ran and not one.succeeded]
        if not failed:
            return "mend what schemachange names, commit, deploy again"
        return (
            f"the statements of {failed[0]} before the one that failed stand, and it will be run from its first again; "
            "mend the script, commit, deploy again"
        )


def variables_of(environment: Environment) -> dict[str, str]:
    """Return what stands for `{{ name }}` in a script."""
    warehouse = environment.warehouse
    variables = {
        "environment": environment.name.upper(),
        "raw_database": warehouse.raw_database,
        "landing_bucket": environment.bucket("landing"),
    }
    if warehouse.storage_integration is not None:
        variables["storage_integration"] = warehouse.storage_integration
    return variables


def _grown(before: Mapping[str, int], after: Mapping[str, int]) -> frozenset[str]:
    """Return the scripts that the history has more rows of than before."""
    return frozenset(name for name, count in after.items() if count > before.get(name, 0))


def _plain(line: str) -> str:
    """Return a line without its colours, and without the time and level that schemachange puts before it."""
    uncoloured = re.sub(r"\x1b\[[0-9;]*m", "", line)
    return re.sub(r"^\d{4}-\d\d-\d\dT\S+ \[\w+ *\] ", "", uncoloured).strip()


def _cause(lines: list[str]) -> str:
    """Return what schemachange says failed: the script, and the warehouse's own words."""
    for line in map(_plain, lines):
        found = re.search(r"a_script_name=(\S+) .*error_message=([\"'])(.*?)\2 script_name=", line)
        if found:
            return f"{found[1]}: " + " ".join(found[3].replace("\\n", " ").split())[:600]
    return " ".join(line for line in map(_plain, lines[-5:]) if line)[:600]
