with newest as (
    select
        currency_code,
        units_per_eur,
        eur_per_unit,
        quoted_on
    from {{ ref('int_fx_rates_filled') }}
    qualify row_number() over (partition by currency_code order by rate_date desc) = 1
)

select
    currencies.currency_code,
    currencies.currency_name,
    currencies.minor_units,
    currencies.currency_code = '{{ var("reporting_currency") }}' as is_reporting_currency,
    newest.units_per_eur,
    newest.eur_per_unit,
    newest.quoted_on as rate_quoted_on
from {{ ref('currencies') }} as currencies
left join newest
    on currencies.currency_code = newest.currency_code
