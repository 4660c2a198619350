select
    account_code,
    account_name,
    account_type,
    normal_side,
    statement
from {{ ref('chart_of_accounts') }}
