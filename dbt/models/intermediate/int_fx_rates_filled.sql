{{ config(materialized='table') }}

-- The last quote on or before each day that amounts have to be converted for. The reporting currency is its own rate.
with days as (
    select rate_date as day from {{ ref('stg_market__fx_rates') }}
    union distinct
    select booked_on as day from {{ ref('stg_core__card_transactions') }}
    union distinct
    select posting_date as day from {{ ref('stg_core__ledger_postings') }}
    union distinct
    select settlement_date as day from {{ ref('stg_cards__settlements') }}
),

currencies as (
    select distinct currency_code
    from {{ ref('stg_market__fx_rates') }}
    where currency_code <> '{{ var("reporting_currency") }}'
),

grid as (
    select
        days.day,
        currencies.currency_code,
        last_value(quotes.rate_date ignore nulls) over (
            partition by currencies.currency_code
            order by days.day
            rows between unbounded preceding and current row
        ) as quoted_on
    from days
    cross join currencies
    left join {{ ref('stg_market__fx_rates') }} as quotes
        on
            days.day = quotes.rate_date
            and currencies.currency_code = quotes.currency_code
    where days.day is not null
),

quoted as (
    select
        grid.day as rate_date,
        grid.currency_code,
        grid.quoted_on,
        quotes.units_per_eur,
        {{ inverse_rate('quotes.units_per_eur') }} as eur_per_unit,
        quotes.loaded_at as rate_loaded_at
    from grid
    inner join {{ ref('stg_market__fx_rates') }} as quotes
        on
            grid.quoted_on = quotes.rate_date
            and grid.currency_code = quotes.currency_code
),

reporting as (
    select
        day as rate_date,
        '{{ var("reporting_currency") }}' as currency_code,
        day as quoted_on,
        1::number(18, 8) as units_per_eur,
        1::number(20, 12) as eur_per_unit,
        null::timestamp_ntz as rate_loaded_at
    from days
    where day is not null
)

select
    rate_date,
    currency_code,
    quoted_on,
    units_per_eur,
    eur_per_unit,
    rate_loaded_at,
    quoted_on < rate_date as is_carried
from quoted

union all

select
    rate_date,
    currency_code,
    quoted_on,
    units_per_eur,
    eur_per_unit,
    rate_loaded_at,
    false as is_carried
from reporting
