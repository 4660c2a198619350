-- What one environment needs before the first deployment: warehouse, databases, roles, users and their grants.
-- Run once per environment by ACCOUNTADMIN, again after every change: each statement may be repeated.
-- The only variable is `env`, the environment in upper case. Public keys are registered apart (ALTER USER .. SET
-- RSA_PUBLIC_KEY), so that no key is kept here.

-- Warehouse
-- noqa: disable=LT02
CREATE WAREHOUSE IF NOT EXISTS {{ env }}_WH
    WAREHOUSE_SIZE = 'XSMALL'
    AUTO_SUSPEND = 60
    AUTO_RESUME = TRUE
    INITIALLY_SUSPENDED = TRUE
    COMMENT = 'Loads, transformations and readers of {{ env }}';
-- noqa: enable=LT02

-- Roles: the deployer inherits what the services may do, so that it can grant, replace and take it over
CREATE ROLE IF NOT EXISTS {{ env }}_DEPLOYER COMMENT = 'Owns the databases of {{ env }}, runs migrations, publishes';
CREATE ROLE IF NOT EXISTS {{ env }}_LOADER COMMENT = 'Writes the raw tables of {{ env }}';
CREATE ROLE IF NOT EXISTS {{ env }}_TRANSFORMER COMMENT = 'Reads the raw tables of {{ env }}, builds its slots';
CREATE ROLE IF NOT EXISTS {{ env }}_READER COMMENT = 'Reads the published marts of {{ env }}';
GRANT ROLE {{ env }}_LOADER TO ROLE {{ env }}_DEPLOYER;
GRANT ROLE {{ env }}_TRANSFORMER TO ROLE {{ env }}_DEPLOYER;
GRANT ROLE {{ env }}_READER TO ROLE {{ env }}_DEPLOYER;
GRANT ROLE {{ env }}_DEPLOYER TO ROLE SYSADMIN;

-- Users: services with key pairs, one role each
CREATE USER IF NOT EXISTS {{ env }}_SVC_DEPLOYER
    TYPE = SERVICE
    DEFAULT_ROLE = {{ env }}_DEPLOYER
    DEFAULT_WAREHOUSE = {{ env }}_WH
    COMMENT = 'Slipway';
CREATE USER IF NOT EXISTS {{ env }}_SVC_LOADER
    TYPE = SERVICE
    DEFAULT_ROLE = {{ env }}_LOADER
    DEFAULT_WAREHOUSE = {{ env }}_WH
    COMMENT = 'Pipelines that load';
CREATE USER IF NOT EXISTS {{ env }}_SVC_TRANSFORMER
    TYPE = SERVICE
    DEFAULT_ROLE = {{ env }}_TRANSFORMER
    DEFAULT_WAREHOUSE = {{ env }}_WH
    COMMENT = 'dbt';
CREATE USER IF NOT EXISTS {{ env }}_SVC_READER
    TYPE = SERVICE
    DEFAULT_ROLE = {{ env }}_READER
    DEFAULT_WAREHOUSE = {{ env }}_WH
    COMMENT = 'Reports and dashboards';
-- Whatever the account's own defaults are, instants and dates are written alike in all of their sessions
ALTER USER {{ env }}_SVC_DEPLOYER SET TIMEZONE = 'UTC', DATE_OUTPUT_FORMAT = 'YYYY-MM-DD', AUTOCOMMIT = TRUE;
ALTER USER {{ env }}_SVC_LOADER SET TIMEZONE = 'UTC', DATE_OUTPUT_FORMAT = 'YYYY-MM-DD', AUTOCOMMIT = TRUE;
ALTER USER {{ env }}_SVC_TRANSFORMER SET TIMEZONE = 'UTC', DATE_OUTPUT_FORMAT = 'YYYY-MM-DD', AUTOCOMMIT = TRUE;
GRANT ROLE {{ env }}_DEPLOYER TO USER {{ env }}_SVC_DEPLOYER;
GRANT ROLE {{ env }}_LOADER TO USER {{ env }}_SVC_LOADER;
GRANT ROLE {{ env }}_TRANSFORMER TO USER {{ env }}_SVC_TRANSFORMER;
GRANT ROLE {{ env }}_READER TO USER {{ env }}_SVC_READER;

-- Databases, owned by the deployer
CREATE DATABASE IF NOT EXISTS {{ env }}_RAW COMMENT = 'Loaded data and the load ledger. Never swapped';
CREATE DATABASE IF NOT EXISTS {{ env }}_ANALYTICS COMMENT = 'Slots: what dbt builds';
CREATE DATABASE IF NOT EXISTS {{ env }}_MARTS COMMENT = 'Published schemas: views only';
CREATE DATABASE IF NOT EXISTS {{ env }}_OPS COMMENT = 'History of migrations';
CREATE SCHEMA IF NOT EXISTS {{ env }}_OPS.SLIPWAY COMMENT = 'What Slipway keeps in the warehouse';
GRANT OWNERSHIP ON DATABASE {{ env }}_RAW TO ROLE {{ env }}_DEPLOYER COPY CURRENT GRANTS;
GRANT OWNERSHIP ON DATABASE {{ env }}_ANALYTICS TO ROLE {{ env }}_DEPLOYER COPY CURRENT GRANTS;
GRANT OWNERSHIP ON DATABASE {{ env }}_MARTS TO ROLE {{ env }}_DEPLOYER COPY CURRENT GRANTS;
GRANT OWNERSHIP ON DATABASE {{ env }}_OPS TO ROLE {{ env }}_DEPLOYER COPY CURRENT GRANTS;
GRANT OWNERSHIP ON SCHEMA {{ env }}_OPS.SLIPWAY TO ROLE {{ env }}_DEPLOYER COPY CURRENT GRANTS;
-- PUBLIC came with the database and kept the owner it was made by: the deployer could not grant on all schemas
CREATE SCHEMA IF NOT EXISTS {{ env }}_RAW.PUBLIC;
GRANT OWNERSHIP ON SCHEMA {{ env }}_RAW.PUBLIC TO ROLE {{ env }}_DEPLOYER COPY CURRENT GRANTS;

-- Publishing swaps databases of views, a rehearsal clones databases: the deployer creates them
GRANT CREATE DATABASE ON ACCOUNT TO ROLE {{ env }}_DEPLOYER;

-- Compute
GRANT USAGE ON WAREHOUSE {{ env }}_WH TO ROLE {{ env }}_DEPLOYER;
GRANT USAGE ON WAREHOUSE {{ env }}_WH TO ROLE {{ env }}_LOADER;
GRANT USAGE ON WAREHOUSE {{ env }}_WH TO ROLE {{ env }}_TRANSFORMER;
GRANT USAGE ON WAREHOUSE {{ env }}_WH TO ROLE {{ env }}_READER;

-- Loader: the rows of the raw tables, and files through the stage. It creates nothing that lasts: temporary tables
-- need no privilege (docs: Access control privileges, CREATE TABLE)
GRANT USAGE ON DATABASE {{ env }}_RAW TO ROLE {{ env }}_LOADER;
GRANT USAGE ON FUTURE SCHEMAS IN DATABASE {{ env }}_RAW TO ROLE {{ env }}_LOADER;
GRANT SELECT, INSERT, UPDATE, DELETE ON FUTURE TABLES IN DATABASE {{ env }}_RAW TO ROLE {{ env }}_LOADER;
GRANT USAGE ON FUTURE STAGES IN DATABASE {{ env }}_RAW TO ROLE {{ env }}_LOADER;

-- Transformer: reads what was loaded, makes and owns the slots
GRANT USAGE ON DATABASE {{ env }}_RAW TO ROLE {{ env }}_TRANSFORMER;
GRANT USAGE ON FUTURE SCHEMAS IN DATABASE {{ env }}_RAW TO ROLE {{ env }}_TRANSFORMER;
GRANT SELECT ON FUTURE TABLES IN DATABASE {{ env }}_RAW TO ROLE {{ env }}_TRANSFORMER;
GRANT SELECT ON FUTURE VIEWS IN DATABASE {{ env }}_RAW TO ROLE {{ env }}_TRANSFORMER;
GRANT USAGE, CREATE SCHEMA ON DATABASE {{ env }}_ANALYTICS TO ROLE {{ env }}_TRANSFORMER;

-- Reader: the published views and nothing behind them, for views run with the rights of their owner. Each publishing
-- grants it what it publishes
GRANT USAGE ON DATABASE {{ env }}_MARTS TO ROLE {{ env }}_READER;

-- The end: what Slipway knows a whole bootstrap by. The deployer sees it by the last statement
CREATE VIEW IF NOT EXISTS {{ env }}_OPS.SLIPWAY.BOOTSTRAPPED
COMMENT = 'Made and granted last: the environment has all that a deployment needs'
AS
SELECT '{{ env }}' AS ENVIRONMENT;
GRANT SELECT ON VIEW {{ env }}_OPS.SLIPWAY.BOOTSTRAPPED TO ROLE {{ env }}_DEPLOYER;
