-- One row per pipeline, logical date and part, written in the transaction of the load it describes.
CREATE TABLE IF NOT EXISTS {{ raw_database }}.OPS.LOAD_LEDGER (
    PIPELINE VARCHAR NOT NULL COMMENT 'The dag that loaded',
    LOGICAL_DATE DATE NOT NULL COMMENT 'The day the load stands for',
    PART VARCHAR NOT NULL COMMENT 'Which part of the day: a file, a key range',
    SOURCE VARCHAR COMMENT 'Where the rows came from, null while a file is awaited',
    CONTENT_SHA256 VARCHAR(64) COMMENT 'Digest of what was loaded',
    SOURCE_ROWS NUMBER(38, 0) COMMENT 'Distinct keys, as counted at the source',
    SOURCE_AMOUNT NUMBER(38, 2) COMMENT 'Sum of the amounts, as added up at the source',
    LOADED_ROWS NUMBER(38, 0) COMMENT 'Rows the load carried into the raw table',
    LOADED_AT TIMESTAMP_NTZ NOT NULL COMMENT 'When, in UTC',
    CONSTRAINT LOAD_LEDGER_KEY PRIMARY KEY (PIPELINE, LOGICAL_DATE, PART)
)
COMMENT = 'What was loaded, with the control totals of its source';
