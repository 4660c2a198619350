{{ config(tags=['finance']) }}

-- At every midnight the receivables account holds exactly the captured transactions. The two feeds are loaded apart,
-- so they are compared only while both have loaded the same days.
with loaded as (
    select
        logical_date,
        count(distinct pipeline) as pipelines
    from {{ ref('stg_ops__load_ledger') }}
    where pipeline in ('card_transactions', 'ledger_postings')
    group by logical_date
),

booked as (
    select
        currency_code,
        sum(amount)::number(38, 2) as amount
    from {{ ref('stg_core__card_transactions') }}
    where transaction_status = 'captured'
    group by currency_code
),

posted as (
    select
        currency_code,
        sum(amount)::number(38, 2) as amount
    from {{ ref('stg_core__ledger_postings') }}
    where account_code = '1100'
    group by currency_code
)

select
    coalesce(booked.currency_code, posted.currency_code) as currency_code,
    coalesce(booked.amount, 0) as booked_amount,
    coalesce(posted.amount, 0) as posted_amount
from booked
full outer join posted
    on booked.currency_code = posted.currency_code
where
    coalesce(booked.amount, 0) <> coalesce(posted.amount, 0)
    and not exists (
        select 1
        from loaded
        where loaded.pipelines < 2
    )
