"""The warehouse's ids of queries: what a step leaves as evidence of the statements it ran.

They are what Snowflake's QUERY_HISTORY knows a statement by.
https://docs.snowflake.com/en/sql-reference/account-usage/query_history
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

KEPT = 50  # ids: evidence is kept for years and read by people; the tag finds the others


@dataclass(kw_only=True, eq=False, slots=True)
class Queries:
    """Ids of queries in the order they came; the first of them and the last are kept, `KEPT`, and all are counted.

    Attributes:
        tag: the QUERY_TAG they ran under.
    """

    tag: str
    ids: list[str] = field(default_factory=list)
    count: int = 0

    def note(self, ids: Iterable[str | None]) -> None:
        """Add ids; a statement that got none is not counted."""
        for one in filter(None, ids):
            self.count += 1
            if len(self.ids) == KEPT:
                self.ids.pop()  # the last one tells where it ended
            self.ids.append(one)

    def evidence(self) -> dict[str, Any]:
        """Return plain data for an `Outcome`."""
        return {"query_ids": list(self.ids), "queries": self.count, "query_tag": self.tag}
