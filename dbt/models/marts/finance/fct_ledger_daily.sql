select
    balances.posting_date,
    balances.account_code,
    balances.currency_code,
    accounts.account_type,
    balances.posting_count,
    balances.debit_amount,
    balances.credit_amount,
    balances.net_amount,
    balances.closing_balance,
    {{ to_eur('balances.net_amount', 'rates.eur_per_unit') }} as net_amount_eur,
    {{ to_eur('balances.closing_balance', 'rates.eur_per_unit') }} as closing_balance_eur
from {{ ref('int_ledger_daily_balances') }} as balances
left join {{ ref('chart_of_accounts') }} as accounts
    on balances.account_code = accounts.account_code
left join {{ ref('int_fx_rates_filled') }} as rates
    on
        balances.posting_date = rates.rate_date
        and balances.currency_code = rates.currency_code
