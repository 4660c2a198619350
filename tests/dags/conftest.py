"""What Airflow makes of the DAG files, asked once for all tests."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from slipway.adapters.surroundings import without_aws
from slipway.sandbox.environment import ensure_airflow
from tests.version import VERSION

PROJECT = Path(__file__).parents[2]
DAGS = PROJECT / "dags"
TIMEOUT_S = 120  # a first import compiles Airflow's modules


@pytest.fixture(scope="package")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The probe's report, made by the Airflow that production's DAGs run on."""
    home = tmp_path_factory.mktemp("airflow")
    (home / "version.json").write_text(json.dumps(VERSION))
    python = ensure_airflow(PROJECT) / "python"
    environment = {
        **{name: value for name, value in without_aws(os.environ).items() if not name.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////nonexistent/airflow.db",  # parsing needs none
        "SLIPWAY_VERSION_FILE": str(home / "version.json"),
    }
    done = subprocess.run(
        [str(python), "-P", str(Path(__file__).with_name("probe.py")), str(DAGS)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found
