-- Expand: which release loaded a row. Empty for loads older than this column.
ALTER TABLE {{ raw_database }}.OPS.LOAD_LEDGER ADD COLUMN IF NOT EXISTS RELEASE VARCHAR;
