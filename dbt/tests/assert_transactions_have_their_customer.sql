{{ config(tags=['customer']) }}

select transactions.transaction_id
from {{ ref('fct_card_transactions') }} as transactions
left join {{ ref('dim_customer') }} as customers
    on transactions.customer_id = customers.customer_id
where
    transactions.customer_id is not null
    and customers.customer_id is null
