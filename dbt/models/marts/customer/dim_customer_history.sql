select
    change_id as customer_version_id,
    customer_id,
    version_number,
    segment,
    country_code,
    risk_rating,
    customer_status,
    valid_from,
    valid_to,
    is_current
from {{ ref('int_customers_versioned') }}
