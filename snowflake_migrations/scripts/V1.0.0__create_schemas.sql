-- One schema per source of data, and OPS for what describes the loads themselves.
CREATE SCHEMA IF NOT EXISTS {{ raw_database }}.CORE COMMENT = 'The core banking database';
CREATE SCHEMA IF NOT EXISTS {{ raw_database }}.MARKET COMMENT = 'Market data';
CREATE SCHEMA IF NOT EXISTS {{ raw_database }}.CARDS COMMENT = 'Files of the card schemes';
CREATE SCHEMA IF NOT EXISTS {{ raw_database }}.OPS COMMENT = 'Load ledger and landing stage';
