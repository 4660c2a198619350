"""Every undo takes its script back: the catalog after it is the catalog before the script."""

from __future__ import annotations

from tests.migrations.migration import REPEATABLE, VERSIONED, Migrated


def test_every_undo_takes_its_script_back_and_the_script_can_then_be_applied_again(fresh: Migrated) -> None:
    for script in VERSIONED:
        before = fresh.catalog()
        fresh.apply(script)
        after = fresh.catalog()
        assert after != before, f"{script} changes nothing that the catalog shows"
        fresh.undo(script)
        assert fresh.catalog() == before, script
        fresh.apply(script)
        assert fresh.catalog() == after, script


def test_from_the_top_down_the_undos_leave_nothing(fresh: Migrated) -> None:
    nothing = fresh.catalog()
    fresh.apply(*VERSIONED, *REPEATABLE)
    held = fresh.catalog()
    assert len(held) > len(nothing)
    fresh.undo(*reversed(VERSIONED))
    assert {row for row in fresh.catalog() if row[0] != "grant"} == {row for row in nothing if row[0] != "grant"}
    fresh.apply(*VERSIONED, *REPEATABLE)
    assert fresh.catalog() == held


def test_an_undo_may_be_repeated(fresh: Migrated) -> None:
    fresh.apply(*VERSIONED)
    for script in reversed(VERSIONED[1:]):
        fresh.undo(script)
        after = fresh.catalog()
        fresh.undo(script)
        assert fresh.catalog() == after, script


def test_a_v_script_that_failed_half_way_can_be_run_again(fresh: Migrated) -> None:
    """Its data definition stands as far as it came, and schemachange runs the whole script again."""
    for script in VERSIONED:
        fresh.apply(script)
        whole = fresh.catalog()
        fresh.apply(script)
        assert fresh.catalog() == whole, script


def test_r_and_a_scripts_change_nothing_the_second_time(fresh: Migrated) -> None:
    fresh.apply(*VERSIONED, *REPEATABLE)
    once = fresh.catalog()
    fresh.apply(*REPEATABLE)
    assert fresh.catalog() == once


def test_replaced_views_keep_their_grants(fresh: Migrated) -> None:
    fresh.apply(*VERSIONED, *REPEATABLE)
    fresh.session.run(f"GRANT SELECT ON VIEW {fresh.raw}.OPS.V_LOAD_SUMMARY TO ROLE STAGING_READER")
    granted = fresh.catalog()
    fresh.apply("R__load_summary.sql")
    assert fresh.catalog() == granted
