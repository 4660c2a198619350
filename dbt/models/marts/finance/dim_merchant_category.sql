select
    merchant_category,
    category_name,
    category_group,
    is_discretionary
from {{ ref('merchant_categories') }}
