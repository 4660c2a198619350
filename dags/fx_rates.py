"""
# FX rates

Loads the treasury's daily rates, `fx/fx_rates_<date>.csv` in the sources bucket, into `MARKET.FX_RATES`. A corrected
file, `.._v2.csv`, replaces the rates of its date; runs look back seven days for late and corrected files.

**Impact of a failure:** amounts in euro are computed with older rates. Tell treasury.

## Triage
- `check` returns the file as *awaited*: it has not come. Later runs pick it up within seven days; after that clear the
  run of its date.
- `extract` fails with *expected fx/..*: a file has a name that cannot be read. Have it sent again, remove it.
- `extract` fails with *expected the header* or *expected 4 fields*: the layout changed. Nothing was loaded; the dataset
  in `etl/catalog.py` has to follow.

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
