"""What partners send in the storm: files of two datasets, and what a reader makes of them by a model of its own."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from etl import catalog
from etl.dataset import Dataset
from hypothesis import strategies as st

LOOKBACK = 1  # days, so that not every run sees every file


def looking_back(dataset: Dataset) -> Dataset:
    return replace(dataset, source=replace(dataset.drop, lookback_days=LOOKBACK))


RATES, SETTLEMENTS = looking_back(catalog.FX_RATES), looking_back(catalog.SETTLEMENT_FILES)
SERIES = {"fx_rates": RATES, "visa": SETTLEMENTS, "mastercard": SETTLEMENTS}

cents = st.one_of(st.integers(-500, 500), st.sampled_from([10**17 - 1, 1 - 10**17])).map(lambda n: Decimal(n) / 100)
rates = st.one_of(st.integers(1, 500), st.just(10**18 - 1)).map(lambda n: Decimal(n).scaleb(-8))


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One content of a partner's file, and what a reader makes of it.

    Attributes:
        counts: key and amount or rate of each line that counts; None when the whole file is faulty.
        faulty: True when it belongs into the quarantine.
        good: the file without its faulty lines, when it has some.
    """

    body: bytes
    counts: tuple[tuple[str, Decimal], ...] | None
    faulty: bool = False
    good: bytes | None = None

    @property
    def landed(self) -> bytes:
        return self.body if self.good is None else self.good


def name_of(series: str, day: date, version: int) -> str:
    found = next(one for one in SERIES[series].drop.series if one.part == series)
    return f"{found.prefix}{day}{'' if version == 1 else f'_v{version}'}{found.suffix}"


def written(series: str, day: date, lines: list[str]) -> bytes:
    content = "\n".join([SERIES[series].header, *lines, ""]).encode()
    return gzip.compress(content, mtime=0) if series != "fx_rates" else content


def line_of(series: str, day: date, number: int, amount: Decimal) -> tuple[str, str]:
    """Return the key and the text of a line; none is of two series or days."""
    if series == "fx_rates":
        currency = ["USD", "CHF", "GBP"][number]
        return f"{day}/{currency}", f"{day},EUR,{currency},{amount:f}"
    key = f"{series}-{day}-{number}"
    return key, f"{series},{day},B,{key},{amount},0.10,{amount},EUR"


@st.composite
def sent(draw: st.DrawFn, series: str, day: date) -> Sent:
    """A file: sound, without lines, with a line twice, with faulty lines, or broken as a whole."""
    amounts = draw(st.lists(rates if series == "fx_rates" else cents, min_size=1, max_size=3))
    keyed = [line_of(series, day, number, amount) for number, amount in enumerate(amounts)]
    counts = tuple((key, amount) for (key, _), amount in zip(keyed, amounts, strict=True))
    lines = [text for _, text in keyed]
    match draw(st.sampled_from(["sound"] * 4 + ["none", "twice", "line", "cut", "header", "encoding", "empty"])):
        case "sound":
            return Sent(body=written(series, day, lines), counts=counts)
        case "none":
            return Sent(body=written(series, day, []), counts=())
        case "twice":
            return Sent(body=written(series, day, [*lines, lines[0]]), counts=counts)
        case "line":
            tolerated = SERIES[series].drop.tolerance.faulty_percent * (len(lines) + 1) >= 100
            body = written(series, day, [lines[0].replace(",", ";"), *lines])
            good = written(series, day, lines) if tolerated else None
            return Sent(body=body, counts=counts if tolerated else None, faulty=True, good=good)
        case "cut":
            return Sent(body=written(series, day, lines)[:-1], counts=None, faulty=True)
        case "header":
            return Sent(body=written(series, day, lines).swapcase(), counts=None, faulty=True)
        case "encoding":
            body = b"\xff" + written(series, day, lines)
            return Sent(body=body, counts=None, faulty=True)
        case _:
            return Sent(body=b"", counts=None, faulty=True)
