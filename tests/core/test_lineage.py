"""What a contraction means to releases: who stands in the way, and which rollbacks it ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.lineage import ANY, Need, Needy, Place, Taken, contraction_by, needed_by

COLUMN = Taken(script="V2__drop.sql", schema="CORE", relation="T", column="NOTE")
TABLE = Taken(script="V2__drop.sql", schema="CORE", relation="T")
USES = Need(by="model a", schema="CORE", relation="T", columns=frozenset({"ID", "NOTE"}))
OTHER = Need(by="model b", schema="CORE", relation="T", columns=frozenset({"ID"}))
STAR = Need(by="model c", schema="CORE", relation="T")
ELSEWHERE = Need(by="model d", schema="MARKET", relation="T")


@pytest.mark.parametrize(
    ("taken", "wanted"),
    [
        (COLUMN, ("model a", "model c")),
        (TABLE, ("model a", "model b", "model c")),
        (Taken(script="s", schema="CORE", relation=ANY), ("model a", "model b", "model c")),
        (Taken(script="s", schema="CORE", relation="T", column="ELSE"), ("model c",)),
        (Taken(script="s", schema="CARDS", relation=ANY), ()),
    ],
)
def test_who_needs_what_is_taken(taken: Taken, wanted: tuple[str, ...]) -> None:
    assert needed_by(taken, (USES, OTHER, STAR, ELSEWHERE, USES)) == wanted


def of(place: Place, *needs: Need, version: str = "v1") -> Needy:
    return Needy(version=version, place=place, needs=needs)


@pytest.mark.parametrize(
    ("place", "says_so", "blocks", "ends"),
    [
        ("deployed", False, True, False),
        ("deployed", True, True, False),
        ("live", False, True, False),
        ("live", True, True, False),
        ("retained", False, True, True),
        ("retained", True, False, True),
        ("earlier", False, False, True),
    ],
)
def test_what_blocks_and_what_ends(place: Place, says_so: bool, blocks: bool, ends: bool) -> None:
    taken = Taken(script="V2__drop.sql", schema="CORE", relation="T", column="NOTE", ends_rollbacks=says_so)
    found = contraction_by([taken], [of(place, USES)])
    assert bool(found.conflicts) == blocks
    assert found.ends == (("v1",) if ends else ())
    if blocks:
        assert found.conflicts[0][0] == "V2__drop.sql"
        assert "it takes CORE.T.NOTE, which" in found.conflicts[0][1]
        assert found.conflicts[0][1].endswith("v1 needs: model a")


def test_who_does_not_need_it_keeps_its_rollback() -> None:
    assert contraction_by([COLUMN], [of("retained", OTHER), of("live", ELSEWHERE)]).ends == ()


NEEDS = st.builds(
    Need,
    by=st.sampled_from(["a", "b"]),
    schema=st.sampled_from(["CORE", "OPS"]),
    relation=st.sampled_from(["T", "U"]),
    columns=st.none() | st.frozensets(st.sampled_from(["X", "Y"])),
)
TAKEN = st.builds(
    Taken,
    script=st.just("s"),
    schema=st.sampled_from(["CORE", "OPS"]),
    relation=st.sampled_from(["T", "U", ANY]),
    column=st.none() | st.sampled_from(["X", "Y"]),
    ends_rollbacks=st.booleans(),
)
RELEASES = st.lists(
    st.builds(
        Needy,
        version=st.sampled_from(["1", "2", "3"]),
        place=st.sampled_from(["live", "retained", "earlier"]),
        needs=st.lists(NEEDS, max_size=3).map(tuple),
    ),
    max_size=4,
)


@given(taken=st.lists(TAKEN, max_size=4), releases=RELEASES)
def test_no_release_loses_what_it_needs_unsaid(taken: list[Taken], releases: list[Needy]) -> None:
    found = contraction_by(taken, releases)
    for release in releases:
        if any(needed_by(one, release.needs) for one in taken):
            blocks = any(f" {release.version} needs" in said for _, said in found.conflicts)
            assert blocks or release.version in found.ends


@given(taken=st.lists(TAKEN, max_size=4), more=TAKEN, releases=RELEASES)
def test_to_take_more_never_opens_the_gate(taken: list[Taken], more: Taken, releases: list[Needy]) -> None:
    before, after = contraction_by(taken, releases), contraction_by([*taken, more], releases)
    assert set(before.conflicts) <= set(after.conflicts)
    assert set(before.ends) <= set(after.ends)
