"""Backfills: which dates are run, in which chunks, how long it takes, and how far it is."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.backfill import (
    DagSurvey,
    RunFact,
    choose,
    chunks,
    estimate,
    mark_of,
    parallel_of,
    progress_of,
    segments,
    steps_of,
    tally,
)
from slipway.errors import ConfigurationError
from slipway.request import REPROCESS, DagRequest, Reprocess
from slipway.step import BackfillDates, summarise, summarise_backfill

FIRST = date(2026, 10, 1)
STATES = ("queued", "running", "success", "failed")


def moment(day: int) -> str:
    """Return the logical date of a day, counted from the first."""
    return (datetime(2026, 10, 1, tzinfo=UTC) + timedelta(days=day)).isoformat()


def request_of(days: int = 31, **options: Any) -> DagRequest:
    return DagRequest.from_mapping(
        {"dag_id": "customers", "since": FIRST, "until": FIRST + timedelta(days=days - 1), **options}, origin="test"
    )


def run_of(day: int, state: str, mark: str | None = None) -> RunFact:
    return RunFact(logical_date=moment(day), run_id=f"run-{day}", state=state, version="v", mark=mark)


def survey_of(days: int = 31, runs: tuple[RunFact, ...] = (), **facts: Any) -> DagSurvey:
    return DagSurvey(
        **{
            "dag_id": "customers",
            "version": "v",
            "max_active_runs": 16,
            "next_date": None,
            "ticks": tuple(moment(day) for day in range(days)),
            "runs": runs,
            **facts,
        }
    )


def only_step(request: DagRequest, survey: DagSurvey) -> BackfillDates:
    (step,) = steps_of(request, survey, version="v", after=None)
    return step


surveys = st.integers(min_value=1, max_value=40).flatmap(
    lambda days: st.builds(
        lambda runs, next_day: survey_of(
            days,
            tuple(run_of(day, state) for day, state in sorted(runs.items())),
            next_date=None if next_day is None else moment(next_day),
        ),
        st.dictionaries(st.integers(min_value=0, max_value=days - 1), st.sampled_from(STATES)),
        st.none() | st.integers(min_value=0, max_value=days),
    )
)
ways = st.sampled_from(REPROCESS)


class TestChoice:
    @given(surveys, ways)
    def test_every_date_is_either_run_or_left_with_a_reason_and_never_both(
        self, survey: DagSurvey, reprocess: Reprocess
    ) -> None:
        choice = choose(request_of(40, reprocess=reprocess), survey)
        assert sorted([*choice.dates, *(one.logical_date for one in choice.left)]) == sorted(survey.ticks)
        assert all(one.reason for one in choice.left)

    @given(surveys, ways)
    def test_a_date_whose_run_is_queued_or_running_is_left_whatever_was_asked(
        self, survey: DagSurvey, reprocess: Reprocess
    ) -> None:
        open_ones = {run.logical_date for run in survey.runs if run.state in ("queued", "running")}
        assert open_ones.isdisjoint(choose(request_of(40, reprocess=reprocess), survey).dates)

    @given(surveys, ways)
    def test_a_date_that_the_schedule_has_not_come_to_is_left_to_it(
        self, survey: DagSurvey, reprocess: Reprocess
    ) -> None:
        known = {run.logical_date for run in survey.runs}
        made = set(choose(request_of(40, reprocess=reprocess), survey).dates) - known
        assert all(survey.next_date is None or one < survey.next_date for one in made)

    @given(surveys)
    def test_each_way_to_reprocess_runs_all_that_the_one_before_runs(self, survey: DagSurvey) -> None:
        chosen = [set(choose(request_of(40, reprocess=way), survey).dates) for way in REPROCESS]
        assert chosen[0] <= chosen[1] <= chosen[2]

    def test_a_failed_run_is_left_with_the_option_that_runs_it_again(self) -> None:
        (left,) = choose(request_of(1), survey_of(1, (run_of(0, "failed"),))).left
        assert "--reprocess failed" in left.reason

    def test_a_range_without_a_logical_date_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="no logical date from 2026-10-01 to 2026-10-31"):
            steps_of(request_of(), survey_of(0), version="v", after=None)

    def test_a_range_that_ends_before_it_begins_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="later than --to"):
            request_of(0)


class TestChunks:
    @given(surveys, ways, st.integers(min_value=1, max_value=10))
    def test_chunks_hold_every_chosen_date_once_in_order_and_no_more_days_than_asked(
        self, survey: DagSurvey, reprocess: Reprocess, days: int
    ) -> None:
        request = request_of(40, reprocess=reprocess, chunk_days=days)
        chosen = choose(request, survey).dates
        found = chunks(request, chosen)
        assert [one for group in found for one in group] == list(chosen)
        for group in found:
            assert datetime.fromisoformat(group[-1]) - datetime.fromisoformat(group[0]) < timedelta(days=days)

    @given(surveys, ways, st.integers(min_value=1, max_value=10))
    def test_a_step_names_the_dates_it_runs_and_those_between_them_that_it_leaves(
        self, survey: DagSurvey, reprocess: Reprocess, days: int
    ) -> None:
        steps = steps_of(request_of(40, reprocess=reprocess, chunk_days=days), survey, version="v", after=None)
        for step in steps:
            between = [one for one in survey.ticks if step.dates[0] <= one <= step.dates[-1]]
            assert sorted([*step.dates, *step.leaves]) == between

    def test_no_more_runs_go_at_once_than_the_dag_allows(self) -> None:
        assert parallel_of(request_of(parallel=4), survey_of(max_active_runs=2)) == 2
        assert parallel_of(request_of(parallel=1), survey_of(max_active_runs=2)) == 1

    def test_the_same_request_asked_for_after_another_deployment_has_another_mark(self) -> None:
        marks = {mark_of(request_of(), version="v", after=after) for after in (None, "d-1", "d-2")}
        assert len(marks) == 3

    def test_a_step_says_what_it_runs(self) -> None:
        step = only_step(request_of(3, parallel=2), survey_of(3, (run_of(1, "success"),)))
        assert summarise(step) == (
            "run 2 date(s) of customers, 2026-10-01 to 2026-10-03, 2 at a time, 1 between them left out"
        )
        assert summarise_backfill((step,)) == "2 date(s) of customers from 2026-10-01 to 2026-10-03"


class TestEstimate:
    @given(
        st.integers(min_value=0, max_value=40),
        st.integers(min_value=0, max_value=40),
        st.integers(min_value=1, max_value=8),
        st.lists(st.integers(min_value=1, max_value=500), min_size=1),
    )
    def test_more_dates_never_take_less_time_and_more_runs_at_once_never_take_more(
        self, some: int, more: int, parallel: int, took: list[int]
    ) -> None:
        dates = [moment(day) for day in range(40)]
        few = estimate(request_of(40), dates[: min(some, more)], took, parallel=parallel)
        many = estimate(request_of(40), dates[: max(some, more)], took, parallel=parallel)
        wide = estimate(request_of(40), dates[: max(some, more)], took, parallel=parallel + 1)
        assert (few.usual_s or 0) <= (many.usual_s or 0) <= (many.slow_s or 0)
        assert (wide.usual_s or 0) <= (many.usual_s or 0)

    def test_chunks_do_not_overlap_so_that_each_is_rounded_up(self) -> None:
        dates = [moment(day) for day in range(6)]
        assert estimate(request_of(6, chunk_days=3), dates, [10], parallel=2).usual_s == 40
        assert estimate(request_of(6, chunk_days=6), dates, [10], parallel=2).usual_s == 30

    def test_without_a_run_that_succeeded_nothing_is_expected(self) -> None:
        assert estimate(request_of(1), [moment(0)], [], parallel=1).usual_s is None


class TestProgress:
    @pytest.mark.parametrize(
        ("reprocess", "state", "is_ours", "wanted"),
        [
            ("none", "queued", False, "open"),
            ("none", "success", False, "done"),  # the schedule was first
            ("none", "failed", False, "failed"),
            ("none", "failed", True, "failed"),
            ("failed", "failed", False, "missing"),  # it failed before, and was not run again yet
            ("failed", "failed", True, "failed"),
            ("failed", "success", False, "done"),
            ("completed", "success", False, "missing"),  # of before
            ("completed", "success", True, "done"),
            ("completed", "failed", False, "missing"),
            ("completed", "running", True, "open"),
        ],
    )
    def test_how_far_a_date_is_follows_from_its_run_alone(
        self, reprocess: Reprocess, state: str, is_ours: bool, wanted: str
    ) -> None:
        step = only_step(request_of(1, reprocess=reprocess), survey_of(1))
        run = run_of(0, state, mark=step.mark if is_ours else "another")
        assert progress_of(step, [run]) == {moment(0): wanted}

    def test_a_date_without_a_run_is_missing(self) -> None:
        assert progress_of(only_step(request_of(1), survey_of(1)), []) == {moment(0): "missing"}

    @given(st.dictionaries(st.integers(min_value=0, max_value=6), st.sampled_from(STATES)))
    def test_a_tally_counts_every_date_once(self, states: dict[int, str]) -> None:
        step = only_step(request_of(7), survey_of(7))
        counted = tally(progress_of(step, [run_of(day, state) for day, state in states.items()]))
        assert sum(counted.values()) == 7


class TestSegments:
    @given(surveys, ways, st.data())
    def test_a_stretch_holds_wanted_dates_only_and_together_they_hold_each_once(
        self, survey: DagSurvey, reprocess: Reprocess, data: st.DataObject
    ) -> None:
        steps = steps_of(request_of(40, reprocess=reprocess, chunk_days=40), survey, version="v", after=None)
        for step in steps:
            wanted = data.draw(st.sets(st.sampled_from(step.dates)))
            found = list(segments(step, survey.runs, wanted))
            assert sorted(one for segment in found for one in segment.dates) == sorted(wanted)
            for segment in found:
                taken = [one for one in survey.ticks if segment.dates[0] <= one <= segment.dates[-1]]
                assert taken == list(segment.dates)  # Airflow would run every tick of the range

    def test_airflow_is_told_as_much_as_the_runs_need_and_no_more(self) -> None:
        step = only_step(request_of(3, reprocess="completed"), survey_of(3))
        for state, way in (("success", "completed"), ("failed", "failed")):
            (segment,) = segments(step, [run_of(1, state)], step.dates)
            assert segment.reprocess == way
        (segment,) = segments(step, [], step.dates)
        assert segment.reprocess == "none"

    def test_a_date_that_is_done_is_not_run_again_with_its_neighbours(self) -> None:
        step = only_step(request_of(3, reprocess="completed"), survey_of(3))
        assert [one.dates for one in segments(step, [run_of(1, "success", step.mark)], (moment(0), moment(2)))] == [
            (moment(0),),
            (moment(2),),
        ]
