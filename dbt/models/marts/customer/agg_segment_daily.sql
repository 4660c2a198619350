-- By the segment a customer was in at the end of the day, not by today's.
with placed as (
    select
        activity.activity_date,
        activity.customer_id,
        activity.captured_count,
        activity.net_amount_eur,
        activity.fee_amount_eur,
        coalesce(history.segment, 'unknown') as segment
    from {{ ref('fct_customer_activity') }} as activity
    left join {{ ref('dim_customer_history') }} as history
        on
            activity.customer_id = history.customer_id
            and history.valid_from < dateadd('day', 1, activity.activity_date)
            and (history.valid_to is null or history.valid_to >= dateadd('day', 1, activity.activity_date))
)

select
    activity_date,
    segment,
    count(*) as active_customers,
    sum(captured_count)::number(38, 0) as captured_count,
    coalesce(sum(net_amount_eur), 0)::number(38, 2) as net_amount_eur,
    coalesce(sum(fee_amount_eur), 0)::number(38, 2) as fee_amount_eur
from placed
group by activity_date, segment
