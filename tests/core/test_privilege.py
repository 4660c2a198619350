"""Effective privileges: inheritance, reach, ownership and future grants, as Snowflake counts them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from slipway.privilege import Grant, Privilege, effective, facts_of, lost

CONTENTS = {"FINANCE": {"A", "B"}, "CUSTOMER": {"C"}}
HOLDERS = {"ANALYSTS": [("ROLE", "CFO"), ("USER", "ANN")], "CFO": [("ROLE", "BOARD")], "BOARD": []}
REACH = (("DATABASE", ()), ("SCHEMA", ("FINANCE",)))


def grant(privilege: str, kind: str, path: tuple[str, ...], grantee: str = "ANALYSTS", **more: Any) -> Grant:
    facts = {"grantee_kind": "ROLE", "may_pass_on": False, "is_future": False, **more}
    return Grant(kind=kind, path=path, privilege=privilege, grantee=grantee, **facts)


def reach(grantee: str = "ANALYSTS") -> list[Grant]:
    return [grant("USAGE", kind, path, grantee) for kind, path in REACH]


def said(found: frozenset[Privilege] | tuple[Privilege, ...]) -> set[str]:
    return {str(one) for one in found}


def test_what_a_role_has_everybody_above_it_has() -> None:
    found = effective([*reach(), grant("SELECT", "VIEW", ("FINANCE", "A"))], HOLDERS, CONTENTS)
    who = {one.holder for one in found if one.name == "SELECT"}
    assert who == {("ROLE", "ANALYSTS"), ("ROLE", "CFO"), ("USER", "ANN"), ("ROLE", "BOARD")}


def test_a_view_whose_schema_or_database_is_closed_is_of_no_use() -> None:
    select = grant("SELECT", "VIEW", ("FINANCE", "A"))
    for reached in ([], reach()[:1], reach()[1:]):
        assert not [one for one in effective([*reached, select], HOLDERS, CONTENTS) if one.kind == "VIEW"]
    across = [grant("USAGE", "DATABASE", (), "CFO"), *reach()[1:], select]
    assert said(effective(across, HOLDERS, CONTENTS)) >= {"role CFO: SELECT on view FINANCE.A"}, "together it has all"


def test_losing_the_schema_loses_what_is_in_it() -> None:
    select = grant("SELECT", "VIEW", ("FINANCE", "A"), "CFO")
    before = effective([*reach("CFO"), select], {}, CONTENTS)
    after = effective([*reach("CFO")[:1], select], {}, CONTENTS)
    assert said(lost(before, after, CONTENTS)) == {
        "role CFO: USAGE on schema FINANCE",
        "role CFO: SELECT on view FINANCE.A",
    }
    assert said(lost(before, after, {"CUSTOMER": {"C"}})) == set(), "what is gone is not lost"


def test_an_owner_may_do_everything_and_a_grant_may_come_from_above() -> None:
    select = grant("SELECT", "VIEW", ("FINANCE", "A"))
    owns = grant("OWNERSHIP", "VIEW", ("FINANCE", "A"))
    before, after = (effective([*reach(), one], HOLDERS, CONTENTS) for one in (select, owns))
    assert lost(before, after, CONTENTS) == ()
    assert "role ANALYSTS: OWNERSHIP on view FINANCE.A" in said(lost(after, before, CONTENTS))


def test_the_option_to_grant_is_a_privilege_of_its_own() -> None:
    plain = grant("SELECT", "VIEW", ("FINANCE", "A"), "CFO")
    with_option = grant("SELECT", "VIEW", ("FINANCE", "A"), "CFO", may_pass_on=True)
    before, after = (effective([*reach("CFO"), one], {}, CONTENTS) for one in (with_option, plain))
    assert said(lost(before, after, CONTENTS)) == {"role CFO: SELECT WITH GRANT OPTION on view FINANCE.A"}


def test_future_grants_in_a_schema_take_the_place_of_those_in_the_database() -> None:
    wide = grant("SELECT", "VIEW", (), is_future=True)
    narrow = grant("REFERENCES", "VIEW", ("FINANCE",), "CFO", is_future=True)
    before = effective([wide], {}, CONTENTS)
    after = effective([wide, narrow], {}, CONTENTS)
    assert said(before) == {
        f"role ANALYSTS: SELECT on future views in {place}" for place in ("the database", "FINANCE", "CUSTOMER")
    }
    assert said(lost(before, after, CONTENTS)) == {"role ANALYSTS: SELECT on future views in FINANCE"}


@given(st.data())
def test_more_grants_take_nothing_away(data: st.DataObject) -> None:
    """Future grants apart, of which the narrower ones displace the wider."""
    places = [("DATABASE", ()), ("SCHEMA", ("FINANCE",)), ("VIEW", ("FINANCE", "A")), ("VIEW", ("CUSTOMER", "C"))]
    one = st.builds(
        lambda place, privilege, grantee: grant(privilege, *place, grantee),
        st.sampled_from(places),
        st.sampled_from(["USAGE", "SELECT", "OWNERSHIP"]),
        st.sampled_from(sorted(HOLDERS)),
    )
    few = data.draw(st.frozensets(one))
    more = few | data.draw(st.frozensets(one))
    before, after = (effective(grants, HOLDERS, CONTENTS) for grants in (few, more))
    assert lost(before, after, CONTENTS) == ()
    assert facts_of(before)["count"] == len(before)
    assert (facts_of(before) == facts_of(after)) == (before == after)
