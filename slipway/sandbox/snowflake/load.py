"""COPY INTO a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.sandbox.snowflake import error
from slipway.sandbox.snowflake.reader import Reader
from slipway.sandbox.snowflake.result import Result

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.cursor import Cursor


def handle(cursor: Cursor, reader: Reader) -> Result | None:
    raise error.unsupported("COPY INTO")
