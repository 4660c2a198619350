"""
# Card transactions

Loads the card feed of the core database, `core.card_transactions`, into `CORE.CARD_TRANSACTIONS`: one row per
transaction in its newest version. The run of a day takes the rows *updated* that day, whenever they were booked; the
first run takes all history too.

**Impact of a failure:** finance marts are not rebuilt for the day (`finance_daily` waits). Readers keep yesterday's.

## Triage
- `extract` fails on connect: the core database is away; it retries by itself, then clear the task.
- `load` fails with *rows staged, the source counts*: what arrived differs from what was counted; nothing was written.
  Clear `extract`, which also clears `load`.
- `check` fails with *no ledger entry for*: an earlier day never loaded, or a correction was withdrawn from the feed,
  which opens the days before it again. Clear the runs it names, oldest first, then this task.
- `check` fails with *the source has*: rows were added to the feed behind the window. Clear the whole run of the day
  their `updated_at` names.

Clearing or backfilling any day is safe: equal content is skipped, other content replaces.
"""

from __future__ import annotations

from airflow.sdk import DAG
from etl import catalog
from etl.pipeline import Pipeline, load_dag
from etl.tags import Tag

dag: DAG = load_dag(
    Pipeline(
        dataset=catalog.CARD_TRANSACTIONS,
        owner="cards-data",
        tags=frozenset({Tag.CARDS, Tag.POSTGRES, Tag.LOAD}),
        notes=__doc__ or "",
    )
)
