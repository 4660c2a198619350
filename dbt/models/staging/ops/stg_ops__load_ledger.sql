select
    pipeline,
    logical_date,
    part,
    pipeline || '/' || to_varchar(logical_date, 'YYYY-MM-DD') || '/' || part as batch_id,
    source,
    content_sha256,
    source_rows,
    source_amount::number(38, 2) as source_amount,
    loaded_rows,
    release,
    loaded_at
from {{ source('ops', 'load_ledger') }}
