select
    rate_date,
    currency_code,
    units_per_eur,
    eur_per_unit,
    quoted_on,
    is_carried
from {{ ref('int_fx_rates_filled') }}
