"""A build that fails in the middle: readers go on with the old set, nothing half built is shown, once more mends it.

Thirty models in a row, of which the eleventh reads a table that is not there yet.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from typing import get_args

import pytest

from slipway.adapters.dbt_process import Command
from slipway.adapters.snowflake import Session
from slipway.errors import StepFailed
from slipway.ports import Outcome
from slipway.step import BuildSlot, PublishSlot
from tests.dbt.warehouse import PROJECT, READER, Server
from tests.warehouse.place import bare_place
from tests.warehouse.test_build import SETTINGS, Manifests, Small

OLD, NEW = "CCCC0001", "CCCC0002"
BUILD = BuildSlot(slot=NEW, release=NEW * 8, clone_from=OLD)
PUBLISH = PublishSlot(slot=NEW, release=NEW * 8, replaces=OLD)
MODELS = 30
FAILING = 11


def chain(version: int, *, eleventh: str = "") -> dict[str, str]:
    """Return models each of which reads the one before."""
    texts = {"m01": f"select {version} as version"}
    for number in range(2, MODELS + 1):
        texts[f"m{number:02d}"] = f"select version from {{{{ ref('m{number - 1:02d}') }}}}"
    if eleventh:
        texts[f"m{FAILING}"] += eleventh
    return texts


@pytest.fixture(scope="module")
def small(
    server: Server, deployer: Session, admin: Session, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Small]:
    with bare_place(server, deployer, admin, "CHAIN") as place:
        made = Small(place, tmp_path_factory.mktemp("chain"), Manifests())
        made.write(SETTINGS)
        for folder in (made.project / "models").iterdir():
            for file in folder.iterdir():
                file.unlink()
        (made.project / "models/customer/dim_kept.sql").write_text("select 1 as one")
        (made.project / "models/customer/dim_removed.sql").write_text("select 1 as one")
        (made.project / "models/customer/dim_thin.sql").write_text("select 1 as one")
        write(made, chain(1))
        made.build(OLD)
        made.slots().publish(PublishSlot(slot=OLD, release=OLD * 8, replaces=None), lambda line: None)
        yield made


def write(small: Small, models: dict[str, str]) -> None:
    for name, text in models.items():
        (small.project / "models/finance" / f"{name}.sql").write_text(text)


@pytest.fixture(scope="module")
def failed(small: Small) -> StepFailed:
    """The second release: another version of the chain, which stops at model 11; two models less."""
    missing = f" cross join {small.place.database('RAW')}.PUBLIC.LATE"
    write(small, chain(2, eleventh=missing))
    (small.project / "models/customer/dim_removed.sql").unlink()
    (small.project / "models/customer/dim_thin.sql").write_text(
        "{{ config(materialized='ephemeral') }} select 1 as one"
    )
    with pytest.raises(StepFailed) as stopped:
        small.slots().build(BUILD, lambda line: None)
    return stopped.value


@pytest.fixture(scope="module")
def mended(small: Small, failed: StepFailed) -> Outcome:
    raw = f"{small.place.database('RAW')}.PUBLIC"
    role = small.place.environment.warehouse.transformer.role
    small.place.deployer.run(
        f"CREATE TABLE {raw}.LATE AS SELECT 1 AS LATE",
        f"GRANT USAGE ON DATABASE {small.place.database('RAW')} TO ROLE {role}",
        f"GRANT USAGE ON SCHEMA {raw} TO ROLE {role}",
        f"GRANT SELECT ON TABLE {raw}.LATE TO ROLE {role}",
    )
    return small.slots().build(BUILD, lambda line: None)


def shown(small: Small) -> set[int]:
    """Return the versions that a reader sees in all thirty views."""
    with small.place.server.session(READER) as reader:
        marts = small.place.database("MARTS")
        views = " UNION ALL ".join(
            f"SELECT VERSION FROM {marts}.FINANCE.M{number:02d}" for number in range(1, MODELS + 1)
        )
        rows = reader.rows(views)
    assert len(rows) == MODELS
    return {int(row[0]) for row in rows}


def arguments(small: Small) -> dict[str, object]:
    found: dict[str, object] = json.loads((small.folder / "work/target/run_results.json").read_text())["args"]
    return found


def test_readers_see_the_old_set_and_the_half_that_was_built_is_shown_to_nobody(
    small: Small, failed: StepFailed
) -> None:
    assert "m11" in failed.message
    assert shown(small) == {1}
    slots = small.slots()
    assert not slots.is_built(BUILD)
    with pytest.raises(StepFailed, match=f"slot {NEW} was not built to its end"):
        slots.publish(PUBLISH, lambda line: None)
    assert shown(small) == {1}


def test_the_same_command_again_builds_the_whole_slot_from_a_clone_of_its_own(small: Small, mended: Outcome) -> None:
    assert small.slots().is_built(BUILD)
    assert {f"m{number:02d}" for number in range(1, MODELS + 1)} <= small.built_now(), "not only from the eleventh on"
    assert arguments(small)["which"] == "build"
    assert not arguments(small).get("defer")
    assert not arguments(small).get("favor_state")
    assert shown(small) == {1}


def test_what_no_node_makes_any_more_is_told_and_stays_in_the_old_slot(small: Small, mended: Outcome) -> None:
    assert mended.evidence["dropped"] == [f"CUSTOMER__{NEW}.DIM_REMOVED", f"CUSTOMER__{NEW}.DIM_THIN"]
    assert f"no node makes CUSTOMER__{NEW}.DIM_REMOVED, CUSTOMER__{NEW}.DIM_THIN any more" in mended.summary
    done = small.slots().publish(PUBLISH, lambda line: None)
    assert done.evidence["gone"] == ["CUSTOMER.DIM_REMOVED", "CUSTOMER.DIM_THIN"]
    assert shown(small) == {2}
    assert {"CUSTOMER.DIM_REMOVED", "CUSTOMER.DIM_THIN"} <= small.relations(OLD)


def test_dbt_is_never_asked_to_retry_or_to_clone() -> None:
    """With `retry` a test could hit what is live, with `clone` a relation whose source is gone would be dropped."""
    assert set(get_args(Command)) == {"parse", "build", "run", "test"}, "mypy holds every caller to these"
    daily = ast.parse((PROJECT / "dags/etl/dbt.py").read_text())
    words = {node.value for node in ast.walk(daily) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert "build" in words
    assert not words & {"retry", "clone", "--defer", "--favor-state"}
