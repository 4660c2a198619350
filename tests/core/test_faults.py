"""The table of faults names tests that exist, and a reason wherever it names none."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.fault import Fault, faults

PROJECT = Path(__file__).parents[2]


def test_every_fault_has_its_row() -> None:
    assert len(faults()) >= 54
    assert [one.id for one in faults()] == [f"F{number:02d}" for number in range(1, len(faults()) + 1)]


@pytest.mark.parametrize("fault", faults(), ids=lambda one: one.id)
def test_a_fault_has_tests_or_says_why_it_has_none(fault: Fault) -> None:
    assert bool(fault.tests) != bool(fault.open)
    for test in fault.tests:
        path, _, name = test.partition("::")
        tree = ast.parse((PROJECT / path).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test
