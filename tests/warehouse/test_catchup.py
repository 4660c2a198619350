"""Catching up: what pipelines write to the live slot while the next one is built is in the next one before it is shown.

A live slot that goes on: an incremental model and a snapshot over a loaded table, built again as `finance_daily` does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from slipway.adapters.comparer import NEWER
from slipway.adapters.dbt_tree import variables
from slipway.adapters.snowflake import Session
from slipway.errors import StepFailed
from slipway.node import SCHEMA, nodes_in
from slipway.step import CatchUpSlot, CompareSlot, PublishSlot
from slipway.threshold import ComparisonRules
from tests.dbt.warehouse import Server
from tests.warehouse.place import bare_place
from tests.warehouse.test_build import SETTINGS, Manifests, Small

LIVE, NEXT, AFTER = "BBBB0001", "BBBB0002", "BBBB0003"
STEP = CatchUpSlot(slot=NEXT, release=NEXT * 8, follows=LIVE)
SOURCES = """
sources:
  - name: loaded
    database: "{{ env_var('SLIPWAY_RAW_DATABASE') }}"
    schema: PUBLIC
    tables: [{name: orders}]
snapshots:
  - name: seen
    relation: source('loaded', 'orders')
    config: {schema: snapshots, strategy: check, unique_key: id, check_cols: all}
"""
MODELS = {
    "staging/stg_orders.sql": "select * from {{ source('loaded', 'orders') }}",
    "finance/fct_orders.sql": "{{ config(materialized='incremental', unique_key='id') }}"
    " select id, amount from {{ ref('stg_orders') }}"
    " {% if is_incremental() %} where id > (select max(id) from {{ this }}) {% endif %}",
    "finance/agg_orders.sql": "select sum(amount) as amount from {{ ref('fct_orders') }}",
    "customer/dim_still.sql": "select 1 as one",
    "customer/dim_cloned.sql": "select 1 as one",
    "loaded.yml": SOURCES,
}


@pytest.fixture(scope="module")
def small(
    server: Server, deployer: Session, admin: Session, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Small]:
    with bare_place(server, deployer, admin, "FOLLOW") as place:
        made = Small(place, tmp_path_factory.mktemp("follow"), Manifests())
        made.write(SETTINGS)
        for folder in (made.project / "models").iterdir():
            for file in folder.iterdir():
                file.unlink()
        for name, text in MODELS.items():
            (made.project / "models" / name).write_text(text)
        (made.project / "models/staging/stg_orders.sql").write_text(MODELS["staging/stg_orders.sql"])
        raw, transformer = place.database("RAW"), place.environment.warehouse.transformer.role
        deployer.run(
            f"CREATE TABLE {raw}.PUBLIC.ORDERS (ID INT, AMOUNT INT)",
            f"INSERT INTO {raw}.PUBLIC.ORDERS VALUES (1, 10)",
            f"GRANT USAGE ON DATABASE {raw} TO ROLE {transformer}",
            f"GRANT USAGE ON SCHEMA {raw}.PUBLIC TO ROLE {transformer}",
            f"GRANT SELECT ON TABLE {raw}.PUBLIC.ORDERS TO ROLE {transformer}",
        )
        made.build(LIVE)
        made.slots().publish(PublishSlot(slot=LIVE, release=LIVE * 8, replaces=None), lambda line: None)
        (made.project / "models/customer/dim_still.sql").write_text("select 2 as one")
        made.build(NEXT, clone_from=LIVE)
        yield made


def load(small: Small, *rows: str) -> None:
    """Load rows and have the live slot built, as a pipeline and the daily build do."""
    raw = f"{small.place.database('RAW')}.PUBLIC.ORDERS"
    small.place.deployer.run(f"INSERT INTO {raw} VALUES {', '.join(rows)}")
    daily(small)


def daily(small: Small) -> None:
    slots = small.slots()
    slots._run(profile(small, LIVE), [], lambda line: None)


def profile(small: Small, slot: str) -> dict[str, str]:
    transformer = small.place.environment.warehouse.transformer
    server = small.place.server
    return variables(small.place.environment, slot, address=server.address, key_file=server.key_of(transformer))


def total(small: Small, slot: str) -> int:
    table = f"{small.place.database('ANALYTICS')}.FINANCE__{slot}.AGG_ORDERS"
    return int(small.place.deployer.rows(f"SELECT AMOUNT FROM {table}")[0][0])


def test_exactly_what_was_written_to_and_what_descends_from_it_is_built_again(small: Small) -> None:
    table = f"{small.place.database('ANALYTICS')}.FINANCE__{LIVE}.FCT_ORDERS"
    small.place.deployer.run(f"UPDATE {table} SET AMOUNT = AMOUNT")
    small.slots().catch_up(STEP, lambda line: None)
    assert small.built_now() == {"fct_orders", "agg_orders"}


def test_what_was_built_again_is_explained_by_newer_data_and_what_was_not_is_compared_strictly(small: Small) -> None:
    """A correction that reached the loaded table after the live slot was built from it."""
    run, analytics = small.place.deployer.run, small.place.database("ANALYTICS")
    raw, live = f"{small.place.database('RAW')}.PUBLIC.ORDERS", f"{analytics}.FINANCE__{LIVE}.FCT_ORDERS"
    cloned = f"{analytics}.CUSTOMER__{NEXT}.DIM_CLONED"
    run(
        f"INSERT INTO {raw} VALUES {', '.join(f'({number}, 10)' for number in range(100, 200))}",
        f"INSERT INTO {live} SELECT ID, AMOUNT FROM {raw} WHERE ID >= 100",
        f"DELETE FROM {raw} WHERE ID = 151",
    )
    small.slots().catch_up(STEP, lambda line: None)

    found, _, _ = small.comparer().look(NEXT, LIVE, lambda line: None)
    told = {one.relation: one for one in found.relations}
    assert told["FINANCE.FCT_ORDERS"].because == told["FINANCE.AGG_ORDERS"].because == (NEWER,)
    assert told["FINANCE.FCT_ORDERS"].rows == (101, 100)
    assert told["CUSTOMER.DIM_CLONED"].because == ()
    assert found.stopping == ()

    run(f"DELETE FROM {cloned}")
    found, _, _ = small.comparer().look(NEXT, LIVE, lambda line: None)
    assert [(one.place, one.allowed) for one in found.stopping] == [("CUSTOMER.DIM_CLONED", "0 %")]

    run(f"INSERT INTO {cloned} SELECT 1", f"DELETE FROM {raw} WHERE ID >= 100", f"DELETE FROM {live} WHERE ID >= 100")
    run(f"DELETE FROM {live.replace(LIVE, NEXT)} WHERE ID >= 100")
    small.slots().catch_up(STEP, lambda line: None)


def test_a_row_loaded_between_clone_and_publishing_is_in_the_slot_after_catching_up_and_not_before(
    small: Small,
) -> None:
    slots = small.slots()
    assert slots.is_caught_up(STEP), "nothing was written since the clone"
    before = total(small, NEXT)
    load(small, "(20, 20)")
    assert total(small, LIVE) == before + 20
    assert total(small, NEXT) == before, "without it the row would be missing"
    assert not slots.is_caught_up(STEP)
    done = slots.catch_up(STEP, lambda line: None)
    assert total(small, NEXT) == before + 20
    assert done.evidence["passes"] == 1
    assert slots.is_caught_up(STEP)


def test_the_history_a_snapshot_saw_meanwhile_is_copied(small: Small) -> None:
    raw = f"{small.place.database('RAW')}.PUBLIC.ORDERS"
    for amount in (11, 12):  # the slot would see the second only
        small.place.deployer.run(f"UPDATE {raw} SET AMOUNT = {amount} WHERE ID = 1")
        daily(small)
    done = small.slots().catch_up(STEP, lambda line: None)
    assert "SNAPSHOTS.SEEN" in done.evidence["copied"]
    table = f"{small.place.database('ANALYTICS')}.SNAPSHOTS__{NEXT}.SEEN"
    seen = small.place.deployer.rows(f"SELECT AMOUNT FROM {table} WHERE ID = 1 ORDER BY AMOUNT")
    assert seen == [(10,), (11,), (12,)]


def test_a_comparison_during_which_the_live_slot_was_written_to_counts_for_nothing_and_a_resume_catches_up(
    small: Small,
) -> None:
    slots, table = small.slots(), f"{small.place.database('ANALYTICS')}.FINANCE__{LIVE}.FCT_ORDERS"
    step = CompareSlot(slot=NEXT, release=NEXT * 8, against=LIVE, rules=ComparisonRules().digest)
    slots.catch_up(STEP, lambda line: None)
    slots.compare(step, lambda line: None)

    written = list[str]()

    def write(line: str) -> None:
        if not written:
            small.place.deployer.run(f"UPDATE {table} SET AMOUNT = AMOUNT + 1")
        written.append(line)

    with pytest.raises(StepFailed, match=f"slot {LIVE}, which is live, was written to while it was compared"):
        slots.compare(step, write)
    assert not slots.is_caught_up(STEP)
    slots.catch_up(STEP, lambda line: None)
    slots.compare(step, lambda line: None)


def test_nothing_in_a_slot_names_another_one_though_nothing_is_deferred(small: Small) -> None:
    small.place.dependents.refuse_before_publishing(NEXT, live=LIVE)
    views = f"{small.place.database('ANALYTICS')}.INFORMATION_SCHEMA.VIEWS"
    texts = small.place.deployer.rows(f"SELECT VIEW_DEFINITION FROM {views} WHERE ENDSWITH(TABLE_SCHEMA, '{NEXT}')")
    assert texts
    assert not [text for (text,) in texts if LIVE in text]


def test_a_manifest_of_another_dbt_or_schema_is_not_compared_with_and_everything_is_built(small: Small) -> None:
    kept = json.loads(small.manifests.dbt_manifest(LIVE) or b"{}")
    assert kept["metadata"]["dbt_schema_version"] == SCHEMA, "the locked dbt"
    assert {one.relation for one in nodes_in(json.dumps(kept).encode(), LIVE)} >= {("SNAPSHOTS", "SEEN")}
    for key, value in (("dbt_version", "1.9.0"), ("dbt_schema_version", SCHEMA.replace("v12", "v11"))):
        other = {**kept, "metadata": {**kept["metadata"], key: value}}
        small.manifests.put_dbt_manifest(LIVE, json.dumps(other).encode())
        done = small.build(NEXT, clone_from=LIVE)
        assert done.evidence["everything"]
        assert "fct_orders" in small.built_now()
        assert "; everything, because the manifest" in done.summary
    small.manifests.put_dbt_manifest(LIVE, json.dumps(kept).encode())


def test_a_catching_up_that_fails_leaves_a_slot_that_nobody_can_show_and_the_next_one_builds_it_anew(
    small: Small,
) -> None:
    """The plan of a slot that another deployment built has no build; it is the plan that is gone on with."""
    slots, raw = small.slots(), f"{small.place.database('RAW')}.PUBLIC.ORDERS"
    load(small, "(30, 20)")
    small.place.deployer.run(f"REVOKE SELECT ON TABLE {raw} FROM ROLE STAGING_TRANSFORMER")
    with pytest.raises(StepFailed):
        slots.catch_up(STEP, lambda line: None)
    assert not slots.is_caught_up(STEP)
    with pytest.raises(StepFailed, match=f"slot {NEXT} was not built to its end"):
        slots.publish(PublishSlot(slot=NEXT, release=NEXT * 8, replaces=LIVE), lambda line: None)

    small.place.deployer.run(f"GRANT SELECT ON TABLE {raw} TO ROLE STAGING_TRANSFORMER")
    done = slots.catch_up(STEP, lambda line: None)
    assert done.summary.startswith("built anew: ")
    assert done.evidence["anew"]["cloned_from"] == LIVE
    assert slots.is_caught_up(STEP)
    assert total(small, NEXT) == total(small, LIVE)


def test_a_slot_that_is_not_complete_is_built_though_nothing_was_written_meanwhile(small: Small) -> None:
    slots, ops = small.slots(), small.place.database("OPS")
    slots.catch_up(STEP, lambda line: None)
    small.place.deployer.run(f"DELETE FROM {ops}.SLIPWAY.SLOTS WHERE SLOT = '{NEXT}'")
    done = slots.catch_up(STEP, lambda line: None)
    assert done.summary.endswith("; then nothing was written meanwhile")
    assert slots.is_caught_up(STEP)
    assert NEXT in small.place.facts.read().complete_slots


def test_a_mart_that_the_live_slot_has_not_gets_what_was_loaded_meanwhile_and_waits_for_no_further_loads(
    small: Small,
) -> None:
    slots, place = small.slots(), small.place
    raw, again = f"{place.database('RAW')}.PUBLIC.ORDERS", CatchUpSlot(slot=AFTER, release=AFTER * 8, follows=LIVE)
    (small.project / "models/finance/fct_new.sql").write_text("select id from {{ ref('stg_orders') }}")
    small.build(AFTER, clone_from=LIVE)
    assert slots.is_caught_up(again)

    def load_more(line: str) -> None:
        place.deployer.run(f"INSERT INTO {raw} SELECT MAX(ID) + 1, 1 FROM {raw}")

    load_more("")
    loaded = place.deployer.rows(f"SELECT ID FROM {raw}")
    assert not slots.is_caught_up(again)
    done = slots.catch_up(again, load_more)
    assert (done.evidence["passes"], small.built_now()) == (1, {"fct_new"})
    held = place.deployer.rows(f"SELECT ID FROM {place.database('ANALYTICS')}.FINANCE__{AFTER}.FCT_NEW")
    assert set(loaded) <= set(held)
    slots.catch_up(again, lambda line: None)
    assert slots.is_caught_up(again)
