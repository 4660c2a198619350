{{ config(tags=['finance']) }}

select
    batch_id,
    source_amount,
    raw_amount
from {{ ref('int_loads_reconciled') }}
where load_status = 'amount_differs'
