"""A contract held against the releases that are kept: what they read, which rollbacks it ends, and after it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from slipway.contraction import contraction_of, require_reachable
from slipway.deployment import Deployment
from slipway.errors import Blocked
from slipway.observation import AppliedMigration, Observation, Pointer, Published, WarehouseFacts
from slipway.release import Release
from tests.ports.environment import MemoryEnvironment

from .conftest import release_of

READS = {"dbt/models/finance/dim_account.sql": b"select note from {{ env_var('SLIPWAY_RAW_DATABASE') }}.CORE.T"}
DOES_WITHOUT = {"dbt/models/finance/dim_account.sql": b"select id from {{ env_var('SLIPWAY_RAW_DATABASE') }}.CORE.T"}
FILES: Mapping[str, bytes] = {  # of every release here: in code that is fit to be read
    "dags/card_transactions.py": b"one = 1",
    "dags/customers.py": b"two = 2",
}
SCRIPT = "V2.0.0__drop_note.sql"
DROP = "ALTER TABLE {{ raw_database }}.CORE.T DROP COLUMN IF EXISTS NOTE;"
ENDS = f"-- slipway: ends rollbacks: nobody goes back\n{DROP}"


def contract(text: str) -> dict[str, bytes]:
    return {f"snowflake_migrations/scripts/{SCRIPT}": f"-- slipway: contract\n{text}".encode()}


def release(*changes: Mapping[str, bytes]) -> Release:
    return release_of({**FILES, **{path: text for one in changes for path, text in one.items()}})


@dataclass
class Kept:
    """A site in memory: releases that were deployed one after the other, and what the warehouse says was applied."""

    releases: tuple[Release, ...]
    manifests: dict[str, bytes] = field(default_factory=dict)
    applied: tuple[AppliedMigration, ...] = ()

    @property
    def bucket(self) -> Any:
        known = {one.id: one for one in self.releases}
        return SimpleNamespace(release=known.__getitem__, dbt_manifest=self.manifests.get)

    @property
    def environment(self) -> Any:
        return SimpleNamespace(warehouse=SimpleNamespace(raw_database="STAGING_RAW", ops_database="STAGING_OPS"))

    @property
    def warehouse(self) -> Any:
        return SimpleNamespace(migrations=lambda: self.applied, has_own_table=lambda name: False)

    def history(self) -> tuple[Deployment, ...]:
        return tuple(deployed(number, one) for number, one in enumerate(self.releases))

    def seen(self, *complete: Release) -> Observation:
        """Return what is observed while the last release is live and the slots of some are complete."""
        last = self.releases[-1]
        return (
            MemoryEnvironment()
            .observe()
            .model_copy(
                update={
                    "pointer": Pointer(version=last.short_id, release=last.id, config="c", sha256="s", etag="e"),
                    "warehouse": WarehouseFacts(
                        complete_slots=tuple(one.slot for one in (*complete, last)),
                        published=Published(slot=last.slot, release=last.id),
                    ),
                }
            )
        )


def deployed(number: int, one: Release) -> Deployment:
    return Deployment(
        id=f"d-{number}",
        state="succeeded",
        purpose="deploy",
        plan="p",
        release=one.id,
        version=one.short_id,
        slot=one.slot,
        replaces=None,
        by="ana",
        commit=None,
        dags=(),
        policy=None,
        consents=(),
        breaks_glass=False,
        started_at="2026-11-01T00:00:00+00:00",
    )


def test_what_the_live_release_reads_is_not_taken() -> None:
    live = release(READS)
    found = contraction_of(Kept((live,)), release(DOES_WITHOUT, contract(ENDS)), Kept((live,)).seen())
    assert [script for script, _ in found.conflicts] == [SCRIPT]
    assert (
        f"it takes CORE.T.NOTE, which the live release {live.short_id} needs: model dim_account"
        in found.conflicts[0][1]
    )


def test_what_the_release_itself_reads_is_not_taken() -> None:
    live = release(DOES_WITHOUT)
    found = contraction_of(Kept((live,)), release(READS, contract(DROP)), Kept((live,)).seen())
    assert "which the release that is deployed" in found.conflicts[0][1]
    assert found.ends == ()


@pytest.mark.parametrize(
    ("text", "is_complete", "blocks"), [(DROP, True, True), (ENDS, True, False), (DROP, False, False)]
)
def test_a_retained_release_blocks_unless_its_rollback_is_given_up(text: str, is_complete: bool, blocks: bool) -> None:
    old, live = release(READS), release(DOES_WITHOUT)
    kept = Kept((old, live))
    seen = kept.seen(*((old,) if is_complete else ()))
    found = contraction_of(kept, release(DOES_WITHOUT, contract(text)), seen)
    assert bool(found.conflicts) == blocks
    assert found.ends == (old.short_id,)


def test_the_compiled_code_of_what_was_built_counts() -> None:
    """A macro may read what the model's own text does not say."""
    live = release(DOES_WITHOUT)
    node = {"resource_type": "model", "name": "m", "compiled_code": "select note from STAGING_RAW.CORE.T"}
    kept = Kept((live,), manifests={live.slot: json.dumps({"sources": {}, "nodes": {"m": node}}).encode()})
    found = contraction_of(kept, release(DOES_WITHOUT, contract(DROP)), kept.seen())
    assert {said.rpartition(": ")[2] for _, said in found.conflicts} == {"model m"}


def test_a_script_that_takes_nothing_asks_nobody() -> None:
    more = {"snowflake_migrations/scripts/V2.0.0__more.sql": b"CREATE TABLE {{ raw_database }}.CORE.U (A NUMBER);"}
    nobody: Any = SimpleNamespace()
    assert contraction_of(nobody, release(more), Kept((release(),)).seen()).conflicts == ()


@pytest.mark.parametrize("stands", [True, False])
def test_a_rollback_that_was_ended_is_refused_as_long_as_the_contract_stands(stands: bool) -> None:
    old, without, last = release(READS), release(DOES_WITHOUT), release(DOES_WITHOUT, contract(ENDS))
    applied = AppliedMigration(script=SCRIPT, succeeded=stands, sha256=None)
    kept: Any = Kept((old, without, last), applied=(applied,))
    require_reachable(kept, deployed(1, without))
    if stands:
        with pytest.raises(Blocked, match=f"the rollback to {old.short_id} was ended: {SCRIPT} took CORE.T.NOTE"):
            require_reachable(kept, deployed(0, old))
    else:
        require_reachable(kept, deployed(0, old))
