{{ config(tags=['customer']) }}

select
    earlier.customer_id,
    earlier.version_number
from {{ ref('dim_customer_history') }} as earlier
inner join {{ ref('dim_customer_history') }} as later
    on
        earlier.customer_id = later.customer_id
        and earlier.version_number + 1 = later.version_number
where earlier.valid_to is null or earlier.valid_to > later.valid_from
