"""Over any history of changes and failures: a plan is a function of what is seen, does each thing once, and then there
is nothing left to do."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from slipway.deployment import fold
from slipway.errors import StepFailed
from slipway.plan import Plan
from slipway.step import BACKFILL_KINDS, StepKind
from tests.ports.environment import MemoryEnvironment
from tests.ports.memory import MemoryJournal

from .conftest import release_of, version_in_staging
from .test_engine import deploy

KINDS = tuple(kind for kind in get_args(StepKind) if kind not in BACKFILL_KINDS)
FILES = ("dags/customers.py", "dbt/models/finance/dim_account.sql", "snowflake_migrations/scripts/R__views.sql")
AGAIN = {"compare"}  # it only reads, and is done again until the slot is shown
KEPT = {"rehearse"}  # of the same scripts on the same base it counts for good


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """Return one release: which files have which content, its settings, whether AWS changes, and where it fails."""
    files = draw(st.dictionaries(st.sampled_from(FILES), st.sampled_from([b"a", b"b", b"c"])))
    return {
        "files": files,
        "threads": draw(st.integers(1, 3)),
        "infra": draw(st.booleans()),
        "fails_at": draw(st.sampled_from([None, *KINDS])),
    }


@given(history=st.lists(changes(), min_size=1, max_size=6))
def test_whatever_failed_before_each_release_comes_to_an_empty_plan_by_effects_that_happen_once(
    history: list[dict[str, Any]],
) -> None:
    environment, journal = MemoryEnvironment(), MemoryJournal()
    for number, wanted in enumerate(history):
        release = release_of(wanted["files"])
        version = version_in_staging(release, dbt_threads=wanted["threads"])
        environment.infra_plan = f"{number:064x}" if wanted["infra"] else environment.infra_plan
        plan = environment.plan(release, version)
        assert plan == environment.plan(release, version), "nothing but what is seen decides"
        assert Plan.from_bytes(plan.to_bytes(), origin="memory").id == plan.id
        if plan.is_empty:
            continue
        kinds = [step.kind for step in plan.steps]
        assert kinds == sorted(set(kinds), key=KINDS.index)
        before = dict(environment.counts)
        for fails_at in (wanted["fails_at"], None):
            environment.fails_at = fails_at
            last = next(reversed(fold(journal.events())), None)
            if last is None or last.id != f"d-{number}" or last.state != "succeeded":
                with suppress(StepFailed):
                    deploy(environment, journal, release, version, plan=plan, deployment=f"d-{number}")
        done = next(reversed(fold(journal.events())))
        assert (done.id, done.state) == (f"d-{number}", "succeeded")
        for kind in KINDS:
            did = environment.counts.get(kind, 0) - before.get(kind, 0)
            steps = kinds.count(kind)
            assert did == steps or (kind in AGAIN and did > steps > 0) or (kind in KEPT and did < steps), kind
        assert environment.plan(release, version).is_empty
