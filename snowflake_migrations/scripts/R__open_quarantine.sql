-- What a person has to look at: the files still in quarantine, oldest first in each pipeline, with their faults.
CREATE OR REPLACE VIEW {{ raw_database }}.OPS.V_OPEN_QUARANTINE
COPY GRANTS
COMMENT = 'Files in quarantine and why'
AS
SELECT
    Q.PIPELINE,
    Q.LOGICAL_DATE,
    Q.SOURCE,
    Q.WHOLE_FILE,
    Q.LINES,
    Q.FAULTY_LINES,
    Q.LANDING_KEY,
    Q.FOUND_AT,
    L.LINE,
    L.COLUMN_NAME,
    L.REASON,
    L.TEXT
FROM {{ raw_database }}.OPS.QUARANTINE AS Q
INNER JOIN {{ raw_database }}.OPS.QUARANTINE_LINE AS L
    ON
        Q.PIPELINE = L.PIPELINE
        AND Q.SOURCE = L.SOURCE
        AND Q.CONTENT_SHA256 = L.CONTENT_SHA256
WHERE Q.CLEARED_AT IS NULL;
