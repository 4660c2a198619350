select
    change_id,
    customer_id,
    full_name,
    email,
    segment,
    country as country_code,
    risk_rating,
    status as customer_status,
    changed_at,
    operation,
    _batch as batch_id,
    _logical_date as logical_date,
    _loaded_at as loaded_at
from {{ source('core', 'customer_changes') }}
