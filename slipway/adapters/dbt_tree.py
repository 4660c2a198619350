"""The dbt project of a release, as files: what its profile reads, whether it compiles, what every node stands on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from slipway.adapters.dbt_process import event_of, run_dbt
from slipway.adapters.snowflake import Address
from slipway.config import Environment
from slipway.documents import canonical
from slipway.gate import Problem

PARSE_TIMEOUT_S = 120
# Folders of the project whose files are nodes, which dbt compares one by one; and what dbt leaves behind
_NODE_FOLDERS = frozenset({"models", "seeds", "snapshots", "tests", "analyses"})
_LEFTOVERS = frozenset({"target", "logs"})


def variables(environment: Environment, slot: str, *, address: Address, key_file: Path) -> dict[str, str]:
    """Return what the project's profile reads from the process environment."""
    warehouse = environment.warehouse
    return {
        "SNOWFLAKE_ACCOUNT": warehouse.account,
        "SNOWFLAKE_USER": warehouse.transformer.user,
        "SNOWFLAKE_ROLE": warehouse.transformer.role,
        "SNOWFLAKE_WAREHOUSE": warehouse.warehouse,
        "SNOWFLAKE_PRIVATE_KEY_PATH": str(key_file),
        "SLIPWAY_ANALYTICS_DATABASE": warehouse.analytics_database,
        "SLIPWAY_RAW_DATABASE": warehouse.raw_database,
        "SLIPWAY_SLOT": slot,
        "SLIPWAY_DBT_THREADS": str(environment.settings.dbt_threads),
        **address.variables(),
    }


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """What came of parsing a project.

    Attributes:
        problems: what stops it from compiling; empty when it parses.
        parse_ms: how long dbt itself took to read it, which every command of dbt takes again; None when it did not.
    """

    problems: tuple[Problem, ...]
    parse_ms: int | None = None


def check_project(project: Path, work: Path, profile: Mapping[str, str]) -> Parsed:
    """Have dbt parse the project. Needs no warehouse. Side effects: files under `work`."""
    code, lines = run_dbt("parse", project, work, profile, on_line=lambda line: None, timeout_s=PARSE_TIMEOUT_S)
    if code == 0:
        told = json.loads((work / "target" / "perf_info.json").read_text())
        return Parsed(problems=(), parse_ms=round(told["load_all_elapsed"] * 1000))
    events = [event for line in lines if (event := event_of(line)) and event["info"]["level"] == "error"]
    messages = [" ".join(event["info"]["msg"].split()) for event in events] or lines[-3:]
    telling = [message for message in messages if message and "Encountered an error" not in message] or messages
    return Parsed(problems=(Problem(file="dbt", message=" ".join(telling)[:600]),))


def ground_of(project: Path, profile: Mapping[str, str]) -> str:
    """Return the digest of what every node stands on and dbt's comparison of two manifests does not see."""
    files = {
        str(path.relative_to(project)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in project.rglob("*")
        if path.is_file() and path.relative_to(project).parts[0] not in _NODE_FOLDERS | _LEFTOVERS
    }
    databases = {name: profile[name] for name in ("SLIPWAY_ANALYTICS_DATABASE", "SLIPWAY_RAW_DATABASE")}
    programs = {name: version(name) for name in ("dbt-core", "dbt-snowflake")}
    return hashlib.sha256(canonical({"files": files, "databases": databases, "programs": programs})).hexdigest()
