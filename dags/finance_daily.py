"""
# Finance, daily

Builds and tests the dbt project of this release into its own slot, once the day's five loads are in the load ledger.
Readers see the slot through the published schemas at once; a failed test leaves what was built before it.

**Impact of a failure:** finance and customer marts are a day old. Page finance-data when it is not green by 07:00 UTC.

## Triage
- `wait_for_loads` is up for reschedule: its log names the pipelines it waits for, not loaded or with too many files in
  quarantine; go to those.
- `dbt_build` fails: the error names the models and tests. A test on keys or sums: look at the load of that table before
  touching the model. After a mend, clear `dbt_build`; building twice changes nothing.
- `check` fails with *no rows*: the build ran against an empty slot or an empty RAW; do not publish, ask the deployer.
"""

from __future__ import annotations

from airflow.sdk import DAG
from etl import catalog
from etl.pipeline import Build, build_dag
from etl.tags import Tag

dag: DAG = build_dag(
    Build(
        dag_id="finance_daily",
        datasets=catalog.LOADED,
        owner="finance-data",
        tags=frozenset({Tag.FINANCE, Tag.CUSTOMER, Tag.BUILD}),
        notes=__doc__ or "",
    )
)
