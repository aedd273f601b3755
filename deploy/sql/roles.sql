-- Two roles for the ledger's database, without password or login: make people and programs members of one.
--   forecasting_reader   reads every table and view, writes nothing
--   forecasting_writer   runs the nights: adds rows, fills in the closing columns of runs, bars, findings and models,
--                        updates standings, which are sums of scores, deletes old weights; nothing else
-- Run it in the migrated database, as its owner (who needs the right to create roles only where the two do not exist)
-- or as a superuser; again after an upgrade, any number of times, also during a night. Plain SQL, for any client:
--   psql --dbname forecasting --file deploy/sql/roles.sql
--   psql --dbname forecasting --command "CREATE ROLE anna LOGIN IN ROLE forecasting_reader" --command '\password anna'
DO $$ -- one statement: no program is without a right between two of them
DECLARE
    owner text := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'runs'::regclass);
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['forecasting_reader', 'forecasting_writer'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', role);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA public TO %I', role);
        -- For tables of later migrations too.
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA public GRANT SELECT ON TABLES TO %I', owner, role);
    END LOOP;
    -- Before PostgreSQL 15 whoever may connect may create tables; there a superuser alone can take it back.
    EXECUTE format('GRANT CREATE ON SCHEMA public TO %I', owner);
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    EXECUTE format(
        'ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA public GRANT INSERT ON TABLES TO forecasting_writer', owner
    );
    GRANT INSERT ON runs, fetches, bar_versions, corporate_actions, events, findings, models, weights, forecasts,
        forecast_parts, scores, total_forecasts, total_scores, metrics, standings TO forecasting_writer;
    -- What an earlier version of this file granted.
    REVOKE UPDATE ON ALL TABLES IN SCHEMA public FROM forecasting_writer;
    GRANT UPDATE (status, mode, mode_kind, mode_reason, finished_at, seconds_ingest, seconds_preprocess, seconds_train,
        seconds_predict, seconds_evaluate, note, notes, error, market_fetch) ON runs TO forecasting_writer;
    GRANT UPDATE (superseded_at, settled_at) ON bar_versions TO forecasting_writer;
    GRANT UPDATE (cleared_at) ON findings TO forecasting_writer;
    GRANT UPDATE (withdrawn_at) ON models TO forecasting_writer;
    GRANT DELETE ON weights TO forecasting_writer; -- but the newest three of a symbol and target
    GRANT UPDATE ON standings TO forecasting_writer; -- sums that can be computed again
END
$$;
