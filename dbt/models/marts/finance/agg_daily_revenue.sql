-- Three sources that know of different days: what customers spent, what the ledger earned, what the schemes kept.
with spending as (
    select
        booked_on as revenue_date,
        currency_code,
        count_if(transaction_status = 'captured') as transaction_count,
        sum(net_amount)::number(38, 2) as net_amount
    from {{ ref('fct_card_transactions') }}
    group by booked_on, currency_code
),

earned as (
    select
        posting_date as revenue_date,
        currency_code,
        (-sum(net_amount))::number(38, 2) as fee_income_amount
    from {{ ref('fct_ledger_daily') }}
    where account_type = 'income'
    group by posting_date, currency_code
),

kept as (
    select
        settlement_date as revenue_date,
        currency_code,
        sum(settled_fee_amount)::number(38, 2) as scheme_fee_amount
    from {{ ref('fct_settlement_reconciliation') }}
    where settlement_date is not null
    group by settlement_date, currency_code
),

days as (
    select
        revenue_date,
        currency_code
    from spending
    union distinct
    select
        revenue_date,
        currency_code
    from earned
    union distinct
    select
        revenue_date,
        currency_code
    from kept
),

joined as (
    select
        days.revenue_date,
        days.currency_code,
        coalesce(spending.transaction_count, 0) as transaction_count,
        coalesce(spending.net_amount, 0)::number(38, 2) as net_amount,
        coalesce(earned.fee_income_amount, 0)::number(38, 2) as fee_income_amount,
        coalesce(kept.scheme_fee_amount, 0)::number(38, 2) as scheme_fee_amount,
        (coalesce(earned.fee_income_amount, 0) - coalesce(kept.scheme_fee_amount, 0))::number(38, 2) as revenue_amount
    from days
    left join spending
        on
            days.revenue_date = spending.revenue_date
            and days.currency_code = spending.currency_code
    left join earned
        on
            days.revenue_date = earned.revenue_date
            and days.currency_code = earned.currency_code
    left join kept
        on
            days.revenue_date = kept.revenue_date
            and days.currency_code = kept.currency_code
)

select
    joined.revenue_date,
    joined.currency_code,
    joined.transaction_count,
    joined.net_amount,
    joined.fee_income_amount,
    joined.scheme_fee_amount,
    joined.revenue_amount,
    {{ to_eur('joined.revenue_amount', 'rates.eur_per_unit') }} as revenue_amount_eur
from joined
left join {{ ref('int_fx_rates_filled') }} as rates
    on
        joined.revenue_date = rates.rate_date
        and joined.currency_code = rates.currency_code
