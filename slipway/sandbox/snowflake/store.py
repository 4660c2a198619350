"""Where the embedded Snowflake keeps what it knows beside the tables: schemas of one DuckDB database."""

from __future__ import annotations

GLOBAL = "_fs_global"  # the database fakesnow keeps its own metadata in
STORE = f"{GLOBAL}.slipway"
DESCRIPTIONS = f"{GLOBAL}._fs_information_schema"
