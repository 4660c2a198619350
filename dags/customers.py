"""
# Customers

Loads the change feed `core.customer_changes` into `CORE.CUSTOMER_CHANGES`, one row per change; the history of each
customer is built from it by dbt. The run of a day takes the changes made that day, the first run all history too.

**Impact of a failure:** customer marts are not rebuilt for the day. No money is affected, but risk ratings age: tell
the risk desk when a second day is missed.

## Triage
- `extract` fails on connect: the core database is away; it retries by itself, then clear the task.
- `check` fails with *distinct keys*: the table holds a change twice, which a load cannot cause: someone wrote to RAW.
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
        dataset=catalog.CUSTOMERS,
        owner="customer-data",
        tags=frozenset({Tag.CUSTOMER, Tag.POSTGRES, Tag.LOAD}),
        notes=__doc__ or "",
    )
)
