"""The version that DAG files are parsed as in tests."""

from __future__ import annotations

START = "2026-03-01"  # the first logical date
VERSION = {
    "version": "v1",
    "release": "r1",
    "slot": "3F2A9C1B",
    "environment": "staging",
    "settings": {
        "landing_bucket": "landing",
        "sources_bucket": "sources",
        "source_schema": "core",
        "raw_database": "STAGING_RAW",
        "analytics_database": "STAGING_ANALYTICS",
        "ops_database": "STAGING_OPS",
        "schedule_start": START,
        "dbt_threads": 4,
    },
}
