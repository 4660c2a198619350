{{ config(materialized='table') }}

-- A version lasts until the next change. A deletion ends the last version and is no version of its own, unless the
-- customer is inserted again later.
with ordered as (
    select
        *,
        lead(changed_at) over (partition by customer_id order by changed_at, change_id) as next_changed_at,
        lead(operation) over (partition by customer_id order by changed_at, change_id) as next_operation,
        min(changed_at) over (partition by customer_id) as customer_since
    from {{ ref('stg_core__customer_changes') }}
)

select
    change_id,
    customer_id,
    full_name,
    email,
    segment,
    country_code,
    risk_rating,
    customer_status,
    changed_at as valid_from,
    next_changed_at as valid_to,
    next_changed_at is null as is_current,
    coalesce(next_operation = 'D', false) as ends_in_deletion,
    customer_since,
    row_number() over (partition by customer_id order by changed_at, change_id) as version_number
from ordered
where operation <> 'D'
