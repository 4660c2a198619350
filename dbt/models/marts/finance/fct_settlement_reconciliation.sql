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
    expected_fee_amount,
    difference_amount
from {{ ref('int_settlements_matched') }}
