"""
# Ledger postings

Loads the general ledger `core.ledger_postings` into `CORE.LEDGER_POSTINGS`, one row per posting. The run of a day
takes what was *posted* that day; late journals carry an earlier posting date. `check` demands that every posting date
and currency sums to exactly zero.

**Impact of a failure:** the ledger in the marts is not renewed; month-end close waits for it. Page finance-data when it
is not green by 06:00 UTC.

## Triage
- `check` fails with *not zero*: a journal arrived in part. Compare the day with the source; if the source balances,
  clear the whole run; if it does not, the ledger team must post what is missing.
- `check` fails with *the source has*: postings were added behind the window. Clear the run of their `posted_at`.
- `check` fails with *no ledger entry for*: an earlier day never loaded. Clear that run first, then this task.

Clearing or backfilling any day is safe: equal content is skipped, other content replaces.
"""

from __future__ import annotations

from airflow.sdk import DAG
from etl import catalog
from etl.pipeline import Pipeline, load_dag
from etl.tags import Tag

dag: DAG = load_dag(
    Pipeline(
        dataset=catalog.LEDGER_POSTINGS,
        owner="finance-data",
        tags=frozenset({Tag.FINANCE, Tag.POSTGRES, Tag.LOAD}),
        notes=__doc__ or "",
    )
)
