"""What the tasks of a pipeline say and do, in the Python that Airflow's workers have."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from etl import catalog

from slipway.sandbox.environment import ensure_airflow
from tests.dbt.warehouse import AWS, Server
from tests.etl.conftest import FIRST, LANDING, SOURCES, Platform, Stored, changed_file, delivered
from tests.version import VERSION

PROJECT = Path(__file__).parents[2]
SECOND = FIRST + timedelta(days=1)
TIMEOUT_S = 300  # a first import compiles Airflow's modules


@pytest.fixture
def environment(server: Server, loader: Stored, aws_endpoint: str, tmp_path: Path) -> dict[str, str]:
    """What the platform gives a worker: the version, and connections as Airflow reads them."""
    version = {**VERSION, "settings": {**VERSION["settings"]}}  # type: ignore[dict-item]
    version["settings"] |= {  # type: ignore[operator]
        "landing_bucket": LANDING,
        "sources_bucket": SOURCES,
        "schedule_start": str(FIRST),
    }
    (tmp_path / "version.json").write_text(json.dumps(version))
    transformer = server.environment.warehouse.transformer
    extras = {
        "LOADER": (loader.login, loader.extra_dejson),
        "TRANSFORMER": (
            transformer.user,
            {
                **loader.extra_dejson,
                "role": transformer.role,
                "private_key_file": str(server.key_of(transformer)),
            },
        ),
    }
    connections = {
        f"AIRFLOW_CONN_WAREHOUSE_{name}": json.dumps({"conn_type": "snowflake", "login": login, "extra": extra})
        for name, (login, extra) in extras.items()
    }
    return {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")},
        **AWS,
        **connections,
        "AWS_ENDPOINT_URL": aws_endpoint,
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps({"conn_type": "aws"}),
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "SLIPWAY_VERSION_FILE": str(tmp_path / "version.json"),
    }


def day_of(pipeline: str, environment: dict[str, str]) -> tuple[dict[str, Any], str]:
    """Run the pipeline's second day; return what the tasks returned and what they logged."""
    python = ensure_airflow(PROJECT) / "python"
    command = [str(python), "-P", str(Path(__file__).with_name("worker.py")), str(PROJECT / "dags"), pipeline]
    done = subprocess.run(
        [*command, str(SECOND)], env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_a_worker_loads_the_rest_and_tells_of_the_faulty_file(platform: Platform, environment: dict[str, str]) -> None:
    key = f"settlement/visa/visa_{SECOND}.csv.gz"
    wrong = "visa,2026-02-27,V,T-x,ten,0.10,9.90,EUR"
    with delivered(platform, key, changed_file(platform, key, lambda lines: [lines[0], wrong, *lines[1:]])):
        found, log = day_of(catalog.SETTLEMENT_FILES.pipeline, environment)
    assert f"{SECOND}/mastercard" in found["load"]["loaded"]
    assert found["load"]["quarantined"] == [key]
    assert found["check"]["rows"] == len(platform.rows(catalog.SETTLEMENT_FILES))
    assert found["quarantine"].startswith(f"QuarantineError: {key}: not loaded: 1 of ")
    assert found["quarantine"].endswith("Everything else is loaded and used.")
    assert found["wait_for_loads"] is True
    assert f"etl.pipeline WARNING {key}: the whole file is set aside, a copy lies under quarantine/" in log
    assert f"etl.pipeline WARNING {key}: line 2: GROSS_AMOUNT is 'ten', expected a number" in log
