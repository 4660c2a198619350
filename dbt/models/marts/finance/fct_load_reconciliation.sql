select
    batch_id,
    pipeline,
    logical_date,
    part,
    source,
    release,
    loaded_at,
    source_rows,
    raw_rows,
    source_amount,
    raw_amount,
    source_rows - raw_rows as row_difference,
    (source_amount - raw_amount)::number(38, 2) as amount_difference,
    load_status
from {{ ref('int_loads_reconciled') }}
