"""A comparison as a table, as JSON and as Markdown: only what differs, and nothing that data could bend."""

from __future__ import annotations

import json
import re

import pytest

from slipway.adapters.profile import Cell, Row, Sample
from slipway.comparison import Comparison, compare
from slipway.difference import ColumnProfile, Profile
from slipway.render_comparison import comparison_document, comparison_markdown, show_comparison
from slipway.threshold import ComparisonRules

from .test_comparison import LIVE, SLOT, TODAY

NASTY = "a | b <img src=x> [link](http://x) `code` https://x.example @team \x1b[2J\u202e\nnext"


def profiles(total: str, rows: int) -> dict[str, Profile]:
    """Return two relations, of which one depends on the figures."""
    amount = ColumnProfile(name="AMOUNT", type="NUMBER(18,2)", sum=total)
    return {
        "FINANCE.ORDERS": Profile(relation="FINANCE.ORDERS", rows=rows, columns=(amount,)),
        "FINANCE.ALIKE": Profile(relation="FINANCE.ALIKE", rows=1234),
    }


@pytest.fixture
def found() -> Comparison:
    """Rows lost and a sum moved, of which the sum is acknowledged."""
    said = {"model": "orders", "what": "sum", "reason": NASTY, "slot": SLOT}
    return compare(
        profiles("100.00", 100),
        profiles("50.00", 50),
        ComparisonRules.from_mapping({"acknowledgements": [said]}, origin="test"),
        slot=SLOT,
        against=LIVE,
        today=TODAY,
        models={"FINANCE.ORDERS": "orders"},
        because={"FINANCE.ORDERS": ("stg_orders", "orders")},
        notes={},
        unread=3,
    )


@pytest.fixture
def samples() -> tuple[Sample, ...]:
    cells = (
        Cell(column="NOTE", before=NASTY, after=None, is_personal=False),
        Cell(column="EMAIL", before=None, after=None, is_personal=True),
    )
    row = Row(key={"ID": "o7", "MAIL": None}, side="changed", cells=cells)
    return (
        Sample(relation="FINANCE.ORDERS", total=50, rows=(row,)),
        Sample(relation="FINANCE.KEYLESS", total=None, note="no key is declared, so its rows cannot be told apart"),
    )


def test_people_see_what_differs_what_explains_it_and_a_count_of_the_rest(
    found: Comparison, samples: tuple[Sample, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    show_comparison("staging", found, samples)
    told = capsys.readouterr().out
    for words in (
        f"staging: slot {SLOT} compared with {LIVE}",
        "explained by stg_orders, orders",
        "-50 %",
        "FINANCE.ORDERS: 50 rows differ, 1 of them here",
        "id o7, mail (personal)",
        "email differs (personal)",
        "FINANCE.KEYLESS: no key is declared",
        "1 of 2 relations are as they were, 1,234 rows; 3 views behind them were not read; 1 over the thresholds",
        'what = "rows"',
    ):
        assert words in told
    assert "FINANCE.ALIKE" not in told
    assert not {"\x1b", "\u202e"} & set(told)
    assert 'what = "sum"' not in told, "it is acknowledged already"


def test_the_document_is_plain_json_with_every_relation(found: Comparison, samples: tuple[Sample, ...]) -> None:
    told = json.loads(json.dumps(comparison_document("staging", found, samples)))
    assert (told["passes"], told["unread"], told["slot"], told["against"]) == (False, 3, SLOT, LIVE)
    alike, orders = told["relations"]
    assert (alike["differences"], alike["differing_rows"], alike["sample"]) == ([], None, [])
    assert orders["rows"] == {"before": 100, "after": 50}
    assert {one["measure"]: (one["over"], one["acknowledged"]) for one in orders["differences"]} == {
        "rows": (True, None),
        "sum": (True, NASTY),
    }
    assert orders["differing_rows"] == 50
    assert orders["sample"][0]["key"] == {"ID": "o7", "MAIL": None}
    assert orders["sample"][0]["columns"][1] == {"column": "EMAIL", "before": None, "after": None, "personal": True}


def test_data_writes_neither_columns_nor_links_nor_html_into_a_pull_request(
    found: Comparison, samples: tuple[Sample, ...]
) -> None:
    text = comparison_markdown("staging", found, samples)
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(table) == 3
    assert all(line.replace(r"\|", "").count("|") == 9 for line in table)
    said = re.sub(r"`[^`]*`", "", text)
    for sign in ("<img", "[link](", "https:", "@team"):
        assert sign in text, "it is told"
        assert sign not in said, "within a code span, where it means itself"
    assert not {"\x1b", "\u202e"} & set(text)
    assert "**over**" in text
    assert "1 over the thresholds" in text.splitlines()[0]


def test_a_comparison_in_which_nothing_differs_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    same = profiles("1.00", 10)
    found = compare(
        same, same, ComparisonRules(), slot=SLOT, against=LIVE, today=TODAY, models={}, because={}, notes={}
    )
    show_comparison("staging", found, ())
    assert capsys.readouterr().out.splitlines()[1:] == [
        "2 of 2 relations are as they were, 1,244 rows; may be published"
    ]
    assert "|" not in comparison_markdown("staging", found, ())
