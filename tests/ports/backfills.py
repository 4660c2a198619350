"""What a backfill is made of: dates of a DAG in two chunks, and a model built aside and taken over."""

from __future__ import annotations

from datetime import date

from slipway.backfill import DagSurvey, model_steps, steps_of
from slipway.model import Model
from slipway.request import DagRequest, ModelRequest
from slipway.step import Step

SINCE, UNTIL = date(2026, 10, 1), date(2026, 10, 4)
DATES = tuple(f"2026-10-0{day}T00:00:00+00:00" for day in range(1, 5))


def dag_steps(version: str) -> tuple[Step, ...]:
    """Return the steps that run four dates of a DAG, two at a time."""
    request = DagRequest(dag_id="customers", since=SINCE, until=UNTIL, chunk_days=2)
    survey = DagSurvey(dag_id="customers", version=version, max_active_runs=1, next_date=None, ticks=DATES, runs=())
    return steps_of(request, survey, version=version, after=None)


def steps_of_model(slot: str, version: str) -> tuple[Step, ...]:
    """Return the steps that build a model again, and what stands on it."""
    request = ModelRequest(model="fct_card", since=SINCE, until=UNTIL)
    model = Model(name="fct_card", is_microbatch=True, relations=("FINANCE.FCT_CARD",))
    return model_steps(request, model, slot=slot, release=slot * 8, version=version, after=None, rules="t" * 64)
