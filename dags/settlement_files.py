"""
# Settlement files

Loads the card schemes' settlement files, `settlement/<scheme>/<scheme>_<date>.csv.gz` in the sources bucket, into
`CARDS.SETTLEMENTS`. Lines sent twice count once. A scheme that skips a day sends its lines with the next file; runs
look back seven days for late files.

**Impact of a failure:** reconciliation of captures with settlements shows the day as unsettled.

## Triage
- `check` returns a file as *awaited*: the scheme has not delivered. Normal for a skipped day; call the scheme on the
  second day in a row.
- `quarantine` fails: a file was left out, whole, for a single faulty line is enough: the scheme pays the sum of its
  file. The message says line and reason, all other files are loaded and used. Everything about it is in
  `OPS.V_OPEN_QUARANTINE`, the file under `quarantine/` in the landing bucket. Have it sent again, under its name or as
  `.._v2.csv.gz`: the next run clears the entry, clearing the run of the day does so at once.
- `quarantine` says *builds wait*: more than one file of the last days is missing. `finance_daily` goes on by itself
  when they are corrected.
- `check` fails with *loaded twice?*: two files carry the same lines. Find both with `SOURCE_FILE`, ask the scheme which
  one counts, remove the other from the bucket, delete its rows and clear the run.

Clearing or backfilling any day is safe: a file loaded before is skipped, a corrected one replaces it.
"""

from __future__ import annotations

from airflow.sdk import DAG
from etl import catalog
from etl.pipeline import Pipeline, load_dag
from etl.tags import Tag

dag: DAG = load_dag(
    Pipeline(
        dataset=catalog.SETTLEMENT_FILES,
        owner="cards-data",
        tags=frozenset({Tag.CARDS, Tag.FILES, Tag.LOAD}),
        notes=__doc__ or "",
    )
)
