-- One row per pipeline: how far it has come, and the days missing between its first and its last.
CREATE OR REPLACE VIEW {{ raw_database }}.OPS.V_PIPELINE_FRESHNESS
COPY GRANTS
COMMENT = 'First, last and missing logical dates per pipeline'
AS
SELECT
    PIPELINE,
    MIN(LOGICAL_DATE) AS FIRST_LOGICAL_DATE,
    MAX(LOGICAL_DATE) AS LAST_LOGICAL_DATE,
    DATEDIFF(DAY, MIN(LOGICAL_DATE), MAX(LOGICAL_DATE)) + 1 - COUNT(DISTINCT LOGICAL_DATE) AS MISSING_DAYS,
    MAX(LOADED_AT) AS LOADED_AT
FROM {{ raw_database }}.OPS.LOAD_LEDGER
GROUP BY PIPELINE;
