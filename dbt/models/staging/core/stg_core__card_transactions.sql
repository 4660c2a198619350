select
    transaction_id,
    card_id,
    customer_id,
    merchant_id,
    merchant_category,
    country as country_code,
    currency as currency_code,
    amount::number(18, 2) as amount,
    status as transaction_status,
    booked_at,
    booked_at::date as booked_on,
    updated_at,
    _batch as batch_id,
    _logical_date as logical_date,
    _loaded_at as loaded_at
from {{ source('core', 'card_transactions') }}
