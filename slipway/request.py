"""What a backfill was asked for. Two equal requests are one, so that a command given again goes on with its plan."""

from __future__ import annotations

from datetime import date
from typing import Literal, Self

from pydantic import Field, model_validator

from slipway.documents import Document

Reprocess = Literal["none", "failed", "completed"]
REPROCESS: tuple[Reprocess, ...] = ("none", "failed", "completed")  # each runs all that the one before runs, and more
CHUNK_DAYS = 7
PARALLEL = 1


class DagRequest(Document):
    """The logical dates of a DAG from the day `since` to the day `until`, both included.

    Attributes:
        reprocess: which dates that have a run are run again: none, those that failed, or all that ended.
        chunk_days: how many days are given to Airflow at once.
        parallel: how many runs go at the same time, at most.
    """

    dag_id: str
    since: date
    until: date
    reprocess: Reprocess = "none"
    chunk_days: int = Field(default=CHUNK_DAYS, ge=1)
    parallel: int = Field(default=PARALLEL, ge=1)

    @model_validator(mode="after")
    def _goes_forward(self) -> Self:
        if self.until < self.since:
            raise ValueError(f"--from {self.since} is later than --to {self.until}")
        return self


class ModelRequest(Document):
    """A dbt model and what is built from it, for the days from `since` to `until`, both included.

    A microbatch model is run for these days alone; every other one is built whole, and the dates are for the record.

    Attributes:
        chunk_days: how many days one run of dbt takes.
    """

    model: str
    since: date
    until: date
    chunk_days: int = Field(default=CHUNK_DAYS, ge=1)

    @model_validator(mode="after")
    def _goes_forward(self) -> Self:
        if self.until < self.since:
            raise ValueError(f"--from {self.since} is later than --to {self.until}")
        return self
