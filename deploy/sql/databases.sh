#!/bin/sh
# The Postgres image runs this once, on an empty volume: two owners, each with a database that the other cannot connect
# to; and the role of the nights, a member of forecasting_writer, whose rights roles.sql grants. By hand, any number of
# times: the same variables, and PGHOST, PGUSER, PGPASSWORD of a superuser. What is there stays, with the passwords given.
# No password is an argument, which every user of the machine could read, or in the server's log. psql 14 or newer.
set -eu
: "${PREFECT_DB_PASSWORD:?set it}" "${FORECASTING_DB_PASSWORD:?set it}" "${FORECASTING_NIGHTS_PASSWORD:?set it}"
psql --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv prefect_password PREFECT_DB_PASSWORD
\getenv forecasting_password FORECASTING_DB_PASSWORD
\getenv nights_password FORECASTING_NIGHTS_PASSWORD
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_duration_sample = -1;
SET log_transaction_sample_rate = 0;
SET log_min_error_statement = 'panic';
-- The reader and the writer here, so that roles.sql needs no right to create roles.
SELECT format('CREATE ROLE %I', name)
FROM unnest(ARRAY['prefect', 'forecasting', 'forecasting_reader', 'forecasting_writer', 'forecasting_nights']) AS name
WHERE name NOT IN (SELECT rolname FROM pg_roles) \gexec
ALTER ROLE prefect LOGIN PASSWORD :'prefect_password';
ALTER ROLE forecasting LOGIN PASSWORD :'forecasting_password';
ALTER ROLE forecasting_nights LOGIN PASSWORD :'nights_password';
GRANT forecasting_writer TO forecasting_nights;
-- UTF-8 under any locale of the server: under C, Prefect's driver would get bytes instead of text.
SELECT format('CREATE DATABASE %1$I OWNER %1$I ENCODING ''UTF8'' TEMPLATE template0', name)
FROM unnest(ARRAY['prefect', 'forecasting']) AS name
WHERE name NOT IN (SELECT datname FROM pg_database) \gexec
REVOKE ALL ON DATABASE prefect FROM PUBLIC;
REVOKE ALL ON DATABASE forecasting FROM PUBLIC;
SQL
