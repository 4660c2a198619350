-- Extracts arrive in the landing bucket. Real accounts reach it through a storage integration.
CREATE STAGE IF NOT EXISTS {{ raw_database }}.OPS.LANDING
    URL = 's3://{{ landing_bucket }}/'
    {% if storage_integration is defined %}STORAGE_INTEGRATION = {{ storage_integration }}{% endif %}
    COMMENT = 'Extracts, in parts, as the pipelines wrote them';
