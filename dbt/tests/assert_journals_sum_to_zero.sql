{{ config(tags=['finance']) }}

select
    journal_id,
    sum(amount)::number(38, 2) as unbalanced_amount
from {{ ref('stg_core__ledger_postings') }}
group by journal_id
having sum(amount)::number(38, 2) <> 0
