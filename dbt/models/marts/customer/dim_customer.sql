-- Everyone a transaction names is here: whose record has not come yet is inferred, with the key alone. Names of
-- deleted customers are not kept.
with newest as (
    select *
    from {{ ref('int_customers_versioned') }}
    qualify row_number() over (partition by customer_id order by version_number desc) = 1
),

transacting as (
    select distinct customer_id
    from {{ ref('fct_card_transactions') }}
    where customer_id is not null
)

select
    coalesce(newest.customer_id, transacting.customer_id) as customer_id,
    case when not newest.ends_in_deletion then newest.full_name end as full_name,
    case when not newest.ends_in_deletion then newest.email end as email,
    newest.segment,
    newest.country_code,
    newest.risk_rating,
    newest.customer_status,
    newest.customer_since,
    newest.valid_from as record_valid_from,
    coalesce(newest.version_number, 0) as version_count,
    coalesce(newest.ends_in_deletion, false) as is_deleted,
    newest.customer_id is null as is_inferred
from newest
full outer join transacting
    on newest.customer_id = transacting.customer_id
