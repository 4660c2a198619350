-- Recent means the thirty days up to the newest activity of anyone, not up to today: a late load changes no meaning.
with newest as (
    select max(activity_date) as activity_date from {{ ref('fct_customer_activity') }}
),

activity as (
    select
        activity.customer_id,
        min(activity.activity_date) as first_activity_date,
        max(activity.activity_date) as last_activity_date,
        count(*) as active_days,
        sum(activity.captured_count)::number(38, 0) as captured_count,
        sum(activity.returned_count)::number(38, 0) as returned_count,
        coalesce(sum(activity.net_amount_eur), 0)::number(38, 2) as net_amount_eur,
        coalesce(sum(activity.fee_amount_eur), 0)::number(38, 2) as fee_amount_eur,
        sum(
            case
                when activity.activity_date > dateadd('day', -30, newest.activity_date)
                    then coalesce(activity.net_amount_eur, 0)
                else 0
            end
        )::number(38, 2) as recent_net_amount_eur
    from {{ ref('fct_customer_activity') }} as activity
    cross join newest
    group by activity.customer_id
)

select
    customers.customer_id,
    customers.segment,
    customers.country_code,
    activity.first_activity_date,
    activity.last_activity_date,
    coalesce(activity.active_days, 0) as active_days,
    coalesce(activity.captured_count, 0)::number(38, 0) as captured_count,
    coalesce(activity.returned_count, 0)::number(38, 0) as returned_count,
    coalesce(activity.net_amount_eur, 0)::number(38, 2) as net_amount_eur,
    coalesce(activity.fee_amount_eur, 0)::number(38, 2) as fee_amount_eur,
    coalesce(activity.recent_net_amount_eur, 0)::number(38, 2) as recent_net_amount_eur,
    case
        when coalesce(activity.recent_net_amount_eur, 0) >= 2000 then 'high'
        when coalesce(activity.recent_net_amount_eur, 0) >= 500 then 'medium'
        when coalesce(activity.recent_net_amount_eur, 0) > 0 then 'low'
        else 'none'
    end as value_tier
from {{ ref('dim_customer') }} as customers
left join activity
    on customers.customer_id = activity.customer_id
