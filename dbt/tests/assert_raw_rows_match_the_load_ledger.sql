{{ config(tags=['finance']) }}

-- Rows that no load answers for, rows that a load promised and that are not there, and rows beyond what it promised.
select
    batch_id,
    source_rows,
    raw_rows,
    load_status
from {{ ref('int_loads_reconciled') }}
where load_status in ('not_in_ledger', 'missing_rows', 'excess_rows')
