{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key='transaction_id',
        on_schema_change='append_new_columns',
        post_hook="delete from {{ this }} where transaction_id not in (select transaction_id from {{ ref('int_transactions_converted') }})",
    )
}}

-- The hook takes out what a rerun of a load withdrew: a merge never deletes.

select
    transaction_id,
    card_id,
    customer_id,
    merchant_id,
    merchant_category,
    country_code,
    currency_code,
    transaction_status,
    booked_at,
    booked_on,
    updated_at,
    amount,
    net_amount,
    fee_amount,
    eur_per_unit,
    rate_quoted_on,
    amount_eur,
    net_amount_eur,
    fee_amount_eur,
    source_loaded_at
from {{ ref('int_transactions_converted') }}

{% if is_incremental() %}
    -- Loads may commit in another order than they stamped their rows, so the newest stretch is read again. A rate that
    -- came or was corrected later counts as new for every transaction it values.
    where
        source_loaded_at >= (
            select
                dateadd(
                    'hour',
                    -{{ var('overlap_hours') }},
                    coalesce(max(built.source_loaded_at), '1970-01-01'::timestamp_ntz) -- noqa: RF03
                )
            from {{ this }} as built
        )
{% endif %}
