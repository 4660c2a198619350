-- Batches as the load ledger has them against the rows that carry their name. One statement reads both, and a load
-- writes both in one transaction: a load that runs meanwhile shows here whole or not at all.
with raw_batches as (
    {% for pipeline, model, amount in [
        ('card_transactions', 'stg_core__card_transactions', 'sum(amount)'),
        ('customers', 'stg_core__customer_changes', 'null'),
        ('ledger_postings', 'stg_core__ledger_postings', 'sum(amount)'),
        ('fx_rates', 'stg_market__fx_rates', 'null'),
        ('settlement_files', 'stg_cards__settlements', 'sum(gross_amount)'),
    ] %}
        select
            '{{ pipeline }}' as pipeline,
            batch_id,
            logical_date,
            count(*) as raw_rows,
            {{ amount }}::number(38, 2) as raw_amount
        from {{ ref(model) }}
        group by batch_id, logical_date
        {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

ledger as (
    select
        *,
        max(logical_date) over (partition by pipeline) as newest_logical_date,
        pipeline = 'card_transactions' as is_versioned
    from {{ ref('stg_ops__load_ledger') }}
    where
        pipeline in (
            'card_transactions', 'customers', 'ledger_postings', 'fx_rates', 'settlement_files'
        )
),

compared as (
    select
        coalesce(ledger.batch_id, raw_batches.batch_id) as batch_id,
        coalesce(ledger.pipeline, raw_batches.pipeline) as pipeline,
        coalesce(ledger.logical_date, raw_batches.logical_date) as logical_date,
        ledger.part,
        ledger.source,
        ledger.release,
        ledger.loaded_at,
        ledger.batch_id is not null as is_in_ledger,
        coalesce(ledger.is_versioned, false) as is_versioned,
        coalesce(ledger.logical_date = ledger.newest_logical_date, false) as is_newest,
        coalesce(ledger.source_rows, 0) as source_rows,
        coalesce(raw_batches.raw_rows, 0) as raw_rows,
        ledger.source_amount,
        case when ledger.source_amount is not null then coalesce(raw_batches.raw_amount, 0) end as raw_amount
    from ledger
    full outer join raw_batches
        on
            ledger.batch_id = raw_batches.batch_id
            and ledger.pipeline = raw_batches.pipeline
)

select
    batch_id,
    pipeline,
    logical_date,
    part,
    source,
    release,
    loaded_at,
    is_versioned,
    source_rows,
    raw_rows,
    source_amount::number(38, 2) as source_amount,
    raw_amount::number(38, 2) as raw_amount,
    case
        when not is_in_ledger then 'not_in_ledger'
        when raw_rows > source_rows then 'excess_rows'
        -- a later batch brought newer versions of some transactions, which then carry its name
        when raw_rows < source_rows and is_versioned and not is_newest then 'superseded'
        when raw_rows < source_rows then 'missing_rows'
        when raw_amount <> source_amount then 'amount_differs'
        else 'matched'
    end as load_status
from compared
