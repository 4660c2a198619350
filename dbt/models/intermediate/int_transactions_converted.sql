-- Only a captured transaction counts: a reversed or refunded one keeps its amount but nets to zero and earns no fee.
with transactions as (
    select
        *,
        case transaction_status when 'captured' then amount else 0 end::number(18, 2) as net_amount
    from {{ ref('stg_core__card_transactions') }}
),

valued as (
    select
        *,
        {{ fee_of('net_amount', var('card_fee_rate')) }} as fee_amount
    from transactions
)

select
    valued.transaction_id,
    valued.card_id,
    valued.customer_id,
    valued.merchant_id,
    valued.merchant_category,
    valued.country_code,
    valued.currency_code,
    valued.transaction_status,
    valued.booked_at,
    valued.booked_on,
    valued.updated_at,
    valued.amount,
    valued.net_amount,
    valued.fee_amount,
    rates.eur_per_unit,
    rates.quoted_on as rate_quoted_on,
    {{ to_eur('valued.amount', 'rates.eur_per_unit') }} as amount_eur,
    {{ to_eur('valued.net_amount', 'rates.eur_per_unit') }} as net_amount_eur,
    {{ to_eur('valued.fee_amount', 'rates.eur_per_unit') }} as fee_amount_eur,
    greatest(valued.loaded_at, coalesce(rates.rate_loaded_at, valued.loaded_at)) as source_loaded_at
from valued
left join {{ ref('int_fx_rates_filled') }} as rates
    on
        valued.booked_on = rates.rate_date
        and valued.currency_code = rates.currency_code
