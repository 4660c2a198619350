-- Both sides of the settlement, whichever is missing. A scheme may settle one transaction in several batches.
with settled as (
    select
        transaction_id,
        min(scheme) as scheme,
        min(settlement_date) as settlement_date,
        count(*) as line_count,
        min(currency_code) as currency_code,
        sum(gross_amount)::number(18, 2) as settled_amount,
        sum(fee_amount)::number(18, 2) as settled_fee_amount,
        sum(net_amount)::number(18, 2) as settled_net_amount
    from {{ ref('stg_cards__settlements') }}
    group by transaction_id
),

newest as (
    select max(settlement_date) as settlement_date from settled
),

paired as (
    select
        coalesce(transactions.transaction_id, settled.transaction_id) as transaction_id,
        coalesce(
            settled.scheme,
            case left(transactions.card_id, 3) when 'VI-' then 'visa' when 'MC-' then 'mastercard' end
        ) as scheme,
        coalesce(transactions.currency_code, settled.currency_code) as currency_code,
        transactions.transaction_status,
        transactions.booked_on,
        transactions.amount as booked_amount,
        settled.settlement_date,
        coalesce(settled.line_count, 0) as line_count,
        settled.settled_amount,
        settled.settled_fee_amount,
        settled.settled_net_amount,
        case
            when transactions.transaction_id is null then 'unknown_transaction'
            when
                settled.transaction_id is null
                and (
                    newest.settlement_date is null
                    or transactions.booked_on
                    >= dateadd('day', -{{ var('settlement_due_days') }}, newest.settlement_date)
                )
                then 'pending'
            when settled.transaction_id is null then 'unsettled'
            when settled.currency_code <> transactions.currency_code then 'currency_differs'
            when transactions.transaction_status <> 'captured' then 'reversed_after_settlement'
            when settled.settled_amount <> transactions.amount then 'amount_differs'
            else 'matched'
        end as settlement_status
    from {{ ref('stg_core__card_transactions') }} as transactions
    full outer join settled
        on transactions.transaction_id = settled.transaction_id
    cross join newest
)

select
    transaction_id,
    scheme,
    currency_code,
    transaction_status,
    booked_on,
    settlement_date,
    settlement_status,
    line_count,
    booked_amount,
    settled_amount,
    settled_fee_amount,
    settled_net_amount,
    {{ fee_of('settled_amount', var('scheme_fee_rate')) }} as expected_fee_amount,
    (
        coalesce(settled_amount, 0)
        - case transaction_status when 'captured' then booked_amount else 0 end
    )::number(18, 2) as difference_amount
from paired
