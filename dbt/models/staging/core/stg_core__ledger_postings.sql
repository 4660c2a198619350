select
    posting_id,
    journal_id,
    transaction_id,
    account_code,
    posting_date,
    currency as currency_code,
    amount::number(18, 2) as amount,
    posted_at,
    _batch as batch_id,
    _logical_date as logical_date,
    _loaded_at as loaded_at
from {{ source('core', 'ledger_postings') }}
