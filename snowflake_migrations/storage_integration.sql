-- Real accounts only: lets the LANDING stage read its bucket without any key kept in Snowflake.
-- Run by ACCOUNTADMIN after bootstrap.sql and before the first deployment. Variables: `env` (upper case),
-- `landing_bucket`, `landing_role_arn` (the AWS role that may read the bucket). Afterwards give that role the trust
-- policy that DESCRIBE INTEGRATION names, and pass `storage_integration` to the migrations.
-- noqa: disable=LT02
CREATE STORAGE INTEGRATION IF NOT EXISTS {{ env }}_LANDING
    TYPE = EXTERNAL_STAGE
    STORAGE_PROVIDER = 'S3'
    ENABLED = TRUE
    STORAGE_AWS_ROLE_ARN = '{{ landing_role_arn }}'
    STORAGE_ALLOWED_LOCATIONS = ('s3://{{ landing_bucket }}/');
-- noqa: enable=LT02
GRANT USAGE ON INTEGRATION {{ env }}_LANDING TO ROLE {{ env }}_DEPLOYER;
