"""The evidence of a step names the warehouse's own ids of what it ran, as the warehouse's history has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slipway.adapters.query import KEPT, Queries
from slipway.errors import StepFailed
from tests.warehouse.place import Place
from tests.warehouse.test_build import MODELS, Manifests, Small
from tests.warehouse.test_migration import EACH, SCRIPTS, SECOND, VIEW, Scripts

SLOT = "AAAA0001"


def history(place: Place, evidence: dict[str, Any]) -> list[tuple[str, str]]:
    """Return tag and text of the queries that the evidence names, in its order."""
    table = f"TABLE({place.database('OPS')}.INFORMATION_SCHEMA.QUERY_HISTORY(RESULT_LIMIT => 10000))"
    rows = place.admin.rows(f"SELECT QUERY_ID, QUERY_TAG, QUERY_TEXT FROM {table}")
    known = {str(name): (str(tag), str(text)) for name, tag, text in rows}
    return [known[one] for one in evidence["query_ids"]]


def test_what_a_session_runs_is_noted_until_the_end_of_the_block(place: Place) -> None:
    session = place.deployer
    session.rows("SELECT 0")
    with session.noting() as outer:
        session.rows("SELECT 1")
        with session.noting() as inner, pytest.raises(StepFailed):
            session.run("SELECT 2", "SELECT NO_SUCH_COLUMN")
        session.require_answer()
    session.rows("SELECT 3")
    told = ["SELECT 1", "SELECT 2", "SELECT NO_SUCH_COLUMN"]  # what was refused has an id too
    assert [text for _, text in history(place, outer.evidence())] == told
    assert outer.evidence()["query_tag"] == session.query_tag == history(place, outer.evidence())[0][0]
    assert inner.ids == outer.ids[1:]


def test_the_first_ids_and_the_last_are_kept_and_all_are_counted() -> None:
    queries = Queries(tag="t")
    queries.note(str(number) for number in range(KEPT - 1))
    queries.note([None, "beyond", "last", ""])
    found = queries.evidence()
    assert found["query_ids"] == [*map(str, range(KEPT - 1)), "last"]
    assert (found["queries"], found["query_tag"]) == (KEPT + 1, "t")


def test_the_evidence_of_a_publishing_names_its_statements(place: Place) -> None:
    place.fill(SLOT, "FINANCE.A", "CUSTOMER.B")
    evidence = dict(place.publish(SLOT).evidence)
    found = history(place, evidence)
    assert {tag for tag, _ in found} == {place.deployer.query_tag}
    assert evidence["queries"] >= len(found)
    following = f"{place.database('MARTS')}__NEXT"
    assert f"CREATE OR REPLACE DATABASE {following}" in [text for _, text in found]


def test_the_evidence_of_a_build_names_what_made_every_node_and_what_the_deployer_did(
    place: Place, tmp_path: Path
) -> None:
    small = Small(place, tmp_path, Manifests())
    small.write()
    evidence = dict(small.build(SLOT).evidence)
    made = history(place, evidence)
    assert evidence["queries"] == evidence["nodes"] == len(made)
    assert {tag for tag, _ in made} == {evidence["query_tag"]} == {f"slipway:dbt:{SLOT}"}
    assert any("FINANCE__AAAA0001" in text and "fct_rate" in text for _, text in made)
    assert any(text.startswith("DELETE FROM") for _, text in history(place, evidence["session"]))


def test_the_evidence_of_a_migration_names_the_queries_of_its_run_alone(place: Place, tmp_path: Path) -> None:
    work = Scripts(place, tmp_path)
    first = dict(work.migrate(SCRIPTS).evidence)
    second = dict(work.migrate({**SCRIPTS, EACH: "SELECT 2;"}).evidence)
    texts = [text for _, text in history(place, first)]
    assert any("CREATE TABLE" in text and ".PUBLIC.T" in text for text in texts)
    assert all(first["query_tag"] in tag for tag, _ in history(place, first))
    assert first["queries"] > second["queries"] > 0, "the second run applied one script of three"
    assert first["query_tag"] != second["query_tag"]
    assert not set(first["query_ids"]) & set(second["query_ids"])
    assert first["session"]["queries"] > 0


def test_a_build_that_fails_takes_the_queries_of_its_nodes_along_and_those_of_the_deployer(
    place: Place, tmp_path: Path
) -> None:
    small = Small(place, tmp_path, Manifests())
    small.write(models={**MODELS, "finance/fct_wrong.sql": "select 1 / 0 as rate"})
    with pytest.raises(StepFailed, match="fct_wrong") as failed:
        small.build(SLOT)
    evidence = dict(failed.value.evidence)
    made = history(place, evidence)
    assert made
    assert {tag for tag, _ in made} == {evidence["query_tag"]} == {f"slipway:dbt:{SLOT}"}
    assert any(text.startswith("DELETE FROM") for _, text in history(place, evidence["session"]))


@pytest.mark.parametrize("name", [SECOND, VIEW])
def test_a_migration_that_fails_takes_the_query_that_was_refused_along(name: str, place: Place, tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=name) as failed:
        Scripts(place, tmp_path).migrate(
            {**SCRIPTS, name: f"CREATE TABLE {place.database('RAW')}.PUBLIC.W (N NO_SUCH);"}
        )
    evidence = dict(failed.value.evidence)
    texts = [text for _, text in history(place, evidence if name == VIEW else evidence["session"])]
    assert any("NO_SUCH" in text for text in texts)
