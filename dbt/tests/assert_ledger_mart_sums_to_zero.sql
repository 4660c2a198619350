{{ config(tags=['finance']) }}

select
    posting_date,
    currency_code,
    sum(net_amount)::number(38, 2) as unbalanced_amount
from {{ ref('fct_ledger_daily') }}
group by posting_date, currency_code
having sum(net_amount)::number(38, 2) <> 0
