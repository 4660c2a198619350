"""What a profile asks of the warehouse: hashes of what can be hashed, and of no personal column alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from slipway.adapters.profile import Relation, profile

TEXT, KEY = "TEXT", "NUMBER(38,0)"


def hashes(columns: Mapping[str, str], *, concealed: frozenset[str] = frozenset()) -> list[str]:
    """Return the columns of every hash that the profile of a relation asks for; the one of its rows first."""
    asked: list[str] = []

    def rows(statement: str) -> list[tuple[Any, ...]]:
        asked.append(statement)
        return [tuple(0 for _ in range(statement.count("(") + 1))]

    relation = Relation(layer="FINANCE", name="R", is_view=False, columns=columns, rows=0, altered_at=None)
    profile(rows, relation, "DB.FINANCE.R", keys=(), personal=concealed, concealed=concealed, estimates=False)
    (statement,) = asked
    return re.findall(r"HASH_AGG\(([^)]*)\)", statement)


def test_rows_and_every_column_are_hashed() -> None:
    assert hashes({"ID": KEY, "NOTE": TEXT}) == ["ID, NOTE", "ID", "NOTE"]


def test_semi_structured_values_are_hashed_too() -> None:
    assert hashes({"ID": KEY, "RAW": "VARIANT"}) == ["ID, RAW", "ID", "RAW"]


@pytest.mark.parametrize("kind", ["FLOAT", "GEOGRAPHY", "GEOMETRY"])
def test_what_has_no_hash_or_not_the_same_one_each_time_is_left_out(kind: str) -> None:
    assert hashes({"ID": KEY, "PLACE": kind}) == ["ID", "ID"]


def test_concealed_columns_are_hashed_in_their_row_alone() -> None:
    assert hashes({"ID": KEY, "EMAIL": TEXT}, concealed=frozenset({"EMAIL"})) == ["ID, EMAIL", "ID"]


def test_rows_of_nothing_but_concealed_values_are_not_hashed() -> None:
    concealed = frozenset({"EMAIL", "NAME"})
    assert hashes({"EMAIL": TEXT, "NAME": TEXT}, concealed=concealed) == []
    assert hashes({"EMAIL": TEXT, "SCORE": "FLOAT"}, concealed=concealed) == []
