"""Daily FX rates against the euro as CSV files, some of them wrong at first and corrected by a second version."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal

from slipway.sandbox.sources.scale import Period

BASE = "EUR"
LEVEL = {"CHF": 0.9450, "GBP": 0.8560, "PLN": 4.2850, "SEK": 11.3200, "USD": 1.0850}  # units of currency per euro
CORRECTED_EVERY = 9  # about one day in so many is corrected


def files(period: Period, *, corrections_until: date | None = None) -> Iterator[tuple[str, bytes]]:
    """Yield (key, content) of every rates file, corrected days in both versions.

    Args:
        corrections_until: corrections of days from this one on have not arrived yet; None: all have.
    """
    for day in period.days():
        wrong = is_corrected(day, seed=period.scale.seed)
        yield f"fx/fx_rates_{day}.csv", _content(day, seed=period.scale.seed, misprinted=wrong)
        if wrong and (corrections_until is None or day < corrections_until):
            yield f"fx/fx_rates_{day}_v2.csv", _content(day, seed=period.scale.seed, misprinted=False)


def is_corrected(day: date, *, seed: int) -> bool:
    return (day.toordinal() + seed) % CORRECTED_EVERY == 0


def _content(day: date, *, seed: int, misprinted: bool) -> bytes:
    lines = ["rate_date,base_currency,quote_currency,rate"]
    for currency in sorted(LEVEL):
        rate = _rate(day, currency, seed=seed)
        if misprinted and currency == "USD":
            rate = (rate * Decimal("1.1")).quantize(Decimal("1e-8"))  # the misprint that the second version mends
        lines.append(f"{day},{BASE},{currency},{rate}")
    return ("\n".join(lines) + "\n").encode()


def _rate(day: date, currency: str, *, seed: int) -> Decimal:
    """Return the day's rate: a slow wave about the level plus the mean of five days' noise."""
    wave = 0.015 * math.sin(2 * math.pi * (day.toordinal() % 90) / 90 + len(currency) + ord(currency[0]))
    noise = sum(_noise(day - timedelta(days=n), currency, seed=seed) for n in range(5)) / 5
    return Decimal(repr(LEVEL[currency] * (1 + wave + 0.004 * noise))).quantize(Decimal("1e-8"))


def _noise(day: date, currency: str, *, seed: int) -> float:
    """Return a value in [-1, 1) that depends on its arguments alone."""
    digest = hashlib.sha256(f"{seed}/{day}/{currency}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**47 - 1
