DROP SCHEMA IF EXISTS {{ raw_database }}.OPS;
DROP SCHEMA IF EXISTS {{ raw_database }}.CARDS;
DROP SCHEMA IF EXISTS {{ raw_database }}.MARKET;
DROP SCHEMA IF EXISTS {{ raw_database }}.CORE;
