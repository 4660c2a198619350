"""Which cases of a long family run: a seeded sample with all other tests, everything in a session of its own.

`KILL_CASES=all` asks for everything, `KILL_SEED=n` for the sample that another run printed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import TypeVar

_Case = TypeVar("_Case")
IS_WHOLE = os.environ.get("KILL_CASES") == "all"
# Workers that share a run must collect the same: they know its name.
SEED = int(os.environ.get("KILL_SEED") or random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID")).randrange(10**6))


def sample(cases: Sequence[_Case], count: int) -> list[_Case]:
    """Return all cases, or `count` of them chosen by the seed; in their order."""
    if IS_WHOLE:
        return list(cases)
    chosen = random.Random(f"{SEED} of {len(cases)}").sample(range(len(cases)), count)
    return [cases[place] for place in sorted(chosen)]
