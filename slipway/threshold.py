"""How far a built slot may differ from the live one before it is published: `[comparison]` of `config/policy.toml`.

Rules:
- What a changed model explains is held against `[comparison]`, what nothing explains against
  `[comparison.unexplained]`, which is stricter; `[comparison.models.NAME]` goes before both.
- An acknowledgement lets one kind of difference of one model pass. It names the slot it is for, which is the digest of
  the dbt component, or the day it ends on, or both: none stays for ever.
- Percentages are decimals, never floats: the policy has a digest.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from slipway.documents import Document
from slipway.slot import SLOT_LENGTH

JudgedMeasure = Literal[
    "added", "removed", "type", "rows", "duplicates", "nulls", "distinct", "sum", "earliest", "latest"
]
Measure = JudgedMeasure | Literal["values"]
Percent = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_$]*$")]


class Thresholds(Document):
    """How far a relation may differ. What is exactly at a threshold passes.

    Attributes:
        rows_percent: of the rows that were there, how many may be missing.
        growth_percent: how many may have been added; of a column's distinct values too.
        nulls_percent: points by which a column's share of nulls may rise.
        distinct_percent: of a column's distinct values, how many may be missing.
        sum_percent: how far the sum of a column with decimals may move; away from 0, beyond what rows were added.
        duplicate_keys: values of a declared key that more than one row may hold.
        freshness_hours: how far the newest date of a column may go back.
        history_days: how far its oldest date may come forward.
    """

    rows_percent: Percent = Decimal(5)
    growth_percent: Percent = Decimal(200)
    nulls_percent: Percent = Decimal(1)
    distinct_percent: Percent = Decimal(10)
    sum_percent: Percent = Decimal(5)
    duplicate_keys: int = Field(default=0, ge=0)
    freshness_hours: int = Field(default=24, ge=0)
    history_days: int = Field(default=31, ge=0)


class Strict(Thresholds):
    """The thresholds of what nothing explains: nothing may be lost, no sum may move."""

    rows_percent: Percent = Decimal(0)
    growth_percent: Percent = Decimal(5)
    nulls_percent: Percent = Decimal(0)
    distinct_percent: Percent = Decimal(0)
    sum_percent: Percent = Decimal(0)
    freshness_hours: int = Field(default=0, ge=0)
    history_days: int = Field(default=0, ge=0)


class Overrides(Document):
    """What differs from the thresholds for one model."""

    rows_percent: Percent | None = None
    growth_percent: Percent | None = None
    nulls_percent: Percent | None = None
    distinct_percent: Percent | None = None
    sum_percent: Percent | None = None
    duplicate_keys: int | None = Field(default=None, ge=0)
    freshness_hours: int | None = Field(default=None, ge=0)
    history_days: int | None = Field(default=None, ge=0)


class Acknowledgement(Document):
    """A difference that was looked at and is wanted.

    Attributes:
        column: whose difference it is; absent means the model's own, and that of each of its columns.
        slot: that it is good for, as the name of the slot to be published.
        until: the last day it is good on.
    """

    model: _Name
    column: _Name | None = None
    what: JudgedMeasure
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    slot: str | None = None
    until: date | None = None

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.slot is None and self.until is None:
            raise ValueError("it would stay for ever: name the slot it is for, or the day it is good until")
        if self.slot is not None and not re.fullmatch(rf"[0-9A-F]{{{SLOT_LENGTH}}}", self.slot):
            raise ValueError(f"slot {self.slot!r} is no slot; invoke dbt.compare names it, as D16BA260")
        return self

    def covers(self, *, model: str, column: str | None, what: Measure, slot: str, today: date) -> bool:
        """Return whether it lets this difference of a model in this slot pass today."""
        return (
            self.model.lower() == model.lower()
            and (self.column is None or self.column.upper() == (column or "").upper())
            and self.what == what
            and self.slot in (None, slot)
            and (self.until is None or today <= self.until)
        )


class ComparisonRules(Thresholds):
    """Everything `[comparison]` says.

    Attributes:
        exact_rows: a relation of more rows has its distinct values estimated.
    """

    exact_rows: int = Field(default=1_000_000, ge=0)
    unexplained: Strict = Strict()
    models: dict[_Name, Overrides] = Field(default_factory=dict)
    acknowledgements: tuple[Acknowledgement, ...] = ()

    def thresholds(self, model: str, *, is_explained: bool) -> Thresholds:
        """Return what a model's relation is held against."""
        ground = self if is_explained else self.unexplained
        said = {name.lower(): one for name, one in self.models.items()}.get(model.lower(), Overrides())
        own = {name: getattr(said, name) for name in Overrides.model_fields}
        return Thresholds(**{name: getattr(ground, name) if value is None else value for name, value in own.items()})

    def acknowledged_slots(self) -> frozenset[str]:
        """Return the slots that acknowledgements name: what is in them was looked at, and stays as it is."""
        return frozenset(one.slot for one in self.acknowledgements if one.slot)

    def acknowledged(
        self, *, model: str, column: str | None, what: Measure, slot: str, today: date
    ) -> Acknowledgement | None:
        """Return the acknowledgement that lets this difference pass, if there is one."""
        facts = {"model": model, "column": column, "what": what, "slot": slot, "today": today}
        return next((one for one in self.acknowledgements if one.covers(**facts)), None)  # type: ignore[arg-type]
