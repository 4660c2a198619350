"""Migrations by schemachange, in a process of its own, and Slipway's digest of every script it applied.

What was applied is told by schemachange's history, never by what a run was asked to do. What a run sets out to do is
written down before it begins, so that of a run that died at any moment too the history tells which contents ran.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from secrets import token_hex

from slipway.adapters.loss import FIX, is_loss
from slipway.adapters.process import run
from slipway.adapters.query import Queries
from slipway.adapters.snowflake import (
    BEGUN_TABLE,
    HISTORY_TABLE,
    OPS_SCHEMA,
    Address,
    Session,
    SnowflakeFacts,
    bookkeeping,
)
from slipway.adapters.surroundings import for_child
from slipway.config import Environment
from slipway.errors import StepFailed, Unavailable
from slipway.migration import SCRIPTS_FOLDER, UNDO_FOLDER, Script, pending_scripts, scripts_in
from slipway.ports import Outcome, Progress
from slipway.release import Release
from slipway.step import MigrateWarehouse

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
        """Probe of the migrate step: nothing of the release is pending, and the run that applied it came to its end.

        A run that died after a script leaves that script's digest to be kept, and scripts to run that run always.
        """
        return self._has_run(step) and not self._facts.unkept_digests()

    def _has_run(self, step: MigrateWarehouse) -> bool:
        component, applied = self._release.manifest.components["migrations"], self._facts.migrations()
        if pending_scripts(component, applied):
            return False
        kept = {one.script: one.sha256 for one in applied}
        own = [script for script in scripts_in(component) if script.name in step.scripts]
        return all(kept[script.name] == script.sha256 for script in own) and self._ran_last(own)

    def _ran_last(self, scripts: Sequence[Script]) -> bool:
        """Return whether those of the scripts that always run did so after the others."""
        at = self._facts.migrated_at()
        others = max((at[one.name] for one in scripts if one.kind != "A"), default=None)
        return others is None or all(at[one.name] >= others for one in scripts if one.kind == "A")

    def migrate(self, step: MigrateWarehouse, progress: Progress) -> Outcome:
        """Run schemachange, then keep what each script was.

        Raises:
            StepFailed: a script failed; those before it stand, and so does what it committed itself.
            Unavailable: the warehouse was lost meanwhile; the same stands.
        """
        tag = f"{self._session.query_tag}:migrate:{token_hex(4)}"  # of this run alone
        with self._session.noting() as queries:
            self._session.run(*bookkeeping(self._environment.warehouse.ops_database))
            self._keep()  # of a run that died
            if self._has_run(step):
                return Outcome(summary="applied by a run that died at its end", evidence=queries.evidence())
            self._set_out(step)
            before = self._facts.migration_runs()
            began = time.monotonic()
            code, lines = self._run(tag, progress)
            outside_s = time.monotonic() - began
            ran = _grown(before, self._facts.migration_runs())
            self._keep()
            if code == 0:
                self._adopt()
        if code and any(map(is_loss, map(_plain, lines))):
            raise Unavailable(f"the warehouse was lost during the migration: {_cause(lines)}", fix=FIX)
        if code:
            raise StepFailed(f"migration failed: {_cause(lines)}", fix=self._fix(ran))
        return Outcome(
            summary=f"{len(step.scripts)} script(s) applied",
            evidence={"scripts": list(step.scripts), **self._queries(tag).evidence(), "session": queries.evidence()},
            outside_s=outside_s,
        )

    def _run(self, tag: str, progress: Progress) -> tuple[int, list[str]]:
        with tempfile.TemporaryDirectory() as folder:
            ended = run(
                self._command(Path(folder), tag),
                environment=self._variables(),
                on_line=lambda line: progress(_plain(line)[:160]),
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
        variables = {
            "environment": self._environment.name.upper(),
            "raw_database": warehouse.raw_database,
            "landing_bucket": self._environment.bucket("landing"),
        }
        if warehouse.storage_integration is not None:
            variables["storage_integration"] = warehouse.storage_integration
        settings = {
            "config-version": 2,
            "schemachange": {
                "root-folder": str(self._tree / "snowflake_migrations" / SCRIPTS_FOLDER),
                "change-history-table": self._table(HISTORY_TABLE),
                "create-change-history-table": True,
                "query-tag": tag,  # schemachange puts its version before it, and a script's name behind
                "vars": variables,
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

    def _set_out(self, step: MigrateWarehouse) -> None:
        """Write down with which contents scripts run from now on."""
        begun, release = self._table(BEGUN_TABLE), self._release
        for script in scripts_in(release.manifest.components["migrations"]):
            if script.name in step.scripts:
                self._session.rows(
                    f"INSERT INTO {begun} SELECT %s, %s, %s, CURRENT_TIMESTAMP()",
                    [script.name, script.sha256, release.id],
                )

    def _keep(self) -> None:
        """Keep the digest of every script that ran since it was written down, and was applied; then forget the rest."""
        unkept = self._facts.unkept_digests()
        for name in [one.script for one in self._facts.migrations() if one.succeeded and one.script in unkept]:
            self._keep_digest(name, unkept[name].sha256, release=unkept[name].release)
        self._session.rows(f"DELETE FROM {self._table(BEGUN_TABLE)}")

    def _adopt(self) -> None:
        """Keep as it is here what a run went past, that came to its end.

        That is an R script that schemachange held for unchanged, and a V script that was applied before Slipway was.
        """
        known = {one.script: one for one in self._facts.migrations()}
        for script in scripts_in(self._release.manifest.components["migrations"]):
            applied = known.get(script.name)
            if applied is None or applied.sha256 == script.sha256:
                continue
            if script.kind == "R" or (script.kind == "V" and applied.sha256 is None):
                self._keep_digest(script.name, script.sha256, release=self._release.id)

    def _keep_digest(self, script: str, sha256: str, *, release: str) -> None:
        table = self._table("SCRIPT_DIGESTS")
        self._session.rows(f"DELETE FROM {table} WHERE SCRIPT = %s", [script])
        self._session.rows(
            f"INSERT INTO {table} SELECT %s, %s, %s, CURRENT_TIMESTAMP()::TIMESTAMP_NTZ", [script, sha256, release]
        )

    def _table(self, name: str) -> str:
        return f"{self._environment.warehouse.ops_database}.{OPS_SCHEMA}.{name}"

    def _fix(self, ran: frozenset[str]) -> str:
        """Return what to do about a script that failed: it begins with its first statement when it is run again."""
        failed = [one.script for one in self._facts.migrations() if one.script in ran and not one.succeeded]
        if not failed:
            return "mend what schemachange names, commit, deploy again"
        said = (
            f"the statements of {failed[0]} before the one that failed stand, and it will be run from its first again"
        )
        if failed[0].startswith(("V", "v")):
            said += f"; undo: snowflake_migrations/{UNDO_FOLDER}/U{failed[0][1:]}"
        return f"{said}; mend the script, commit, deploy again"


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
