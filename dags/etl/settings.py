"""Settings of the version a DAG belongs to, read from the `version.json` beside its dags folder.

A run in flight keeps the version it started with because nothing here is looked up anywhere else: no Airflow
Variable, no environment. `SLIPWAY_VERSION_FILE` names another file, for tests and for the import gate.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from etl.error import SettingsError

VERSION_FILE = "version.json"
OVERRIDE = "SLIPWAY_VERSION_FILE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """One deployed version: a release in the settings of an environment.

    Attributes:
        root: the folder that holds `version.json`, `dags/` and `dbt/`.
        slot: eight hex digits that name the warehouse schemas this version's dbt project builds into.
        schedule_start: first logical date of every DAG; its run loads all history before it too.
    """

    root: Path
    version: str
    release: str
    slot: str
    environment: str
    landing_bucket: str
    sources_bucket: str
    source_schema: str
    raw_database: str
    analytics_database: str
    ops_database: str
    schedule_start: date
    dbt_threads: int

    @property
    def start(self) -> datetime:
        """`schedule_start` as the instant Airflow wants."""
        return datetime(self.schedule_start.year, self.schedule_start.month, self.schedule_start.day, tzinfo=UTC)

    @classmethod
    def from_dict(cls, document: dict[str, Any], *, path: Path) -> Settings:
        """Return the settings in the document of `path`; raise SettingsError naming every key that is missing."""
        inner = document.get("settings")
        values = inner if isinstance(inner, dict) else {}
        top = ("version", "release", "slot", "environment")
        nested = (
            "landing_bucket", "sources_bucket", "source_schema", "raw_database", "analytics_database", "ops_database",
            "schedule_start", "dbt_threads",
        )  # fmt: skip
        missing = [key for key in top if key not in document] + [f"settings.{k}" for k in nested if k not in values]
        if missing:
            raise SettingsError(f"{path}: missing {', '.join(missing)}")
        try:
            start, threads = date.fromisoformat(values["schedule_start"]), int(values["dbt_threads"])
        except (TypeError, ValueError) as error:
            raise SettingsError(f"{path}: settings.schedule_start or settings.dbt_threads: {error}") from error
        texts = {key: str(document[key]) for key in top} | {key: str(values[key]) for key in nested[:-2]}
        return cls(root=path.parent, schedule_start=start, dbt_threads=threads, **texts)


def read(path: Path) -> Settings:
    """Return the settings in the file at `path`."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise SettingsError(f"{path}: expected an object, found {type(document).__name__}")
    return Settings.from_dict(document, path=path)


@cache
def current() -> Settings:
    """Return the settings of the version this very file belongs to.

    The path is resolved first: a processor may see this folder through a link that is about to point elsewhere.
    """
    if override := os.environ.get(OVERRIDE):
        return read(Path(override).resolve())
    here = Path(__file__).resolve()
    for folder in here.parents:
        if (folder / VERSION_FILE).is_file():
            return read(folder / VERSION_FILE)
    raise SettingsError(f"no {VERSION_FILE} in any folder above {here}; set {OVERRIDE} to name one")
