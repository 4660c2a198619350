{{ config(tags=['finance']) }}

-- Rows loaded since the fact was built are not looked for: loads go on while a slot is built.
with built as (
    select
        dateadd(
            'hour',
            -{{ var('overlap_hours') }},
            coalesce(max(source_loaded_at), '{{ run_started_at }}'::timestamp_ntz)
        ) as loaded_before
    from {{ ref('fct_card_transactions') }}
),

staged as (
    select
        transactions.transaction_id,
        transactions.loaded_at
    from {{ ref('stg_core__card_transactions') }} as transactions
    cross join built
    where transactions.loaded_at < built.loaded_before
)

select staged.transaction_id
from staged
left join {{ ref('fct_card_transactions') }} as facts
    on staged.transaction_id = facts.transaction_id
where facts.transaction_id is null
