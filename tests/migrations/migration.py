"""The migrations of the work tree, applied and taken back on databases of a test's own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from schemachange.JinjaTemplateProcessor import JinjaTemplateProcessor
from schemachange.sql_splitter import split_sql_statements

from slipway.adapters.catalog import Catalog, catalog_of
from slipway.adapters.schemachange import Schemachange
from slipway.adapters.snowflake import Session, SnowflakeFacts
from slipway.config import Environment
from slipway.migration import SCRIPTS_FOLDER, UNDO_FOLDER, pending_scripts, scripts_in
from slipway.ports import Progress
from slipway.release import Manifest, Provenance, Release
from slipway.step import MigrateWarehouse
from tests.dbt.warehouse import PROJECT, Server

FOLDER = PROJECT / "snowflake_migrations"
COMPONENT = {
    str(path.relative_to(FOLDER)): hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.rglob("*.sql")
}
VERSIONED = tuple(script.name for script in scripts_in(COMPONENT) if script.kind == "V")
REPEATABLE = tuple(script.name for script in scripts_in(COMPONENT) if script.kind != "V")


def release_of(component: dict[str, str]) -> Release:
    """Return a release whose migrations are `component`."""
    provenance = Provenance(commit="0" * 40, committed_at="2026-01-01T00:00:00Z", subject="tests", authors=("A",))
    manifest = Manifest(components={"dags": {}, "dbt": {}, "migrations": component, "infra": {}})
    return Release(manifest=manifest, provenance=provenance, files={})


@dataclass(frozen=True)
class Migrated:
    """The databases of one environment, with the deployer's session to look at them and to change them."""

    environment: Environment
    server: Server
    session: Session

    @property
    def raw(self) -> str:
        return self.environment.warehouse.raw_database

    @property
    def pending(self) -> tuple[str, ...]:
        return pending_scripts(COMPONENT, SnowflakeFacts(self.session, self.environment.warehouse).migrations())

    def catalog(self) -> Catalog:
        return catalog_of(self.session, self.raw)

    def history(self) -> list[tuple[str, str]]:
        """Return script and status of every row of the history, in the order they were written."""
        table = f"{self.environment.warehouse.ops_database}.SLIPWAY.CHANGE_HISTORY"
        rows = self.session.rows(f"SELECT SCRIPT, STATUS FROM {table} ORDER BY INSTALLED_ON")
        return [(str(script), str(status)) for script, status in rows]

    def migrate(self, progress: Progress = lambda line: None) -> tuple[str, ...]:
        """Run schemachange as a deployment does, and return the scripts it was asked to apply."""
        release = release_of(COMPONENT)
        step = MigrateWarehouse(scripts=self.pending, release=release.id)
        facts = SnowflakeFacts(self.session, self.environment.warehouse)
        deployer = self.environment.warehouse.deployer
        Schemachange(
            self.environment,
            release,
            PROJECT,
            session=self.session,
            facts=facts,
            address=self.server.address,
            key_file=self.server.key_of(deployer),
        ).migrate(step, progress)
        return step.scripts

    def run(self, folder: str, *scripts: str) -> None:
        """Run scripts one by one, filled in and split as schemachange does."""
        variables = {
            "environment": self.environment.name.upper(),
            "raw_database": self.raw,
            "landing_bucket": self.environment.bucket("landing"),
        }
        templates = JinjaTemplateProcessor(FOLDER / folder)
        for script in scripts:
            self.session.run(*split_sql_statements(templates.render(script, variables)))

    def apply(self, *scripts: str) -> None:
        self.run(SCRIPTS_FOLDER, *scripts)

    def undo(self, *scripts: str) -> None:
        """Run the undo of each of these V scripts."""
        self.run(UNDO_FOLDER, *("U" + script[1:] for script in scripts))
