#!/bin/sh
# The Postgres image runs this once, on an empty volume: two roles, each with a database that the other cannot connect
# to. By hand: the same variables, and PGHOST, PGUSER, PGPASSWORD of a superuser.
set -eu
psql --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
    --set prefect_password="${PREFECT_DB_PASSWORD:?set PREFECT_DB_PASSWORD}" \
    --set forecasting_password="${FORECASTING_DB_PASSWORD:?set FORECASTING_DB_PASSWORD}" <<'SQL'
CREATE ROLE prefect LOGIN PASSWORD :'prefect_password';
CREATE ROLE forecasting LOGIN PASSWORD :'forecasting_password';
-- UTF-8 under any locale of the server: under C, Prefect's driver would get bytes instead of text.
CREATE DATABASE prefect OWNER prefect ENCODING 'UTF8' TEMPLATE template0;
CREATE DATABASE forecasting OWNER forecasting ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE prefect FROM PUBLIC;
REVOKE ALL ON DATABASE forecasting FROM PUBLIC;
SQL
