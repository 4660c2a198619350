"""SQL expressions that draw values from a seeded hash.

PostgreSQL's `hashint8extended(number, seed)` gives the same 64 bits for the same pair on every run, so a row's values
depend on its number and on the seed alone: not on the order of evaluation, on parallel workers or on `random()`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Draw:
    """Draws for rows numbered by the SQL expression `number`; `stream` keeps independent columns independent."""

    number: str
    seed: int

    def bits(self, stream: int) -> str:
        """63 uniform bits as a non-negative bigint."""
        return f"(hashint8extended(({self.number})::bigint, {self.seed * 1000 + stream}) & 9223372036854775807)"

    def unit(self, stream: int) -> str:
        """A double in [0, 1)."""
        return f"(({self.bits(stream)} >> 10)::float8 / 9007199254740992.0)"

    def below(self, limit: int | str, stream: int) -> str:
        """A bigint in [0, limit)."""
        return f"({self.bits(stream)} % ({limit}))"

    def pick(self, values: Sequence[str], stream: int) -> str:
        """One of `values`, all equally likely; repeat a value to weigh it."""
        return f"({array(values)})[1 + {self.below(len(values), stream)}]"

    def normal(self, stream: int) -> str:
        """About N(0, 1): three uniform draws, centred and scaled (enough for plausible amounts)."""
        drawn = " + ".join(self.unit(stream + offset) for offset in (0, 1, 2))
        return f"(({drawn} - 1.5) * 2.0)"


def array(values: Sequence[str]) -> str:
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"ARRAY[{quoted}]"


def lookup(expression: str, table: Mapping[str, str | int]) -> str:
    """Return a CASE that maps the text `expression` through `table`."""
    arms = " ".join(
        f"WHEN '{key}' THEN {value if isinstance(value, int) else chr(39) + value + chr(39)}"
        for key, value in table.items()
    )
    return f"CASE {expression} {arms} END"
