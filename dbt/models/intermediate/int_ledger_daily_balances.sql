with daily as (
    select
        posting_date,
        account_code,
        currency_code,
        count(*) as posting_count,
        sum(case when amount > 0 then amount else 0 end)::number(38, 2) as debit_amount,
        sum(case when amount < 0 then -amount else 0 end)::number(38, 2) as credit_amount,
        sum(amount)::number(38, 2) as net_amount
    from {{ ref('stg_core__ledger_postings') }}
    group by posting_date, account_code, currency_code
)

select
    posting_date,
    account_code,
    currency_code,
    posting_count,
    debit_amount,
    credit_amount,
    net_amount,
    sum(net_amount) over (
        partition by account_code, currency_code
        order by posting_date
        rows between unbounded preceding and current row
    )::number(38, 2) as closing_balance
from daily
