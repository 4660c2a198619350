"""Killed anywhere, the same command goes on: every effect happens once, and all is as if nobody had been killed.

A deployment that hears no answer goes on by itself.
"""

from __future__ import annotations

from typing import get_args

import pytest

from slipway.deployment import NOTES, EventKind
from slipway.step import BACKFILL_KINDS, StepKind
from tests.e2e.matrix import KINDS, STEP_EVENTS, STEP_POINTS, Cell, alternating, cells
from tests.e2e.sample import sample
from tests.e2e.trial import Trials

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]  # the first one finds a platform that has just begun


def test_the_matrix_covers_every_kind_of_step_and_of_event() -> None:
    found = {(cell.row, cell.column) for cell in cells("deploy")}
    assert found >= {(kind, point) for kind in set(get_args(StepKind)) - BACKFILL_KINDS for point in STEP_POINTS}
    assert found >= {("-", kind) for kind in get_args(EventKind) if kind not in STEP_EVENTS | NOTES}
    assert len({cell.id for cell in alternating()}) == len(alternating()) > 50


@pytest.mark.parametrize("cell", [pytest.param(cell, id=cell.id) for cell in sample(alternating(), 1)])
def test_killed_there_the_same_command_goes_on_as_if_nothing_had_been(cell: Cell, trials: Trials) -> None:
    undisturbed = trials.undisturbed(cell.purpose)
    assert (undisturbed.kinds, undisturbed.kept) == (KINDS[cell.purpose], KINDS[cell.purpose])
    result = trials.carry_out(cell)
    assert not result.problems, "\n".join(result.problems)


def test_the_records_of_all_of_it_hold(trials: Trials) -> None:
    assert trials.house.invoke("audit.verify", "--env", "staging", "--json").json["holds"]
