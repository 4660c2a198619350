select
    scheme,
    settlement_date,
    batch_id as scheme_batch_id,
    transaction_id,
    currency as currency_code,
    gross_amount::number(18, 2) as gross_amount,
    fee_amount::number(18, 2) as fee_amount,
    net_amount::number(18, 2) as net_amount,
    source_file,
    _batch as batch_id,
    _logical_date as logical_date,
    _loaded_at as loaded_at
from {{ source('cards', 'settlements') }}
