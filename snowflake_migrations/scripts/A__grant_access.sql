-- Future grants (bootstrap.sql) cover what is made in the database they were given on. A clone of it, or an object
-- that was there before them, gets its grants here.
GRANT USAGE ON DATABASE {{ raw_database }} TO ROLE {{ environment }}_LOADER;
GRANT USAGE ON ALL SCHEMAS IN DATABASE {{ raw_database }} TO ROLE {{ environment }}_LOADER;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN DATABASE {{ raw_database }} TO ROLE {{ environment }}_LOADER;
GRANT USAGE ON ALL STAGES IN DATABASE {{ raw_database }} TO ROLE {{ environment }}_LOADER;
GRANT USAGE ON DATABASE {{ raw_database }} TO ROLE {{ environment }}_TRANSFORMER;
GRANT USAGE ON ALL SCHEMAS IN DATABASE {{ raw_database }} TO ROLE {{ environment }}_TRANSFORMER;
GRANT SELECT ON ALL TABLES IN DATABASE {{ raw_database }} TO ROLE {{ environment }}_TRANSFORMER;
GRANT SELECT ON ALL VIEWS IN DATABASE {{ raw_database }} TO ROLE {{ environment }}_TRANSFORMER;
