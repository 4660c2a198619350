-- One row per pipeline and logical date: what the source said, and what was loaded.
CREATE OR REPLACE VIEW {{ raw_database }}.OPS.V_LOAD_SUMMARY
COPY GRANTS
COMMENT = 'Loads per pipeline and logical date'
AS
SELECT
    PIPELINE,
    LOGICAL_DATE,
    COUNT(*) AS PARTS,
    SUM(SOURCE_ROWS) AS SOURCE_ROWS,
    SUM(LOADED_ROWS) AS LOADED_ROWS,
    SUM(SOURCE_AMOUNT) AS SOURCE_AMOUNT,
    COUNT(DISTINCT RELEASE) AS RELEASES,
    MAX(LOADED_AT) AS LOADED_AT
FROM {{ raw_database }}.OPS.LOAD_LEDGER
GROUP BY PIPELINE, LOGICAL_DATE;
