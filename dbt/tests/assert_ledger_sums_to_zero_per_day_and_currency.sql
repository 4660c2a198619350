{{ config(tags=['finance']) }}

-- Double entry: what does not sum to zero was posted by half, or loaded by half.
select
    posting_date,
    currency_code,
    sum(amount)::number(38, 2) as unbalanced_amount
from {{ ref('stg_core__ledger_postings') }}
group by posting_date, currency_code
having sum(amount)::number(38, 2) <> 0
