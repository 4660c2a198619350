"""Whether a program that works in the warehouse failed because the warehouse was lost to it, by what it printed.

dbt and schemachange print the connector's errors with their numbers: 2500xx the connection, 290xxx an HTTP status that
is no answer, 390111 to 390115 a session the warehouse ended, as it does when it is started again.
https://github.com/snowflakedb/snowflake-connector-python/blob/main/src/snowflake/connector/errorcode.py
A warehouse that stays away makes neither of them fail: they wait without end. That is for who watches them.
"""

from __future__ import annotations

import re

FIX = "once the warehouse answers, give the command again: it goes on from here"
# At the beginning of a line (dbt), or after `error_code=` and `error: ` (schemachange): not a number within some data
_LOST = re.compile(r"(?:^|error_code=|error: )\s*(?:2500\d\d|290\d{3}|39011[1-5])\b", re.MULTILINE)


def is_loss(message: str) -> bool:
    """Return whether an error message is about the connection to the warehouse, not about what was asked of it."""
    return _LOST.search(message) is not None
