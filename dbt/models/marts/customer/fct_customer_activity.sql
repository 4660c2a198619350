select
    customer_id,
    booked_on as activity_date,
    count(*) as transaction_count,
    count_if(transaction_status = 'captured') as captured_count,
    count_if(transaction_status <> 'captured') as returned_count,
    count(distinct merchant_id) as merchant_count,
    sum(net_amount_eur)::number(38, 2) as net_amount_eur,
    sum(fee_amount_eur)::number(38, 2) as fee_amount_eur,
    max(booked_at) as last_booked_at
from {{ ref('fct_card_transactions') }}
where customer_id is not null
group by customer_id, booked_on
