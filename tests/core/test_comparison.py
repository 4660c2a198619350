"""The comparison of profiles: what differs, by how much, and what the policy says of it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.comparison import (
    EVIDENCE_BYTES,
    EVIDENCE_FINDINGS,
    NAMED,
    Comparison,
    Finding,
    acknowledgement_lines,
    compare,
    judge,
    refusal,
)
from slipway.difference import ColumnProfile, Difference, Profile, differences
from slipway.documents import canonical, digest_of
from slipway.threshold import Acknowledgement, ComparisonRules, Measure

SLOT, LIVE, TODAY = "D16BA260", "747CD4E1", date(2026, 11, 28)
TYPES = ("NUMBER(18,2)", "NUMBER(38,0)", "FLOAT", "TEXT", "DATE")

amounts = st.decimals(min_value=-10_000, max_value=10_000, places=2).map(str)
days = st.dates(min_value=date(2020, 1, 1), max_value=date(2030, 1, 1)).map(date.isoformat)
columns = st.builds(
    ColumnProfile,
    name=st.sampled_from(["A", "B", "C"]),
    type=st.sampled_from(TYPES),
    nulls=st.integers(0, 50),
    distinct=st.none() | st.integers(0, 50),
    sum=st.none() | amounts | st.sampled_from(["nan", "inf", "-inf"]),
    earliest=st.none() | days,
    latest=st.none() | days,
    content=st.none() | st.sampled_from(["1", "2"]),
)
profiles = st.builds(
    Profile,
    relation=st.just("FINANCE.ORDERS"),
    rows=st.integers(0, 100),
    columns=st.lists(columns, max_size=3, unique_by=lambda one: one.name).map(tuple),
    duplicates=st.dictionaries(st.sampled_from(["A", "A, B"]), st.integers(0, 3), max_size=2),
    is_estimated=st.booleans(),
    content=st.none() | st.sampled_from(["1", "2"]),
)


def profile(*, rows: int = 1000, duplicates: dict[str, int] | None = None, **column: Any) -> Profile:
    """Return a profile with a column AMOUNT."""
    told = {"name": "AMOUNT", "type": "NUMBER(18,2)", "distinct": 100, "sum": "1000.00", **column}
    return Profile(
        relation="FINANCE.ORDERS", rows=rows, columns=(ColumnProfile(**told),), duplicates=duplicates or {"ID": 0}
    )


def held(before: Profile | None, after: Profile | None, **rules: Any) -> Comparison:
    """Return the comparison of one relation that a changed model explains."""
    return compare(
        {"FINANCE.ORDERS": before} if before else {},
        {"FINANCE.ORDERS": after} if after else {},
        ComparisonRules.from_mapping(rules, origin="test"),
        slot=SLOT,
        against=LIVE,
        today=TODAY,
        models={"FINANCE.ORDERS": "orders"},
        because={"FINANCE.ORDERS": ("orders",)},
        notes={},
    )


# ---- what differs ----------------------------------------------------------------------------------------------


@given(one=profiles)
def test_what_is_equal_differs_in_nothing(one: Profile) -> None:
    assert differences(one, one) == ()


@given(before=st.none() | profiles, after=st.none() | profiles)
def test_the_other_way_round_before_and_after_change_places(before: Profile | None, after: Profile | None) -> None:
    turned: dict[Measure, Measure] = {"added": "removed", "removed": "added"}
    there = {_facts(one) for one in differences(before, after)}
    back = {
        _facts(
            one.model_copy(
                update={
                    "before": one.after,
                    "after": one.before,
                    "rows": (one.rows[1], one.rows[0]),
                    "measure": turned.get(one.measure, one.measure),
                }
            )
        )
        for one in differences(after, before)
    }
    assert there == back


def _facts(one: Difference) -> bytes:
    return one.to_bytes()


@given(before=profiles, after=profiles)
def test_every_difference_can_be_judged_and_the_comparison_reads_back(before: Profile, after: Profile) -> None:
    comparison = held(before, after)
    assert Comparison.from_bytes(comparison.to_bytes(), origin="memory").to_bytes() == comparison.to_bytes()
    assert all(one.sentence() and one.place.startswith("FINANCE.ORDERS") for one in comparison.findings)
    assert set(comparison.stopping) <= set(comparison.findings[: len(comparison.stopping)])


def test_values_that_change_and_leave_every_figure_as_it_was_are_told_and_not_judged() -> None:
    one, other = (profile(type="TEXT", sum=None, content=content) for content in ("1", "2"))
    (found,) = held(one, other).findings
    assert (found.difference.measure, found.difference.column, found.is_over) == ("values", "AMOUNT", False)
    assert found.sentence() == "FINANCE.ORDERS.AMOUNT values: changed"


def test_what_another_figure_tells_is_not_told_once_more() -> None:
    before, after = (profile(sum=total, content=total) for total in ("1.00", "2.00"))
    assert [one.measure for one in differences(before, after)] == ["sum"]
    more = profile(rows=1001, content="3")
    assert [one.measure for one in differences(profile(content="1"), more)] == ["rows"]


def test_values_that_change_places_between_rows_and_personal_ones_are_told_of_the_relation() -> None:
    one, other = (profile().model_copy(update={"content": content}) for content in ("1", "2"))
    assert [(found.measure, found.column) for found in differences(one, other)] == [("values", None)]
    wider = profile(type="NUMBER(20,2)").model_copy(update={"content": "2"})
    assert [found.measure for found in differences(one, wider)] == ["type"], "a column of another type is told already"


def test_two_estimates_are_alike_within_their_error_and_two_exact_numbers_are_not() -> None:
    near = [profile(distinct=count).model_copy(update={"is_estimated": True}) for count in (1000, 1050, 1060)]
    assert differences(near[0], near[1]) == ()
    assert [one.measure for one in differences(near[0], near[2])] == ["distinct"]
    assert [one.measure for one in differences(profile(distinct=1000), profile(distinct=1001))] == ["distinct"]


def test_sums_of_floating_point_numbers_may_differ_by_the_order_they_were_added_in() -> None:
    one, other, more = (profile(type="FLOAT", sum=total) for total in ("0.3", "0.30000000000000004", "0.31"))
    assert differences(one, other) == ()
    assert [(one.measure, one.is_money) for one in differences(one, more)] == [("sum", True)]


def test_what_is_left_of_floating_point_numbers_that_cancel_out_is_noise_however_it_moved() -> None:
    one, other = (profile(type="FLOAT", sum=total, magnitude="1000") for total in ("1e-10", "-2e-10"))
    assert differences(one, other) == ()
    few = [profile(type="FLOAT", sum=total, magnitude="1e-9") for total in ("1e-10", "-2e-10")]
    assert [one.difference.measure for one in held(*few).stopping] == ["sum"], "where that is most of what there is"


@pytest.mark.parametrize("other", ["nan", "inf", "-inf"])
def test_a_sum_that_is_no_finite_number_on_one_side_stops(other: str) -> None:
    finite, not_finite = profile(type="FLOAT", sum="1.5"), profile(type="FLOAT", sum=other, magnitude=other)
    assert differences(not_finite, not_finite) == ()
    for before, after in ((finite, not_finite), (not_finite, finite)):
        assert [one.difference.measure for one in held(before, after).stopping] == ["sum"]


def test_one_amount_of_two_scales_is_one_sum() -> None:
    for old, new in (("0.00", "0.0000"), ("1000.00", "1000.0000")):
        found = differences(profile(sum=old), profile(type="NUMBER(20,4)", sum=new))
        assert [one.measure for one in found] == ["type"]


# ---- what is allowed -------------------------------------------------------------------------------------------

# What is before and after, the rules -> at the threshold, and a little beyond it
BOUNDARIES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "rows lost": ({"rows": 1000}, {"rows": 950}, {"rows": 949}, {"rows_percent": 5}),
    "rows added": ({"rows": 1000}, {"rows": 1100}, {"rows": 1101}, {"growth_percent": 10}),
    "nulls": ({"nulls": 10}, {"nulls": 20}, {"nulls": 21}, {"nulls_percent": 1}),
    "distinct lost": ({"distinct": 100}, {"distinct": 90}, {"distinct": 89}, {"distinct_percent": 10}),
    "distinct added": ({"distinct": 100}, {"distinct": 110}, {"distinct": 111}, {"growth_percent": 10}),
    "sum risen": ({"sum": "1000.00"}, {"sum": "1050.00"}, {"sum": "1050.01"}, {"sum_percent": 5}),
    "sum fallen": ({"sum": "1000.00"}, {"sum": "950.00"}, {"sum": "949.99"}, {"sum_percent": 5}),
    "sum below zero": ({"sum": "-1000.00"}, {"sum": "-995.00"}, {"sum": "-994.99"}, {"sum_percent": "0.5"}),
    "not a cent": ({"sum": "1000.00"}, {"sum": "1000.00"}, {"sum": "1000.01"}, {"sum_percent": 0}),
    "sum of nothing": ({"sum": "0.00"}, {"sum": "0.00"}, {"sum": "0.01"}, {"sum_percent": 100}),
    "keys": ({"duplicates": {"ID": 0}}, {"duplicates": {"ID": 2}}, {"duplicates": {"ID": 3}}, {"duplicate_keys": 2}),
    "freshness": (
        {"latest": "2026-11-02"},
        {"latest": "2026-11-01"},
        {"latest": "2026-10-31T23:59:59"},
        {"freshness_hours": 24},
    ),
    "history": (
        {"earliest": "2026-01-01"},
        {"earliest": "2026-01-08"},
        {"earliest": "2026-01-08T00:00:01"},
        {"history_days": 7},
    ),
}


@pytest.mark.parametrize(("before", "at", "beyond", "rules"), BOUNDARIES.values(), ids=BOUNDARIES)
def test_what_is_at_a_threshold_passes_and_what_is_beyond_it_does_not(
    before: dict[str, Any], at: dict[str, Any], beyond: dict[str, Any], rules: dict[str, Any]
) -> None:
    assert held(profile(**before), profile(**at), **rules).stopping == ()
    (one,) = held(profile(**before), profile(**beyond), **rules).stopping
    assert one.allowed


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"rows": 0, "sum": None, "distinct": 0}, {"rows": 1000}),
        ({"duplicates": {"ID": 3}}, {"duplicates": {"ID": 3}}),
        ({"duplicates": {"ID": 3}}, {"duplicates": {"ID": 1}}),
        ({"nulls": 20}, {"nulls": 0}),
        ({"latest": "2026-11-01"}, {"latest": "2026-11-20"}),
        ({"earliest": "2026-11-01"}, {"earliest": "2020-11-01"}),
        ({"type": "NUMBER(38,0)", "sum": "3"}, {"type": "NUMBER(38,0)", "sum": "300000"}),
        ({"type": "NUMBER(18,2)"}, {"type": "NUMBER(38,2)"}),
        ({"distinct": 0}, {"distinct": 100}),
    ],
    ids=["filled", "as doubled as before", "less doubled", "fewer nulls", "newer", "older", "a key", "wider", "used"],
)
def test_what_loses_nothing_passes(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert held(profile(**before), profile(**after)).stopping == ()


@pytest.mark.parametrize(
    ("old", "new"), [("NUMBER(38,2)", "NUMBER(18,2)"), ("NUMBER(18,2)", "NUMBER(38,0)"), ("TEXT", "DATE")]
)
def test_a_type_that_holds_less_or_something_else_stops(old: str, new: str) -> None:
    assert [one.difference.measure for one in held(profile(type=old), profile(type=new)).stopping] == ["type"]


def test_a_sum_may_grow_with_the_rows_and_not_beyond() -> None:
    grown = {"rows": 1100, "distinct": 110}
    assert held(profile(), profile(**grown, sum="1150.00"), sum_percent=5).stopping == ()
    (one,) = held(profile(), profile(**grown, sum="1150.01"), sum_percent=5).stopping
    assert one.allowed == "15 %"


@given(grown=st.integers(0, 100), credits=st.booleans())
def test_that_rows_were_added_lets_no_sum_shrink(grown: int, credits: bool) -> None:
    """Of a ledger of credits, whose sum is below 0, the sum shrinks by rising."""
    sign, rows = -1 if credits else 1, 1000 + 10 * grown

    def stops(cents: int) -> bool:
        total = Decimal(sign * cents) / 100
        found = held(profile(sum=f"{sign * 1000}.00"), profile(rows=rows, sum=str(total)), sum_percent=5)
        return bool(found.stopping)

    least, most = 95_000, 105_000 + 1000 * grown
    assert not stops(least)
    assert stops(least - 1)
    assert not stops(most)
    assert stops(most + 1)


def test_a_sum_that_nothing_explains_may_grow_with_the_rows_and_lose_nothing() -> None:
    (one,) = differences(profile(), profile(rows=1050, sum="999.99"))[1:]
    said: dict[str, Any] = {"model": "orders", "slot": SLOT, "today": TODAY}
    assert judge(one, ComparisonRules(), is_explained=False, **said).is_over


def test_a_column_of_few_values_may_gain_one_when_a_changed_model_explains_it_and_may_not_otherwise() -> None:
    before, after = profile(distinct=3), profile(distinct=4)
    assert held(before, after).stopping == ()
    (one,) = differences(before, after)
    said: dict[str, Any] = {"model": "orders", "slot": SLOT, "today": TODAY}
    assert judge(one, ComparisonRules(), is_explained=False, **said).is_over
    assert held(after, before).stopping != (), "one that is lost is a quarter of them"


def test_that_rows_were_added_lets_no_distinct_value_go_missing() -> None:
    (one,) = held(profile(), profile(rows=1900, distinct=85), distinct_percent=10).stopping
    assert (one.difference.measure, one.allowed) == ("distinct", "-10 %")


def test_the_values_of_what_was_emptied_are_not_told_again() -> None:
    emptied = profile(rows=0, sum=None, distinct=0)
    assert [one.difference.measure for one in held(profile(), emptied).findings] == ["rows"]


def test_a_relation_that_comes_with_doubled_keys_stops() -> None:
    assert [one.difference.measure for one in held(None, profile()).findings] == ["added"]
    (one,) = held(None, profile(duplicates={"ID": 2})).stopping
    assert (one.place, one.difference.after) == ("FINANCE.ORDERS.ID", "2")


def test_what_nothing_explains_is_held_against_stricter_thresholds() -> None:
    (one,) = differences(profile(), profile(sum="1000.01"))
    rules = ComparisonRules()
    said: dict[str, Any] = {"model": "orders", "slot": SLOT, "today": TODAY}
    assert not judge(one, rules, is_explained=True, **said).is_over
    assert judge(one, rules, is_explained=False, **said).is_over


def test_a_model_of_its_own_thresholds_is_held_against_those_explained_or_not() -> None:
    rules = ComparisonRules.from_mapping({"models": {"orders": {"sum_percent": 1}}}, origin="test")
    for is_explained in (True, False):
        assert rules.thresholds("ORDERS", is_explained=is_explained).sum_percent == 1
    assert rules.thresholds("orders", is_explained=True).rows_percent == ComparisonRules().rows_percent
    assert rules.thresholds("others", is_explained=False).sum_percent == Decimal(0)


# ---- what is acknowledged --------------------------------------------------------------------------------------

CENT = {"model": "orders", "column": "amount", "what": "sum", "reason": "rounding", "slot": SLOT}


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({}, True),
        ({"column": None}, True),
        ({"model": "ORDERS", "column": "AMOUNT"}, True),
        ({"slot": None, "until": "2026-11-28"}, True),
        ({"until": "2026-11-28"}, True),
        ({"until": "2026-11-27"}, False),
        ({"slot": LIVE}, False),
        ({"slot": LIVE, "until": "2026-12-31"}, False),
        ({"column": "other"}, False),
        ({"what": "rows"}, False),
        ({"model": "daily"}, False),
    ],
)
def test_an_acknowledgement_is_for_one_kind_of_difference_of_one_model_in_one_release_or_time(
    changes: dict[str, Any], passes: bool
) -> None:
    comparison = held(profile(), profile(sum="1200.00"), acknowledgements=[{**CENT, **changes}])
    assert (comparison.stopping == ()) is passes
    assert [one.acknowledged for one in comparison.findings] == ["rounding" if passes else None]


def test_what_a_refusal_proposes_lets_exactly_that_pass() -> None:
    import tomllib

    before = profile(latest="2026-11-20")
    after = profile(rows=500, nulls=100, sum="10.00", distinct=1, duplicates={"ID": 4}, latest="2026-11-01")
    refused = held(before, after)
    assert len(refused.stopping) == 6 > NAMED
    assert "\n  and 1 more\n" in refusal(refused)
    proposed = tomllib.loads("\n".join(acknowledgement_lines(refused)))["comparison"]["acknowledgements"]
    assert held(before, after, acknowledgements=proposed).stopping == ()
    for left_out in range(len(proposed)):
        rest = proposed[:left_out] + proposed[left_out + 1 :]
        assert len(held(before, after, acknowledgements=rest).stopping) == 1


def test_a_refusal_names_relation_column_before_after_and_threshold() -> None:
    said = refusal(held(profile(), profile(sum="1200.00")))
    assert "slot D16BA260 differs from 747CD4E1, which is live, beyond the policy in 1 place:" in said
    assert "FINANCE.ORDERS.AMOUNT sum: 1000.00 -> 1200.00 (+20 %, allowed 5 %); explained by orders" in said
    assert "live data was not touched, and the slot stays" in said


# ---- evidence --------------------------------------------------------------------------------------------------


def many(relations: int, columns: int, *, differ: int) -> Comparison:
    """Return a comparison of many relations, of which the first ones differ in every column."""
    before, after = {}, {}
    for number in range(relations):
        name = f"FINANCE.MODEL_{number:04d}"
        for side, total in ((before, "1.00"), (after, "2.00" if number < differ else "1.00")):
            told = (ColumnProfile(name=f"C{place}", type="NUMBER(18,2)", sum=total) for place in range(columns))
            side[name] = Profile(relation=name, rows=10, columns=tuple(told))
    return compare(
        before, after, ComparisonRules(), slot=SLOT, against=LIVE, today=TODAY, models={}, because={}, notes={}
    )


@pytest.mark.parametrize(
    ("relations", "differ", "left_out"),
    [
        (10, 1, ""),
        (500, 2, "profiles of relations in which nothing differs"),
        (500, 500, "profiles, and 5800 of the findings"),
    ],
)
def test_evidence_holds_everything_that_has_room_and_the_digest_of_all(
    relations: int, differ: int, left_out: str
) -> None:
    comparison = many(relations, 12, differ=differ)
    evidence = comparison.evidence()
    assert len(canonical(evidence)) <= EVIDENCE_BYTES
    assert evidence["left_out"] == left_out
    assert evidence["sha256"] == digest_of(comparison.model_dump(mode="json"))
    if "findings" in evidence:
        assert len(evidence["findings"]) == EVIDENCE_FINDINGS
        assert Finding.from_mapping(evidence["findings"][0], origin="evidence").stops
    else:
        told = [one for relation in evidence["relations"] for one in relation["findings"]]
        assert len(told) == len(comparison.findings)


def test_what_was_looked_at_and_left_as_it_is_names_its_slots() -> None:
    said = [Acknowledgement.from_mapping(one, origin="test") for one in (CENT, {**CENT, "slot": None, "until": TODAY})]
    assert ComparisonRules(acknowledgements=tuple(said)).acknowledged_slots() == {SLOT}
