"""Building slots by dbt: what a slot holds at the end, and when it counts as built.

One project in the life of three releases; each starts from a clone of the one before.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pytest

from slipway.adapters.comparer import SlotComparer
from slipway.adapters.dbt import DbtSlots
from slipway.adapters.dbt_tree import check_project, ground_of, variables
from slipway.adapters.snowflake import Session
from slipway.errors import ConfigurationError, StepFailed
from slipway.ports import Outcome, Progress
from slipway.step import BuildSlot
from slipway.threshold import ComparisonRules
from tests.dbt.warehouse import PROJECT, Server
from tests.warehouse.place import Place, bare_place

TODAY = date(2026, 11, 28)
FIRST, SECOND, THIRD, FOURTH, FIFTH = (f"AAAA000{number}" for number in range(1, 6))
SETTINGS = """
name: small
version: "1.0"
config-version: 2
profile: finedge
vars: {rate: 1}
models:
  small:
    +materialized: table
    staging: {+schema: staging, +materialized: view}
    finance: {+schema: finance}
    customer: {+schema: customer}
    risk: {+schema: risk}
    old: {+schema: old}
"""
MODELS = {
    "staging/stg_one.sql": "select 1 as one",
    "finance/fct_rate.sql": "select {{ var('rate') }} as rate",
    "finance/fct_removed.sql": "select 1 as one",
    "finance/fct_thin.sql": "select 1 as one",
    "customer/dim_one.sql": "select one from {{ ref('stg_one') }}",
    "risk/exposure.sql": "select 1 as one",
    "old/layer.sql": "select 1 as one",
}


class Manifests:
    """The build manifests of a release bucket, in memory."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def dbt_manifest(self, slot: str) -> bytes | None:
        return self._kept.get(slot)

    def put_dbt_manifest(self, slot: str, content: bytes) -> None:
        self._kept[slot] = content


@dataclass(frozen=True)
class Small:
    """A small dbt project and the place it is built in."""

    place: Place
    folder: Path
    manifests: Manifests

    @property
    def project(self) -> Path:
        return self.folder / "dbt"

    def write(self, settings: str = SETTINGS, models: Mapping[str, str] = MODELS) -> None:
        for name, text in models.items():
            file = self.project / "models" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        (self.project / "macros").mkdir()
        shutil.copy(PROJECT / "dbt/macros/generate_schema_name.sql", self.project / "macros")
        shutil.copy(PROJECT / "dbt/profiles.yml", self.project)
        (self.project / "dbt_project.yml").write_text(settings)

    def slots(self, key_file: Path | None = None) -> DbtSlots:
        transformer = self.place.environment.warehouse.transformer
        return DbtSlots(
            self.place.environment,
            self.project,
            self.folder / "work",
            session=self.place.deployer,
            facts=self.place.facts,
            comparer=self.comparer(),
            publisher=self.place.publisher,
            dependents=self.place.dependents,
            bucket=self.manifests,  # type: ignore[arg-type]
            address=self.place.server.address,
            key_file=key_file or self.place.server.key_of(transformer),
        )

    def comparer(self, rules: ComparisonRules | None = None, *, today: date = TODAY) -> SlotComparer:
        warehouse, server = self.place.environment.warehouse, self.place.server
        return SlotComparer(
            lambda: Session(
                warehouse, warehouse.deployer, address=server.address, key_file=server.key_of(warehouse.deployer)
            ),
            warehouse,
            self.manifests,  # type: ignore[arg-type]
            rules or ComparisonRules(),
            today=lambda: today,
        )

    def build(self, slot: str, *, clone_from: str | None = None, progress: Progress = lambda line: None) -> Outcome:
        return self.slots().build(BuildSlot(slot=slot, release=slot * 8, clone_from=clone_from), progress)

    def relations(self, slot: str) -> set[str]:
        rows = self.place.deployer.rows(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM "
            f"{self.place.database('ANALYTICS')}.INFORMATION_SCHEMA.TABLES WHERE ENDSWITH(TABLE_SCHEMA, %s)",
            [slot],
        )
        return {f"{str(schema).removesuffix(f'__{slot}')}.{name}" for schema, name in rows}

    def built_now(self) -> set[str]:
        """Return the nodes of the last run of dbt."""
        results = json.loads((self.folder / "work/target/run_results.json").read_text())["results"]
        return {one["unique_id"].split(".")[-1] for one in results}


@pytest.fixture(scope="module")
def small(
    server: Server,
    deployer: Session,
    admin: Session,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Small]:
    with bare_place(server, deployer, admin, "SMALL") as place:
        made = Small(place, tmp_path_factory.mktemp("small"), Manifests())
        made.write()
        yield made


@pytest.fixture(scope="module")
def first(small: Small) -> Outcome:
    """The first release, live; built from a shell that configures dbt for something else."""
    shell = {"DBT_TARGET": "elsewhere", "DBT_EXCLUDE": "fct_rate", "SNOWFLAKE_ROLE": "NOBODY"}
    os.environ.update(shell)
    try:
        small.place.fill(FIRST, "LEFT.OVER", "FINANCE.FCT_GHOST")  # of a build that was interrupted
        outcome = small.build(FIRST)
    finally:
        for name in shell:
            del os.environ[name]
    small.place.publish(FIRST)
    return outcome


@pytest.fixture(scope="module")
def second(small: Small, first: Outcome) -> Outcome:
    """The second release: a model removed, one made ephemeral, a layer with nothing left in it."""
    models = small.project / "models"
    (models / "finance/fct_removed.sql").unlink()
    (models / "old/layer.sql").unlink()
    (models / "finance/fct_thin.sql").write_text("{{ config(materialized='ephemeral') }} select 1 as one")
    return small.build(SECOND, clone_from=FIRST)


@pytest.fixture(scope="module")
def third(small: Small, second: Outcome) -> Outcome:
    """The third release: only a variable of the project differs."""
    (small.project / "dbt_project.yml").write_text(SETTINGS.replace("rate: 1", "rate: 2"))
    return small.build(THIRD, clone_from=SECOND)


def test_a_first_build_holds_its_models_and_nothing_of_what_stood_there(small: Small, first: Outcome) -> None:
    wanted = {"STAGING.STG_ONE", "FINANCE.FCT_RATE", "FINANCE.FCT_REMOVED", "FINANCE.FCT_THIN"}
    assert small.relations(FIRST) == {*wanted, "CUSTOMER.DIM_ONE", "RISK.EXPOSURE", "OLD.LAYER"}
    assert not any(schema.startswith("LEFT__") for schema in small.place.facts.schemas())


def test_models_that_were_removed_or_made_ephemeral_are_not_in_the_slot(small: Small, second: Outcome) -> None:
    assert small.relations(SECOND) & {"FINANCE.FCT_REMOVED", "FINANCE.FCT_THIN", "OLD.LAYER"} == set()
    assert second.evidence["dropped"] == [
        f"FINANCE__{SECOND}.FCT_REMOVED",
        f"FINANCE__{SECOND}.FCT_THIN",
        f"OLD__{SECOND}.LAYER",
    ]
    assert f"OLD__{SECOND}" not in small.place.facts.schemas()
    assert "OLD.LAYER" in small.relations(FIRST), "the live slot keeps what it has"


def test_a_layer_slipway_was_never_told_of_is_cloned_with_the_others(small: Small, second: Outcome) -> None:
    assert "RISK.EXPOSURE" in small.relations(SECOND)
    assert not second.evidence["everything"]


def test_what_is_not_in_the_slot_is_not_published(small: Small, second: Outcome) -> None:
    small.place.publish(SECOND, replaces=FIRST)
    catalog = f"{small.place.database('MARTS')}.INFORMATION_SCHEMA.TABLES"
    rows = small.place.deployer.rows(f"SELECT TABLE_NAME FROM {catalog} WHERE TABLE_SCHEMA = 'FINANCE'")
    assert rows == [("FCT_RATE",)]


def test_a_changed_variable_of_the_project_builds_everything(small: Small, third: Outcome) -> None:
    assert third.evidence["everything"]
    assert {"fct_rate", "exposure", "dim_one", "stg_one"} <= small.built_now()
    table = f"{small.place.database('ANALYTICS')}.FINANCE__{THIRD}.FCT_RATE"
    assert small.place.deployer.rows(f"SELECT RATE FROM {table}") == [(2,)]


def test_a_build_that_fails_leaves_a_slot_that_was_complete_incomplete(small: Small, third: Outcome) -> None:
    small.place.fill(FOURTH, "FINANCE.FCT_RATE")
    small.place.complete(FOURTH)
    assert FOURTH in small.place.facts.read().complete_slots
    timeouts = small.place.environment.timeouts.model_copy(update={"build_s": 0.1})
    hurried = replace(small.place, environment=small.place.environment.model_copy(update={"timeouts": timeouts}))
    with pytest.raises(StepFailed, match="dbt did not end within"):
        replace(small, place=hurried).build(FOURTH, clone_from=THIRD)
    found = small.place.facts.read()
    assert FOURTH in found.slots, "the clone stands"
    assert FOURTH not in found.complete_slots
    assert THIRD in found.complete_slots


def test_a_clone_that_takes_longer_than_it_may_is_ended_by_the_warehouse(small: Small, third: Outcome) -> None:
    big = f"{small.place.database('ANALYTICS')}.FINANCE__{THIRD}.BIG"
    small.place.deployer.run(
        f"CREATE TABLE {big} AS SELECT SEQ4() AS N, MD5(SEQ4()::VARCHAR) AS A "
        "FROM TABLE(GENERATOR(ROWCOUNT => 12000000))"
    )
    timeouts = small.place.environment.timeouts.model_copy(update={"clone_s": 1})
    hurried = replace(small.place, environment=small.place.environment.model_copy(update={"timeouts": timeouts}))
    try:
        with pytest.raises(StepFailed, match=r"timeout of 1 second\(s\) and was canceled") as failed:
            replace(small, place=hurried).build(FIFTH, clone_from=THIRD)
    finally:
        small.place.deployer.run(f"DROP TABLE {big}")
    assert "clone_s under [timeouts]" in str(failed.value.fix)
    assert f"FINANCE__{FIFTH}" not in small.place.facts.schemas()
    found = small.place.facts.read()
    assert FIFTH not in found.complete_slots
    assert THIRD in found.complete_slots
    limit = small.place.deployer.rows("SHOW PARAMETERS LIKE 'STATEMENT_TIMEOUT_IN_SECONDS'")
    assert [row[1] for row in limit] == ["172800"], "what is no clone may take its time"


def test_a_project_is_parsed_and_it_is_told_how_long_dbt_takes(small: Small, third: Outcome, tmp_path: Path) -> None:
    place = small.place
    key_file = place.server.key_of(place.environment.warehouse.transformer)
    profile = variables(place.environment, THIRD, address=place.server.address, key_file=key_file)
    parsed = check_project(small.project, tmp_path, profile)
    assert parsed.problems == ()
    assert 0 < (parsed.parse_ms or 0) < 120_000
    broken = shutil.copytree(small.project, tmp_path / "broken")
    (broken / "models" / "finance" / "fct_rate.sql").write_text("select * from {{ ref('nowhere') }}")
    refused = check_project(broken, tmp_path / "work", profile)
    assert "nowhere" in refused.problems[0].message
    assert refused.parse_ms is None


def test_nothing_is_built_into_what_readers_see(small: Small, third: Outcome) -> None:
    small.place.publish(THIRD)
    small.place.deployer.run(f"DELETE FROM {small.place.database('OPS')}.SLIPWAY.SLOTS WHERE SLOT = '{THIRD}'")
    with pytest.raises(StepFailed, match=f"slot {THIRD} is what readers see"):
        small.build(THIRD)
    assert "FINANCE.FCT_RATE" in small.relations(THIRD)


def test_the_transformers_key_is_looked_at_before_anything_is_touched(small: Small, tmp_path: Path) -> None:
    (tmp_path / "key.p8").write_text("nothing")
    small.place.complete("AAAA0005")
    step = BuildSlot(slot="AAAA0005", release="ff", clone_from=None)
    with pytest.raises(ConfigurationError, match=r"key\.p8 is not the private key of STAGING_SVC_TRANSFORMER"):
        small.slots(tmp_path / "key.p8").build(step, lambda line: None)
    rows = small.place.deployer.rows(
        f"SELECT 1 FROM {small.place.database('OPS')}.SLIPWAY.SLOTS WHERE SLOT = 'AAAA0005'"
    )
    assert rows == [(1,)]


def test_the_ground_is_all_but_the_nodes(tmp_path: Path) -> None:
    profile = {"SLIPWAY_ANALYTICS_DATABASE": "A", "SLIPWAY_RAW_DATABASE": "R", "SLIPWAY_SLOT": FIRST}
    files = ("dbt_project.yml", "profiles.yml", "packages.yml", "macros/a.sql")
    digests = [ground_of(tmp_path, profile)]
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("changed")
        digests.append(ground_of(tmp_path, profile))
    digests.append(ground_of(tmp_path, {**profile, "SLIPWAY_RAW_DATABASE": "OTHER"}))
    assert len(set(digests)) == len(files) + 2
    for name in ("models/a.sql", "target/manifest.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("changed")
    assert ground_of(tmp_path, {**profile, "SLIPWAY_SLOT": SECOND}) == digests[-2]
