#!/bin/sh
# The Postgres image runs this once, on an empty volume: two owners, each with a database that the other cannot connect
# to; and the role of the nights, a member of forecasting_writer, whose rights roles.sql grants. By hand: the same variables, and PGHOST, PGUSER, PGPASSWORD of a superuser.
set -eu
psql --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
    --set prefect_password="${PREFECT_DB_PASSWORD:?set PREFECT_DB_PASSWORD}" \
    --set forecasting_password="${FORECASTING_DB_PASSWORD:?set FORECASTING_DB_PASSWORD}" \
    --set nights_password="${FORECASTING_NIGHTS_PASSWORD:?set FORECASTING_NIGHTS_PASSWORD}" <<'SQL'
CREATE ROLE prefect LOGIN PASSWORD :'prefect_password';
CREATE ROLE forecasting LOGIN PASSWORD :'forecasting_password';
-- Created here, so that roles.sql needs no right to create roles.
CREATE ROLE forecasting_reader NOLOGIN;
CREATE ROLE forecasting_writer NOLOGIN;
CREATE ROLE forecasting_nights LOGIN PASSWORD :'nights_password' IN ROLE forecasting_writer;
-- UTF-8 under any locale of the server: under C, Prefect's driver would get bytes instead of text.
CREATE DATABASE prefect OWNER prefect ENCODING 'UTF8' TEMPLATE template0;
CREATE DATABASE forecasting OWNER forecasting ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE prefect FROM PUBLIC;
REVOKE ALL ON DATABASE forecasting FROM PUBLIC;
SQL
