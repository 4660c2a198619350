"""What is said of each script, and which may be taken back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from slipway.errors import Blocked, ConfigurationError, SlipwayError
from slipway.migration import ScriptRun, SetOut
from slipway.script_state import ScriptState, require_retractable, states_of
from slipway.statement import Mark, Standing

T0 = datetime(2026, 11, 1, tzinfo=UTC)
ONE, TWO, THREE, VIEW = "V1.0.0__a.sql", "V1.1.0__b.sql", "V1.2.0__c.sql", "R__v.sql"
COMPONENT = {f"scripts/{name}": f"sha-{name}" for name in (ONE, TWO, THREE, VIEW)} | {
    f"undo/U{name[1:]}": "u" for name in (ONE, TWO, THREE)
}
HALF = Standing(done=("x", "y"), doubt=Mark(place=3, word="began"))


def ran(name: str, minute: int, status: str = "Success", checksum: str = "c") -> ScriptRun:
    at = T0 + timedelta(minutes=minute)
    return ScriptRun(script=name, succeeded=status == "Success", at=at, status=status, checksum=checksum)


def set_out(name: str, minute: int, sha256: str | None = None) -> SetOut:
    return SetOut(
        script=name, sha256=sha256 or f"sha-{name}", since=T0 + timedelta(minutes=minute - 1), release=f"rel{minute}"
    )


def states(*runs: ScriptRun, out: tuple[SetOut, ...] = (), standings: dict[str, Standing] | None = None, **more: str):  # type: ignore[no-untyped-def]
    found = states_of(
        {**COMPONENT, **more},
        runs,
        out,
        standings=standings or {},
        counts=dict.fromkeys((ONE, TWO, THREE, VIEW), 6),
        checksums=dict.fromkeys((ONE, TWO, THREE, VIEW), "c"),
    )
    return {one.name: one for one in found}


def test_an_applied_script_says_when_and_from_which_release() -> None:
    found = states(ran(ONE, 5), out=(set_out(ONE, 5), set_out(ONE, 9, "later")))
    assert (found[ONE].state, found[ONE].content, found[ONE].release) == ("applied", "same", "rel5")
    assert (found[TWO].state, found[TWO].content, found[TWO].at) == ("pending", None, None)
    assert found[ONE].notes() == ()


def test_an_edited_script_a_late_one_and_one_without_undo_say_so() -> None:
    found = states(ran(TWO, 5), out=(set_out(TWO, 5, "other"),), **{"scripts/V1.3.0__d.sql": "d"})
    assert found[TWO].content == "edited"
    assert found[ONE].is_late
    assert not found[THREE].is_late
    assert "no undo beside it" in found["V1.3.0__d.sql"].notes()


def test_another_checksum_of_the_tool_shows_while_the_content_is_the_same() -> None:
    found = states(ran(ONE, 5, checksum="old"), ran(VIEW, 5), out=(set_out(ONE, 5), set_out(VIEW, 5)))
    assert (found[ONE].content, found[ONE].other_checksum, found[VIEW].other_checksum) == ("same", True, False)
    assert found[ONE].notes() == ("same content, other checksum of schemachange: not run again",)
    edited = states(ran(ONE, 5, checksum="old"), out=(set_out(ONE, 5, "other"),))
    assert not edited[ONE].other_checksum, "it is edited, and that is what is said"


def test_a_half_done_script_says_how_far_it_came() -> None:
    found = states(ran(ONE, 5), ran(TWO, 6, "Failed"), out=(set_out(ONE, 5),), standings={TWO: HALF})
    assert found[TWO].state == "half done"
    assert found[TWO].notes() == ("2 of 6 statements stand", "statement 3 in doubt")
    assert (found[TWO].document()["done"], found[TWO].document()["in_doubt"]) == (2, 3)
    failed = states(ran(TWO, 6, "Failed"))
    assert failed[TWO].state == "failed", "its first statement failed: nothing of it stands"


def test_what_only_the_warehouse_knows_is_shown_too() -> None:
    found = states(ran("V0.1.0__gone.sql", 1), standings={"V9.0.0__died.sql": HALF})
    assert (found["V0.1.0__gone.sql"].content, found["V0.1.0__gone.sql"].state) == ("not in this commit", "applied")
    assert found["V9.0.0__died.sql"].state == "half done"


def retractable(name: str, found: dict[str, ScriptState], *live: str) -> ScriptState:
    return require_retractable(name, tuple(found.values()), live_scripts=live, environment="staging")


def test_a_half_done_script_may_be_taken_back_whatever_is_live() -> None:
    found = states(ran(ONE, 5), out=(set_out(ONE, 5),), standings={TWO: HALF})
    assert retractable(TWO, found, ONE, TWO).name == TWO


def test_the_newest_whole_one_may_when_the_live_release_does_without() -> None:
    found = states(ran(ONE, 5), ran(TWO, 6), out=(set_out(ONE, 5), set_out(TWO, 6)))
    assert retractable(TWO, found, ONE).name == TWO
    with pytest.raises(Blocked, match="the release that is live in staging holds it"):
        retractable(TWO, found, ONE, TWO)


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        (ONE, Blocked, f"{TWO} came after it"),
        (THREE, Blocked, "nothing of it stands"),
        (VIEW, ConfigurationError, "only V scripts do"),
        ("V7__none.sql", ConfigurationError, "holds no script V7__none.sql"),
        ("V1.3.0__d.sql", ConfigurationError, "no undo beside it"),
    ],
)
def test_what_may_not_be_taken_back_is_refused_with_the_reason(name: str, error: type[SlipwayError], said: str) -> None:
    found = states(ran(ONE, 5), out=(set_out(ONE, 5),), standings={TWO: HALF}, **{"scripts/V1.3.0__d.sql": "d"})
    with pytest.raises(error, match=said):
        retractable(name, found)
