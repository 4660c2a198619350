"""The DAG files, as Airflow itself reads them: what they are called, when they run, what they may not do."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest

from tests.dags.conftest import DAGS
from tests.version import START

LOADS = ("card_transactions", "customers", "ledger_postings", "fx_rates", "settlement_files")
ALL = (*LOADS, "finance_daily")
FILES = tuple(sorted(path.name for path in DAGS.glob("*.py")))
OWNERS = {
    "card_transactions": "cards-data",
    "customers": "customer-data",
    "ledger_postings": "finance-data",
    "fx_rates": "treasury-data",
    "settlement_files": "cards-data",
    "finance_daily": "finance-data",
}
TAGS = {
    "card_transactions": ["domain:cards", "kind:load", "source:postgres"],
    "customers": ["domain:customer", "kind:load", "source:postgres"],
    "ledger_postings": ["domain:finance", "kind:load", "source:postgres"],
    "fx_rates": ["domain:market", "kind:load", "source:files"],
    "settlement_files": ["domain:cards", "kind:load", "source:files"],
    "finance_daily": ["domain:customer", "domain:finance", "kind:build"],
}
# Drivers and clients, slow to import: every parse of every DAG file would pay for them.
SLOW = ("psycopg", "snowflake", "boto3", "botocore", "cryptography", "dbt", "pandas", "numpy", "requests")
SLOW_SECONDS = 2.0  # for one file, Airflow itself being imported; they take some hundredths on an idle machine


@pytest.fixture(params=ALL)
def dag(request: pytest.FixtureRequest, report: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return request.param, report["dags"][request.param]


def test_every_file_imports_and_defines_the_dag_it_is_named_for(report: dict[str, Any]) -> None:
    assert report["errors"] == {}
    assert report["warnings"] == []
    assert {dag_id: facts["file"] for dag_id, facts in report["dags"].items()} == {name: f"{name}.py" for name in ALL}
    assert set(FILES) == {f"{name}.py" for name in ALL}


def test_every_dag_can_be_serialised(report: dict[str, Any]) -> None:
    assert report["serialised"] == sorted(ALL)


def test_nothing_is_asked_of_the_network_while_files_are_parsed(report: dict[str, Any]) -> None:
    assert report["network"] == []


def test_no_driver_is_imported_while_files_are_parsed(report: dict[str, Any]) -> None:
    assert "etl.pipeline" in report["modules"]
    assert [name for name in report["modules"] if name.split(".")[0] in SLOW] == []


def test_no_file_is_slow_to_parse(report: dict[str, Any]) -> None:
    assert sorted(report["seconds"]) == list(FILES)
    assert max(report["seconds"].values()) < SLOW_SECONDS


@pytest.mark.parametrize("name", FILES)
def test_a_dag_file_uses_the_task_sdk_and_the_shared_library_only(name: str) -> None:
    tree = ast.parse((DAGS / name).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any(isinstance(node, ast.Import) for node in ast.walk(tree))
    assert "airflow.sdk" in imported
    assert {module for module in imported if module and module.split(".")[0] == "airflow"} == {"airflow.sdk"}
    assert {module.split(".")[0] for module in imported if module} == {"__future__", "airflow", "etl"}


def test_only_the_pipeline_factory_knows_airflow_and_of_it_the_sdk_and_one_hook() -> None:
    modules = sorted((DAGS / "etl").glob("*.py"))
    found = {
        (path.name, node.module)
        for path in modules
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "airflow"
    }
    assert len(modules) > 10
    assert found == {("pipeline.py", "airflow.sdk"), ("pipeline.py", "airflow.providers.amazon.aws.hooks.s3")}


def test_a_dag_runs_each_day_from_the_versions_start_and_misses_none(dag: tuple[str, dict[str, Any]]) -> None:
    _, facts = dag
    assert (facts["timetable"], facts["schedule"]) == ("CronDataIntervalTimetable", "0 0 * * *")
    assert facts["start"] == f"{START}T00:00:00+00:00"
    assert facts["catchup"] is True
    assert facts["active_runs"] == 1  # days in order


def test_a_dag_has_the_tags_that_alerts_are_routed_by(dag: tuple[str, dict[str, Any]]) -> None:
    name, facts = dag
    assert facts["tags"] == TAGS[name]


def test_every_task_has_an_owner_retries_and_a_timeout(dag: tuple[str, dict[str, Any]]) -> None:
    name, facts = dag
    assert facts["tasks"]
    for task_id, task in facts["tasks"].items():
        assert task["owner"] == OWNERS[name]
        assert (task["retries"], task["retry_seconds"]) == (0 if task_id == "quarantine" else 3, 30)
        assert task["timeout_seconds"] == 3600


def test_a_dag_says_what_its_failure_means_and_what_to_do(dag: tuple[str, dict[str, Any]]) -> None:
    _, facts = dag
    for wanted in (r"^\s*# \S", r"\*\*Impact of a failure:\*\*", r"^## Triage$"):
        assert re.search(wanted, facts["notes"], re.MULTILINE)
    for task in re.findall(r"^- `(\w+)`", facts["notes"], re.MULTILINE):
        assert task in facts["tasks"]


@pytest.mark.parametrize("name", LOADS)
def test_a_load_extracts_loads_one_at_a_time_and_checks(name: str, report: dict[str, Any]) -> None:
    tasks = report["dags"][name]["tasks"]
    files = {"quarantine": ["load"]} if "source:files" in TAGS[name] else {}
    assert {task: facts["after"] for task, facts in tasks.items()} == {
        "extract": [],
        "load": ["extract"],
        "check": ["load"],
        **files,
    }
    assert tasks["load"]["at_once"] == 1


def test_the_build_waits_for_the_loads_and_builds_one_at_a_time(report: dict[str, Any]) -> None:
    tasks = report["dags"]["finance_daily"]["tasks"]
    assert {task: facts["after"] for task, facts in tasks.items()} == {
        "wait_for_loads": [],
        "dbt_build": ["wait_for_loads"],
        "check": ["dbt_build"],
    }
    assert tasks["dbt_build"]["at_once"] == 1
    assert tasks["wait_for_loads"]["patience_seconds"] == 6 * 3600
