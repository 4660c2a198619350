"""What was reviewed is applied, or nothing is: how another plan is told, and when a rollback is the same one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from slipway.errors import Stale
from slipway.launch import SAME_ROLLBACK, given_again, refuse_other_plan, settle
from slipway.observation import Base
from slipway.plan import Plan

from ..ports.memory import MemoryJournal, MemoryTable
from .conftest import commit_by
from .test_approval import plan_by

REVIEWED = plan_by("Ana <ana@finedge.example>")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": "1" * 12}, f"version: {REVIEWED.version} -> 111111111111"),
        ({"policy": "1" * 64}, f"policy: {REVIEWED.policy[:12]} -> 111111111111"),
        ({"configuration": "1" * 64}, f"configuration: {REVIEWED.configuration[:12]} -> 111111111111"),
        ({"after": "d-2"}, "deployment before: None -> d-2"),
        ({"commits": (*REVIEWED.commits, commit_by("Ben <b@x>"))}, "commits: 1 -> 2"),
        ({"steps": REVIEWED.steps[1:]}, f"steps: {', '.join(one.kind for one in REVIEWED.steps)} -> "),
        ({"dag_ids": ("another",)}, "what its steps say"),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_another_plan_than_the_reviewed_one_is_refused_and_names_what_is_different(
    change: dict[str, Any], said: str
) -> None:
    with pytest.raises(Stale) as refused:
        refuse_other_plan(REVIEWED, REVIEWED.model_copy(update=change))
    assert f"\n  {said}" in refused.value.message
    assert "nothing was changed" in refused.value.message


def test_what_others_moved_since_is_named_and_the_reviewed_plan_itself_is_not_refused() -> None:
    moved = REVIEWED.base.model_copy(update={"serial": REVIEWED.base.serial + 1}).model_dump()
    with pytest.raises(Stale, match="serial"):
        refuse_other_plan(REVIEWED, REVIEWED.model_copy(update={"base": Base.from_mapping(moved, origin="memory")}))
    refuse_other_plan(REVIEWED, Plan.from_bytes(REVIEWED.to_bytes(), origin="memory"))


@pytest.mark.parametrize(
    ("purpose", "ago", "is_same"),
    [
        ("rollback", timedelta(0), True),
        ("rollback", SAME_ROLLBACK - timedelta(seconds=5), True),
        ("rollback", SAME_ROLLBACK + timedelta(seconds=5), False),
        ("deploy", timedelta(0), False),
    ],
)
def test_a_rollback_given_again_is_the_same_one_for_a_while(purpose: str, ago: timedelta, is_same: bool) -> None:
    journal = MemoryJournal(MemoryTable(), clock=lambda: (datetime.now(UTC) - ago).isoformat())
    facts = {"purpose": purpose, "plan": "p", "release": "r", "version": "v", "slot": "s", "replaces": None}
    journal.append("d-1", "began", {**facts, "by": "ana", "commit": None})
    assert given_again(journal) is None, "it goes on"
    journal.append("d-1", "verifying", {})
    journal.append("d-1", "succeeded", {})
    found = given_again(journal)
    assert (found is not None) == is_same
    journal.append("d-2", "began", {**facts, "purpose": "deploy", "by": "ana", "commit": None})
    assert given_again(journal) is None, "something else came after it"


def test_what_did_not_end_is_abandoned_once() -> None:
    journal = MemoryJournal()
    assert not settle(journal)
    facts = {"purpose": "deploy", "plan": "p", "release": "r", "version": "v", "slot": "s", "replaces": None}
    journal.append("d-1", "began", {**facts, "by": "ana", "commit": None})
    assert settle(journal)
    assert journal.events()[-1].kind == "abandoned"
    assert not settle(journal), "it has come to its end, which is to be sealed"
