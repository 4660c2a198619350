select
    rate_date,
    base_currency,
    quote_currency as currency_code,
    rate::number(18, 8) as units_per_eur,
    rate_date::varchar || '/' || quote_currency as fx_rate_id,
    source_file,
    _batch as batch_id,
    _logical_date as logical_date,
    _loaded_at as loaded_at
from {{ source('market', 'fx_rates') }}
where base_currency = '{{ var("reporting_currency") }}'
