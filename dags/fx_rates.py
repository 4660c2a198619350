"""
# FX rates

Loads the treasury's daily rates, `fx/fx_rates_<date>.csv` in the sources bucket, into `MARKET.FX_RATES`. A corrected
file, `.._v2.csv`, replaces the rates of its date; runs look back seven days for late and corrected files.

**Impact of a failure:** amounts in euro are computed with older rates. Tell treasury.

## Triage
- `check` returns the file as *awaited*: it has not come. Later runs pick it up within seven days; after that clear the
  run of its date.
- `quarantine` fails: a file, or lines of one, were left out; the message says which and why, the rest is loaded and
  used. Everything about it is in `OPS.V_OPEN_QUARANTINE`. Have treasury send the day again as `.._v2.csv`: the next run
  clears the entry, clearing the run of the day does so at once. A name that cannot be read: rename or remove it.
- `quarantine` says *builds wait*: more than one file of the last days is missing whole. `finance_daily` goes on by
  itself when they are corrected.
- `quarantine` says *expected the header* for every file: the layout changed. The dataset in `etl/catalog.py` has to
  follow.

Clearing or backfilling any day is safe: a file loaded before is skipped, a corrected one replaces it.
"""

from __future__ import annotations

from airflow.sdk import DAG
from etl import catalog
from etl.pipeline import Pipeline, load_dag
from etl.tags import Tag

dag: DAG = load_dag(
    Pipeline(
        dataset=catalog.FX_RATES,
        owner="treasury-data",
        tags=frozenset({Tag.MARKET, Tag.FILES, Tag.LOAD}),
        notes=__doc__ or "",
    )
)
