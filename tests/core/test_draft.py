"""Drafts of new scripts: the version after the highest, nothing overwritten, and fit once filled in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.draft import draft, next_version
from slipway.errors import ConfigurationError
from slipway.migration import late_scripts, scripts_in, scripts_without_undo
from slipway.observation import AppliedMigration

VERSIONS = st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=4), max_size=6)


@given(versions=VERSIONS)
def test_a_new_script_is_never_late_and_has_its_undo(versions: list[list[int]]) -> None:
    names = {f"scripts/V{'.'.join(map(str, one))}__x.sql": "0" for one in versions}
    files = draft(names, "add merchant risk", kind="V", is_contract=False)
    component = {**names, **dict.fromkeys(files, "1")}
    applied = tuple(AppliedMigration(script=one.name, succeeded=True, sha256="0") for one in scripts_in(names))
    new = next(path for path in files if path.startswith("scripts/")).removeprefix("scripts/")
    assert new not in late_scripts(component, applied)
    assert new not in scripts_without_undo(component)
    assert scripts_in(component)[-1].name == new


@pytest.mark.parametrize(
    ("highest", "wanted"),
    [
        ("1.5.0", "1.6.0"),
        ("1.5", "1.6"),
        ("7", "8"),
        ("2.9.3", "2.10.0"),
        ("1_4_0", "1.5.0"),
        ("2026.11.28", "2026.12.0"),
    ],
)
def test_the_second_number_is_raised(highest: str, wanted: str) -> None:
    assert next_version([f"scripts/V{highest}__a.sql", "scripts/V0.9.0__b.sql", "scripts/R__c.sql"]) == wanted


def test_the_first_is_1_0_0() -> None:
    assert next_version([]) == "1.0.0"


@pytest.mark.parametrize(
    ("title", "kind", "contract"),
    [("!!", "V", False), ("a", "X", False), ("a", "R", True), ("load summary", "R", False)],
)
def test_what_cannot_be_named_or_would_overwrite_is_refused(title: str, kind: str, contract: bool) -> None:
    with pytest.raises(ConfigurationError):
        draft(["scripts/R__load_summary.sql"], title, kind=kind, is_contract=contract)


def test_an_undo_that_lies_about_is_not_overwritten() -> None:
    with pytest.raises(ConfigurationError, match=r"undo/U1\.0\.0__a\.sql is there already"):
        draft(["undo/U1.0.0__a.sql"], "a", kind="V", is_contract=False)
