-- Delivered files that were not loaded, or not all of them, and the lines that are to blame. Written in the transaction
-- of the load that left them out. An entry is open until something whole has come in its place.
CREATE TABLE IF NOT EXISTS {{ raw_database }}.OPS.QUARANTINE (
    PIPELINE VARCHAR NOT NULL COMMENT 'The dag that looked at the file',
    SOURCE VARCHAR NOT NULL COMMENT 'The file, as its partner named it',
    CONTENT_SHA256 VARCHAR(64) NOT NULL COMMENT 'Digest of the file as delivered',
    LOGICAL_DATE DATE COMMENT 'The day of the file, null when its name cannot be read',
    PART VARCHAR COMMENT 'The series of the file, null when its name cannot be read',
    WHOLE_FILE BOOLEAN NOT NULL COMMENT 'None of its lines was loaded',
    REASON VARCHAR NOT NULL COMMENT 'The first fault, and how many lines are faulty',
    LINES NUMBER(38, 0) NOT NULL COMMENT 'Data lines, 0 when the file cannot be read',
    FAULTY_LINES NUMBER(38, 0) NOT NULL COMMENT 'How many of those are faulty, all of them counted',
    LANDING_KEY VARCHAR NOT NULL COMMENT 'Its copy in the landing bucket',
    RELEASE VARCHAR COMMENT 'The release that judged it',
    FOUND_AT TIMESTAMP_NTZ NOT NULL COMMENT 'When, in UTC',
    CLEARED_AT TIMESTAMP_NTZ COMMENT 'When the entry was closed, in UTC, null while it is open',
    CLEARED_BY VARCHAR COMMENT 'The file that came in its place, null when it was withdrawn',
    CONSTRAINT QUARANTINE_KEY PRIMARY KEY (PIPELINE, SOURCE, CONTENT_SHA256)
)
COMMENT = 'Delivered files that were not loaded, or not all of them';

CREATE TABLE IF NOT EXISTS {{ raw_database }}.OPS.QUARANTINE_LINE (
    PIPELINE VARCHAR NOT NULL,
    SOURCE VARCHAR NOT NULL,
    CONTENT_SHA256 VARCHAR(64) NOT NULL,
    LINE NUMBER(38, 0) COMMENT 'As an editor counts, null for a fault of the whole file',
    COLUMN_NAME VARCHAR COMMENT 'Null for a fault of the whole line',
    REASON VARCHAR NOT NULL COMMENT 'What is wrong',
    TEXT VARCHAR COMMENT 'The line as delivered, or its beginning'
)
COMMENT = 'The first faults of each file in quarantine';
