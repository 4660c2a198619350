"""The dbt project, run against a warehouse of the tests' own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.adapters.dbt_tree import variables
from slipway.slot import schema_in
from tests.dbt.warehouse import PROJECT, Server

SLOT = "0A1B2C3D"

LAYERS = ("SEEDS", "STAGING", "INTERMEDIATE", "SNAPSHOTS", "FINANCE", "CUSTOMER")  # what the project builds into


@dataclass(frozen=True)
class Outcome:
    """What one run of dbt did.

    Attributes:
        results: status by node id.
        failures: rows that failing tests returned, by test id.
        warnings: every event that dbt itself holds for a warning or an error.
    """

    success: bool
    exception: str | None
    results: Mapping[str, str]
    failures: Mapping[str, int]
    warnings: tuple[str, ...]

    def having(self, *statuses: str) -> list[str]:
        """Return the nodes with one of the statuses, without their package."""
        return sorted(_short(node) for node, status in self.results.items() if status in statuses)

    @property
    def statuses(self) -> Counter[str]:
        return Counter(self.results.values())

    def of(self, kind: str) -> dict[str, str]:
        """Return the statuses of one kind of node: `test`, `unit_test`, `model`, `seed` or `snapshot`."""
        return {_short(node): status for node, status in self.results.items() if node.startswith(f"{kind}.")}


@dataclass(frozen=True)
class Project:
    """One slot of the project."""

    server: Server
    target: Path
    process: subprocess.Popen[str]

    def run(self, *arguments: str) -> Outcome:
        """Run dbt with these arguments.

        Side effects: the slot's relations, files under the target folder.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(["--quiet", *arguments]) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return Outcome(
            success=answer["success"],
            exception=answer["exception"],
            results={one["id"]: one["status"] for one in answer["results"]},
            failures={one["id"]: one["failures"] for one in answer["results"] if one["failures"]},
            warnings=tuple(answer["warnings"]),
        )

    def manifest(self) -> dict[str, Any]:
        """Return what dbt knows of the project since its last run."""
        content: dict[str, Any] = json.loads((self.target / "manifest.json").read_text())
        return content

    def relation(self, layer: str, name: str) -> str:
        """Return the whole name of a relation of the slot."""
        return f"{self.server.environment.warehouse.analytics_database}.{schema_in(layer, SLOT)}.{name}"


@contextmanager
def project_on(server: Server, folder: Path) -> Iterator[Project]:
    """Give the project in a slot of `server`, with a dbt process of its own that ends with the block."""
    profile = variables(
        server.environment,
        SLOT,
        address=server.address,
        key_file=server.key_of(server.environment.warehouse.transformer),
    )
    target = folder / "target"
    places = {
        "DBT_PROJECT_DIR": str(PROJECT / "dbt"),
        "DBT_PROFILES_DIR": str(PROJECT / "dbt"),
        "DBT_TARGET_PATH": str(target),
        "DBT_LOG_PATH": str(folder / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "PYTHONWARNINGS": "ignore",
    }
    with (folder / "dbt.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("runner.py"))],
            env={**os.environ, **profile, **places},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        yield Project(server, target, process)
    finally:
        process.communicate()


def _short(node: str) -> str:
    return node.split(".", 2)[-1]
